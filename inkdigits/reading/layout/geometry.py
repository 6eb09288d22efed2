"""Boxes and pictures through transforms."""

from collections.abc import Sequence

import cv2
import numpy as np


def turn_back(quarter_turns: int, size: tuple[int, int]) -> np.ndarray:
    """Return the 3 x 3 matrix from a turned picture's pixels to those of the picture of that width and height."""
    width, height = size
    turns = {
        0: np.eye(3),
        1: np.array([[0, -1, width], [1, 0, 0], [0, 0, 1]]),
        2: np.array([[-1, 0, width], [0, -1, height], [0, 0, 1]]),
        3: np.array([[0, 1, 0], [-1, 0, height], [0, 0, 1]]),
    }
    return turns[quarter_turns % 4].astype(float)


def reduce_picture(image: np.ndarray, scale: float) -> np.ndarray:
    """Return the image at about that scale, at least one pixel wide and high."""
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def hull_of(boxes: Sequence[Sequence[float] | np.ndarray] | np.ndarray) -> tuple[int, int, int, int]:
    """Return the smallest box of whole pixels around boxes."""
    x, y, w, h = np.array(boxes, float).T
    left, top = int(np.floor(x.min())), int(np.floor(y.min()))
    return left, top, int(np.ceil((x + w).max())) - left, int(np.ceil((y + h).max())) - top


def rotation(angle: float) -> np.ndarray:
    """Return the 3 x 3 matrix of a rotation by `angle` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def mapped_box(transform: np.ndarray, box: np.ndarray | tuple[float, ...]) -> tuple[float, float, float, float]:
    """Return the upright box x, y, width, height around a box seen through an affine transform."""
    x, y, w, h = (float(value) for value in box)
    corners = np.array([[x, y, 1], [x + w, y, 1], [x, y + h, 1], [x + w, y + h, 1]])
    points = (corners @ transform.T)[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def sample_picture(source: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the crop of that width and height whose pixels `transform` takes to the source's, edge to edge."""
    corners = np.array([[0, 0, 1], [size[0], 0, 1], [0, size[1], 1], [*size, 1]], float) @ transform.T
    points = corners[:, :2] / corners[:, 2:]
    left, top = np.maximum(0, points.min(axis=0).astype(int) - 2)
    right, bottom = np.maximum(points.max(axis=0).astype(int) + 3, (left + 1, top + 1))
    window = source[top:bottom, left:right]
    shrink = max(1.0, float(np.sqrt(abs(np.linalg.det(transform[:2, :2])))))
    target = max(1, round(window.shape[1] / shrink)), max(1, round(window.shape[0] / shrink))
    small = cv2.resize(window, target, interpolation=cv2.INTER_AREA) if shrink > 1.2 else window
    ratio = np.diag([small.shape[1] / window.shape[1], small.shape[0] / window.shape[0], 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    centres = np.linalg.inv(half) @ ratio @ shift @ transform @ half
    if small.shape[::-1] == size and np.allclose(centres / centres[2, 2], np.eye(3), atol=1e-3):
        return small
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(small, centres, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
