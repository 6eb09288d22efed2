"""Components become units, units become lines."""

import cv2
import numpy as np

from inkdigits.arrays import Boxes, Indices, Mask
from inkdigits.reading.geometry import hull_of
from inkdigits.reading.layout.regions import largest_in, weighted_median
from inkdigits.reading.layout.structures import Chain, Components, Unit

MAX_LINES = 400
# Of the usual height of digits: what is lower is a mark beside digits, or a part of one.
LEAST_DIGIT_SHARE = 0.42


def touches_border(boxes: Boxes, shape: tuple[int, ...]) -> Mask:
    """Say which boxes (N, 4) reach the border of a picture of that shape."""
    x, y, w, h = boxes.T
    touches: Mask = (x <= 1) | (y <= 1) | (x + w >= shape[1] - 1) | (y + h >= shape[0] - 1)
    return touches


def usual_height(boxes: Boxes, shape: tuple[int, ...]) -> float:
    """Return the usual height of digits: the median over pieces, the large ones that lie inside counting most."""
    w, h = boxes[:, 2].astype(float), boxes[:, 3].astype(float)
    weights = np.minimum(w, 3 * h) * np.minimum(h, 3 * w) + h
    return weighted_median(h, np.where(touches_border(boxes, shape), 0.02, 1.0) * weights)


def sorted_by_size(pieces: Components, height: float, shape: tuple[int, ...]) -> tuple[Indices, Indices]:
    """Return the numbers of the pieces that may be digits, and of those that may be marks beside or parts of them."""
    w, h = pieces.boxes[:, 2], pieces.boxes[:, 3]
    outside = touches_border(pieces.boxes, shape)
    thin = np.minimum(w, h) < 0.3 * height
    edge = outside & ((np.maximum(w, h) > 1.6 * height) | thin)
    main = (h >= LEAST_DIGIT_SHARE * height) & (h <= 2.4 * height) & (w <= 8 * height) & ~edge
    main &= ~_is_blob(pieces, main)
    small = (h < LEAST_DIGIT_SHARE * height) & (w <= 1.5 * height) & (np.maximum(w, h) >= 0.08 * height) & ~outside
    return np.flatnonzero(main), np.flatnonzero(small)


def _is_blob(pieces: Components, main: Mask) -> Mask:
    """Say which pieces are stains: many times thicker than the pen."""
    if not main.any():
        return main
    depth = cv2.distanceTransform((pieces.labels > 0).astype(np.uint8), cv2.DIST_L2, 3)
    deepest = largest_in(depth, pieces.labels, len(pieces.boxes) + 1)[1:]
    slim = pieces.boxes[:, 2:].min(axis=1)
    blobs: Mask = (deepest > 2.4 * float(np.median(deepest[main])) + 1) & (deepest > 0.3 * slim)
    return blobs


def find_units(boxes: Boxes, main: Indices, small: Indices, height: float) -> list[Unit]:
    """Join pieces that lie above each other within a digit's height: broken strokes, the bar of a 5."""
    members: list[list[int]] = []
    hulls = np.zeros((len(main), 4), np.int64)
    for number in main[np.argsort(boxes[main, 0], kind="stable")]:
        homes = np.flatnonzero(_are_parts(boxes[number], hulls[: len(members)], height))
        home = int(homes[-1]) if len(homes) else len(members)
        if home == len(members):
            members.append([])
            hulls[home] = boxes[number]
        members[home].append(int(number))
        hulls[home] = hull_of([boxes[number], hulls[home]])
    for number in small:
        for home in np.flatnonzero(_are_parts(boxes[number], hulls[: len(members)], height))[-1:]:
            members[home].append(int(number))
            hulls[home] = hull_of([boxes[number], hulls[home]])
    return [Unit(tuple(some), hull_of([hull])) for some, hull in zip(members, hulls, strict=False)]


def _are_parts(box: Boxes, others: Boxes, height: float) -> Mask:
    """Say which boxes (N, 4) stand above or below a box so close that both are parts of one digit."""
    x, y, w, h = others.T
    overlap = np.minimum(box[0] + box[2], x + w) - np.maximum(box[0], x)
    span = np.maximum(box[1] + box[3], y + h) - np.minimum(box[1], y)
    near = span - box[3] - h < 0.3 * height
    parts: Mask = (overlap >= 0.5 * np.minimum(box[2], w)) & near & (span <= 1.35 * np.maximum(height, h))
    return parts


def page_slope(units: list[Unit], height: float) -> float:
    """Return how much rows fall per pixel: the median over each unit and its nearest neighbour to the right."""
    centres = np.array([unit.centre for unit in units])
    boxes = np.array([unit.box for unit in units])
    slopes = []
    for (x, y), (_, _, w, h) in zip(centres, boxes, strict=True):
        dx, dy = centres[:, 0] - x, centres[:, 1] - y
        reach = np.minimum(h, boxes[:, 3])
        near = (dx > 0.3 * h) & (dx < w + 2.5 * height) & (np.abs(dy) < 0.6 * reach)
        if near.any():
            other = np.flatnonzero(near)[np.argmin(dx[near])]
            slopes.append(dy[other] / dx[other])
    return float(np.median(slopes)) if len(slopes) >= 3 else 0.0


def chain_units(units: list[Unit], slope: float) -> list[list[Unit]]:
    """Return the rows, from top to bottom: each unit goes on with the row whose last units point at it best."""
    rows: list[list[Unit]] = []
    # Of each row's last three units: how high they lie once the page's slope is taken out, and their height.
    levels, heights = np.zeros((MAX_LINES, 3)), np.zeros((MAX_LINES, 3))
    for unit in sorted(units, key=lambda unit: unit.centre[0] + slope * unit.centre[1]):
        level, height = unit.centre[1] - slope * unit.centre[0], unit.box[3]
        last, tall = levels[: len(rows)], heights[: len(rows)].max(axis=1, initial=0)
        distances = np.abs(level - np.median(last, axis=1)) / np.maximum(np.minimum(height, tall), 0.7 * height)
        best = int(np.argmin(distances)) if rows else -1
        if best >= 0 and distances[best] < 0.6:
            rows[best].append(unit)
            levels[best], heights[best] = (*levels[best, 1:], level), (*heights[best, 1:], height)
        elif len(rows) < MAX_LINES:
            levels[len(rows)], heights[len(rows)] = level, height
            rows.append([unit])
    return sorted(rows, key=lambda row: float(np.mean([u.centre[1] - slope * u.centre[0] for u in row])))


def with_small(row: list[Unit], boxes: Boxes, small: Indices, slope: float, height: float) -> Chain:
    """Return the row with the small marks (minus, comma, dots) that lie on its band and near its units."""
    centres = np.array([unit.centre for unit in row])
    places = boxes[small, :2] + boxes[small, 2:] / 2
    nearest = np.abs(centres[None, :, 0] - places[:, None, 0]).argmin(axis=1)
    dx, dy = (places - centres[nearest]).T
    width, tall = np.array([unit.box[2:] for unit in row])[nearest].T
    beside = (np.abs(dx) < width / 2 + 1.2 * height) & (np.abs(dy - slope * dx) < 0.65 * tall)
    return Chain(tuple(row), tuple(int(number) for number in small[beside]), slope)
