"""Pictures of one digit each -> readings, by the digit network."""

import numpy as np

from inkdigits.reading.results import Item, NumberReading, Reading


def as_number(reading: Reading, box: tuple[int, int, int, int] | None) -> NumberReading:
    """Return the reading of one digit as a row of one; a picture without any ink is an empty row."""
    if box is None:
        return NumberReading("", "", 0.0, False, ())
    others = [(int(d), float(reading.probabilities[d])) for d in np.argsort(-reading.probabilities)[1:4]]
    item = Item(reading.digit, reading.confidence, reading.accepted, box, tuple(others), reading.framed)
    text = str(reading.digit)
    return NumberReading(text, text, reading.confidence, reading.accepted, (item,))
