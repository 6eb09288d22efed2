"""Whole batches of digits turned, slanted, stretched, moved and bent at random: what `Recipe.distortion` asks for.

Some 10 microseconds an image: the images of a chunk stand in one tall picture, which OpenCV samples in one call.
"""

from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 28
MARGIN = 2  # rows of paper between the images of the tall picture, which nothing is drawn across
CHUNK = 1000  # a picture may be 32,767 rows tall (OpenCV's remap)
KNOTS = 5  # a side of the grid whose random moves bend an image

# Spreads at distortion 1: degrees, pixels, and shares of the size.
TURN_DEG = 9.0
SLANT = 0.12
ZOOM = 0.09
SHIFT_PX = 1.2
BEND_PX = 0.8


def distort(images: np.ndarray, distortion: float, seed: int | Sequence[int]) -> np.ndarray:
    """Return each image changed by a random affine map and an elastic field (Simard et al. 2003, section 2).

    Args:
        images: uint8 (N, 28, 28).
        distortion: >= 0, how far: 0 changes nothing; at 1 turns spread by 9 degrees, slants and sizes by some 10 %,
            moves and bends by a pixel (standard deviations).
        seed: the same seed gives the same pictures.

    Returns:
        uint8 (N, 28, 28).
    """
    if not distortion:
        return images
    rng = np.random.default_rng(seed)
    result = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        result[start : start + CHUNK] = _sampled(chunk, _sources(rng, len(chunk), distortion))
    return result


def _sources(rng: np.random.Generator, n: int, distortion: float) -> np.ndarray:
    """Return where each pixel of n images is taken from: float32 (n, 2, 784), x then y, in pixels."""
    turn, slant, zoom_x, zoom_y = rng.normal(0, 1, (4, n)) * distortion
    turn, slant = np.deg2rad(TURN_DEG) * turn, SLANT * slant
    zooms = np.exp(-ZOOM * np.stack([zoom_x, zoom_y]))  # (2, n)
    rotations = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slants = np.array([[np.ones(n), slant], [np.zeros(n), np.ones(n)]])
    matrices = np.einsum("ijn,jkn,kn->nik", rotations, slants, zooms).astype(np.float32)
    moves = rng.normal(0, SHIFT_PX * distortion, (n, 2, 1)).astype(np.float32)
    knots = rng.normal(0, BEND_PX * distortion, (n, 2, KNOTS * KNOTS)).astype(np.float32)
    sources: np.ndarray = matrices @ _GRID + knots @ _SPREAD + moves + np.float32((SIDE - 1) / 2)
    return sources


def _sampled(images: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return the images as their pixels lie at `sources`; beside an image lies paper."""
    n = len(images)
    step = SIDE + MARGIN
    tall = np.zeros((n, step, SIDE + MARGIN), np.uint8)
    tall[:, 1:-1, 1:-1] = images  # paper all around
    # Coordinates end within the paper, or the tall picture's next image would show.
    x, y = np.clip(sources + 1, 0, SIDE + 1).swapaxes(0, 1)  # (2, n, 784)
    y += step * np.arange(n, dtype=np.float32)[:, None]
    shape = (n * SIDE, SIDE)
    sampled = cv2.remap(tall.reshape(n * step, -1), x.reshape(shape), y.reshape(shape), cv2.INTER_CUBIC)
    return np.asarray(sampled).reshape(images.shape)


def _spread() -> np.ndarray:
    """Return the weights float32 (25, 784) with which the moves of the knots spread over the pixels, bicubically."""
    unit = np.eye(KNOTS * KNOTS, dtype=np.float32).reshape(-1, KNOTS, KNOTS)
    fields = [cv2.resize(knot, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for knot in unit]
    return np.stack(fields).reshape(KNOTS * KNOTS, -1)


_GRID = (np.mgrid[0:SIDE, 0:SIDE][::-1].reshape(2, -1) - (SIDE - 1) / 2).astype(np.float32)  # x, then y: (2, 784)
_SPREAD = _spread()
