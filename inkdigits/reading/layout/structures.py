"""What the layout works with: a working copy, components, ruled lines, lines of text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inkdigits.arrays import Box, Boxes, GrayImage, Indices, Ink, NDArray, Points, Regions, Transform
from inkdigits.reading.geometry import box_around, corners_of, map_points
from inkdigits.reading.results import LeftOut

Owners = NDArray[np.uint16]


@dataclass(frozen=True)
class TextLine:
    """A row of ink, upright and level.

    Attributes:
        image: uint8 (h, w), the row's crop out of the picture, polarity as in the picture.
        ink: uint8 (h, w), 0 = paper, 255 = ink: the same crop with paper, ruled lines and other rows' ink taken away.
        owner: uint16 (h, w), which box a pixel's ink belongs to: 1 + its index; 0 = none, N + 1 = a small mark.
        boxes: int64 (N, 4), x, y, width, height in the crop of what may be digits, from left to right.
        marks: int64 (M, 4), the boxes of marks in the row that are too small for digits: a minus, a comma, low letters.
        transform: float64 (3, 3), takes homogeneous crop pixels to the picture's pixels.
        limits: width and height of the picture.
    """

    image: GrayImage
    ink: Ink
    owner: Owners
    boxes: Boxes
    marks: Boxes
    transform: Transform
    limits: tuple[int, int]

    def piece(self, index: int) -> Ink:
        """Return uint8 (height, width): the ink in box `index`, without what its neighbours reach into it."""
        x, y, width, height = self.boxes[index]
        window = np.s_[y : y + height, x : x + width]
        own: Ink = np.where(self.owner[window] == index + 1, self.ink[window], 0).astype(np.uint8)
        return own

    def to_picture(self, box: Sequence[float]) -> Box:
        """Return the box in the picture, x, y, width, height, around the ink in a box of the crop."""
        x, y, width, height = (round(value) for value in box)
        left, top = max(0, x), max(0, y)
        ink = self.ink[top : y + height, left : x + width] > 96
        rows = np.flatnonzero(ink.any(axis=1))
        if len(rows):
            first, last = ink.argmax(axis=1)[rows] + left, x + width - ink[:, ::-1].argmax(axis=1)[rows]
            outline = [(first, rows + top), (first, rows + top + 1), (last, rows + top), (last, rows + top + 1)]
            points = np.concatenate([np.stack(side, axis=1) for side in outline])
        else:
            points = corners_of((x, y, width, height))
        return box_around(np.clip(map_points(self.transform, points), 0, self.limits), slack_px=0.01)


@dataclass(frozen=True)
class PageLayout:
    """What lies where on a page.

    Attributes:
        lines: rows of ink from top to bottom.
        left_out: ink of a digit's size that belongs to no row.
    """

    lines: list[TextLine]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class WorkCopy:
    """The reduced, upright copy on which layout is found.

    Attributes:
        light_ink: whether ink is lighter than paper; `paper` and `density` are as if it were darker.
        paper: uint8 (h, w), brightness of the bare paper.
        density: uint8 (h, w), the share of the paper's light that is missing; 255 is black.
        floor: uint8 (h, w), the density which the paper's own grain stays under, higher where there is less light.
        pen: the usual density of strokes.
        to_picture: float64 (3, 3), takes the copy's pixels to the picture's.
    """

    light_ink: bool
    paper: GrayImage
    density: Ink
    floor: GrayImage
    pen: float
    to_picture: Transform


@dataclass(frozen=True)
class Components:
    """Connected pieces of ink.

    Attributes:
        labels: int32 (h, w), where piece i is i + 1.
        boxes: int (N, 4), x, y, width, height.
    """

    labels: Regions
    boxes: Boxes


@dataclass(frozen=True)
class Rule:
    """A straight line: its length, its ends (2, 2) as x, y, whether it runs far, and its pixels' flat indices."""

    length: int
    ends: Points
    far: bool
    pixels: Indices


@dataclass(frozen=True)
class Unit:
    """What may be one digit: pieces of ink (their numbers) that lie within one box x, y, width, height."""

    members: tuple[int, ...]
    box: Box

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


@dataclass(frozen=True)
class Chain:
    """Units in a row, from left to right, small marks between them, and how much the row falls per pixel."""

    units: tuple[Unit, ...]
    marks: tuple[int, ...]
    slope: float
