"""A data set examined: label issues, images that occur twice, class balance.

Labels are compared with out-of-fold predictions. The training set is divided into folds; for each, a network learns
from the others and predicts it. The test set is predicted by all those networks, averaged: none has seen any of it.
Cleanlab finds the label issues (Northcutt, Jiang, Chuang 2021, "Confident learning").
"""

import logging
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from inkdigits.arrays import DigitImages, Floats, Labels, Mask
from inkdigits.audit.duplicates import Duplicate, find_duplicates
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, RecipeError
from inkdigits.reading.calibration import probabilities_of
from inkdigits.training import loop, networks, recipes
from inkdigits.training.epochs import epochs_of
from inkdigits.training.recipes import Recipe

log = logging.getLogger(__name__)

FOLDS = 5
# How many labels a split are listed and pictured.
TOP = 50
# A class with so many times fewer images than the most frequent one is worth a remark.
UNBALANCED = 2.0
# Networks that agree with a smaller share of the labels are too weak to find wrong ones.
MIN_AGREEMENT = 0.9


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """The labels of a split, compared with the out-of-fold predictions for its images.

    Attributes:
        split: the images and the labels they were given.
        probabilities: float64 (N, classes), out of fold.
        quality: float64 (N,), 0 to 1: cleanlab's label quality, the probability of the given label.
        is_issue: bool (N,), is it among those that cleanlab takes to be wrong, given how often the networks err?
        scored: bool (N,); False where the class has too few training images for a network to learn it.
    """

    split: Split
    probabilities: Floats
    quality: Floats
    is_issue: Mask
    scored: Mask

    @cached_property
    def suggested(self) -> Labels:
        """Int64 (N,): the likeliest label."""
        suggested: Labels = self.probabilities.argmax(axis=1)
        return suggested

    @cached_property
    def disagrees(self) -> Mask:
        """Bool (N,): is another label likelier than the given one?"""
        disagrees: Mask = self.scored & (self.suggested != self.split.labels)
        return disagrees

    @cached_property
    def ranking(self) -> Labels:
        """Int64 (<= N,): indices of all images that were scored, the lowest label quality first."""
        order = np.argsort(self.quality, kind="stable")
        return order[self.scored[order]]

    def worst(self, n: int) -> Labels:
        """Return int64 (<= n,): indices of the lowest label qualities among the disagreements."""
        return self.ranking[self.disagrees[self.ranking]][:n]

    @property
    def pairs(self) -> list[tuple[str, str, int]]:
        """(given label, suggested label, how often), the most frequent first."""
        names = self.split.class_names
        which = np.flatnonzero(self.disagrees)
        counts = Counter((int(self.split.labels[i]), int(self.suggested[i])) for i in which)
        return [(names[given], names[suggested], n) for (given, suggested), n in counts.most_common()]

    def to_dict(self, top: int) -> dict[str, Any]:
        """Return counts and the `top` lowest label qualities as JSON holds them."""
        names = self.split.class_names
        return {
            "n": len(self.split),
            "not_scored": int((~self.scored).sum()),
            "disagreements": int(self.disagrees.sum()),
            "label_issues": int(self.is_issue.sum()),
            "worst": [
                {
                    "rank": rank,
                    "index": int(i),
                    "label": names[self.split.labels[i]],
                    "suggested": names[self.suggested[i]],
                    "quality": float(self.quality[i]),
                    "label_issue": bool(self.is_issue[i]),
                }
                for rank, i in enumerate(self.worst(top), 1)
            ],
        }


@dataclass(frozen=True, eq=False)
class Twins:
    """An image that occurs twice, with the split of both places.

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
        recipe: of the networks.
        folds: how many there were.
        train: label issues of the training set.
        test: label issues of the test set.
        twins: images that occur twice, those with different labels first, then those across the two sets.
        top: how many labels a split are listed.
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
        counts = (np.bincount(found.split.labels, minlength=len(names)) for found in (self.train, self.test))
        return [(name, int(n), int(m)) for name, n, m in zip(names, *counts, strict=True)]

    @property
    def remarks(self) -> list[str]:
        """What is worth saying about the balance of the classes, in sentences."""
        said = [f"class {name} has {n} training images: its labels were not scored" for name, n, _ in self.few]
        counts = [(n, name) for name, n, _ in self.balance if n >= 2]
        (least, rare), (most, common) = min(counts), max(counts)
        if most >= UNBALANCED * least:
            said.append(f"class {common} has {most / least:.1f} times as many training images as class {rare}")
        return said + [f"class {name} has no test images" for name, n, m in self.balance if n and not m]

    @property
    def few(self) -> list[tuple[str, int, int]]:
        """The entries of the balance with too few training images to learn the class."""
        return [entry for entry in self.balance if entry[1] < 2]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON holds it; of the label qualities the lowest `top`."""
        return {
            "data": self.train.split.source,
            "sha256": {found.split.name: found.split.sha256 for found in (self.train, self.test)},
            "recipe": self.recipe.name,
            "folds": self.folds,
            "labels": {found.split.name: found.to_dict(self.top) for found in (self.train, self.test)},
            "duplicates": [twins.to_dict() for twins in self.twins],
            "classes": [{"class": name, "train": n, "test": m} for name, n, m in self.balance],
            "remarks": self.remarks,
        }

    def __str__(self) -> str:
        parts = [*self.headlines(), ""]
        for found in (self.test, self.train):
            parts += [*_quality_table(found, self.top), ""]
        return "\n".join([*parts, *_twins_table(self.twins, self.top)]).rstrip()

    def headlines(self) -> list[str]:
        """Return the main findings, one a line."""
        lines = [
            f"{self.train.split.source}: {len(self.train.split):,} training and {len(self.test.split):,} test images",
            *(
                f"{found.split.name + ' labels':<14} {found.disagrees.sum():,} disagree with the networks, "
                f"{found.is_issue.sum():,} most likely wrong"
                for found in (self.train, self.test)
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
        """Return the share of labels the networks agree with, and whether they are good enough."""
        shares = [float((found.suggested == found.split.labels).mean()) for found in (self.train, self.test)]
        weak = ": too weak, most disagreements are errors of theirs; try more --epochs or another --recipe"
        return (
            f"networks       agree with {shares[0]:.1%} of the training and {shares[1]:.1%} of the test labels"
            f"{weak if min(shares) < MIN_AGREEMENT else ''}"
        )


def in_words(quality: float) -> str:
    """Return a label quality with as many places as it deserves: 0.4193, 3e-05."""
    return f"{quality:.4f}" if quality >= 0.001 else f"{quality:.0e}"


def _quality_table(found: LabelIssues, top: int) -> list[str]:
    names, worst = found.split.class_names, found.worst(top)
    if not len(worst):
        return [f"the networks agree with every label of the {found.split.name} set"]
    width = max(5, *map(len, names))
    lines = [
        f"lowest label quality in the {found.split.name} set, {len(worst)} of {found.disagrees.sum():,} disagreements "
        "(!: most likely wrong)",
        f"rank    index  {'label':<{width}}  {'likely':<{width}}  quality",
    ]
    for rank, i in enumerate(worst, 1):
        given, suggested = names[found.split.labels[i]], names[found.suggested[i]]
        mark = "  !" if found.is_issue[i] else ""
        lines.append(
            f"{rank:>4}  {i:>7}  {given:<{width}}  {suggested:<{width}}  {in_words(found.quality[i]):>7}{mark}"
        )
    return lines


def _twins_table(twins: Sequence[Twins], top: int) -> list[str]:
    lines = [f"images that occur twice, {min(top, len(twins))} of {len(twins):,}"] if twins else []
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
        train: divided into folds.
        test: of the same classes.
        recipe: of the networks.
        folds: >= 2; the more, the more images each network learns from and the longer it takes.
        seed: fixes the folds and the networks.
        top: >= 1, how many labels a split are listed.
        progress: log a line a fold.
        changes: fields of the recipe, such as `epochs=3`.

    Raises:
        RecipeError: no such recipe, or it learns from synthetic images, whose labels need no check.
        DataError: there are too few images or classes.
        TrainingError: a network cannot be trained.
    """
    chosen = networks.for_this_machine(networks.check(recipes.resolve_digit(recipe, **changes)), changes)
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
        log.info(f"duplicates: {len(twins):,} found, {time.perf_counter() - start:.1f} s")
    return Diagnosis(
        chosen, folds, _label_issues(train, of_train, known), _label_issues(test, of_test, known), twins, top
    )


def fold_of(labels: Labels, folds: int, seed: int) -> Labels:
    """Return int64 (N,): the fold of each image, with every class spread evenly over the folds.

    A class of fewer images than folds is missing from some, and its images still lie in different ones: of two images
    of a class, the network that predicts the one has learned from the other.

    Args:
        labels: int64 (N,).
        folds: >= 2.
        seed: the same seed gives the same folds, on every machine.

    Raises:
        DataError: there are fewer images than folds, or fewer than two classes with two images or more.
    """
    if folds < 2:
        raise DataError(f"{folds} folds: at least 2 are needed, one to predict while a network learns from the other")
    if len(labels) < folds:
        raise DataError(f"{len(labels)} training images cannot be divided into {folds} folds")
    if (np.bincount(labels) >= 2).sum() < 2:
        raise DataError("label issues can be found where at least 2 classes have at least 2 training images each")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    # Dealt out like cards, class after class: neighbours of one class never lie in one fold, and folds are equal.
    fold[by_class] = np.arange(len(labels)) % folds
    return fold


def _out_of_fold(
    train: Split, test: Split, fold: Labels, recipe: Recipe, seed: int, progress: bool
) -> tuple[Floats, Floats]:
    """Return float64 (N, classes) of the training set, each row by a network that has not seen it, and the test set."""
    folds = int(fold.max()) + 1
    of_train = np.empty((len(train), len(train.class_names)))
    of_test = np.zeros((len(test), len(train.class_names)))
    for k in range(folds):
        start, held = time.perf_counter(), fold == k
        part = replace(train, images=train.images[~held], labels=train.labels[~held])
        of_train[held], of_this = _learn_and_predict(part, recipe, seed + k, (train.images[held], test.images))
        of_test += of_this / folds
        if progress:
            wrong = int((of_train[held].argmax(axis=1) != train.labels[held]).sum())
            seconds = time.perf_counter() - start
            log.info(f"fold {k + 1}/{folds}: {wrong:,} of {held.sum():,} disagreements, {seconds:.1f} s")
    return of_train, of_test


def _learn_and_predict(part: Split, recipe: Recipe, seed: int, asked: Sequence[DigitImages]) -> list[Floats]:
    """Return float64 (N, classes) for each array of images, by a network that learned from `part`."""
    model = networks.build(recipe, seed, len(part.class_names))
    with epochs_of(part, recipe, seed) as source:
        loop.fit(model, recipe, source, seed=seed, progress=False)
    trained = networks.in_float32(model)
    output = recipe.output if recipe.output == "logits_none" else networks.output_of(trained)
    scores = (trained.predict(images, batch_size=1000, verbose=0) for images in asked)
    probabilities = (probabilities_of(rows, output, 1.0).astype(np.float64) for rows in scores)
    return [rows / rows.sum(axis=1, keepdims=True) for rows in probabilities]


def _label_issues(split: Split, probabilities: Floats, known: Mask) -> LabelIssues:
    """Return what cleanlab finds with out-of-fold probabilities; labels of unknown classes are not scored."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    scored = known[split.labels]
    quality, is_issue = np.ones(len(split)), np.zeros(len(split), bool)
    if scored.any():
        quality[scored] = get_label_quality_scores(split.labels[scored], probabilities[scored])
    # Among labels of one class alone there is nothing from which cleanlab could learn what they are confused with.
    if len(np.unique(split.labels[scored])) >= 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about classes with few examples, which the remarks name
            # One process: it would fork beside TensorFlow's threads.
            is_issue[scored] = find_label_issues(split.labels[scored], probabilities[scored], n_jobs=1)
    return LabelIssues(split, probabilities, quality, is_issue, scored)


def find_twins(train: Split, test: Split) -> list[Twins]:
    """Return the images that occur twice: different labels first, then across the sets, then by similarity.

    Args:
        train: the training set.
        test: the test set.
    """
    found = find_duplicates(np.concatenate([train.images, test.images]))
    twins = [_twins(duplicate, train, test) for duplicate in found]
    return sorted(twins, key=lambda each: (not each.contradict, not each.across, -each.similarity))


def _twins(duplicate: Duplicate, train: Split, test: Split) -> Twins:
    pooled = (duplicate.first, duplicate.second)
    splits = tuple(train if i < len(train) else test for i in pooled)
    indices = tuple(i if i < len(train) else i - len(train) for i in pooled)
    return Twins((splits[0], splits[1]), (indices[0], indices[1]), duplicate.similarity, duplicate.exact)
