"""The light sheet in a photograph: its four corners."""

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, GrayImage, Points, Transform
from inkdigits.reading.geometry import resized

# The sheet's outline is looked for at this size (longest side).
SHEET_SIDE_PX = 320


def find_sheet(image: GrayImage) -> tuple[Transform, tuple[int, int]]:
    """Find a light sheet with four straight sides that lies on something darker.

    Returns:
        float64 (3, 3), takes the flattened sheet's pixels to the picture's, and its width and height; the whole
        picture and the identity where no such sheet is seen.
    """
    height, width = image.shape
    whole = np.eye(3), (width, height)
    scale = SHEET_SIDE_PX / max(height, width)
    if scale >= 1 or min(height, width) * scale < 40:
        return whole
    small = resized(image, scale)
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    corners = _light_quadrilateral(small)
    if corners is None:
        return whole
    middle = corners.mean(axis=0)
    # A little inwards, so that the sheet's edge stays outside.
    corners = (middle + 0.985 * (corners - middle)) / scale
    a, b, c, d = corners
    target = round((np.linalg.norm(b - a) + np.linalg.norm(c - d)) / 2), 0
    target = target[0], round((np.linalg.norm(d - a) + np.linalg.norm(c - b)) / 2)
    upright = np.array([[0, 0], [target[0], 0], target, [0, target[1]]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(upright, corners.astype(np.float32)), np.float64), (
        int(target[0]),
        int(target[1]),
    )


def _light_quadrilateral(small: AnyImage) -> Points | None:
    """Return float64 (4, 2), the corners, clockwise from the top left, of a light sheet in a small picture, if any.

    From dark to light thresholds, so that a shadow on the sheet belongs to it rather than to the table.
    """
    smooth = cv2.GaussianBlur(small, (0, 0), 1)
    low, high = np.percentile(smooth, (5, 90))
    for threshold in np.linspace(low, high, 10)[1:-1]:
        # Opening cuts off what lies on the table and touches the sheet.
        light = cv2.morphologyEx((smooth > threshold).astype(np.uint8), cv2.MORPH_OPEN, np.ones((11, 11), np.uint8))
        contours, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        contour = max(contours, key=cv2.contourArea, default=None)
        if contour is not None and 0.25 * small.size < cv2.contourArea(contour) < 0.95 * small.size:
            corners = _corners(contour, small)
            if corners is not None:
                return corners
    return None


def _corners(contour: Points, small: AnyImage) -> Points | None:
    """Return a contour's four corners if it is the outline of a sheet that is lighter than what lies around it."""
    inside = cv2.drawContours(np.zeros_like(small), [contour], -1, 1, -1).astype(bool)
    if np.median(small[inside]) < 1.35 * np.percentile(small[~inside], 75) + 10:
        return None
    hull = cv2.convexHull(contour)
    corners = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)[:, 0].astype(float)
    if len(corners) != 4 or cv2.contourArea(contour) < 0.95 * cv2.contourArea(corners.astype(np.float32)):
        return None
    corners = np.roll(corners, -int(np.argmin(corners.sum(axis=1))), axis=0)
    along, down = corners[1] - corners[0], corners[3] - corners[0]
    if along[0] * down[1] < along[1] * down[0]:
        corners = corners[[0, 3, 2, 1]]
    middles = (corners + np.roll(corners, -1, axis=0)) / 2
    limits = np.array(small.shape[::-1]) - 1
    free = ((middles > 0.03 * limits) & (middles < 0.97 * limits)).all(axis=1)
    return corners if free.sum() >= 3 else None
