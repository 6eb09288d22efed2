"""Printed boxes on a page: what lines enclose, and which of these share sides."""

from collections.abc import Sequence

import cv2
import numpy as np

from inkdigits.arrays import Box, GrayImage
from inkdigits.forms.ink import ink_of, print_of
from inkdigits.reading.geometry import resized

LINE_PX = 40  # of a page 2,339 px high: longer straight strokes are lines of boxes
SKEW_PX = 1600  # longest side of the copy on which a page's skew is measured
LONG = 0.05  # of its shorter side: longer segments may be lines
# Segments of about one direction are lines if together they are as long as the shorter side: on nine scans of ruled
# forms and on drawn tables they are 14 to 37 times as long, strokes of handwriting 0.7 times at most.
ENOUGH, AGREE_DEG = 1.0, 1.0
LEAST_BOX_PX = 18  # inside; printed letters enclose less
FILLED_INK = 0.01  # of a box's inside: with more print in it, it is a label
NEAR_PX = 9  # boxes are neighbours: a printed line lies between


def straightened(page: GrayImage) -> GrayImage:
    """Return a page turned so that its long lines, where it has any, run along its edges."""
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), skew_deg(page), 1.0)
    return np.asarray(cv2.warpAffine(page, turn, (width, height), flags=cv2.INTER_CUBIC, borderValue=255), np.uint8)


def skew_deg(page: GrayImage) -> float:
    """Return by how much a page uint8 (H, W) must be turned to the left for its long lines to run along its edges.

    Degrees from -45 to 45, 0 where it has no long lines.
    """
    small = resized(page, min(1.0, SKEW_PX / max(page.shape)))
    # Not Hough's transform: on a table full of handwriting that takes 13 s, this 0.4 s (two cores).
    segments = cv2.createLineSegmentDetector(cv2.LSD_REFINE_NONE).detect(small)[0]
    ends = np.zeros((0, 4)) if segments is None else np.asarray(segments, float).reshape(-1, 4)
    sides = ends[:, 2:] - ends[:, :2]
    lengths = np.hypot(*sides.T)
    is_long = lengths > LONG * min(small.shape)
    if not is_long.any():
        return 0.0
    angles = (np.degrees(np.arctan2(sides[is_long, 1], sides[is_long, 0])) + 45) % 90 - 45
    order = np.argsort(angles)
    reached = lengths[is_long][order].cumsum()
    skew = float(angles[order][np.searchsorted(reached, reached[-1] / 2)])
    agreeing = lengths[is_long][np.abs(angles - skew) < AGREE_DEG].sum()
    return skew if agreeing > ENOUGH * min(small.shape) else 0.0


def printed_boxes(page: GrayImage) -> list[Box]:
    """Return the insides of the boxes on a page uint8 (H, W) that lines enclose, in pixels."""
    ink = ink_of(page)
    length = max(12, round(LINE_PX * page.shape[0] / 2339))
    lines = np.zeros_like(ink)
    for size in ((length, 1), (1, length)):
        lines |= np.asarray(cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones(size[::-1], np.uint8)), np.uint8)
    lines = np.asarray(cv2.dilate(lines, np.ones((3, 3), np.uint8)), np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(255 - lines, connectivity=4)
    boxes: list[Box] = []
    for x, y, width, height, area in stats[1:].tolist():
        is_page = width > 0.9 * page.shape[1] or height > 0.9 * page.shape[0]
        if is_page or min(width, height) < LEAST_BOX_PX or area < 0.85 * width * height:
            continue
        boxes.append((x, y, width, height))
    return boxes


def empty_boxes(page: GrayImage) -> list[Box]:
    """Return the insides of the boxes printed on a page uint8 (H, W) that have nothing in them, in pixels."""
    dark = print_of(page)

    def isempty(x: int, y: int, width: int, height: int) -> bool:
        inside = dark[y + 3 : y + height - 3, x + 3 : x + width - 3]
        return bool(np.count_nonzero(inside) < FILLED_INK * width * height)

    return [box for box in printed_boxes(page) if isempty(*box)]


def neighbours(boxes: Sequence[Box]) -> list[list[Box]]:
    """Return boxes that share sides in groups."""
    groups: list[list[Box]] = []
    for box in boxes:
        touching = [group for group in groups if any(_touch(box, other) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([box, *(each for group in touching for each in group)])
    return groups


def _touch(a: Box, b: Box) -> bool:
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    beside = -NEAR_PX <= across <= 0 and down > 0.8 * max(a[3], b[3])
    below = -NEAR_PX <= down <= 0 and across > 0.8 * max(a[2], b[2])
    return beside or below
