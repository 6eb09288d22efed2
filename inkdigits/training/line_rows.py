"""Lines of writing for the line network: which are composed for an epoch, and the batches they are learned in.

An epoch is a round of freshly composed lines, each used some times, warped a little differently each time. Its styles
and learning rates follow the recipe's stages.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np

from inkdigits.arrays import DigitImages, Ink, Labels, NDArray, Rng
from inkdigits.reading.decoding import columns_needed
from inkdigits.training.recipes import LineRecipe
from inkdigits.training.synthesis.page_lines import line_images
from inkdigits.training.synthesis.styles import ALPHABET, Digits, Texts

STRIDE_PX = 4  # of the network's columns
# Lines of about one width share a batch; wider ones than the last are squeezed.
WIDTHS_PX = (64, 96, 160, 288, 448)
# Of this width are the lines that `Recipe.batch_size` counts; there are more narrow ones to a batch and fewer wide.
USUAL_WIDTH_PX = 96
CHUNK = 384  # lines that one process composes at a time
LONGEST = 64  # characters of a text; all are padded to it, so that a network's step is compiled once a width

T = TypeVar("T")
Lines = NDArray[np.object_]  # (N,), line images: uint8 (height, W) each, 255 = ink
PaddedTexts = NDArray[np.int32]  # (N, LONGEST), indices into ALPHABET, -1 behind the end


@dataclass(frozen=True)
class Round:
    """What an epoch is made of.

    Attributes:
        shares: style -> its share of the lines.
        learning_rates: at its beginning and its end.
    """

    shares: dict[str, float]
    learning_rates: tuple[float, float]


def rounds_of(recipe: LineRecipe) -> list[Round]:
    """Return all epochs: the stages one after the other, stretched or shortened to the recipe's number of epochs."""
    peak = recipe.learning_rate
    assert peak is not None  # `networks.check` fills it in
    rounds: list[Round] = []
    published, done = sum(stage.epochs for stage in recipe.stages), 0
    for stage in recipe.stages:
        done += stage.epochs
        n = max(1, round(recipe.epochs * done / published)) - len(rounds)
        first, last = stage.rates if recipe.schedule == "cosine" else (1.0, 1.0)
        rates = peak * (last + (first - last) * 0.5 * (1 + np.cos(np.pi * np.arange(n + 1) / max(1, n))))
        rounds += [Round(dict(stage.shares), (float(rates[i]), float(rates[i + 1]))) for i in range(n)]
    return rounds


# ------------------------------------------------------------------------------------------------------------ composing


def jobs_of_epoch(recipe: LineRecipe, seed: int, number: int) -> list[tuple[Any, ...]]:
    """Return calls of `compose_lines` for processes to make; none after the last epoch."""
    if number > recipe.epochs:
        return []
    jobs: list[tuple[Any, ...]] = []
    for kind, (style, share) in enumerate(sorted(rounds_of(recipe)[number - 1].shares.items())):
        n = round(recipe.composed * share)
        jobs += [
            (compose_lines, (seed, number - 1, kind, start), style, min(CHUNK, n - start), recipe.height)
            for start in range(0, n, CHUNK)
        ]
    return jobs


_digits: list[Digits] = []  # of a composing process; sent once, for they are large


def start_process(images: DigitImages, labels: Labels) -> None:
    """Make a process of a pool ready for `compose_lines`: MNIST's images and labels."""
    cv2.setNumThreads(1)
    _digits[:] = [Digits(images, labels)]


def compose_lines(seed: tuple[int, ...], style: str, n: int, height: int) -> tuple[Lines, PaddedTexts]:
    """Return n line images and their texts, of the digits that the process was started with; the seed fixes all."""
    rng = np.random.default_rng(seed)
    images, texts = line_images(rng, _digits[0], style, n, height, _fits)
    return as_array(images), padded(texts)


def _fits(text: str, width: int) -> bool:
    """Say whether CTC has a way to a text from the columns of a line image, squeezed if it is too wide."""
    return len(text) <= LONGEST and columns_needed(text) <= min(width, WIDTHS_PX[-1]) // STRIDE_PX


def as_array(images: list[Ink]) -> Lines:
    """Return pictures of different widths as one array of objects."""
    return np.fromiter(images, dtype=object, count=len(images))


def padded(texts: Texts) -> PaddedTexts:
    """Return int32 (N, LONGEST), the classes of each text's characters, -1 behind its end."""
    classes = np.full((len(texts), LONGEST), -1, np.int32)
    for row, text in zip(classes, texts, strict=True):
        row[: len(text)] = [ALPHABET.index(char) for char in text]
    return classes


# -------------------------------------------------------------------------------------------------------------- batches


def plan_batches(lines: Lines, recipe: LineRecipe, rng: Rng) -> list[tuple[int, NDArray[np.intp]]]:
    """Return an epoch's batches in random order: (width in pixels, which lines).

    Each line is used `recipe.passes` times. All batches of one width are equally long: the last one is filled up with
    lines used once more.
    """
    bucket = np.searchsorted(WIDTHS_PX[:-1], [line.shape[1] for line in lines])
    plan: list[tuple[int, NDArray[np.intp]]] = []
    for i, width in enumerate(WIDTHS_PX):
        members = np.flatnonzero(bucket == i)
        if not len(members):
            continue
        size = max(1, recipe.batch_size * USUAL_WIDTH_PX // width)
        n_batches = -(-len(members) * recipe.passes // size)
        n_passes = -(-n_batches * size // len(members))
        order = np.concatenate([rng.permutation(members) for _ in range(n_passes)])
        plan += [(width, order[k * size : (k + 1) * size]) for k in range(n_batches)]
    return [plan[k] for k in rng.permutation(len(plan))]


def batches(
    lines: Lines, texts: PaddedTexts, plan: list[tuple[int, NDArray[np.intp]]], rng: Rng
) -> Iterator[tuple[Ink, PaddedTexts]]:
    """Yield the batches of a plan: uint8 (n, height, width) and int32 (n, LONGEST)."""
    for width, chosen in plan:
        yield _warped(rng, lines[chosen], width), texts[chosen]


def prefetched(batches: Iterator[T]) -> Iterator[T]:
    """Yield what an iterator does, in its order; a thread makes the next while the last one is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = maker.submit(next, batches, None)
            yield batch


def _warped(rng: Rng, lines: Lines, width: int) -> Ink:
    """Return the lines on one width, each shifted, scaled and sheared a little."""
    height = len(lines[0])
    batch = np.empty((len(lines), height, width), np.uint8)
    for target, image in zip(batch, lines, strict=True):
        squeeze = min(1.0, width / image.shape[1])
        sx, sy = rng.normal(1.0, 0.05, 2)
        shear, right, down = rng.normal(0, (0.06, 2.0, 1.0))
        room = max(0.0, width - image.shape[1]) * (rng.random() if rng.random() < 0.5 else 0.0)
        a = sx * squeeze
        matrix = np.array(
            [[a, shear, room + right + (1 - sx) * 10 - shear * height / 2], [0.0, sy, height / 2 * (1 - sy) + down]]
        )
        target[:] = cv2.warpAffine(image, matrix, (width, height))
    return batch
