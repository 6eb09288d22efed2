"""Cuts a line out of the picture."""

import cv2
import numpy as np

from inkdigits.arrays import Box, Floats, GrayImage, Ink, Transform
from inkdigits.reading.geometry import (
    between_centres,
    box_of,
    hull_of,
    map_box,
    rotation,
    sample_picture,
    translation,
)
from inkdigits.reading.layout.ink import page_density
from inkdigits.reading.layout.structures import Chain, Components, Owners, TextLine, WorkCopy

# In a row's crop, digits are at most this tall: more than the networks look at.
DIGIT_HEIGHT_PX = 72
MAX_CROP_WIDTH_PX = 6000
# All crops of a picture together hold about this many pixels at most; beyond, they are made coarser.
MAX_CROPS_PX = 16_000_000


def _step(work: WorkCopy, row: Chain) -> float:
    """Return how many of the working copy's pixels one pixel of the row's crop is wide."""
    usual = float(np.median([unit.box[3] for unit in row.units]))
    finest = 1 / float(np.sqrt(abs(np.linalg.det(work.to_picture[:2, :2]))))
    return max(finest, usual / DIGIT_HEIGHT_PX, hull_of([unit.box for unit in row.units])[2] / MAX_CROP_WIDTH_PX)


def coarsening(work: WorkCopy, rows: list[Chain]) -> float:
    """Return by how much crops have to be coarser than they might, so that all of them stay within bounds."""
    hulls = [hull_of([unit.box for unit in row.units]) for row in rows]
    areas = [w * h / _step(work, row) ** 2 for (_, _, w, h), row in zip(hulls, rows, strict=True)]
    return max(1.0, float(np.sqrt(sum(areas) / MAX_CROPS_PX)))


def cut_line(image: GrayImage, work: WorkCopy, pieces: Components, row: Chain, coarser: float) -> TextLine:
    """Return the row's crop, upright and level, with its ink and the way back to the picture."""
    members = [number for unit in row.units for number in unit.members] + list(row.marks)
    turn = rotation(float(np.arctan(row.slope)))
    level = np.linalg.inv(turn)
    x, y, w, h = hull_of([map_box(level, pieces.boxes[number]) for number in members])
    margin = 0.15 * float(np.median([unit.box[3] for unit in row.units])) + 2
    step = coarser * _step(work, row)
    size = int(np.ceil((w + 2 * margin) / step)), int(np.ceil((h + 2 * margin) / step))
    to_work = turn @ np.array([[step, 0, x - margin], [0, step, y - margin], [0, 0, 1]])
    to_picture = work.to_picture @ to_work
    crop = sample_picture(image, to_picture, size)
    owner = _owner(pieces, row, to_work, size)
    ink = np.where(owner > 0, _crop_ink(crop, work, to_work), 0).astype(np.uint8)
    from_work = np.linalg.inv(to_work)
    boxes = [_ink_box(ink, owner, i + 1, map_box(from_work, unit.box)) for i, unit in enumerate(row.units)]
    marks = np.array([map_box(from_work, pieces.boxes[mark]) for mark in row.marks]).reshape(-1, 4)
    limits = image.shape[1], image.shape[0]
    return TextLine(crop, ink, owner, np.array(boxes, np.int64), np.rint(marks).astype(np.int64), to_picture, limits)


def _owner(pieces: Components, row: Chain, to_work: Transform, size: tuple[int, int]) -> Owners:
    """Return uint16 (h, w) for a crop: on and just around each unit's ink its number from 1, on marks the next one."""
    number = np.zeros(len(pieces.boxes) + 1, np.uint16)
    for index, unit in enumerate(row.units):
        number[np.array(unit.members) + 1] = index + 1
    number[np.array(row.marks, int) + 1] = len(row.units) + 1
    x, y, w, h = hull_of(pieces.boxes[np.flatnonzero(number[1:])])
    left, top = max(0, x - 2), max(0, y - 2)
    own = number[pieces.labels[top : y + h + 2, left : x + w + 2]]
    own = np.where(own > 0, own, cv2.dilate(own, np.ones((5, 5), np.uint8)))
    centres = between_centres(translation(-left, -top), to_work)
    return np.asarray(cv2.warpAffine(own, centres[:2], size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP), np.uint16)


def _ink_box(ink: Ink, owner: Owners, number: int, about: tuple[float, ...]) -> Box:
    """Return the box x, y, width, height of the ink which that number owns, somewhere in the box `about`."""
    left, top = max(0, int(about[0]) - 1), max(0, int(about[1]) - 1)
    window = np.s_[top : int(about[1] + about[3]) + 2, left : int(about[0] + about[2]) + 2]
    found = box_of((owner[window] == number) & (ink[window] > 64))
    if found is None:
        return left, top, max(1, round(about[2])), max(1, round(about[3]))
    x, y, width, height = found
    return left + x, top + y, width, height


def _crop_ink(crop: GrayImage, work: WorkCopy, to_work: Transform) -> Floats:
    """Return float32: the crop's ink, 0 = paper and 255 = as dark as the pen, at the crop's own resolution."""
    dark = 255 - crop if work.light_ink else crop
    paper = sample_picture(work.paper, to_work, (crop.shape[1], crop.shape[0]))
    density = page_density(dark, paper).astype(np.float32)
    low = 0.5 * sample_picture(work.floor, to_work, (crop.shape[1], crop.shape[0])).astype(np.float32)
    ink: Floats = 255 * np.clip((density - low) / np.maximum(0.9 * work.pen - low, 1), 0, 1)
    return ink
