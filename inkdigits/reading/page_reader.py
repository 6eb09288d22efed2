"""A document page -> its lines of numbers, by layout and both networks."""

from collections.abc import Sequence

import numpy as np

from inkdigits.reading.layout.structures import TextLine
from inkdigits.reading.normalise.digit import SIDE, frame_ink
from inkdigits.reading.results import Classified, Item, NumberReading

# On a page, a piece of ink less likely than this to be a digit is left out: a letter, an operator, a speck.
LEAST_DIGIT = 0.1
# A piece of ink less likely than this to be one digit may be several linked ones; of so many the line net is asked.
SURELY_ONE = 0.8
MOST_LINKED = 256
# The line net's confidence in a piece times the digit net's in its cuts. Over 0.33 lie 95 % of touching pairs of digits
# that neither net learned from (MNIST's training images, n = 469), over 0.46 90 %; over 0.31 lie 42 % of letters that
# the line net takes for numbers (n = 110), over 0.49 16 %. Longer chains are less sure than pairs.
LEAST_LINKED = 0.4
# A page's way up is told from so many pieces of its ink, and it is turned where so much (in nats) speaks for it. Few
# pieces say too little: a lone W on its side looks like a 3.
TURN_LEAST = 4
TURN_SAMPLE = 48
TURN_EVIDENCE = 2.0


def framed_units(rows: Sequence[TextLine]) -> np.ndarray:
    """Return uint8 (N, 28, 28), the rows' pieces of ink in MNIST's form."""
    framed = [frame_ink(row.piece(index)) for row in rows for index in range(len(row.boxes))]
    return np.array(framed, np.uint8).reshape(-1, SIDE, SIDE)


def linked_crop(row: TextLine, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a piece of ink with room around it, and the transform that takes that crop to the picture."""
    x, y, _, height = row.boxes[index].tolist()
    room = height // 2 + 2
    shift = np.array([[1, 0, x - room], [0, 1, y - room], [0, 0, 1.0]])
    return np.pad(row.piece(index), room), row.transform @ shift


def is_linked(reading: NumberReading, row: TextLine, index: int) -> bool:
    """Say whether the line net read several digits in a piece that has room for them; an M is no 111."""
    width, height = row.boxes[index, 2:]
    return len(reading.digits) > 1 and bool(width > 0.38 * len(reading.digits) * height)


def page_line(
    row: TextLine, start: int, found: Classified, framed: np.ndarray, linked: dict[int, NumberReading]
) -> NumberReading:
    """Return a row of a page from its pieces' answers, which begin at `start`; what is no digit is left out.

    Where something is left out, a sign stands, or the gap is wide, the text has a space: another number begins.
    """
    gaps = row.boxes[1:, 0] - row.boxes[:-1, 0] - row.boxes[:-1, 2]
    height = float(np.median(row.boxes[:, 3]))
    parted = _are_parted(row, gaps, height)
    numbers = range(start, start + len(row.boxes))
    digitness = found.probabilities[numbers.start : numbers.stop].sum(axis=1)
    sure = np.array([linked[n].confidence > 0.9 if n in linked else digitness[n - start] > 0.5 for n in numbers])
    digits = np.array([n in linked for n in numbers]) | (digitness >= LEAST_DIGIT)
    digits &= ~(_in_words(sure, gaps > 0.3 * height) | _is_text(row, height))
    text, apart = "", False
    items: list[Item] = []
    for index, number in enumerate(numbers):
        apart |= not digits[index] or (index > 0 and bool(parted[index - 1]))
        if digits[index]:
            box = row.to_picture(row.boxes[index].tolist())
            new = linked[number].items if number in linked else (item_of(found, number, box, framed[number]),)
            text += " " * (apart and bool(items)) + "".join(str(item.digit) for item in new)
            items += new
            apart = False
    confidence = float(np.prod([item.confidence for item in items])) if items else 0.0
    accepted = bool(items) and all(item.accepted for item in items)
    return NumberReading(text, text.replace(" ", ""), confidence, accepted, tuple(items))


def _are_parted(row: TextLine, gaps: np.ndarray, height: float) -> np.ndarray:
    """Say, bool (N - 1,), between which of a row's N boxes there is a wide gap or a sign such as a minus."""
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    signs = row.marks[row.marks[:, 2] > 0.25 * height]
    middles = (signs[:, 0] + signs[:, 2] / 2)[None]
    between = (middles > (row.boxes[:-1, 0] + row.boxes[:-1, 2])[:, None]) & (middles < row.boxes[1:, 0][:, None])
    parted: np.ndarray = (gaps > max(1.2 * height, 3 * usual)) | between.any(axis=1)
    return parted


def _is_text(row: TextLine, height: float) -> bool:
    """Say whether a row holds more low letters than numbers have commas, points and signs."""
    low = int((row.marks[:, 2:].max(axis=1, initial=0) > 0.2 * height).sum())
    return low >= max(4, len(row.boxes))


def _in_words(sure: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Say which pieces, bool (N,), stand close together in words that are no digits by half: an o, an l is no number.

    Args:
        sure: bool (N,), which pieces are surely digits.
        gaps: bool (N - 1,), where a word ends.
    """
    word = np.concatenate([[0], np.cumsum(gaps)])
    length, like_digits = np.bincount(word), np.bincount(word, sure)
    in_words: np.ndarray = ((length >= 3) & (2 * like_digits <= length))[word]
    return in_words


def item_of(found: Classified, number: int, box: tuple[int, int, int, int], framed: np.ndarray) -> Item:
    """Return the answer for a framed piece of ink as a digit of a row."""
    probabilities = found.probabilities[number]
    others = tuple((int(digit), float(probabilities[digit])) for digit in np.argsort(-probabilities)[1:4])
    label, confidence = int(found.labels[number]), float(found.confidence[number])
    return Item(label, confidence, bool(found.accepted[number]), box, others, framed)
