"""Labelled regions of a binary picture, and values over them."""

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, Boxes, Floats, Regions


def connected_components(binary: AnyImage) -> tuple[Regions, Boxes, Boxes]:
    """Return the labels int32 (h, w) of a binary picture, and each region's box x, y, width, height and area."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    numbers = np.asarray(stats, np.int32)
    return np.asarray(labels, np.int32), numbers[1:, :4], numbers[1:, cv2.CC_STAT_AREA]


def largest_in(values: AnyImage, labels: AnyImage, count: int) -> Floats:
    """Return float64 (count,), the largest value on each label; 0 for label 0."""
    largest = np.zeros(count)
    inside = np.flatnonzero(labels)
    np.maximum.at(largest, labels.ravel()[inside].astype(np.intp), values.ravel()[inside].astype(float))
    return largest


def weighted_median(values: Floats, weights: Floats) -> float:
    """Return the median of values (N,) by weights (N,)."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
