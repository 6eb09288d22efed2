"""The maps that the finder learns of a page: where rows run, how high they are, along which axis, what else is written.

A page's maps are uint8 (H / 4, W / 4, 6), its channels in the order of `CHANNELS`; `as_floats` says what they mean.
"""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from inkdigits.arrays import Floats, GrayImage, NDArray

PageMaps: TypeAlias = NDArray[np.uint8]  # (H / 4, W / 4, 6)
STRIDE_PX = 4
# Core of a row and other writing: 0 to 1. Log of half a row's height over HALF_PX; cosine and sine of twice the angle
# of its axis: where the core is. Weight: 0 where the loss looks away.
CHANNELS = ("core", "other", "log_half_height", "axis_cos", "axis_sin", "weight")
HALF_PX = 16.0
CORE = 0.5  # of a row's height
LEAST_HALF_PX = 2.75  # rows that are less high are left open
LEAST_INSIDE = 0.6  # of a row's length; rows that the picture's edge cuts more are left open
_LOG_STEP, _ZERO = 1 / 40, 128.0  # of logarithms as bytes


def draw_maps(
    shape: tuple[int, int], rows: Sequence[Floats], other: Sequence[Floats], unsure: Sequence[Floats]
) -> PageMaps:
    """Return the maps of a picture.

    Args:
        shape: of the picture, height and width: multiples of 4.
        rows: float (2, n, 2) each: points along a row's upper and lower edge, in the picture's pixels.
        other: polygons float (n, 2) around other writing.
        unsure: polygons around what is left out of the loss.
    """
    height, width = shape
    core, beside, open_ = (np.zeros(shape, np.uint8) for _ in range(3))
    geometry = np.full((height // STRIDE_PX, width // STRIDE_PX, 3), _ZERO, np.uint8)
    for row in rows:
        middle, down = row.mean(axis=0), row[1] - row[0]
        along = np.gradient(middle, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        half = np.abs(along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]) / 2
        inside = ((middle >= 0) & (middle < (width, height))).all(axis=1).mean()
        if inside < LEAST_INSIDE or half.mean() < LEAST_HALF_PX:
            _fill(open_, np.concatenate([row[0], row[1, ::-1]]))
            continue
        edges = np.concatenate([middle - CORE / 2 * down, (middle + CORE / 2 * down)[::-1]])
        _fill(core, edges)
        _fill_geometry(geometry, middle, down, along, half)
    for polygon in other:
        _fill(beside, polygon)
    for polygon in unsure:
        _fill(open_, polygon)
    size = width // STRIDE_PX, height // STRIDE_PX
    coarse = [cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in (core, beside, open_)]
    # A row's own core counts even where something unsure lies over it.
    weight = np.where((coarse[2] > 0) & (coarse[0] < 128), 0, 255).astype(np.uint8)
    return np.dstack([coarse[0], coarse[1], geometry, weight])


def _fill(layer: GrayImage, polygon: Floats) -> None:
    points = np.rint(np.clip(polygon - 0.5, -4000, 8000) * 16).astype(np.int32)
    cv2.fillPoly(layer, [points], 255, cv2.LINE_8, 4)


def _fill_geometry(geometry: GrayImage, middle: Floats, down: Floats, along: Floats, half: Floats) -> None:
    """Draw log half height and axis on a band somewhat higher than the core, in place."""
    ribbon = np.stack([middle - 0.5 * down, middle + 0.5 * down]) / STRIDE_PX - 0.5
    points = np.rint(np.clip(ribbon, -1000, 2000) * 16).astype(np.int32)
    direction = along[:-1] + along[1:]
    twice = 2 * np.arctan2(direction[:, 1], direction[:, 0])
    high = np.log(np.maximum((half[:-1] + half[1:]) / 2, 1.0) / HALF_PX)
    values = _ZERO + np.stack([high / _LOG_STEP, 127 * np.cos(twice), 127 * np.sin(twice)], axis=1)
    colours = np.rint(np.clip(values, 0, 255)).tolist()
    for i, colour in enumerate(colours):
        cv2.fillConvexPoly(geometry, points[[0, 0, 1, 1], [i, i + 1, i + 1, i]], colour, cv2.LINE_8, 4)


# Number = (byte - zero) * step, channel by channel.
ZEROS = np.array([0, 0, _ZERO, _ZERO, _ZERO, 0], np.float32)
STEPS = np.array([1 / 255, 1 / 255, _LOG_STEP, 1 / 127, 1 / 127, 1 / 255], np.float32)


def as_floats(maps: PageMaps) -> Floats:
    """Return maps (..., 6) as numbers, float32: core, other and weight 0 to 1, the logarithm, cosine and sine."""
    return (maps.astype(np.float32) - ZEROS) * STEPS
