"""A document page -> its lines of numbers, by pieces of ink that rules find, or by rows that finders find."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inkdigits.arrays import Box, DigitImage, DigitImages, GrayImage, Indices, Mask
from inkdigits.reading.decoding import digits_of
from inkdigits.reading.digit_reader import DigitReader, likeliest_others
from inkdigits.reading.geometry import hull_of, translation, within
from inkdigits.reading.layout.page import find_layout
from inkdigits.reading.layout.rows import LEAST_DIGIT_SHARE
from inkdigits.reading.layout.structures import PageLayout, TextLine
from inkdigits.reading.line_reader import Crop, LineReader
from inkdigits.reading.normalise.digit import SIDE, frame_ink
from inkdigits.reading.results import Classified, Item, LeftOut, NumberReading, PageReading
from inkdigits.reading.row_reader import RowReader
from inkdigits.reading.signs import with_signs

# On a page, a piece of ink less likely than this to be a digit is left out: a letter, an operator, a speck.
LEAST_DIGIT = 0.1
# A piece of ink less likely than this to be one digit may be several that touch; the line network reads
# so many of them.
SURELY_ONE = 0.8
MOST_TOUCHING = 256
# The line network's confidence in a component times the digit network's in its cuts. Of touching pairs of digits that
# neither network learned from (MNIST's training images, n = 469) 95 % are above 0.33 and 90 % above 0.46; of letters
# that the line network reads as numbers (n = 110) 42 % are above 0.31 and 16 % above 0.49. Longer chains are less sure
# than pairs.
LEAST_TOUCHING = 0.4
# The way up of a page is found from so many pieces of its ink; the page is turned if the evidence for that (in nats) is
# at least this. Few pieces say too little: a lone W on its side looks like a 3.
TURN_LEAST = 4
TURN_SAMPLE = 48
TURN_EVIDENCE = 2.0
# Of the digits that rows by pieces should have right by their confidence, so many have it: 590 of 1,292 in 893 rows of
# 400 composed pages. Confidences of found rows are fitted on such pages and need no discount.
PIECES_WORTH = 0.46


class PageReader:
    """Reads pictures with any number of rows in two ways, and answers with the surer one.

    By pieces: rules find rows of ink. Pieces of ink that are one digit are read by the digit network, digits that touch
    by the line network, which also reads each row as a whole: rows in which it sees other digits are rejected. On 82
    photographs that we studied, 77 of 208 accepted rows are false without that, 13 of 96 with it.

    By rows: the finder finds them (`RowReader`), where not all of the answer by pieces is accepted. Clean pages are
    read best by pieces, photographs of tables and of pages with words by rows. Of the 216 rows of those photographs
    59.3 % are right by pieces, 50.0 % by rows, 66.7 % by the surer one, which has 68.0 % of 344 numbers on photographs
    that nobody looked at.

    Args:
        digits: reads single pieces of ink.
        lines: reads pieces of several digits that touch.
        rows: reads by rows; usable alone on grey arrays.
    """

    def __init__(self, digits: DigitReader, lines: LineReader, rows: RowReader) -> None:
        self._digits, self._lines, self.rows = digits, lines, rows

    def read(self, images: Sequence[GrayImage]) -> list[PageReading]:
        """Return the answer for each picture uint8 (H, W); a row without digits is among its lines."""
        pages = [self._or_lone_digit(page, image) for page, image in zip(self._by_pieces(images), images, strict=True)]
        pages = [
            page if _is_sure(page) else _surer(page, self.rows.read(image))
            for image, page in zip(images, pages, strict=True)
        ]
        return [_finished(page) for page in pages]

    def _by_pieces(self, images: Sequence[GrayImage]) -> list[PageReading]:
        sheets = [self._upright_layout(image) for image in images]
        rows = [row for sheet, _ in sheets for row in sheet.lines]
        framed = np.concatenate([pieces for _, pieces in sheets] or [_framed_units([])])
        found = self._digits.classify(framed)
        touching = self._touching(rows, found)
        starts = np.cumsum([0] + [len(row.boxes) for row in rows])
        pieces = [_page_line(r, n, found, framed, touching) for r, n in zip(rows, starts[:-1].tolist(), strict=True)]
        # The only ink of a picture is what the digit network was trained for: to the line network, a lone 1 is a rule.
        alone = [sum(len(row.boxes) for row in sheet.lines) == 1 for sheet, _ in sheets for _ in sheet.lines]
        lines = iter(self._with_second_opinion(rows, pieces, alone))
        pages = []
        for image, (sheet, _) in zip(images, sheets, strict=True):
            of_page = tuple(next(lines) for _ in sheet.lines)
            left_out = (*(ink for line in of_page for ink in line.left_out), *sheet.left_out)
            pages.append(PageReading(image.shape[1], image.shape[0], of_page, left_out))
        return pages

    def _or_lone_digit(self, page: PageReading, image: GrayImage) -> PageReading:
        """Return a page, or the digit in it that fills the picture, as MNIST's do, too tightly for rows."""
        if page.lines:
            return page
        line = self._digits.read_placed([image])[0]
        return replace(page, lines=(line,), left_out=()) if line.accepted else page

    def _with_second_opinion(
        self, rows: Sequence[TextLine], lines: Sequence[NumberReading], alone: Sequence[bool]
    ) -> list[NumberReading]:
        """Return the rows with what the line network reads in each as a whole, words, signs and gaps included.

        Words, rules and texture give both networks digits, but seldom the same ones.
        """
        checked = list(lines)
        asked = [index for index, line in enumerate(lines) if not alone[index]]
        crops = [(rows[index].image, rows[index].transform) for index in asked]
        for index, whole in zip(asked, self._lines.read_crops(crops) if crops else [], strict=True):
            checked[index] = _confirmed(lines[index], whole)
        return checked

    def _upright_layout(self, image: GrayImage) -> tuple[PageLayout, DigitImages]:
        """Return a picture's layout, the sheet turned upright if need be, and all its pieces uint8 (N, 28, 28)."""
        sheet = find_layout(image)
        framed = _framed_units(sheet.lines)
        turns = self._quarter_turns(framed)
        if turns:
            sheet = find_layout(image, turns)
            framed = _framed_units(sheet.lines)
        return sheet, framed

    def _quarter_turns(self, framed: DigitImages) -> int:
        """Return how often a page must be turned counter-clockwise for its ink to look like digits."""
        some = framed[:: -(-len(framed) // TURN_SAMPLE) or 1]
        if len(some) < TURN_LEAST or self._digits.classify(some).confidence.mean() > 0.95:
            return 0
        views = [self._digits.classify(np.ascontiguousarray(np.rot90(some, turns, (1, 2)))) for turns in range(4)]
        # Most things, laid on their side, have something of a 1: those say little.
        sure = np.array([np.where(view.labels == 1, 0.3, 1.0) * view.confidence for view in views])
        evidence = np.log(np.maximum(sure, 0.05)).sum(axis=1)
        best = int(evidence.argmax())
        return best if evidence[best] > evidence[0] + TURN_EVIDENCE and sure[best].mean() > 0.5 else 0

    def _touching(self, rows: Sequence[TextLine], found: Classified) -> dict[int, NumberReading]:
        """Return the pieces (their places in `found`) that the line network reads as several digits, and how."""
        digitness = found.probabilities.sum(axis=1)
        pieces = [(row, index) for row in rows for index in range(len(row.boxes))]
        wide = np.array([row.boxes[index, 2] >= 0.65 * row.boxes[index, 3] for row, index in pieces], bool)
        unsure = np.flatnonzero((digitness < SURELY_ONE) & wide)[:MOST_TOUCHING].tolist()
        readings = self._lines.read_crops([_crop_with_room(*pieces[number]) for number in unsure]) if unsure else []
        return {
            number: reading
            for number, reading in zip(unsure, readings, strict=True)
            if _are_touching(reading, *pieces[number])
            and reading.confidence > digitness[number]
            and reading.confidence * self._digitness_of_cuts(reading) > LEAST_TOUCHING
        }

    def _digitness_of_cuts(self, reading: NumberReading) -> float:
        """Return how far the digits that the line network sees in a piece look like digits, cut apart, to the other."""
        cuts = self._digits.classify(np.stack([item.framed for item in reading.items]))
        return float(cuts.probabilities.sum(axis=1).mean())


def _finished(page: PageReading) -> PageReading:
    """Return a page with signs in its rows, and no box beyond the picture: crops have room around their row."""
    page = replace(page, lines=tuple(with_signs(line) for line in page.lines))
    return page.with_boxes(lambda box: within(box, page.width, page.height))


def _is_sure(page: PageReading) -> bool:
    """Say whether every row of a page that has digits is accepted."""
    accepted = [line.accepted for line in page.lines if line.digits]
    return bool(accepted) and all(accepted)


def _surer(pieces: PageReading, rows: PageReading) -> PageReading:
    """Return the one of two answers for a picture of which more digits are probably right.

    Rows that are read alike both ways are accepted where the pieces are; rows by pieces alone are not: texture and
    words are seldom read alike (of the studied photographs' accepted rows 14 of 82 were false without that, 5 of 78
    with it).
    """
    if _expected(rows) > PIECES_WORTH * _expected(pieces):
        sure = [line for line in pieces.lines if line.accepted]
        lines = tuple(_alike(line, sure) or _of_pieces(line, rows.lines, pieces) or line for line in rows.lines)
        return replace(rows, lines=lines, left_out=(*rows.left_out, *_uncovered(pieces, rows)))
    lines = tuple(
        line.with_acceptance(False) if line.accepted and not _alike(line, rows.lines) else line for line in pieces.lines
    )
    return replace(pieces, lines=lines)


def _alike(line: NumberReading, others: Sequence[NumberReading]) -> NumberReading | None:
    """Return the one of other rows that has a row's digits in its place."""
    return next((other for other in others if other.digits == line.digits and _lie_together(line, other)), None)


def _of_pieces(line: NumberReading, lines: Sequence[NumberReading], pieces: PageReading) -> NumberReading | None:
    """Return the row by pieces in the place of one found row alone, rejected, where it is more trustworthy.

    It is if it is accepted; on pages most of whose digits are accepted, clean sheets, also if it has as many digits. Of
    the studied photographs' numbers that gives 71.2 % in place of 70.4.
    """
    there = [other for other in pieces.lines if other.digits and _lie_together(line, other)]
    if len(there) != 1 or sum(_lie_together(there[0], each) for each in lines) != 1:
        return None
    n_accepted, n = (sum(len(x.digits) for x in pieces.lines if x.accepted or every) for every in (False, True))
    is_clean = 2 * n_accepted >= n
    is_trusted = there[0].accepted or (is_clean and len(there[0].digits) == len(line.digits))
    return there[0].with_acceptance(False) if is_trusted else None


def _lie_together(line: NumberReading, other: NumberReading) -> bool:
    """Say whether the boxes around two rows cover each other by more than half of the smaller one."""
    if not line.items or not other.items:
        return False
    (x, y, width, height), (left, top, wide, tall) = (hull_of([i.box for i in each.items]) for each in (line, other))
    across = min(x + width, left + wide) - max(x, left)
    down = min(y + height, top + tall) - max(y, top)
    return min(across, down) > 0 and across * down > 0.5 * min(width * height, wide * tall)


def _uncovered(pieces: PageReading, rows: PageReading) -> list[LeftOut]:
    """Return the ink that the rules found and the answer by rows has no box for."""
    ours = [item.box for line in rows.lines for item in line.items] + [ink.box for ink in rows.left_out]
    left, top, width, height = np.array(ours, float).reshape(-1, 4).T
    found = [LeftOut(item.box, "text") for line in pieces.lines for item in line.items] + list(pieces.left_out)
    uncovered = []
    for ink in found:
        x, y = ink.box[0] + ink.box[2] / 2, ink.box[1] + ink.box[3] / 2
        if not ((left <= x) & (x <= left + width) & (top <= y) & (y <= top + height)).any():
            uncovered.append(ink)
    return uncovered


def _expected(page: PageReading) -> float:
    """Return how many digits of a page are probably right."""
    return sum(len(line.digits) * line.confidence for line in page.lines)


def _framed_units(rows: Sequence[TextLine]) -> DigitImages:
    """Return uint8 (N, 28, 28), the rows' pieces of ink in MNIST's form."""
    framed = [frame_ink(row.piece(index)) for row in rows for index in range(len(row.boxes))]
    return np.array(framed, np.uint8).reshape(-1, SIDE, SIDE)


def _crop_with_room(row: TextLine, index: int) -> Crop:
    """Return a piece of ink with room around it, and the transform that takes that crop to the picture."""
    x, y, _, height = row.boxes[index].tolist()
    room = height // 2 + 2
    return np.pad(row.piece(index), room), row.transform @ translation(x - room, y - room)


def _are_touching(reading: NumberReading, row: TextLine, index: int) -> bool:
    """Say whether the line network read several digits in a piece that has room for them; an M is no 111."""
    width, height = row.boxes[index, 2:]
    return len(reading.digits) > 1 and bool(width > 0.38 * len(reading.digits) * height)


def _page_line(
    row: TextLine, start: int, found: Classified, framed: DigitImages, touching: dict[int, NumberReading]
) -> NumberReading:
    """Return a row of a page from its pieces' answers, which begin at `start`; what is no digit is left out.

    Where something is left out, a sign stands, or the gap is wide, the text has a space: another number begins.
    """
    gaps = row.boxes[1:, 0] - row.boxes[:-1, 0] - row.boxes[:-1, 2]
    height = float(np.median(row.boxes[:, 3]))
    parted = _are_parted(row, gaps, height)
    numbers = range(start, start + len(row.boxes))
    digitness = found.probabilities[numbers.start : numbers.stop].sum(axis=1)
    sure = np.array([touching[n].confidence > 0.9 if n in touching else digitness[n - start] > 0.5 for n in numbers])
    digits = np.array([n in touching for n in numbers]) | (digitness >= LEAST_DIGIT)
    digits &= ~(_in_words(sure, gaps > 0.3 * height) | _is_text(row, height))
    text, apart = "", False
    items: list[Item] = []
    left_out: list[LeftOut] = []
    for index, number in enumerate(numbers):
        apart |= not digits[index] or (index > 0 and bool(parted[index - 1]))
        box = row.to_picture(row.boxes[index].tolist())
        if not digits[index]:
            left_out.append(LeftOut(box, "text"))
        else:
            new = touching[number].items if number in touching else (_item_of(found, number, box, framed[number]),)
            text += " " * (apart and bool(items)) + "".join(str(item.digit) for item in new)
            items += new
            apart = False
    low_marks = row.marks[row.marks[:, 2:].max(axis=1, initial=0) >= LEAST_DIGIT_SHARE * height]
    left_out += [LeftOut(row.to_picture(box), "mark") for box in low_marks.tolist()]
    confidence = float(np.prod([item.confidence for item in items])) if items else 0.0
    # What looks a little like a digit and was left out may be one.
    confidence *= float(np.prod(1 - digitness[~digits & (digitness < LEAST_DIGIT)]))
    accepted = bool(items) and all(item.accepted for item in items)
    return NumberReading(text, text.replace(" ", ""), confidence, accepted, tuple(items), left_out=tuple(left_out))


def _confirmed(line: NumberReading, whole: NumberReading) -> NumberReading:
    """Return the answer for a row that was read by pieces and as a whole.

    Where both see the same digits, the answer has the signs of the whole and the gaps of either. Where the whole is no
    number, the ink is left out. Where it has other digits, those are rejected: all of them if there are more or fewer.
    Where the pieces have none, such as a long chain that is one piece, the whole is the answer, rejected.
    """
    if not line.digits and whole.digits and whole.confidence > LEAST_TOUCHING:
        return whole.with_acceptance(False)
    if line.digits == whole.digits:
        is_sure = line.text == whole.text or whole.accepted
        return replace(
            line,
            text=_parted(whole.text, line.text),
            confidence=max(line.confidence, whole.confidence) if line.text == whole.text else whole.confidence,
            accepted=line.accepted and is_sure,
            marks=whole.marks,
        )
    if not whole.digits:
        left_out = (*line.left_out, *(LeftOut(item.box, "text") for item in line.items))
        return NumberReading("", "", 0.0, False, (), left_out=left_out)
    is_as_long = len(line.digits) == len(whole.digits)
    items = tuple(
        replace(item, accepted=item.accepted and is_as_long and str(item.digit) == digit)
        for item, digit in zip(line.items, whole.digits if is_as_long else line.digits, strict=True)
    )
    return replace(line, confidence=line.confidence * (1 - whole.confidence), accepted=False, items=items)


def _parted(text: str, other: str) -> str:
    """Return a text with another's spaces too, where it has no sign; both have the same digits."""
    signs, spaces = (re.split(r"\d", each) for each in (text, other))
    between = [sign or " " * (" " in space) for sign, space in zip(signs, spaces, strict=True)]
    return "".join(itertools.chain(*itertools.zip_longest(between, digits_of(text), fillvalue="")))


def _are_parted(row: TextLine, gaps: Indices, height: float) -> Mask:
    """Say, bool (N - 1,), between which of a row's N boxes there is a wide gap or a sign such as a minus."""
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    signs = row.marks[row.marks[:, 2] > 0.25 * height]
    middles = (signs[:, 0] + signs[:, 2] / 2)[None]
    between = (middles > (row.boxes[:-1, 0] + row.boxes[:-1, 2])[:, None]) & (middles < row.boxes[1:, 0][:, None])
    parted: Mask = (gaps > max(1.2 * height, 3 * usual)) | between.any(axis=1)
    return parted


def _is_text(row: TextLine, height: float) -> bool:
    """Say whether a row holds more low letters than numbers have commas, points and signs."""
    low = int((row.marks[:, 2:].max(axis=1, initial=0) > 0.2 * height).sum())
    return low >= max(4, len(row.boxes))


def _in_words(sure: Mask, gaps: Mask) -> Mask:
    """Say which pieces, bool (N,), stand close together in words that are no digits by half: an o, an l is no number.

    Args:
        sure: bool (N,), which pieces are surely digits.
        gaps: bool (N - 1,), where a word ends.
    """
    word = np.concatenate([[0], np.cumsum(gaps)])
    length, like_digits = np.bincount(word), np.bincount(word, sure)
    in_words: Mask = ((length >= 3) & (2 * like_digits <= length))[word]
    return in_words


def _item_of(found: Classified, number: int, box: Box, framed: DigitImage) -> Item:
    """Return the answer for a framed piece of ink as a digit of a row."""
    others = likeliest_others(found.probabilities[number])
    label, confidence = int(found.labels[number]), float(found.confidence[number])
    return Item(label, confidence, bool(found.accepted[number]), box, others, framed)
