"""What ails a data set: labels that nets doubt which never saw them, pictures that occur twice, classes out of balance.

No net judges an image it has learned from. The training set is parted into folds; for each a net learns from the
others and answers for it. The test set is answered for by all those nets, averaged: none has seen any of it.
Cleanlab makes label suspicions of the answers (Northcutt, Jiang, Chuang 2021, "Confident learning").
"""

import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from inkdigits.audit.duplicates import Duplicate, find_duplicates
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, RecipeError
from inkdigits.reading.calibration import probabilities_of
from inkdigits.training import loop, networks, recipes
from inkdigits.training.epochs import epochs_of
from inkdigits.training.recipes import Recipe

FOLDS = 5
# So many suspicions a split are listed and pictured.
TOP = 50
# A class with so many times fewer images than the commonest is worth a remark.
UNBALANCED = 2.0
# Nets that agree with fewer of the labels are no judges of them.
LEAST_AGREEMENT = 0.9


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """What nets that never saw a split's images think of its labels.

    Attributes:
        split: the images and the labels they were given.
        probabilities: float64 (N, classes), out of fold.
        quality: float64 (N,), 0 to 1: cleanlab's label quality, the probability of the given label.
        suspected: bool (N,), is it among those that cleanlab takes to be wrong, given how often the nets err?
        judged: bool (N,); False where the class has too few training images for a net to know it.
    """

    split: Split
    probabilities: np.ndarray
    quality: np.ndarray
    suspected: np.ndarray
    judged: np.ndarray

    @cached_property
    def suggested(self) -> np.ndarray:
        """Int64 (N,): the likeliest label."""
        suggested: np.ndarray = self.probabilities.argmax(axis=1)
        return suggested

    @cached_property
    def doubted(self) -> np.ndarray:
        """Bool (N,): would the nets give another label?"""
        doubted: np.ndarray = self.judged & (self.suggested != self.split.labels)
        return doubted

    @cached_property
    def ranking(self) -> np.ndarray:
        """Int64 (<= N,): indices of all images that were judged, the most doubtful label first."""
        order = np.argsort(self.quality, kind="stable")
        ranking: np.ndarray = order[self.judged[order]]
        return ranking

    def worst(self, n: int) -> np.ndarray:
        """Return int64 (<= n,): the most doubtful labels, of those for which the nets would give another."""
        worst: np.ndarray = self.ranking[self.doubted[self.ranking]][:n]
        return worst

    @property
    def pairs(self) -> list[tuple[str, str, int]]:
        """(given label, suggested label, how often), the commonest first."""
        names = self.split.class_names
        which = np.flatnonzero(self.doubted)
        counts = Counter((int(self.split.labels[i]), int(self.suggested[i])) for i in which)
        return [(names[given], names[suggested], n) for (given, suggested), n in counts.most_common()]

    def to_dict(self, top: int) -> dict[str, Any]:
        """Return counts and the `top` most doubtful labels as JSON holds them."""
        names = self.split.class_names
        return {
            "n": len(self.split),
            "not_judged": int((~self.judged).sum()),
            "doubted": int(self.doubted.sum()),
            "suspected": int(self.suspected.sum()),
            "suspicions": [
                {
                    "rank": rank,
                    "index": int(i),
                    "label": names[self.split.labels[i]],
                    "suggested": names[self.suggested[i]],
                    "quality": float(self.quality[i]),
                    "suspected": bool(self.suspected[i]),
                }
                for rank, i in enumerate(self.worst(top), 1)
            ],
        }


@dataclass(frozen=True, eq=False)
class Twins:
    """A picture that occurs twice, its two places told apart by split.

    Attributes:
        splits: the parts of the data in which the earlier and the later copy stand.
        indices: their indices there.
        similarity: 0.995 to 1, at the best shift.
        exact: are they equal to the byte?
    """

    splits: tuple[Split, Split]
    indices: tuple[int, int]
    similarity: float
    exact: bool

    @property
    def across(self) -> bool:
        """Does one stand in the training set and the other in the test set?"""
        return self.splits[0].name != self.splits[1].name

    @property
    def labels(self) -> tuple[str, str]:
        """The names of their labels."""
        first, second = (split.class_names[split.labels[i]] for split, i in zip(self.splits, self.indices, strict=True))
        return first, second

    @property
    def contradict(self) -> bool:
        """Do they carry different labels, so that one must be wrong?"""
        return self.labels[0] != self.labels[1]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        places = zip(self.splits, self.indices, self.labels, strict=True)
        return {
            "exact": self.exact,
            "similarity": self.similarity,
            "images": [{"split": split.name, "index": i, "label": label} for split, i, label in places],
        }


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """All that was found.

    Attributes:
        recipe: of the nets.
        folds: how many there were.
        train: doubts about the training set's labels.
        test: doubts about the test set's labels.
        twins: pictures that occur twice, those with different labels first, then those across the two sets.
        top: how many suspicions a split are listed.
    """

    recipe: Recipe
    folds: int
    train: LabelIssues
    test: LabelIssues
    twins: Sequence[Twins]
    top: int = TOP

    @property
    def balance(self) -> list[tuple[str, int, int]]:
        """(class, training images, test images) of every class."""
        names = self.train.split.class_names
        counts = (np.bincount(doubts.split.labels, minlength=len(names)) for doubts in (self.train, self.test))
        return [(name, int(n), int(m)) for name, n, m in zip(names, *counts, strict=True)]

    @property
    def remarks(self) -> list[str]:
        """What is worth saying about the balance of the classes, in sentences."""
        said = [f"class {name} has {n} training images: its labels were not judged" for name, n, _ in self.few]
        counts = [(n, name) for name, n, _ in self.balance if n >= 2]
        (least, rare), (most, common) = min(counts), max(counts)
        if most >= UNBALANCED * least:
            said.append(f"class {common} has {most / least:.1f} times as many training images as class {rare}")
        return said + [f"class {name} has no test images" for name, n, m in self.balance if n and not m]

    @property
    def few(self) -> list[tuple[str, int, int]]:
        """Those entries of the balance of which too few training images were there to know the class."""
        return [entry for entry in self.balance if entry[1] < 2]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON holds it; of the doubts the first `top`."""
        return {
            "data": self.train.split.source,
            "sha256": {doubts.split.name: doubts.split.sha256 for doubts in (self.train, self.test)},
            "recipe": self.recipe.name,
            "folds": self.folds,
            "labels": {doubts.split.name: doubts.to_dict(self.top) for doubts in (self.train, self.test)},
            "duplicates": [twins.to_dict() for twins in self.twins],
            "classes": [{"class": name, "train": n, "test": m} for name, n, m in self.balance],
            "remarks": self.remarks,
        }

    def __str__(self) -> str:
        parts = [*self.headlines(), ""]
        for doubts in (self.test, self.train):
            parts += [*_doubts_table(doubts, self.top), ""]
        return "\n".join([*parts, *_twins_table(self.twins, self.top)]).rstrip()

    def headlines(self) -> list[str]:
        """Return the chief findings, one a line."""
        lines = [
            f"{self.train.split.source}: {len(self.train.split):,} training and {len(self.test.split):,} test images",
            *(
                f"{doubts.split.name + ' labels':<14} {doubts.doubted.sum():,} doubted, {doubts.suspected.sum():,} of "
                "them most likely wrong"
                for doubts in (self.train, self.test)
            ),
        ]
        lines.append(self._agreement())
        across, exact = (sum(getattr(twins, kind) for twins in self.twins) for kind in ("across", "exact"))
        contradict = sum(twins.contradict for twins in self.twins)
        lines.append(
            f"duplicates     {exact:,} exact, {len(self.twins) - exact:,} near; {across:,} of these across train and "
            f"test, {contradict:,} with different labels"
        )
        return lines + [f"balance        {remark}" for remark in self.remarks or ["nothing to remark"]]

    def _agreement(self) -> str:
        """Return how often the nets that judge say what the labels say, and whether that is enough to judge."""
        shares = [float((doubts.suggested == doubts.split.labels).mean()) for doubts in (self.train, self.test)]
        weak = ": too weak to judge, most doubts are mistakes of theirs; try more --epochs or another --recipe"
        return (
            f"the nets       agree with {shares[0]:.1%} of the training and {shares[1]:.1%} of the test labels"
            f"{weak if min(shares) < LEAST_AGREEMENT else ''}"
        )


def in_words(quality: float) -> str:
    """Return a label quality with as many places as it deserves: 0.4193, 3e-05."""
    return f"{quality:.4f}" if quality >= 0.001 else f"{quality:.0e}"


def _doubts_table(doubts: LabelIssues, top: int) -> list[str]:
    names, worst = doubts.split.class_names, doubts.worst(top)
    if not len(worst):
        return [f"no label of the {doubts.split.name} set is doubted"]
    width = max(5, *map(len, names))
    lines = [
        f"the most doubtful labels of the {doubts.split.name} set, {len(worst)} of {doubts.doubted.sum():,} "
        "(!: most likely wrong)",
        f"rank    index  {'label':<{width}}  {'likely':<{width}}  quality",
    ]
    for rank, i in enumerate(worst, 1):
        given, suggested = names[doubts.split.labels[i]], names[doubts.suggested[i]]
        mark = "  !" if doubts.suspected[i] else ""
        lines.append(
            f"{rank:>4}  {i:>7}  {given:<{width}}  {suggested:<{width}}  {in_words(doubts.quality[i]):>7}{mark}"
        )
    return lines


def _twins_table(twins: Sequence[Twins], top: int) -> list[str]:
    lines = [f"pictures that occur twice, {min(top, len(twins))} of {len(twins):,}"] if twins else []
    for each in twins[:top]:
        (a, b), (i, j) = (split.name for split in each.splits), each.indices
        kind = "exact" if each.exact else f"near {each.similarity:.4f}"
        words = f"labels {each.labels[0]} and {each.labels[1]}" if each.contradict else f"label {each.labels[0]}"
        lines.append(f"{a} {i} = {b} {j}  {kind}, {words}")
    return lines


def examine(
    train: Split,
    test: Split,
    recipe: str = "cnn",
    *,
    folds: int = FOLDS,
    seed: int = 0,
    top: int = TOP,
    progress: bool = True,
    **changes: Any,
) -> Diagnosis:
    """Examine a data set's labels, its duplicates and its balance.

    Args:
        train: parted into folds.
        test: of the same classes.
        recipe: by which the nets are trained.
        folds: >= 2; the more, the more images each net learns from and the longer it takes.
        seed: fixes the folds and the nets.
        top: >= 1, how many suspicions a split are listed.
        progress: print a line a fold to stderr.
        changes: fields of the recipe, such as `epochs=3`.

    Raises:
        RecipeError: no such recipe, or it composes pictures, which have no labels to doubt.
        DataError: there are too few images or classes.
        TrainingError: a net cannot be trained.
    """
    chosen = networks.check(recipes.resolve_digit(recipe, **changes))
    if chosen.composed:
        raise RecipeError(
            f"the recipe {recipe!r} learns from composed pictures; choose one that takes them as they are"
        )
    fold = fold_of(train.labels, folds, seed)
    of_train, of_test = _out_of_fold(train, test, fold, chosen, seed, progress)
    known = np.bincount(train.labels, minlength=len(train.class_names)) >= 2
    start = time.perf_counter()
    twins = find_twins(train, test)
    if progress:
        _say(f"duplicates: {len(twins):,} found, {time.perf_counter() - start:.1f} s")
    return Diagnosis(
        chosen, folds, _label_issues(train, of_train, known), _label_issues(test, of_test, known), twins, top
    )


def fold_of(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return int64 (N,): the fold of each image, with every class spread evenly over the folds.

    A class of fewer images than folds is missing from some, and its images still lie in different ones: of two images
    of a class, the net that judges the one has learned from the other.

    Args:
        labels: int64 (N,).
        folds: >= 2.
        seed: the same seed gives the same folds, on every machine.

    Raises:
        DataError: there are fewer images than folds, or fewer than two classes with two images or more.
    """
    if folds < 2:
        raise DataError(f"{folds} folds: at least 2 are needed, one to judge while a net learns from the other")
    if len(labels) < folds:
        raise DataError(f"{len(labels)} training images cannot be parted into {folds} folds")
    if (np.bincount(labels) >= 2).sum() < 2:
        raise DataError("labels can be doubted where at least 2 classes have at least 2 training images each")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    # Dealt out like cards, class after class: neighbours of one class never lie in one fold, and folds are equal.
    fold[by_class] = np.arange(len(labels)) % folds
    return fold


def _out_of_fold(
    train: Split, test: Split, fold: np.ndarray, recipe: Recipe, seed: int, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 (N, classes) of the training set, each row by a net that has not seen it, and of the test set."""
    folds = int(fold.max()) + 1
    of_train = np.empty((len(train), len(train.class_names)))
    of_test = np.zeros((len(test), len(train.class_names)))
    for k in range(folds):
        start, held = time.perf_counter(), fold == k
        part = replace(train, images=train.images[~held], labels=train.labels[~held])
        of_train[held], of_this = _learn_and_answer(part, recipe, seed + k, (train.images[held], test.images))
        of_test += of_this / folds
        if progress:
            wrong = int((of_train[held].argmax(axis=1) != train.labels[held]).sum())
            seconds = time.perf_counter() - start
            _say(f"fold {k + 1}/{folds}: {wrong:,} of {held.sum():,} labels doubted, {seconds:.1f} s")
    return of_train, of_test


def _learn_and_answer(part: Split, recipe: Recipe, seed: int, asked: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return float64 (N, classes) for each array of images, by a net that learned from `part`."""
    model = networks.build(recipe, seed, len(part.class_names))
    with epochs_of(part, recipe, seed) as source:
        loop.fit(model, recipe, source, seed=seed, progress=False)
    trained = networks.in_float32(model)
    output = recipe.output if recipe.output == "logits_none" else networks.output_of(trained)
    scores = (trained.predict(images, batch_size=1000, verbose=0) for images in asked)
    probabilities = (probabilities_of(rows, output, 1.0).astype(np.float64) for rows in scores)
    return [rows / rows.sum(axis=1, keepdims=True) for rows in probabilities]


def _label_issues(split: Split, probabilities: np.ndarray, known: np.ndarray) -> LabelIssues:
    """Return what cleanlab makes of out-of-fold probabilities; labels of unknown classes are not judged."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    judged = known[split.labels]
    quality, suspected = np.ones(len(split)), np.zeros(len(split), bool)
    if judged.any():
        quality[judged] = get_label_quality_scores(split.labels[judged], probabilities[judged])
    # Among labels of one class alone there is nothing from which cleanlab could learn what they are confused with.
    if len(np.unique(split.labels[judged])) >= 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about classes with few examples, of which we tell ourselves
            # One process: it would fork beside TensorFlow's threads.
            suspected[judged] = find_label_issues(split.labels[judged], probabilities[judged], n_jobs=1)
    return LabelIssues(split, probabilities, quality, suspected, judged)


def find_twins(train: Split, test: Split) -> list[Twins]:
    """Return the pictures that occur twice: different labels first, then across the sets, then by likeness.

    Args:
        train: its training set.
        test: its test set.
    """
    found = find_duplicates(np.concatenate([train.images, test.images]))
    twins = [_twins(duplicate, train, test) for duplicate in found]
    return sorted(twins, key=lambda each: (not each.contradict, not each.across, -each.similarity))


def _twins(duplicate: Duplicate, train: Split, test: Split) -> Twins:
    pooled = (duplicate.first, duplicate.second)
    splits = tuple(train if i < len(train) else test for i in pooled)
    indices = tuple(i if i < len(train) else i - len(train) for i in pooled)
    return Twins((splits[0], splits[1]), (indices[0], indices[1]), duplicate.similarity, duplicate.exact)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
