"""Boxes, pictures and transforms: what normalisation and layout share.

Pixels are squares: a box's edges lie between pixels, and a picture's upper left corner is (0, 0).
"""

from collections.abc import Sequence
from functools import reduce

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, Box, Boxes, Floats, Mask, Points, Transform


def resized(image: AnyImage, scale: float, enlarge: int = cv2.INTER_LINEAR) -> AnyImage:
    """Return the image at about that scale, at least one pixel wide and high.

    Args:
        image: (H, W), uint8 or float32.
        scale: > 0; below 1, each new pixel is the mean of those it covers.
        enlarge: OpenCV's interpolation for a scale of 1 or more.
    """
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else enlarge))


def box_of(mask: Mask) -> Box | None:
    """Return the box around all that is True in a mask (H, W); None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def box_around(points: Points, slack_px: float = 0.0) -> Box:
    """Return the smallest box of whole pixels around points.

    Args:
        points: float (N, 2), x and y.
        slack_px: how far a point may lie outside the box: more than rounding errors, less than what matters.
    """
    low, high = np.floor(points.min(axis=0) + slack_px), np.ceil(points.max(axis=0) - slack_px)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def hull_of(boxes: Boxes | Sequence[Boxes | Sequence[float]]) -> Box:
    """Return the smallest box of whole pixels around boxes (N, 4)."""
    edges = np.array(boxes, float)
    return box_around(np.concatenate([edges[:, :2], edges[:, :2] + edges[:, 2:]]))


def within(box: Box, width: int, height: int) -> Box:
    """Return the part of a box that lies in a picture of that width and height, in pixels: at least one of them."""
    left, top = min(max(0, box[0]), width - 1), min(max(0, box[1]), height - 1)
    right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return left, top, max(1, right - left), max(1, bottom - top)


def map_points(transform: Transform, points: Points) -> Points:
    """Return points (N, 2) as an affine (2, 3) or a projective (3, 3) transform maps them."""
    mapped: Floats = np.c_[points, np.ones(len(points))] @ transform.T
    return mapped if transform.shape[0] == 2 else mapped[:, :2] / mapped[:, 2:]


def corners_of(box: Sequence[float] | Boxes) -> Points:
    """Return a box's corners, float64 (4, 2): upper left, upper right, lower left, lower right."""
    x, y, width, height = (float(value) for value in box)
    return np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]])


def map_box(transform: Transform, box: Sequence[float] | Boxes) -> tuple[float, float, float, float]:
    """Return the upright box x, y, width, height around a box seen through a transform, to fractions of a pixel."""
    points = map_points(transform, corners_of(box))
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def rotation(angle: float) -> Transform:
    """Return the 3 x 3 matrix of a rotation by `angle` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def translation(x: float, y: float) -> Transform:
    """Return the 3 x 3 matrix of a shift by x and y pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def turn_back(quarter_turns: int, size: tuple[int, int]) -> Transform:
    """Return the 3 x 3 matrix from a turned picture's pixels to those of the picture of that width and height."""
    width, height = size
    turns = {
        0: np.eye(3),
        1: np.array([[0, -1, width], [1, 0, 0], [0, 0, 1]]),
        2: np.array([[-1, 0, width], [0, -1, height], [0, 0, 1]]),
        3: np.array([[0, 1, 0], [-1, 0, height], [0, 0, 1]]),
    }
    return turns[quarter_turns % 4].astype(float)


def between_centres(*transforms: Transform) -> Transform:
    """Return the product of 3 x 3 transforms as OpenCV's warps take it, which count from the pixels' centres."""
    half = translation(0.5, 0.5)
    factors: list[Floats] = [np.linalg.inv(half), *transforms, half]
    return reduce(np.matmul, factors)


def sample_picture(source: AnyImage, transform: Transform, size: tuple[int, int]) -> AnyImage:
    """Return the crop of that width and height whose pixels `transform` takes to the source's, edge to edge."""
    points = map_points(transform, corners_of((0, 0, *size)))
    left, top = np.maximum(0, points.min(axis=0).astype(int) - 2)
    right, bottom = np.maximum(points.max(axis=0).astype(int) + 3, (left + 1, top + 1))
    window = source[top:bottom, left:right]
    shrink = max(1.0, float(np.sqrt(abs(np.linalg.det(transform[:2, :2])))))
    target = max(1, round(window.shape[1] / shrink)), max(1, round(window.shape[0] / shrink))
    small = np.asarray(cv2.resize(window, target, interpolation=cv2.INTER_AREA)) if shrink > 1.2 else window
    ratio = np.diag([small.shape[1] / window.shape[1], small.shape[0] / window.shape[0], 1.0])
    centres = between_centres(ratio, translation(-left, -top), transform)
    if small.shape[::-1] == size and np.allclose(centres / centres[2, 2], np.eye(3), atol=1e-3):
        return small
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(small, centres, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
