"""Picture -> lines of ink in reading order."""

import cv2
import numpy as np

from inkdigits.arrays import Boxes, GrayImage, Indices
from inkdigits.reading.geometry import box_around, corners_of, map_points
from inkdigits.reading.layout.components import find_components
from inkdigits.reading.layout.crops import coarsening, cut_line
from inkdigits.reading.layout.ink import work_copy
from inkdigits.reading.layout.regions import connected_components
from inkdigits.reading.layout.rows import (
    LEAST_DIGIT_SHARE,
    chain_units,
    find_units,
    page_slope,
    sorted_by_size,
    touches_border,
    usual_height,
    with_small,
)
from inkdigits.reading.layout.structures import Components, PageLayout, WorkCopy
from inkdigits.reading.results import LeftOut

# Of the usual height of digits: small pieces within twice as much of one another may be crumbs of one digit.
CRUMBS_REACH = 0.15
BAR = 4  # what is so many times as wide as high is a minus or a piece of a ruled line, and no digit


def find_layout(image: GrayImage, quarter_turns: int = 0) -> PageLayout:
    """Return the rows of ink in a picture, from top to bottom, and the ink that belongs to none.

    Args:
        image: uint8 (H, W), grey, either polarity.
        quarter_turns: how often the picture is turned counter-clockwise by 90 degrees first.

    Returns:
        Rows in reading order; none where there is no ink. Edges of the paper, ruled lines, stains and specks are in no
        row; letters and operators are: the networks distinguish them from digits.
    """
    work = work_copy(image, quarter_turns)
    pieces = find_components(work)
    if not len(pieces.boxes):
        return PageLayout([], [])
    height = usual_height(pieces.boxes, work.density.shape)
    main, small = sorted_by_size(pieces, height, work.density.shape)
    units = find_units(pieces.boxes, main, small, height)
    slope = page_slope(units, height)
    taken = [number for unit in units for number in unit.members]
    small = np.setdiff1d(small, taken)
    rows = [with_small(row, pieces.boxes, small, slope, height) for row in chain_units(units, slope)]
    coarser = coarsening(work, rows)
    in_rows = [number for row in rows for unit in row.units for number in unit.members]
    in_rows += [number for row in rows for number in row.marks]
    longer = _as_long_as_digits(pieces, np.array(in_rows, int), height)
    left_out = _left_out(np.concatenate([pieces.boxes[longer], _crumbs(pieces, small, height)]), work)
    return PageLayout([cut_line(image, work, pieces, row, coarser) for row in rows], left_out)


def _as_long_as_digits(pieces: Components, in_rows: Indices, height: float) -> Indices:
    """Return the numbers of the pieces as tall as a digit, or as long and no bar, that are not `in_rows`."""
    rest = np.setdiff1d(np.arange(len(pieces.boxes)), in_rows)
    wide, tall = pieces.boxes[rest, 2:].T
    longest = np.where(wide <= BAR * tall, np.maximum(wide, tall), tall)
    long: Indices = rest[longest >= LEAST_DIGIT_SHARE * height]
    return long


def _crumbs(pieces: Components, small: Indices, height: float) -> Boxes:
    """Return the boxes (N, 4) around small pieces that together are as tall as a digit: one that a dry pen wrote."""
    is_small = np.zeros(len(pieces.boxes) + 1, np.uint8)
    is_small[small + 1] = 1
    reach = 1 + round(CRUMBS_REACH * height)
    _, boxes, _ = connected_components(cv2.dilate(is_small[pieces.labels], np.ones((2 * reach + 1,) * 2, np.uint8)))
    boxes = boxes + np.array([reach, reach, -2 * reach, -2 * reach])
    tall: Boxes = boxes[boxes[:, 3] >= LEAST_DIGIT_SHARE * height]
    return tall


def _left_out(boxes: Boxes, work: WorkCopy) -> list[LeftOut]:
    """Return boxes (N, 4) of ink, in which digits may be caught, as they lie on the picture."""
    cut = touches_border(boxes, work.density.shape)
    places = [box_around(map_points(work.to_picture, corners_of(box)), 0.01) for box in boxes.tolist()]
    return [LeftOut(box, "edge" if at_edge else "mark") for box, at_edge in zip(places, cut, strict=True)]
