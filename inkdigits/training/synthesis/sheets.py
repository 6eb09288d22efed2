"""Synthetic photographs of a sheet of handwriting: MNIST digits on ruled paper, on a table, under a lamp.

For the demo, the README and tests; no network learns from it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from inkdigits.arrays import Box, GrayImage, Rng, Transform
from inkdigits.data.splits import Split
from inkdigits.reading.geometry import box_around, corners_of, map_points

MARGIN_PX = 70  # of table around the sheet
VISIBLE = 0.2  # ink from which a digit begins, 0 to 1
# How far the sheet's corners stray from a rectangle, clockwise from the top left, in pixels: seen from an angle.
CORNERS_PX = ((40, 26), (-8, 60), (34, -20), (-30, 10))


def compose_sheet(
    split: Split, lines: Sequence[str], seed: int = 0, size: tuple[int, int] = (1000, 1000)
) -> np.ndarray:
    """Return a photograph of a sheet on which the lines are written in the hands of a data set.

    Args, Raises: as for `compose_labelled_sheet`.

    Returns:
        uint8 (H, W), grey: the sheet with its table around it.
    """
    return compose_labelled_sheet(split, lines, seed, size)[0]


def compose_labelled_sheet(
    split: Split, lines: Sequence[str], seed: int = 0, size: tuple[int, int] = (1000, 1000)
) -> tuple[GrayImage, list[list[Box]]]:
    """Return what `compose_sheet` does, and where each digit of each line lies.

    Args:
        split: MNIST, or digits in its format.
        lines: digits and spaces; each digit is drawn from the split at random.
        seed: the same seed makes the same picture.
        size: width and height of the sheet in pixels.

    Returns:
        uint8 (H, W), grey: the sheet with its table around it; and for each line the boxes x, y, width, height of its
        digits in that picture, from left to right.

    Raises:
        ValueError: a line is too long for the sheet.
    """
    rng = np.random.default_rng(seed)
    pitch = size[1] / (len(lines) + 1.2)
    ink = np.zeros((size[1], size[0]), np.float32)
    written = [_write(rng, ink, split, line, pitch * (row + 0.75), pitch) for row, line in enumerate(lines)]
    rules = np.zeros_like(ink)
    for row in range(len(lines) + 1):
        y = int(pitch * (row + 1.65))
        rules[y : y + 2] = 1
    wear = np.clip(0.95 + 2 * _cloud(rng, ink.shape, 8), 0.75, 1)
    sheet = _paper(rng, ink.shape) * (1 - 0.22 * rules) * (1 - 0.78 * ink * wear)
    view = _view_of(size)
    picture = cv2.GaussianBlur(_on_a_table(rng, sheet, view), (0, 0), 0.8)
    picture = np.clip(picture + rng.normal(0, 2.2, picture.shape), 0, 255).astype(np.uint8)
    return picture, [[box_around(map_points(view, corners_of(box))) for box in row] for row in written]


def _write(rng: Rng, ink: np.ndarray, split: Split, line: str, top: float, pitch: float) -> list[Box]:
    """Write one line of digits into the ink, in place; return their boxes on the sheet."""
    boxes = []
    x = ink.shape[1] * rng.uniform(0.09, 0.14)
    slope = rng.normal(0, 0.006)
    for character in line:
        if character == " ":
            x += 0.3 * pitch
            continue
        glyph = _glyph(split.images[rng.choice(np.flatnonzero(split.labels == int(character)))], rng, pitch)
        height, width = glyph.shape
        if x + width > 0.95 * ink.shape[1]:
            raise ValueError(f"line {line!r} is too long for a sheet {ink.shape[1]} pixels wide")
        y, left = int(top + slope * x + rng.normal(0, 0.02 * pitch)), int(x)
        window = ink[y : y + height, left : left + width]
        np.maximum(window, glyph[: len(window)], out=window)
        rows = np.flatnonzero(glyph.max(axis=1) > VISIBLE)
        boxes.append((left, y + int(rows[0]), width, int(rows[-1] - rows[0]) + 1))
        x += width + pitch * rng.uniform(0.08, 0.18)
    return boxes


def _glyph(image: np.ndarray, rng: Rng, pitch: float) -> np.ndarray:
    """Return a digit at writing size with crisp edges: float32 (h, w), 0 to 1."""
    zoom = pitch / 28 * rng.uniform(0.72, 0.85)
    large = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    crisp = np.clip((cv2.GaussianBlur(large, (0, 0), 0.35 * zoom) - 0.35) / 0.3, 0, 1)
    columns = np.flatnonzero(crisp.max(axis=0) > VISIBLE)
    return np.asarray(crisp[:, columns[0] : columns[-1] + 1])


def _paper(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Return blank paper under a lamp: float32 (H, W), grey levels."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    light = 214 + 26 * np.cos(1.9 * (x / shape[1] - 0.3)) * np.cos(1.5 * (y / shape[0] - 0.35))
    return np.asarray(light + 20 * _cloud(rng, shape, 1.5))


def _view_of(size: tuple[int, int]) -> Transform:
    """Return float64 (3, 3): where the points of a sheet of that width and height lie in the photograph."""
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    strayed = corners + MARGIN_PX + np.array(CORNERS_PX, np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, strayed))


def _on_a_table(rng: Rng, sheet: np.ndarray, view: Transform) -> np.ndarray:
    """Return the sheet seen from an angle, on dark wood, with its shadow."""
    height, width = sheet.shape
    full = width + 2 * MARGIN_PX, height + 2 * MARGIN_PX
    inside = cv2.warpPerspective(np.ones_like(sheet), view, full)
    grain = rng.normal(0, 1, (full[1], full[0])).astype(np.float32)
    wood = 74 + 60 * cv2.GaussianBlur(grain, (0, 0), sigmaX=40, sigmaY=1.2)
    shadow = 1 - 0.45 * cv2.GaussianBlur(np.roll(inside, (14, 12), (0, 1)), (0, 0), 9)
    seen = cv2.warpPerspective(sheet, view, full, flags=cv2.INTER_AREA)
    return np.asarray(seen * inside + wood * shadow * (1 - inside))


def _cloud(rng: Rng, shape: tuple[int, ...], softness_px: float) -> np.ndarray:
    """Return smooth noise around 0: float32 (H, W), softer and weaker the greater `softness_px`."""
    return np.asarray(cv2.GaussianBlur(rng.normal(0, 1, shape).astype(np.float32), (0, 0), softness_px))
