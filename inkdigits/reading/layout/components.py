"""The connected components of a page's ink, ruled lines taken away."""

import numpy as np

from inkdigits.reading.layout.ink import binarise, brightness_steps
from inkdigits.reading.layout.regions import connected_components, largest_in
from inkdigits.reading.layout.ruled_lines import without_rules
from inkdigits.reading.layout.structures import Components, WorkCopy

# More components than these are noise; the largest are looked at.
MAX_PIECES = 4000


def find_components(work: WorkCopy) -> Components:
    """Return the connected pieces of ink, ruled lines taken away, the largest ones if there are very many."""
    binary = binarise(work)
    cleaned = without_rules(binary, (work.density > np.maximum(work.floor, 0.1 * work.pen)).astype(np.uint8))
    labels, boxes, area = connected_components(cleaned if cleaned.any() else binary)
    on_step = np.bincount(labels[brightness_steps(work.paper)], minlength=len(area) + 1)[1:]
    ink = np.where(on_step < 0.5 * area, area, 0)
    kept = np.sort(np.argsort(-ink, kind="stable")[: min(MAX_PIECES, np.count_nonzero(ink))])
    number = np.zeros(len(boxes) + 1, np.int32)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    labels = number[labels]
    peaks = largest_in(work.density, labels, len(kept) + 1)[1:]
    return Components(labels, boxes[kept], area[kept], np.where(peaks >= 0.5 * work.pen, work.pen, peaks))
