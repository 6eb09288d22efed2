"""Picture -> lines of ink in reading order."""

import numpy as np

from inkdigits.arrays import GrayImage, Indices
from inkdigits.reading.geometry import box_around, corners_of, map_points
from inkdigits.reading.layout.components import find_components
from inkdigits.reading.layout.crops import coarsening, cut_line
from inkdigits.reading.layout.ink import work_copy
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
    height = usual_height(pieces.boxes, pieces.area, work.density.shape)
    main, small = sorted_by_size(pieces, height, work.density.shape)
    units = find_units(pieces.boxes, main, small, height)
    slope = page_slope(units, height)
    taken = [number for unit in units for number in unit.members]
    small = np.setdiff1d(small, taken)
    rows = [with_small(row, pieces.boxes, small, slope, height) for row in chain_units(units, slope)]
    coarser = coarsening(work, rows)
    kept = [number for row in rows for unit in row.units for number in unit.members]
    left_out = _left_out(pieces, np.array(kept, int), height, work)
    return PageLayout([cut_line(image, work, pieces, row, coarser) for row in rows], left_out)


def _left_out(pieces: Components, kept: Indices, height: float, work: WorkCopy) -> list[LeftOut]:
    """Return the pieces of a digit's size or larger, in which digits may be caught, numbers `kept` aside."""
    rest = np.setdiff1d(np.arange(len(pieces.boxes)), kept)
    rest = rest[pieces.boxes[rest, 3] >= LEAST_DIGIT_SHARE * height]
    cut = touches_border(pieces.boxes[rest], work.density.shape)
    boxes = [box_around(map_points(work.to_picture, corners_of(box)), 0.01) for box in pieces.boxes[rest].tolist()]
    return [LeftOut(box, "edge" if at_edge else "mark") for box, at_edge in zip(boxes, cut, strict=True)]
