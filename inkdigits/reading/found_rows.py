"""The finder's maps -> rows as rectangles; the rows of several copies of a picture put together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, Floats, Mask, Points, Scores

CORE = 0.5  # probability from which a pixel belongs to a core; 0.3 to 0.6 made no difference in a trial
LONG = 3.0  # a core this many times as long as half its row's height shows its axis better than the map does
# Parts of one row lie closer than this, in heights: wider gaps inside a row the network learns to bridge. Joining
# broken rows took a trial from 73 to 80 % of them.
JOIN_GAP = 0.5
PARTED = 0.2  # share of the gap that other writing takes: a sign between two numbers
JOIN_OFFSET, JOIN_RATIO, JOIN_ANGLE = 0.35, 1.6, 0.35  # heights, ratio of heights, radians
BESIDE = 3.0  # half heights beyond either end of a row in which other writing is looked for


@dataclass(frozen=True)
class FoundRow:
    """A row of digits, as a rectangle in a picture's pixels that may lie at any angle.

    Attributes:
        x, y: its centre.
        half_width: along the row, > 0.
        half_height: across it, > 0.
        angle: of its axis in radians, -pi / 2 to pi / 2; which way up it reads is for the readers to say.
        score: 0 to 1, how surely it is a row.
        other: 0 to 1, how much of the paper beside its ends holds other writing.
    """

    x: float
    y: float
    half_width: float
    half_height: float
    angle: float
    score: float
    other: float

    def scaled(self, across: float, down: float) -> "FoundRow":
        """Return the row in a copy that is so many times as wide and high; both factors nearly equal."""
        mean = (across + down) / 2
        return replace(
            self,
            x=self.x * across,
            y=self.y * down,
            half_width=self.half_width * mean,
            half_height=self.half_height * mean,
        )

    def in_frame(self, points: Points) -> Points:
        """Return points (n, 2) along and across the row, from its centre: within +-1 they lie in it."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        moved = points - (self.x, self.y)
        return np.stack([moved @ (cos, sin) / self.half_width, moved @ (-sin, cos) / self.half_height], axis=1)

    def out_of_frame(self, points: Points) -> Points:
        """Return points (n, 2), in pixels along and across the row from its centre, as the picture's pixels."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        placed: Points = points @ np.array([[cos, sin], [-sin, cos]]) + (self.x, self.y)
        return placed

    def corners(self) -> Points:
        """Return float64 (4, 2): the rectangle's corners, around."""
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return self.out_of_frame(signs * (self.half_width, self.half_height))


def rows_of(maps: Scores, stride: int, half_px: float, least: float) -> list[FoundRow]:
    """Return the rows that maps show, in pixels of the picture that the maps are of.

    Args:
        maps: float32 (h, w, 5): logits of core and other writing, log of half the height over `half_px`, cosine and
            sine of twice the angle of the axis.
        stride: the picture's pixels a pixel of the maps.
        half_px: see `maps`.
        least: 0 to 1, the lowest score.
    """
    core = 1 / (1 + np.exp(-np.clip(maps[..., 0], -30, 30)))
    n, labels = cv2.connectedComponents((core > CORE).astype(np.uint8), connectivity=8)
    y, x = np.nonzero(labels)
    if not len(y):
        return []
    label, share = labels[y, x].astype(np.intp) - 1, core[y, x].astype(float)
    mass = np.bincount(label, share)

    def mean(values: AnyImage) -> Floats:
        """Return the mean (n,) of values of pixels over each core."""
        means: Floats = np.bincount(label, share * values) / mass
        return means

    dx, dy = x - mean(x)[label], y - mean(y)[label]
    half = half_px / stride * np.exp(mean(np.clip(maps[y, x, 2], -4, 6)))
    angle = np.arctan2(mean(maps[y, x, 4]), mean(maps[y, x, 3])) / 2
    xx, yy, xy = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    length = np.sqrt(12 * ((xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)))
    angle = np.where(length > LONG * half, np.arctan2(2 * xy, xx - yy) / 2, angle)
    along = dx * np.cos(angle)[label] + dy * np.sin(angle)[label]
    first, last = np.full(n - 1, np.inf), np.full(n - 1, -np.inf)
    np.minimum.at(first, label, along)
    np.maximum.at(last, label, along)
    middle = (first + last) / 2
    centre_x, centre_y = mean(x) + middle * np.cos(angle) + 0.5, mean(y) + middle * np.sin(angle) + 0.5
    score = mass / np.bincount(label)
    sizes = np.stack([centre_x, centre_y, (last - first + 1) / 2, half], axis=1) * stride
    numbers = np.column_stack([sizes, angle, score, np.zeros(n - 1)])[score >= least]
    found = [FoundRow(*row) for row in numbers.tolist()]
    other = maps[..., 1] > 0
    return [replace(row, other=_share_beside(row, other, stride)) for row in joined(found, other, stride)]


def _share_of(points: Points, other: Mask, stride: int) -> float:
    """Return the share of points (n, 2) that lie on other writing; beyond the maps there is none."""
    x, y = np.floor(points / stride).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < other.shape[1]) & (y < other.shape[0])
    return float(other[y[inside], x[inside]].sum() / len(points))


def _share_beside(row: FoundRow, other: Mask, stride: int) -> float:
    beyond = row.half_width + row.half_height * np.linspace(0.4, BESIDE, 6)
    along, across = np.meshgrid(np.concatenate([-beyond, beyond]), row.half_height * np.array([-0.4, 0.0, 0.4]))
    return _share_of(row.out_of_frame(np.stack([along.ravel(), across.ravel()], axis=1)), other, stride)


def joined(rows: Sequence[FoundRow], other: Mask, stride: int) -> list[FoundRow]:
    """Return rows with those made one that are parts of one: in line, equally high, close, no other writing between.

    Args:
        rows: of one picture.
        other: bool (h, w), where there is other writing.
        stride: the picture's pixels a pixel of `other`.
    """
    group = list(range(len(rows)))
    for _, i, j in sorted(_pairs(rows)):
        if group[i] != group[j] and _share_of(_between(rows[i], rows[j]), other, stride) < PARTED:
            group = [group[i] if each == group[j] else each for each in group]
    return [_union([row for row, own in zip(rows, group, strict=True) if own == name]) for name in sorted(set(group))]


def _between(row: FoundRow, next_: FoundRow) -> Points:
    """Return points (5, 2) in the gap from a row's end to the beginning of the next one, or the other way round."""
    ends = [each.out_of_frame(np.array([[-each.half_width, 0], [each.half_width, 0]])) for each in (row, next_)]
    first, last = min(
        ((a, b) for a in ends[0] for b in ends[1]), key=lambda pair: float(np.sum((pair[0] - pair[1]) ** 2))
    )
    return np.asarray(first + np.linspace(0, 1, 5)[:, None] * (last - first))


def _pairs(rows: Sequence[FoundRow]) -> list[tuple[float, int, int]]:
    """Return which rows may be parts of one: gap between their ends in heights, both rows' numbers."""
    if len(rows) < 2:
        return []
    x, y, width, half, angle = np.array([(r.x, r.y, r.half_width, r.half_height, r.angle) for r in rows]).T
    dx, dy = x[None] - x[:, None], y[None] - y[:, None]
    along = np.abs(dx * np.cos(angle)[:, None] + dy * np.sin(angle)[:, None])
    across = np.abs(dy * np.cos(angle)[:, None] - dx * np.sin(angle)[:, None])
    height = half[:, None] + half[None]
    gap = (along - width[:, None] - width[None]) / height
    turn = np.abs((angle[:, None] - angle[None] + np.pi / 2) % np.pi - np.pi / 2)
    ratio = np.maximum(half[:, None], half[None]) / np.minimum(half[:, None], half[None])
    # The longer of two says along which axis both lie.
    fits = (
        (gap > -0.5) & (gap < JOIN_GAP) & (across < JOIN_OFFSET * height) & (ratio < JOIN_RATIO) & (turn < JOIN_ANGLE)
    )
    fits &= (width[:, None] > width[None]) | ((width[:, None] == width[None]) & (x[:, None] < x[None]))
    return [(float(gap[i, j]), int(i), int(j)) for i, j in np.argwhere(fits)]


def _union(parts: Sequence[FoundRow]) -> FoundRow:
    if len(parts) == 1:
        return parts[0]
    weights = np.array([row.half_width for row in parts])
    ends = np.concatenate([row.out_of_frame(np.array([[-row.half_width, 0], [row.half_width, 0]])) for row in parts])
    middle = ends.mean(axis=0)
    direction = np.linalg.svd(ends - middle)[2][0]
    angle = float(np.arctan(direction[1] / direction[0]) if direction[0] else np.pi / 2)
    along = (ends - middle) @ (np.cos(angle), np.sin(angle))
    x, y = middle + (along.min() + along.max()) / 2 * np.array([np.cos(angle), np.sin(angle)])
    half, score = (float(np.average([getattr(r, n) for r in parts], weights=weights)) for n in ("half_height", "score"))
    return FoundRow(float(x), float(y), float(np.ptp(along)) / 2, half, angle, score, 0.0)


def merged(rows: Sequence[FoundRow], new: Sequence[FoundRow]) -> list[FoundRow]:
    """Return rows of two copies of a picture as one list: where two lie over each other, the surer and longer stays.

    Args:
        rows: of the finer copies, in the picture's pixels.
        new: of a coarser copy, likewise.
    """
    kept = list(rows)
    for row in sorted(new, key=_weight, reverse=True):
        over = [each for each in kept if lie_over(row, each)]
        # One large digit stands against its own curves, found as some small rows, but not against a page of rows.
        if all(_weight(row) > _weight(each) for each in over) and sum(map(_weight, over)) < 2.5 * _weight(row):
            kept = [each for each in kept if each not in over] + [row]
    return kept


def _weight(row: FoundRow) -> float:
    length = min(6.0, max(1.0, row.half_width / row.half_height))
    return row.score * length * math.sqrt(row.half_height)


def lie_over(row: FoundRow, other: FoundRow) -> bool:
    """Say whether two rows lie over each other: the centre of one in the other."""
    return _covers(row, other) or _covers(other, row)


def _covers(row: FoundRow, other: FoundRow) -> bool:
    return bool((np.abs(row.in_frame(np.array([[other.x, other.y]]))) <= 1).all())
