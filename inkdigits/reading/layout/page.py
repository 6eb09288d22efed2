"""Picture -> lines of ink in reading order."""

import numpy as np

from inkdigits.arrays import GrayImage
from inkdigits.reading.layout.components import find_components
from inkdigits.reading.layout.crops import coarsening, cut_line
from inkdigits.reading.layout.ink import work_copy
from inkdigits.reading.layout.rows import chain_units, find_units, page_slope, sorted_by_size, usual_height, with_small
from inkdigits.reading.layout.structures import TextLine


def find_lines(image: GrayImage, quarter_turns: int = 0) -> list[TextLine]:
    """Return the rows of ink in a picture, from top to bottom.

    Args:
        image: uint8 (H, W), grey, either polarity.
        quarter_turns: how often the picture is turned counter-clockwise by 90 degrees first.

    Returns:
        Rows in reading order; none where there is no ink. Edges of the paper, ruled lines, stains and specks
        are left out; letters and operators are not: the networks distinguish them from digits.
    """
    work = work_copy(image, quarter_turns)
    pieces = find_components(work)
    if not len(pieces.boxes):
        return []
    height = usual_height(pieces.boxes, pieces.area, work.density.shape)
    main, small = sorted_by_size(pieces, height, work.density.shape)
    units = find_units(pieces.boxes, main, small, height)
    slope = page_slope(units, height)
    taken = [number for unit in units for number in unit.members]
    small = np.setdiff1d(small, taken)
    rows = [with_small(row, pieces.boxes, small, slope, height) for row in chain_units(units, slope)]
    coarser = coarsening(work, rows)
    return [cut_line(image, work, pieces, row, coarser) for row in rows]
