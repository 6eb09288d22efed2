"""Two evaluations on the same images -> `Comparison`."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from inkdigits.errors import DataError
from inkdigits.evaluation import significance
from inkdigits.evaluation.digits import Evaluation, matrix_lines
from inkdigits.evaluation.text import p_in_words, percent


@dataclass(frozen=True)
class ClassChange:
    """How one class changed from one model to another.

    Attributes:
        name: of the class.
        n: how many examples it has.
        errors: how many answers of the first and of the second model are wrong.
        n_fixed: examples that only the second has right.
        n_broken: examples that only the first has right.
        p: McNemar's exact p, adjusted for looking at all classes at once (Holm).
    """

    name: str
    n: int
    errors: tuple[int, int]
    n_fixed: int
    n_broken: int
    p: float

    @property
    def verdict(self) -> str:
        """In one word: "better" or "worse" where the difference is significant (p < 0.05), else "alike"."""
        if self.p >= 0.05:
            return "alike"
        return "better" if self.n_fixed > self.n_broken else "worse"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same examples.

    Attributes:
        first: the evaluation of the first model.
        second: the evaluation of the second, on the same split.
    """

    first: Evaluation
    second: Evaluation

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.first.n_errors - self.second.n_errors) / len(self.first)

    @property
    def n_fixed(self) -> int:
        """How many examples only the second has right."""
        return int((self.second.right & ~self.first.right).sum())

    @property
    def n_broken(self) -> int:
        """How many examples only the first has right."""
        return int((self.first.right & ~self.second.right).sum())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference."""
        return significance.paired_interval(self.n_fixed, self.n_broken, len(self.first))

    @property
    def p(self) -> float:
        """McNemar's exact p: how often equally good models would differ this much."""
        return significance.mcnemar_exact(self.n_fixed, self.n_broken)

    @cached_property
    def classes(self) -> list[ClassChange]:
        """How each class changed."""
        labels = self.first.split.labels
        counts = []
        for k in range(len(self.first.class_names)):
            a, b = self.first.right[labels == k], self.second.right[labels == k]
            counts.append((len(a), int((~a).sum()), int((~b).sum()), int((b & ~a).sum()), int((a & ~b).sum())))
        p_values = significance.holm([significance.mcnemar_exact(fixed, broken) for *_, fixed, broken in counts])
        return [
            ClassChange(name, n, (before, after), fixed, broken, p)
            for name, (n, before, after, fixed, broken), p in zip(self.first.class_names, counts, p_values, strict=True)
        ]

    @property
    def pairs(self) -> list[tuple[str, str, int, int]]:
        """(label, answer, count before, count after) of every confusion that changed, the most changed first."""
        before, after = self.first.confusion, self.second.confusion
        change = np.abs(after - before)
        np.fill_diagonal(change, 0)
        order = np.argsort(-change, axis=None, kind="stable")[: np.count_nonzero(change)]
        names = self.first.class_names
        places = zip(*np.unravel_index(order, change.shape), strict=True)
        return [(names[i], names[j], int(before[i, j]), int(after[i, j])) for i, j in places]

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as JSON holds it."""
        return {
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "n": len(self.first),
            "difference": self.difference,
            "difference_interval": list(self.interval),
            "fixed": self.n_fixed,
            "broken": self.n_broken,
            "p": self.p,
            "classes": [
                {
                    "class": change.name,
                    "n": change.n,
                    "errors": list(change.errors),
                    "fixed": change.n_fixed,
                    "broken": change.n_broken,
                    "p": change.p,
                    "verdict": change.verdict,
                }
                for change in self.classes
            ],
            "pairs": [{"truth": t, "answer": a, "before": n, "after": m} for t, a, n, m in self.pairs],
        }

    def __str__(self) -> str:
        table = ["class     errors            fixed     new         p"]
        for change in self.classes:
            before, after = change.errors
            table.append(
                f"{change.name[:9]:<9} {before:>5} -> {after:<5} {change.n_fixed:>8} {change.n_broken:>7}  "
                f"{p_in_words(change.p):>8}  {change.verdict}"
            )
        moved = [f"{t} read as {a}: {n} -> {m} times" for t, a, n, m in self.pairs[:8]]
        return "\n".join([*self.headlines(), "", *table, "", *_side_by_side(self), "", *moved])

    def headlines(self) -> list[str]:
        """Return the chief figures in sentences."""
        low, high = self.interval
        a, b, n = self.first, self.second, len(self.first)
        verdict = "significant" if self.p < 0.05 else "not significant"
        return [
            f"first   {a.model}: {percent(a.accuracy)} ({a.n_errors:,} errors in {n:,})",
            f"second  {b.model}: {percent(b.accuracy)} ({b.n_errors:,} errors in {n:,})",
            f"difference {self.difference * 100:+.2f} points (95 % interval {low * 100:+.2f} to {high * 100:+.2f})",
            f"the second model fixes {self.n_fixed:,} errors of the first and makes {self.n_broken:,} new ones: "
            f"{verdict} (McNemar's exact p {p_in_words(self.p)})",
            *self.in_words(),
            "(p < 0.05 after Holm's correction; the other differences are not significant)",
        ]

    def in_words(self) -> list[str]:
        """Return which classes got better and which worse, in words."""
        named = {verdict: [c.name for c in self.classes if c.verdict == verdict] for verdict in ("better", "worse")}
        return [f"{verdict}: {', '.join(names) or 'none'}" for verdict, names in named.items()]


def _side_by_side(comparison: Comparison) -> list[str]:
    left, right = matrix_lines(comparison.first), matrix_lines(comparison.second)
    width = max(map(len, left))
    left[0], right[0] = "first", "second (rows: label, columns: answer)"
    return [f"{a:<{width}}   |  {b}" for a, b in zip(left, right, strict=True)]


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Compare two models example by example.

    Args:
        first: the baseline.
        second: on the same examples.

    Raises:
        DataError: they are not of the same examples.
    """
    a, b = first.split, second.split
    if len(a) != len(b) or a.sha256 != b.sha256 or not np.array_equal(a.labels, b.labels):
        raise DataError(
            f"{first.model} was evaluated on {len(a):,} images of {a.source}, {second.model} on {len(b):,} of "
            f"{b.source}: only evaluations on the same examples can be compared"
        )
    return Comparison(first, second)
