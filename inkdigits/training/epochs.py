"""What each epoch of a training shows: one protocol, `EpochSource`, and what makes one for a recipe.

A source is used with `with`: threads or processes of its own make the next epoch's examples while the network learns
from this one's. What an epoch shows depends on the seed and its number alone, so that a resumed training sees the same.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np

from inkdigits.arrays import DigitImages, Labels, Probabilities
from inkdigits.data.splits import Split
from inkdigits.errors import TrainingError
from inkdigits.machine import cores
from inkdigits.reading.calibration import probabilities_of
from inkdigits.reading.model import OnnxModel
from inkdigits.training import finder_pages, line_rows
from inkdigits.training.recipes import FinderRecipe, LineRecipe, Recipe
from inkdigits.training.synthesis.digits import compose_digits
from inkdigits.training.synthesis.distortion import distort

# Of an epoch's composed or distilled examples one in so many is new: making one costs as much as learning from it
# several times.
USES = 3

# Inputs and targets, as many of each: uint8 (N, 28, 28) with labels int64 (N,) or a teacher's probabilities float32
# (N, classes); or line images, an array (N,) of uint8 (height, W), with texts int32 (N, longest); or pages, an array
# (N,) of uint8 (H, W), with an array (N,) of their maps.
Examples = tuple[np.ndarray, np.ndarray]
# A function and its arguments.
Job = tuple[Any, ...]


class EpochSource(Protocol):
    """The examples of every epoch; `len` says how many an epoch shows."""

    def __len__(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def epoch(self, number: int) -> Examples:
        """Return what epoch `number` (1, 2, ...) shows."""
        ...


def epochs_of(part: Split, recipe: Recipe, seed: int, teacher: Path | None = None) -> EpochSource:
    """Return what makes the examples of each epoch.

    Args:
        part: digits to learn from.
        recipe: says what is done to them.
        seed: >= 0.
        teacher: the model file whose probabilities are learned in place of the labels.
    """
    if isinstance(recipe, LineRecipe):
        return composed_lines(part, recipe, seed)
    if isinstance(recipe, FinderRecipe):
        return composed_pages(part, recipe, seed)
    if teacher is not None:
        return distilled(part, recipe.distortion, seed, teacher)
    if recipe.composed:
        return composed(part, recipe.composed, seed)
    return distorted(part, recipe.distortion, seed) if recipe.distortion else Unchanged(part)


def examples_per_epoch(part: Split, recipe: Recipe) -> int:
    """Return how many examples an epoch shows, without making any."""
    return recipe.composed // USES * USES or len(part)


class Unchanged:
    """A split as it is, in every epoch."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def epoch(self, number: int) -> Examples:
        """Return images and labels."""
        return self._split.images, self._split.labels


class Rolling:
    """Examples made in the background, each part shown for some epochs; the first epochs fill up from parts 0, -1, ...

    Args:
        n: examples an epoch shows.
        jobs: the number of a part -> what makes it: functions that return `Examples`, with their arguments.
        executor: makes the threads or processes that run them.
        uses: for how many epochs a part is shown.
    """

    def __init__(
        self, n: int, jobs: Callable[[int], Sequence[Job]], executor: Callable[[], Executor], uses: int = 1
    ) -> None:
        self._n, self._jobs, self._make_executor, self._uses = n, jobs, executor, uses
        self._parts: dict[int, list[Future[Examples]]] = {}

    def __len__(self) -> int:
        return self._n

    def __enter__(self) -> Self:
        self._executor = self._make_executor()
        return self

    def __exit__(self, *error: object) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._parts.clear()

    def epoch(self, number: int) -> Examples:
        """Return the examples of an epoch; the next epoch's are begun meanwhile.

        Raises:
            TrainingError: a process that makes them was killed.
        """
        shown = range(number - self._uses + 1, number + 1)
        try:
            for each in [*shown, number + 1]:
                if each not in self._parts:
                    self._parts[each] = [self._executor.submit(*job) for job in self._jobs(each)]
            made = [future.result() for each in shown for future in self._parts[each]]
        except BrokenExecutor:
            raise TrainingError("a process that makes training pictures was killed: out of memory?") from None
        self._parts = {each: part for each, part in self._parts.items() if each > shown[0]}
        inputs, targets = (np.concatenate(arrays) for arrays in zip(*made, strict=True))
        return inputs, targets


# ------------------------------------------------------------------------------------------------- what makes examples


def _one_thread() -> Executor:
    return ThreadPoolExecutor(1)


def _processes(n: int, initializer: Callable[..., None], split: Split) -> Callable[[], Executor]:
    """Return what starts processes that work on a split; a process forked beside TensorFlow's threads may hang."""

    def start() -> Executor:
        return ProcessPoolExecutor(
            n,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=initializer,
            initargs=(np.asarray(split.images), np.asarray(split.labels)),
        )

    return start


def distorted(split: Split, distortion: float, seed: int) -> Rolling:
    """Return a split's images, distorted differently in each epoch (see `distort`), by a thread."""

    def make(number: int) -> Examples:
        return distort(split.images, distortion, (seed, number)), split.labels

    return Rolling(len(split), lambda number: [(make, number)], _one_thread)


def distilled(split: Split, distortion: float, seed: int, teacher: Path) -> Rolling:
    """Return a split's images distorted, with what a teacher sees in each: a third of an epoch's is new.

    Knowledge distillation (Hinton et al. 2015, section 2): a 4 bent half way to a 9 is learned as just that.

    Args:
        split: the digits.
        distortion: >= 0, as for `distort`.
        seed: >= 0.
        teacher: the model file to learn from.
    """
    network = OnnxModel(teacher)

    def make(number: int) -> tuple[DigitImages, Probabilities]:
        images = distort(split.images[number % USES :: USES], distortion, (seed, number + USES))
        # Not cooled to what the card says: it is the smooth part, what else a digit might be, that teaches.
        return images, probabilities_of(network.scores(images), network.card["output"], 1.0)

    return Rolling(len(split), lambda number: [(make, number)], _one_thread, USES)


def composed(split: Split, n: int, seed: int) -> Rolling:
    """Return digits of other hands and pictures of no digit (see `compose_digits`), by a process; a third is new.

    Args:
        split: the digits to compose from.
        n: pictures an epoch shows, rounded down to a multiple of three.
        seed: >= 0.
    """
    n_new = n // USES
    return Rolling(
        n_new * USES,
        lambda number: [(_compose, n_new, (seed, number + USES))],
        _processes(1, _remember, split),
        USES,
    )


_digits: dict[str, np.ndarray] = {}  # what a composing process works on; sent once, for they are large


def _remember(images: DigitImages, labels: Labels) -> None:
    cv2.setNumThreads(1)  # OpenCV's threads cost more than they bring on pictures of this size
    _digits["images"], _digits["labels"] = images, labels


def _compose(n: int, seed: tuple[int, ...]) -> Examples:
    return compose_digits(_digits["images"], _digits["labels"], n, seed)


def composed_lines(split: Split, recipe: LineRecipe, seed: int) -> Rolling:
    """Return new synthetic lines in each epoch, composed by as many processes as there are cores.

    Args:
        split: the digits to compose from.
        recipe: says how many lines and of which styles.
        seed: >= 0.
    """
    return Rolling(
        recipe.composed,
        lambda number: line_rows.jobs_of_epoch(recipe, seed, number),
        _processes(cores(), line_rows.start_process, split),
    )


def composed_pages(split: Split, recipe: FinderRecipe, seed: int) -> Rolling:
    """Return new synthetic pages and those of the epochs before, composed by as many processes as there are cores.

    Args:
        split: the digits to compose from.
        recipe: says how many pages, and for how many epochs each is shown.
        seed: >= 0.
    """
    return Rolling(
        finder_pages.pages_of_part(recipe) * recipe.uses,
        lambda number: finder_pages.jobs_of_part(recipe, seed, number),
        _processes(cores(), finder_pages.start_process, split),
        recipe.uses,
    )
