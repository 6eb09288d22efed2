"""A reader and a split -> `Evaluation`; two evaluations -> `Comparison`. ONNX Runtime only."""

import json
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits import metrics
from inkdigits.data.idx import idx_sha256
from inkdigits.data.loading import load_arrays, load_data
from inkdigits.data.splits import Split
from inkdigits.errors import DataError
from inkdigits.reading.calibration import logits_of
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.normalise.digit import is_framed
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Classified, PageReading

# Cells read in one call: enough to fill batches, few enough to keep memory flat.
CELLS_AT_ONCE = 128


def percent(share: float, places: int = 2) -> str:
    """Return a share as the documents print it: 0.9241 -> "92.41 %"; "-" where nothing was measured."""
    return "-" if math.isnan(share) else f"{share * 100:.{places}f} %"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model answered on a split, and how good that is.

    Attributes:
        model: the model's name.
        card: its card.
        split: the images and their truth.
        answers: what the reader gave for them.
    """

    model: str
    card: dict[str, Any]
    split: Split
    answers: Classified

    def __len__(self) -> int:
        return len(self.split)

    @property
    def class_names(self) -> Sequence[str]:
        """What each class is called."""
        return self.split.class_names

    @cached_property
    def right(self) -> np.ndarray:
        """Bool (N,): is the answer the truth, accepted or not?"""
        right: np.ndarray = self.split.labels == self.answers.labels
        return right

    @property
    def mistakes(self) -> int:
        """How many answers are wrong."""
        return metrics.count_mistakes(self.split.labels, self.answers.labels)

    @property
    def accuracy(self) -> float:
        """The share of answers that are right."""
        return 1 - self.mistakes / len(self)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return metrics.wilson_interval(len(self) - self.mistakes, len(self))

    @cached_property
    def loss(self) -> float:
        """Cross-entropy of the probabilities in nats: for a net as trained, Keras's own test loss."""
        return metrics.log_loss(self.split.labels, self.answers.probabilities)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Int64 (classes, classes): row = truth, column = answer."""
        return metrics.confusion_matrix(self.split.labels, self.answers.labels, len(self.class_names))

    @property
    def per_class(self) -> np.ndarray:
        """Float64 (classes, 3): precision, recall, F1; NaN where nothing was measured."""
        return metrics.precision_recall_f1(self.confusion)

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """(truth, answer, count) of every confusion, the commonest first."""
        return metrics.confused_pairs(self.confusion, self.class_names)

    @cached_property
    def calibration_error(self) -> float:
        """Expected calibration error in 15 slices."""
        return metrics.calibration_error(self.answers.confidence, self.right)

    @property
    def coverage(self) -> float:
        """The share of answers that the reader accepts."""
        return float(self.answers.accepted.mean())

    @property
    def mistakes_accepted(self) -> int:
        """How many of the accepted answers are wrong."""
        return int((~self.right & self.answers.accepted).sum())

    @property
    def error_rate_accepted(self) -> float:
        """The share of wrong answers among the accepted; NaN where none is accepted."""
        accepted = int(self.answers.accepted.sum())
        return self.mistakes_accepted / accepted if accepted else math.nan

    def worst_mistakes(self, n: int) -> np.ndarray:
        """Return int64 (<= n,): indices of the wrong answers that the model was surest of, the surest first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.answers.confidence[wrong], kind="stable")][:n]

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as JSON holds it; what could not be measured is None."""
        names = ("precision", "recall", "f1")
        classes = [
            {"class": name, "n": int(n), **dict(zip(names, map(_or_none, row), strict=True))}
            for name, n, row in zip(self.class_names, self.confusion.sum(axis=1), self.per_class, strict=True)
        ]
        return {
            "model": self.model,
            "data": self.split.source,
            "sha256": self.split.sha256,
            "split": self.split.name,
            "n": len(self),
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "mistakes": self.mistakes,
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "coverage": self.coverage,
            "mistakes_accepted": self.mistakes_accepted,
            "error_rate_accepted": _or_none(self.error_rate_accepted),
            "classes": classes,
            "confusion_matrix": self.confusion.tolist(),
            "confused": [{"truth": truth, "answer": answer, "count": n} for truth, answer, n in self.confused],
        }

    def __str__(self) -> str:
        return "\n".join(
            [*self.headlines(), "", *_class_table(self), "", *matrix_lines(self), "", *confused_lines(self)]
        )

    def headlines(self) -> list[str]:
        """Return the chief figures, one a line."""
        low, high = self.accuracy_interval
        lines = [
            f"{self.model} on {len(self):,} {self.split.name} images of {self.split.source}",
            f"accuracy           {percent(self.accuracy)} (95 % interval {low * 100:.2f} to {percent(high)}), "
            f"{self.mistakes:,} mistakes in {len(self):,}",
            f"loss               {self.loss:.4f}",
            f"calibration error  {percent(self.calibration_error)}",
        ]
        if self.card.get("threshold", 0.0) > 0:
            n_accepted = int(self.answers.accepted.sum())
            lines.append(
                f"accepted           {percent(self.coverage)}; of these wrong: {percent(self.error_rate_accepted)} "
                f"({self.mistakes_accepted:,} of {n_accepted:,})"
            )
        return lines


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _class_table(evaluation: Evaluation) -> list[str]:
    width = max(5, *map(len, evaluation.class_names))
    lines = [f"{'class':<{width}}  precision   recall       F1        n"]
    counts = evaluation.confusion.sum(axis=1)
    for name, row, n in zip(evaluation.class_names, evaluation.per_class, counts, strict=True):
        shares = "  ".join(f"{percent(value, 1):>7}" for value in row)
        lines.append(f"{name:<{width}}    {shares}  {n:>7,}")
    return lines


def matrix_lines(evaluation: Evaluation) -> list[str]:
    """Return the confusion matrix as text: a row a truth, a column an answer, dots where nothing happened."""
    names = [name[:9] for name in evaluation.class_names]
    width = max(max(map(len, names)), len(str(evaluation.confusion.max()))) + 1
    lines = ["rows: truth, columns: answer", " " * width + "".join(f"{name:>{width}}" for name in names)]
    for name, row in zip(names, evaluation.confusion, strict=True):
        lines.append(f"{name:>{width}}" + "".join(f"{n or '.':>{width}}" for n in row))
    return lines


def confused_lines(evaluation: Evaluation, n: int = 5) -> list[str]:
    """Return the commonest confusions in words: "4 read as 9: 44 times"."""
    return [pair_in_words(*pair) for pair in evaluation.confused[:n]] or ["nothing was confused"]


def pair_in_words(truth: str, answer: str, count: int) -> str:
    """Return one confusion in words: "4 read as 9: 44 times"."""
    return f"{truth} read as {answer}: {count} time{'s' if count > 1 else ''}"


def evaluate(reader: Reader, split: Split) -> Evaluation:
    """Return the judgement of a reader's digit net on framed images.

    Args:
        reader: of a run, a file, or the nets that ship.
        split: images in MNIST's form.

    Raises:
        DataError: the split is empty, or its classes are not the model's in number.
    """
    if len(split) == 0:
        raise DataError(f"{split.source}: no {split.name} images: there is nothing to judge")
    if len(reader.classes) != len(split.class_names):
        raise DataError(
            f"{split.source}: has {len(split.class_names)} classes, but the model {reader.card.get('name', '')} knows "
            f"{len(reader.classes)}; give the --data it was trained on"
        )
    return Evaluation(reader.card.get("name", "model"), reader.card, split, reader.classify(split.images))


@dataclass(frozen=True)
class ClassChange:
    """What became of one class from one model to another.

    Attributes:
        name: of the class.
        n: how many examples it has.
        mistakes: wrong answers of the first and of the second model.
        n_fixed: examples that only the second has right.
        n_broken: examples that only the first has right.
        p: McNemar's exact p, adjusted for looking at all classes at once (Holm).
    """

    name: str
    n: int
    mistakes: tuple[int, int]
    n_fixed: int
    n_broken: int
    p: float

    @property
    def verdict(self) -> str:
        """In one word: "better" or "worse" where chance is a poor explanation (p < 0.05), else "alike"."""
        if self.p >= 0.05:
            return "alike"
        return "better" if self.n_fixed > self.n_broken else "worse"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same examples, the second seen from the first.

    Attributes:
        first: the evaluation of the first model.
        second: the evaluation of the second, on the same split.
    """

    first: Evaluation
    second: Evaluation

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.first.mistakes - self.second.mistakes) / len(self.first)

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
        return metrics.paired_interval(self.n_fixed, self.n_broken, len(self.first))

    @property
    def p(self) -> float:
        """McNemar's exact p: how often equally good models would differ so much."""
        return metrics.mcnemar_exact(self.n_fixed, self.n_broken)

    @cached_property
    def classes(self) -> list[ClassChange]:
        """What became of each class."""
        labels = self.first.split.labels
        counts = []
        for k in range(len(self.first.class_names)):
            a, b = self.first.right[labels == k], self.second.right[labels == k]
            counts.append((len(a), int((~a).sum()), int((~b).sum()), int((b & ~a).sum()), int((a & ~b).sum())))
        p_values = metrics.holm([metrics.mcnemar_exact(fixed, broken) for *_, fixed, broken in counts])
        return [
            ClassChange(name, n, (before, after), fixed, broken, p)
            for name, (n, before, after, fixed, broken), p in zip(self.first.class_names, counts, p_values, strict=True)
        ]

    @property
    def pairs(self) -> list[tuple[str, str, int, int]]:
        """(truth, answer, count before, count after) of every confusion that changed, the most changed first."""
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
                    "mistakes": list(change.mistakes),
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
        table = ["class     mistakes          fixed  broken         p"]
        for change in self.classes:
            before, after = change.mistakes
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
        verdict = "more than chance explains" if self.p < 0.05 else "that may well be chance"
        return [
            f"first   {a.model}: {percent(a.accuracy)} ({a.mistakes:,} mistakes in {n:,})",
            f"second  {b.model}: {percent(b.accuracy)} ({b.mistakes:,} mistakes in {n:,})",
            f"difference {self.difference * 100:+.2f} points (95 % interval {low * 100:+.2f} to {high * 100:+.2f})",
            f"the second mends {self.n_fixed:,} mistakes of the first and makes {self.n_broken:,} new ones: "
            f"{verdict} (McNemar's exact p {p_in_words(self.p)})",
            *self.in_words(),
        ]

    def in_words(self) -> list[str]:
        """Return which classes got better and which worse, in words."""
        lines = []
        for verdict in ("better", "worse"):
            names = [change.name for change in self.classes if change.verdict == verdict]
            lines.append(f"{verdict}: {', '.join(names) if names else 'none'}")
        lines[-1] += " (p < 0.05 after Holm's correction; the others are alike as far as these examples can tell)"
        return lines


def p_in_words(p: float) -> str:
    """Return a p-value with as many places as it deserves, with its sign: "= 0.031", "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if p < 0.1 else f"= {p:.2f}"


def _side_by_side(comparison: Comparison) -> list[str]:
    left, right = matrix_lines(comparison.first), matrix_lines(comparison.second)
    width = max(map(len, left))
    left[0], right[0] = "first", "second (rows: truth, columns: answer)"
    return [f"{a:<{width}}   |  {b}" for a, b in zip(left, right, strict=True)]


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Return two models held against each other, example by example.

    Args:
        first: the one to start from.
        second: on the same examples.

    Raises:
        DataError: they are not of the same examples.
    """
    a, b = first.split, second.split
    if len(a) != len(b) or a.sha256 != b.sha256 or not np.array_equal(a.labels, b.labels):
        raise DataError(
            f"{first.model} was judged on {len(a):,} images of {a.source}, {second.model} on {len(b):,} of {b.source}: "
            "only judgements on the same examples can be compared"
        )
    return Comparison(first, second)


@dataclass(frozen=True, eq=False)
class Inside:
    """What a net says before calibration.

    Attributes:
        output: what its scores are, as the card says: "sigmoid", "softmax", "logits" or "logits_none".
        scores: float32 (N, classes), raw, of the images that were shown.
        weights: float64 (28, 28, classes), what each pixel adds for each class, if the net is linear; else None.
    """

    output: str
    scores: np.ndarray
    weights: np.ndarray | None


def look_inside(net: OnnxModel, images: np.ndarray) -> Inside:
    """Return a net's raw scores for some images and, if it is linear, its weights as the pixels feel them.

    Args:
        net: a digit net.
        images: uint8 (N, 28, 28).
    """
    return Inside(net.card["output"], net.scores(images), _pixel_weights(net))


def _pixel_weights(net: OnnxModel) -> np.ndarray | None:
    """Measure weights with one image for each pixel; a net that does not add them up for an image is not linear."""
    single = np.zeros((786, 784), np.uint8)
    np.fill_diagonal(single, 255)
    single[784, ::7] = 128  # an image of 112 grey pixels; the last image stays blank
    logits = logits_of(net.scores(single.reshape(-1, 28, 28)).astype(np.float64), net.card["output"])
    if net.card["output"] != "sigmoid":
        logits -= logits.mean(axis=1, keepdims=True)  # a softmax does not feel what all classes have in common
    blank = logits[785]
    weights: np.ndarray = logits[:784] - blank
    if np.abs(weights[::7].sum(axis=0) * 128 / 255 - (logits[784] - blank)).max() > 0.02:
        return None
    return weights.reshape(28, 28, -1)


# ------------------------------------------------------------------------------------ pictures from people's own files


def load_test(data: str | Path | None, reader: Reader, framed: str = "auto") -> Split:
    """Return what to judge a reader on: the test part of a data set, or a file of pictures.

    Args:
        data: None for MNIST, anything in MNIST's format, or a .npz with `x` uint8 (N, H, W), light ink on dark, and
            `y` (N,).
        reader: frames pictures, and knows what the classes of a .npz file are called.
        framed: "yes": the pictures are in MNIST's form; "no": frame each; "auto": frame them unless they are.

    Raises:
        DataError: the data cannot be had, carry no labels, or are not framed although said to be.
    """
    if data is None or not _is_single_set(Path(data)):
        split = load_data(data)[1]
        images, labels, names, source = split.images, split.labels, split.class_names, split.source
    else:
        images, of_file = load_arrays(data)
        if of_file is None:
            raise DataError(f"{data}: has no array y: without the truth there is nothing to judge by")
        labels, names, source = of_file, tuple(reader.classes), str(data)
        if labels.max() >= len(names):
            raise DataError(f"{data}: y holds {labels.max()}, but the model knows the classes 0 to {len(names) - 1}")
    return Split(_framed(images, reader, framed, source), labels, "test", names, source, idx_sha256(images))


def _is_single_set(path: Path) -> bool:
    return path.suffix == ".npz" and zipfile.is_zipfile(path) and "x.npy" in zipfile.ZipFile(path).namelist()


def _framed(images: np.ndarray, reader: Reader, framed: str, source: str) -> np.ndarray:
    if framed == "yes" and images.shape[1:] != (28, 28):
        raise DataError(f"{source}: pictures of {images.shape[1]} x {images.shape[2]} are not framed; try --framed no")
    # Framed pictures come out of `frame` as they are; asking the whole set first saves asking each.
    if framed == "yes" or (framed == "auto" and is_framed(images)):
        return images
    return np.stack([reader.frame(image) for image in images])


@dataclass(frozen=True)
class Outliers:
    """How well confidence tells digits from things that are no digits.

    Attributes:
        source: where the others come from.
        n: how many there are.
        auroc: chance that a digit gets more confidence than one of them.
        fpr_at_95: share of them let in by the threshold that lets 95 % of the digits in.
        accepted: share of them that the reader accepts.
    """

    source: str
    n: int
    auroc: float
    fpr_at_95: float
    accepted: float

    def __str__(self) -> str:
        return (
            f"against {self.n:,} of {self.source}\nAUROC              {percent(self.auroc)}\n"
            f"FPR at 95 %        {percent(self.fpr_at_95)}\nof these accepted  {percent(self.accepted)}"
        )


def evaluate_outliers(reader: Reader, path: str | Path, inside: np.ndarray, framed: str = "auto") -> Outliers:
    """Return how well the reader refuses what is no digit.

    Args:
        reader: the same as for `inside`.
        path: a .npz with `x` uint8 (N, H, W), light on dark.
        inside: float (M,), its confidence on digits.
        framed: as for `load_test`.

    Raises:
        DataError: the file cannot be read.
    """
    images, _ = load_arrays(path)
    answers = reader.classify(_framed(images, reader, framed, str(path)))
    outside = answers.confidence
    accepted = float(answers.accepted.mean())
    auroc, fpr = metrics.auroc(inside, outside), metrics.fpr_at_tpr(inside, outside)
    return Outliers(str(path), len(images), auroc, fpr, accepted)


@dataclass(frozen=True, eq=False)
class CellsEvaluation:
    """What a reader answered for pictures of one whole number each.

    Attributes:
        source: the folder.
        files: names of the pictures.
        truths: what stands in each.
        texts: what was read.
        confidence: float64 (N,), the probability that all digits are right.
        accepted: bool (N,).
    """

    source: str
    files: tuple[str, ...]
    truths: tuple[str, ...]
    texts: tuple[str, ...]
    confidence: np.ndarray
    accepted: np.ndarray

    def __len__(self) -> int:
        return len(self.truths)

    @cached_property
    def string_right(self) -> np.ndarray:
        """Bool (N,): is the whole string right, comma and dot alike?"""
        return np.array([_string(a) == _string(b) for a, b in zip(self.truths, self.texts, strict=True)])

    @cached_property
    def right(self) -> np.ndarray:
        """Bool (N,): are the digits right, all else dropped?"""
        return np.array([_digits(a) == _digits(b) for a, b in zip(self.truths, self.texts, strict=True)])

    @cached_property
    def edits(self) -> int:
        """Digits to insert, delete or replace, over all cells."""
        pairs = zip(self.truths, self.texts, strict=True)
        return sum(metrics.edit_distance(_digits(truth), _digits(text)) for truth, text in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as JSON holds it; what could not be measured is None."""
        n, accepted = len(self), int(self.accepted.sum())
        return {
            "data": self.source,
            "n": n,
            "string_exact": float(self.string_right.mean()),
            "digits_exact": float(self.right.mean()),
            "digits_exact_interval": list(metrics.wilson_interval(int(self.right.sum()), n)),
            "edit_distance": self.edits,
            "n_digits": sum(len(_digits(truth)) for truth in self.truths),
            "coverage": accepted / n,
            "accuracy_accepted": float(self.right[self.accepted].mean()) if accepted else None,
            "accuracy_surest_half": metrics.accuracy_of_surest(self.right, self.confidence, 0.5),
            "calibration_error": metrics.calibration_error(self.confidence, self.right),
        }

    def __str__(self) -> str:
        figures = self.to_dict()
        low, high = figures["digits_exact_interval"]
        among = figures["accuracy_accepted"]
        return "\n".join(
            [
                f"{len(self):,} cells of {self.source}",
                f"digits exact       {percent(figures['digits_exact'])} (95 % interval {low * 100:.2f} to "
                f"{percent(high)}), {len(self) - int(self.right.sum()):,} wrong",
                f"string exact       {percent(figures['string_exact'])}",
                f"edit distance      {self.edits:,} in {figures['n_digits']:,} digits "
                f"({percent(self.edits / max(1, figures['n_digits']))})",
                f"accepted           {percent(figures['coverage'])}; of these right: "
                f"{percent(math.nan if among is None else among)}",
                f"surest half        {percent(figures['accuracy_surest_half'])} right",
                f"calibration error  {percent(figures['calibration_error'])}",
            ]
        )


def _string(text: str) -> str:
    return text.replace(",", ".").replace(" ", "")


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def evaluate_cells(reader: Reader, folder: str | Path) -> CellsEvaluation:
    """Return the judgement of a reader on pictures of one number each.

    Args:
        reader: with a line net.
        folder: holds the pictures and truth.json: file name -> what stands there, such as "10,200".

    Raises:
        DataError: truth.json is missing, damaged or empty.
        ImageError: a picture cannot be read.
    """
    folder = Path(folder)
    truth = _load_truth(folder / "truth.json")
    files = tuple(truth)
    readings: list[PageReading] = []
    for start in range(0, len(files), CELLS_AT_ONCE):
        paths = [folder / name for name in files[start : start + CELLS_AT_ONCE]]
        readings += reader.read_many(paths, "number")
    lines = [reading.lines[0] if reading.lines else None for reading in readings]
    return CellsEvaluation(
        str(folder),
        files,
        tuple(truth.values()),
        tuple(line.text if line else "" for line in lines),
        np.array([line.confidence if line else 0.0 for line in lines]),
        np.array([line.accepted if line else False for line in lines]),
    )


def _load_truth(path: Path) -> dict[str, str]:
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); it tells what stands in each picture") from None
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error})") from None
    if not isinstance(truth, dict) or not truth or not all(isinstance(value, str) for value in truth.values()):
        raise DataError(f'{path}: must be one object, file name -> string, such as {{"a.jpg": "10,200"}}')
    return truth


@dataclass(frozen=True)
class Judgement:
    """All that `inkdigits evaluate` was asked for; None for what it was not.

    Attributes:
        digits: single digits.
        outliers: things that are no digits.
        cells: whole numbers.
    """

    digits: Evaluation | None = None
    outliers: Outliers | None = None
    cells: CellsEvaluation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the digits' figures with "outliers" and "cells" beside them, where there are any."""
        figures = self.digits.to_dict() if self.digits else {}
        figures |= {"outliers": dict(vars(self.outliers))} if self.outliers else {}
        return figures | ({"cells": self.cells.to_dict()} if self.cells else {})

    def __str__(self) -> str:
        return "\n\n".join(str(part) for part in (self.digits, self.outliers, self.cells) if part is not None)


def judge(
    reader: Reader,
    data: str | Path | None = None,
    framed: str = "auto",
    outliers: str | Path | None = None,
    cells: str | Path | None = None,
) -> Judgement:
    """Return the judgement of a reader on whatever is given; on MNIST's test set where no cells and no data are.

    Args:
        reader: the reader.
        data: as for `load_test`.
        framed: as for `load_test`.
        outliers: a .npz with pictures that are no digits.
        cells: a folder of pictures of one number each, with truth.json.

    Raises:
        DataError: something cannot be read.
    """
    digits = found = None
    if data is not None or outliers is not None or cells is None:
        digits = evaluate(reader, load_test(data, reader, framed))
    if outliers is not None and digits is not None:
        found = evaluate_outliers(reader, outliers, digits.answers.confidence, framed)
    return Judgement(digits, found, evaluate_cells(reader, cells) if cells is not None else None)
