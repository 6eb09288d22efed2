"""The connected components of a page's ink, ruled lines taken away."""

import numpy as np

from inkdigits.reading.layout.ink import binarise
from inkdigits.reading.layout.regions import connected_components
from inkdigits.reading.layout.ruled_lines import without_rules
from inkdigits.reading.layout.structures import Components, WorkCopy

# More components than these are noise; the largest are looked at.
MAX_PIECES = 4000


def find_components(work: WorkCopy) -> Components:
    """Return the connected pieces of ink, ruled lines taken away, the largest ones if there are very many."""
    binary = binarise(work)
    cleaned = without_rules(binary, (work.density > np.maximum(work.floor, 0.1 * work.pen)).astype(np.uint8))
    labels, boxes, area = connected_components(cleaned if cleaned.any() else binary)
    kept = np.sort(np.argsort(-area, kind="stable")[:MAX_PIECES])
    number = np.zeros(len(boxes) + 1, np.int32)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    return Components(number[labels], boxes[kept])
