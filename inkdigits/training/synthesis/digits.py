"""Digits in; digits of other hands, pens and scanners out."""

from collections.abc import Sequence

import numpy as np

from inkdigits.arrays import Rng
from inkdigits.training.synthesis.degrade import enlarge, frame, gridded, holed, littered, nudge, repen, scanned, warp
from inkdigits.training.synthesis.non_digits import no_digit
from inkdigits.training.synthesis.strokes import HANDS_SHARE, crossed, drawn, segments

NONE = 10  # the label of "not a digit"


def compose_digits(
    images: np.ndarray, labels: np.ndarray, n: int, seed: int | Sequence[int], none_share: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return n changed pictures and their labels.

    Args:
        images: uint8 (N, 28, 28), MNIST's form.
        labels: int64 (N,), 0 to 9.
        n: how many to make.
        seed: the same seed makes the same pictures.
        none_share: 0 to 1, the share of pictures which show no digit.

    Returns:
        uint8 (n, 28, 28) and int64 (n,), where 10 means "not a digit".
    """
    rng = np.random.default_rng(seed)
    made = np.zeros((n, 28, 28), np.uint8)
    truth = np.zeros(n, np.int64)
    chosen = rng.integers(0, len(images), n)
    for i, index in enumerate(chosen):
        if rng.random() < none_share:
            made[i], truth[i] = no_digit(rng, images, labels), NONE
        else:
            made[i], truth[i] = another_hand(rng, images[index], int(labels[index])), labels[index]
    return made, truth


# Digits


def another_hand(rng: Rng, image: np.ndarray, label: int) -> np.ndarray:
    """Return the digit as another writer, pen and scanner might have given it: uint8 (28, 28), framed."""
    if rng.random() < 0.2:
        return nudge(rng, image)
    if rng.random() < 0.012:
        strokes = segments(rng, label)
    elif rng.random() < HANDS_SHARE.get(label, 0.0):
        strokes = drawn(rng, label)
    else:
        strokes = enlarge(image)
        if label == 7 and rng.random() < 0.2:
            strokes = crossed(rng, strokes)
    strokes = warp(rng, strokes)
    strokes = repen(rng, strokes)
    if rng.random() < 0.05:
        strokes = holed(rng, strokes)
    if rng.random() < 0.22:
        return gridded(rng, strokes)
    framed = frame(rng, strokes)
    if rng.random() < 0.12:
        framed = littered(rng, framed)
    return scanned(rng, framed)
