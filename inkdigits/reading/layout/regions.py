"""Labelled regions of a binary picture, and values over them."""

import cv2
import numpy as np


def connected_components(binary: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels int32 (h, w) of a binary picture, and each region's box x, y, width, height and area."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    return labels, stats[1:, :4], stats[1:, cv2.CC_STAT_AREA]


def largest_in(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return float64 (count,), the largest value on each label; 0 for label 0."""
    largest = np.zeros(count)
    inside = np.flatnonzero(labels)
    np.maximum.at(largest, labels.ravel()[inside].astype(np.intp), values.ravel()[inside].astype(float))
    return largest


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the median of values (N,) by weights (N,)."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
