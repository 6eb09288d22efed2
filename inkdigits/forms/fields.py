"""A page that lies on its template -> what is written in each field."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from inkdigits.arrays import Box, Floats, GrayImage
from inkdigits.forms import culprits, rules
from inkdigits.forms.beside import Beside
from inkdigits.forms.constraints import allowed_in, as_type, problem_of
from inkdigits.forms.ink import ink_of, print_of
from inkdigits.forms.template import Form, FormField
from inkdigits.reading import decoding
from inkdigits.reading.geometry import box_of
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, NumberReading

PRINT_PX = 2  # print of the template is taken away with so many pixels around it
NEAR_INK_PX = 6  # of what is written: only so near must strokes be continued where print was, elsewhere is paper
PAPER_PX = 15  # side of the square whose paper stands in for print
SLACK = 0.3  # of a row's height: so far from where a table has it a row may be written
MOVING = 4.0  # what it counts to go that far, squared, in the mean ink of a row
MARGIN = 0.08  # of a field's height: strokes that run over its edge are looked at too
# Of a field's inner area: with less ink than this nothing is written, with more than twice as much something is.
EMPTY_INK = 0.004
MARKED_INK = 0.03
# A field is accepted from this confidence on.
LEAST_SURE = 0.95
# All fields of an equation that holds, and a field with a right check digit, are accepted from this probability on.
# More than LEAST_SURE: a review asks after each keyed value whether it holds, and once it may by chance.
LEAST_PROOF = 0.98
# Ink beside what was read, in heights of the digits read. Inside of a field a piece so tall may be a small digit; where
# it runs over the field's edge it must be as tall and wide as the second says: neighbours' strokes and remainders of
# print are not. On 140 copies of the demo form 7 of 4,915 accepted fields are wrong, without this 14 of 4,858: less is
# accepted alone, more by sums (80 of these copies with a reach of 0.1). Of 46 such fields on 60 other copies, edges not
# yet looked at, 17 were read right.
UNREAD_TALL, UNREAD_BIG = 0.3, (0.5, 0.25)
UNREAD_REACH = 0.05  # so far a digit over its end reaches into a field
UNREAD_SURE = 0.37
ROOM_FOR_DIGIT = 0.5  # of a field's height, where no digit says how large they are
SECOND_LOOK = 0.97  # of a comb's digit on which two of three readings agree
# Of readings with one digit changed.
LEAST_CANDIDATE, MOST_CANDIDATES = 0.002, 12
# Two errors cancel each other out: in one digit place, one as much too low as the other is too high, which of errors at
# random 1 in 18 does or fewer.
CANCELLING = 1 / 18
BY_CHANCE = 0.1  # of wrong readings that have a right check digit
STRAY = 0.1  # how likely a minus is a stray stroke, and a 1 where a decimal point may stand is that point
MOST_REPAIRS = 500  # that are tried on a form whose rules are broken, the likeliest first
COMB_ALPHABET = "0123456789 "  # a space is a box that is struck out
LEAST_SURE_EVER = 0.01  # confidence of a field, to reckon with odds
LEAST_CHANCE = 1e-6  # of a digit in a box of a comb that no reading of it sees
INSIDE = 0.12  # of a tick box's side that its border may take


@dataclass(frozen=True)
class FieldReading:
    """What is written in a field.

    Attributes:
        name: of the field.
        text: "" where nothing is; of a mark, "x".
        confidence: 0 to 1, that it is right.
        accepted: whether it needs no review.
        problem: which constraint or rule it breaks, "" for none.
        box: of the field on the template.
        candidates: what else may stand there and how likely, as a share of `text`'s likelihood; the likeliest first.
        is_repaired: `text` is a candidate that meets the constraints or rules; what was read does not.
    """

    name: str
    text: str
    confidence: float
    accepted: bool
    problem: str
    box: Box
    candidates: tuple[tuple[str, float], ...] = ()
    is_repaired: bool = False

    @property
    def value(self) -> float | None:
        """The number, None where there is none."""
        return _value_of(self.text)


class FieldReader:
    """Reads the fields of one page of a template.

    Args:
        form: the template.
        page: its number.
        reference: uint8 (H, W), the blank page.
        reader: reads digits and numbers.
    """

    def __init__(self, form: Form, page: int, reference: GrayImage, reader: Reader) -> None:
        self._fields = form.parts(page)
        self._tables = [field for field in form.fields if field.page == page and field.layout == "table"]
        self._reader = reader
        near = cv2.dilate(print_of(reference), np.ones((2 * PRINT_PX + 1, 2 * PRINT_PX + 1), np.uint8))
        self._print = np.zeros_like(reference)  # elsewhere print stays
        for field in self._fields:
            x, y, width, height = _with_margin(field.box, reference, SLACK + MARGIN)
            self._print[y : y + height, x : x + width] = near[y : y + height, x : x + width]
        self._beside = Beside(reference, self._fields, self._print)
        x, y, width, height = box_of(self._print > 0) or (0, 0, 1, 1)
        self._printed = _with_margin((x, y, width, height), reference, PAPER_PX / height)
        self._bare = (_part(self._print, self._printed) == 0).astype(np.float32)
        self._n_bare = np.maximum(cv2.boxFilter(self._bare, -1, (PAPER_PX, PAPER_PX)), 1e-3)

    def read(self, flat: GrayImage) -> list[FieldReading]:
        """Return the answers for a page uint8 (H, W) as it lies on the template, all fields in few batches."""
        clean = self.without_print(flat)
        ink = ink_of(clean)
        moved = {name: box for table in self._tables for name, box in _cells_as_written(table, ink)}
        fields = [field.model_copy(update={"box": moved.get(field.name, field.box)}) for field in self._fields]
        written = {field.name for field in fields if _ink_share(ink, field) > EMPTY_INK}
        lines = [f for f in fields if f.layout == "line" and f.type != "mark" and f.name in written]
        combs = [f for f in fields if f.layout == "comb" and f.name in written]
        found: dict[str, NumberReading] = {}
        found |= self._read(clean, [(field.name, _with_margin(field.box, flat)) for field in lines], "number")
        found |= self._read(clean, [(field.name, _with_margin(field.box, flat)) for field in combs], "number")
        cells = [(f"{f.name} {i}", _with_margin(box, flat, 0.0)) for f in combs for i, box in enumerate(cells_of(f))]
        as_lines = self._read(clean, cells, "number")
        found |= self._read(clean, cells, "digit") | {f"{name} alone": each for name, each in as_lines.items()}
        answers = [self._answer(field, ink, found, field.name in written) for field in fields]
        beside = self._beside.fields_of(clean, ink, self._digit_px(found))
        answers = [_with_ink_beside(each) if each.name in beside else each for each in answers]
        answers = self._allowed(clean, ink, found, fields, answers)
        return [replace(answer, box=field.box) for answer, field in zip(answers, self._fields, strict=True)]

    def without_print(self, flat: GrayImage) -> GrayImage:
        """Return a page uint8 (H, W) as it lies on the template, without what is printed in its fields.

        Paper stands in for print; where something is written beside it, strokes are continued (Telea 2004).
        """
        clean, printed = flat.copy(), _part(self._print, self._printed)
        part = _part(clean, self._printed)
        written = cv2.bitwise_and(ink_of(part), cv2.bitwise_not(printed))
        near = cv2.dilate(written, np.ones((2 * NEAR_INK_PX + 1, 2 * NEAR_INK_PX + 1), np.uint8))
        paper = cv2.boxFilter(part * self._bare, -1, (PAPER_PX, PAPER_PX)) / self._n_bare
        np.copyto(part, paper.round().astype(np.uint8), where=(printed > 0) & (near == 0))
        part[:] = cv2.inpaint(part, cv2.bitwise_and(printed, near), 3, cv2.INPAINT_TELEA)
        return clean

    def _digit_px(self, found: Mapping[str, NumberReading]) -> float:
        """Return the height of a page's digits; where none was read, of those that fields have room for."""
        heights = [float(item.box[3]) for reading in found.values() for item in reading.items]
        return float(np.median(heights or [ROOM_FOR_DIGIT * field.box[3] for field in self._fields] or [1.0]))

    def _read(self, page: GrayImage, places: Sequence[tuple[str, Box]], layout: str) -> dict[str, NumberReading]:
        readings = self._reader.read_regions(page, [box for _, box in places], layout) if places else []
        return {name: reading for (name, _), reading in zip(places, readings, strict=True)}

    def _answer(
        self, field: FormField, ink: GrayImage, found: Mapping[str, NumberReading], is_written: bool
    ) -> FieldReading:
        items: list[Item] = []
        if field.type == "mark":
            text, confidence, accepted = _mark(_inner_share(ink, field.box))
        elif not is_written:
            text, accepted = "", True
            confidence = float(np.clip(1 - 0.5 * _ink_share(ink, field) / EMPTY_INK, 0.5, 1.0))
        elif field.layout == "comb":
            cells = _cells(field, ink, found)
            text = "".join(cell.text for cell in cells)
            items = [cell.item for cell in cells if cell.text and cell.item]
            confidence = math.prod(cell.confidence for cell in cells) if _is_in_one_piece(cells) else 0.0
            accepted = bool(cells)
        else:
            reading = found[field.name]
            text, confidence, accepted = as_type(field, reading.text), reading.confidence, reading.accepted
            if not _is_all_read(ink, field.box, reading):
                confidence = min(confidence, UNREAD_SURE)
            items = list(reading.items)
        problem = problem_of(field, text)
        candidates = _candidates(field, text, items)
        if is_written and not text and field.type != "mark" and not (field.layout == "comb" and accepted):
            problem, confidence = "written on, but not readable", 0.0
        accepted &= confidence >= LEAST_SURE or not is_written
        if text and field.check is not None and not problem:
            confidence = _checked(confidence, candidates)
            accepted |= confidence >= LEAST_PROOF
        return FieldReading(field.name, text, confidence, accepted and not problem, problem, field.box, candidates)

    def _allowed(
        self,
        page: GrayImage,
        ink: GrayImage,
        found: Mapping[str, NumberReading],
        fields: Sequence[FormField],
        answers: Sequence[FieldReading],
    ) -> list[FieldReading]:
        """Return answers with the likeliest value that is allowed in place of each that breaks a constraint.

        `fields` are those of the template, moved to where they lie on this page.
        """
        allowed = {field.name: allowed_in(field) for field in self._fields}
        broken = [field for field, each in zip(fields, answers, strict=True) if each.problem and each.text]
        lines = [field for field in broken if field.layout == "line"]
        boxes = [_with_margin(field.box, page) for field in lines]
        read = self._reader.read_allowed(page, boxes, [allowed[field.name] for field in lines]) if lines else []
        values = {field.name: each for field, each in zip(lines, read, strict=True)}
        for field in broken:
            if field.layout == "comb":
                columns = _columns(_cells(field, ink, found))
                values[field.name] = decoding.decode_allowed([columns], COMB_ALPHABET, allowed[field.name])
        return [_within(each, values[each.name]) if values.get(each.name) else each for each in answers]


def _cells_as_written(table: FormField, ink: GrayImage) -> Iterator[tuple[str, Box]]:
    """Yield the cells of a table and where they lie on a page: its rows part where least is written.

    People write above the lines of a table or through them, and one print of a form has its rows a little lower than
    another.

    Args:
        table: a field.
        ink: uint8 (H, W), the page's, without its print.
    """
    x, y, width, height = table.box
    n_rows = table.rows or 1
    pitch = height / n_rows
    reach = round(SLACK * pitch)
    amount = ink[:, x : x + width].mean(axis=1, dtype=float)
    amount = cv2.GaussianBlur(amount[:, None], (1, 2 * round(0.12 * pitch) + 1), 0, sigmaY=0.04 * pitch)[:, 0]
    amount /= max(float(amount[y : y + height].mean()), 1e-6)
    edges = []
    for edge in (y + round(row * pitch) for row in range(n_rows + 1)):
        places = np.arange(max(0, edge - reach), min(len(amount), edge + reach + 1))
        cost = np.interp(places, np.arange(len(amount)), amount) + MOVING * ((places - edge) / pitch) ** 2
        edges.append(int(places[cost.argmin()]))
    for part in table.parts():
        row = int(part.name.split("_")[-2]) - 1
        yield part.name, (part.box[0], edges[row], part.box[2], edges[row + 1] - edges[row])


@dataclass(frozen=True)
class _Cell:
    """What is written in a box of a comb.

    Attributes:
        place: its number, from 0 on.
        text: "" where it is struck out.
        confidence: 0 to 1.
        item: the digit network's answer, None where there is no ink.
        chances: float (11,), of the ten digits and of a box struck out, the mean of its readings; sums to 1.
    """

    place: int
    text: str
    confidence: float
    item: Item | None
    chances: Floats


def _cells(field: FormField, ink: GrayImage, found: Mapping[str, NumberReading]) -> list[_Cell]:
    """Return what is written in the boxes of a comb, without empty ones."""
    return [_cell(field, i, box, found) for i, box in enumerate(cells_of(field)) if _is_filled(ink, box)]


def _cell(field: FormField, place: int, box: Box, found: Mapping[str, NumberReading]) -> _Cell:
    """Put together what three readings say of a box: its digit alone, the box as a line, the whole comb as a line.

    The digit network knows digits best and takes a cross for one; the line network knows what is none. On 138 boxes of
    six election forms by as many hands the first has 113 of 114 digits right and none of 24 crosses, the second and
    third miss 24 and 11 digits, of which 4 both, and see 23 and 19 crosses.
    """
    alone = found[f"{field.name} {place}"].items
    as_line = found[f"{field.name} {place} alone"].items
    in_comb = [item for item in found[field.name].items if box[0] <= item.box[0] + item.box[2] / 2 < box[0] + box[2]]
    chances = np.mean([_chances(items) for items in (alone, as_line, in_comb)], axis=0)
    if not alone:
        return _Cell(place, "", 0.0, None, chances)
    digit = alone[0]
    if not as_line and not in_comb:
        return _Cell(place, "", 1 - digit.confidence, digit, chances)
    agreeing = [item for items in (as_line, in_comb) if len(items) == 1 for item in items if item.digit == digit.digit]
    if not agreeing:
        return _Cell(place, str(digit.digit), 0.5 * digit.confidence, digit, chances)
    confidence = max(digit.confidence, *(item.confidence for item in agreeing))
    confidence *= 1.0 if len(agreeing) == 2 else SECOND_LOOK
    return _Cell(place, str(digit.digit), confidence, digit, chances)


def _chances(items: Sequence[Item]) -> Floats:
    """Return the chances float (11,) of a box's digits, and of none, as one reading of it has them."""
    chances = np.zeros(11)
    if len(items) == 1:
        for digit, chance in ((items[0].digit, items[0].confidence), *items[0].alternatives):
            chances[digit] = chance
    chances[10] = max(0.0, 1 - chances.sum())
    return chances


def _columns(cells: Sequence[_Cell]) -> Floats:
    """Return a comb as columns to decode, float (2 n, 12): a box, then a blank, so that digits may repeat.

    What was read in a box has its confidence; the rest goes to what else its readings see there.
    """
    columns = np.zeros((2 * len(cells), 12))
    columns[1::2, 11] = 1.0
    for row, cell in zip(columns[::2], cells, strict=True):
        read = int(cell.text) if cell.text else 10
        others = cell.chances + LEAST_CHANCE
        others[read] = 0.0
        row[:11] = others / others.sum() * (1 - cell.confidence)
        row[read] = cell.confidence
    return columns


def _is_in_one_piece(cells: Sequence[_Cell]) -> bool:
    """Say whether the digits of a comb stand side by side: what is struck out stands before or behind them."""
    places = [cell.place for cell in cells if cell.text]
    return not places or places[-1] - places[0] == len(places) - 1


def cells_of(field: FormField) -> list[Box]:
    """Return the boxes of a comb's characters."""
    x, y, width, height = field.box
    edges = [x + round(i * width / (field.cells or 1)) for i in range((field.cells or 1) + 1)]
    return [(left, y, right - left, height) for left, right in itertools.pairwise(edges)]


def _with_margin(box: Box, page: GrayImage, share: float = MARGIN) -> Box:
    x, y, width, height = box
    room = round(share * height)
    left, top = max(0, x - room), max(0, y - room)
    return left, top, min(page.shape[1], x + width + room) - left, min(page.shape[0], y + height + room) - top


def _part(page: GrayImage, box: Box) -> GrayImage:
    """Return the pixels of a page in a box, not copied."""
    x, y, width, height = box
    return page[y : y + height, x : x + width]


def _is_filled(ink: GrayImage, box: Box) -> bool:
    return _inner_share(ink, box) > EMPTY_INK


def _ink_share(ink: GrayImage, field: FormField) -> float:
    return max(_inner_share(ink, box) for box in (cells_of(field) if field.layout == "comb" else [field.box]))


def _inner_share(ink: GrayImage, box: Box) -> float:
    """Return which share of a box's inside is ink, specks left out."""
    x, y, width, height = box
    room = round(INSIDE * min(width, height))
    inside = ink[y + room : y + height - room, x + room : x + width - room]
    if not inside.size:
        return 0.0
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return float(areas[areas >= 12].sum() / inside.size)


def _is_all_read(ink: GrayImage, box: Box, reading: NumberReading) -> bool:
    """Say whether no ink of a digit's size lies in a field, or partly in it, beside what was read there."""
    if reading.left_out or not reading.items:
        return not reading.left_out
    digit = float(np.median([item.box[3] for item in reading.items]))
    x, y, width, height = box
    first = max(0, x - round(digit))  # what lies on the field's ends is seen as a whole
    rest = ink[y : y + height, first : x + width + round(digit)].copy()
    for left, top, wide, tall in [item.box for item in reading.items] + [mark.box for mark in reading.marks]:
        left, top = left - first - PRINT_PX, top - y - PRINT_PX
        right, low = left + wide + 2 * PRINT_PX, top + tall + 2 * PRINT_PX
        rest[max(0, top) : max(0, low), max(0, left) : max(0, right)] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(rest)
    lefts, tops, wides, talls = stats[1:, :4].T
    lefts, rights, lows = lefts + first - x, lefts + first - x + wides, tops + talls
    is_inside = (lefts > 0) & (rights < width) & (tops > 0) & (lows < height)
    is_reaching_in = (rights > UNREAD_REACH * digit) & (lefts < width - UNREAD_REACH * digit)
    is_big = (talls > UNREAD_BIG[0] * digit) & (wides > UNREAD_BIG[1] * digit) & is_reaching_in
    return not bool((is_big | is_inside & (talls > UNREAD_TALL * digit)).any())


def _with_ink_beside(reading: FieldReading) -> FieldReading:
    """Return the reading of a field beside which a digit was written that was not read."""
    return replace(reading, accepted=False, confidence=min(reading.confidence, UNREAD_SURE))


def _mark(share: float) -> tuple[str, float, bool]:
    is_marked = share > MARKED_INK
    doubt = min(share / MARKED_INK, MARKED_INK / max(share, 1e-6))
    return "x" if is_marked else "", 1 - 0.5 * doubt, doubt < 0.6


def _value_of(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _candidates(field: FormField, text: str, items: Sequence[Item]) -> tuple[tuple[str, float], ...]:
    """Return texts with one thing read otherwise that meet the field's constraints, the likeliest first.

    That is a digit, a minus that may be none, or a decimal point that was read as 1.
    """
    places = [place for place, char in enumerate(text) if char.isdigit()]
    if len(places) != len(items):
        return ()
    found = {
        f"{text[:place]}{digit}{text[place + 1 :]}": chance / max(item.confidence, 1e-3)
        for place, item in zip(places, items, strict=True)
        for digit, chance in item.alternatives
        if chance >= LEAST_CANDIDATE
    }
    if text.startswith("-"):
        found[text[1:]] = STRAY
    digits = text.replace(".", "")
    point = len(digits) - field.decimals - 1
    if field.decimals and point > 0 and digits[point] == "1":
        found[as_type(field, digits[:point] + digits[point + 1 :])] = STRAY
    fitting = [(each, share) for each, share in found.items() if not problem_of(field, each)]
    return tuple(sorted(fitting, key=lambda pair: -pair[1])[:MOST_CANDIDATES])


def _checked(confidence: float, candidates: Sequence[tuple[str, float]]) -> float:
    """Return how likely a reading is right, given that its check digit is: of wrong readings it seldom is.

    Args:
        confidence: 0 to 1, without it.
        candidates: other readings with a right check digit, each with its share of this one's likelihood.
    """
    if confidence <= 0:
        return 0.0
    odds = BY_CHANCE * (1 - confidence) / confidence + sum(share for _, share in candidates)
    return 1 / (1 + odds)


def _within(reading: FieldReading, values: Sequence[tuple[str, float]]) -> FieldReading:
    """Return a reading that breaks a constraint with the likeliest of the values that are allowed in its place.

    It is to be reviewed, for it was not what was seen first; its confidence is the value's own probability.
    """
    (text, confidence), *others = values[: MOST_CANDIDATES + 1]
    candidates = tuple((each, p / confidence) for each, p in others if p >= LEAST_CANDIDATE * confidence)
    return replace(
        reading,
        text=text,
        confidence=confidence,
        accepted=False,
        problem="",
        candidates=candidates,
        is_repaired=True,
    )


def _repaired(reading: FieldReading, text: str, share: float) -> FieldReading:
    """Return a reading with one of its candidates in its place: to be reviewed, for it was not what was seen first."""
    confidence = reading.confidence * share / (1 + share)
    return replace(reading, text=text, confidence=confidence, accepted=False, is_repaired=True, problem="")


def with_rules(form: Form, readings: Sequence[FieldReading]) -> list[FieldReading]:
    """Return a form's readings, weighed by its rules.

    Fields of an equation between two or more that are filled in are accepted where it holds and that proves them right
    (`_proof`).
    Where rules are broken and one candidate of a field makes all of its rules hold, that is its answer, to be reviewed
    (`_repair`); where none or several do, the likeliest culprits are rejected, the rule as their problem (`_culprits`)
    and with the confidence that the rule leaves them.
    Once these are keyed, the rules are asked again: what is broken still then has its culprits among the others.

    Args:
        form: the template.
        readings: of all its pages.
    """
    found = {reading.name: reading for reading in readings}
    broken = _broken(form, found, form.rules)
    speaking = _speaking(form, found)
    while broken and (repair := _repair(form, found, broken, speaking)) is not None:
        found[repair.name] = repair
        broken = _broken(form, found, broken)
    for rule in form.rules:
        if rules.is_equation(rule) and rule not in broken and rules.holds(rule, form.tables(), _values(found)):
            named = [found[name] for name in rules.names_in(rule, form.tables()) & found.keys()]
            proof = _proof(named) if sum(bool(each.text) for each in named) >= 2 else 0.0
            if proof >= LEAST_PROOF:
                sure = [replace(each, accepted=True, confidence=max(each.confidence, proof)) for each in named]
                found |= {each.name: each for each in sure}
    weighed = [(rule, _misread(form, found, rule)) for rule in broken]
    for rule, chances in weighed:
        for name in _culprits(chances):
            found[name] = _doubted(found[name], rule, chances[name])
    return [found[reading.name] for reading in readings]


def _speaking(form: Form, found: Mapping[str, FieldReading]) -> dict[str, list[str]]:
    """Return of each field the rules that speak of it."""
    speaking: dict[str, list[str]] = {name: [] for name in found}
    for rule in form.rules:
        for name in rules.names_in(rule, form.tables()) & found.keys():
            speaking[name].append(rule)
    return speaking


def _repair(
    form: Form, found: dict[str, FieldReading], broken: Sequence[str], speaking: Mapping[str, Sequence[str]]
) -> FieldReading | None:
    """Return a field with the one candidate in its place that makes all rules hold that speak of it.

    Of several such fields that of which most rules were broken; none of two that would make the same rule hold.
    """
    named = {name for rule in broken for name in rules.names_in(rule, form.tables()) & found.keys()}
    tried = sorted(((share, name, text) for name in named for text, share in found[name].candidates), reverse=True)
    repairs: list[tuple[set[str], FieldReading]] = []
    for share, name, text in tried[:MOST_REPAIRS]:
        changed = found | {name: replace(found[name], text=text)}
        if not found[name].is_repaired and not _broken(form, changed, speaking[name]):
            repairs.append((set(speaking[name]) & set(broken), _repaired(found[name], text, share)))
    most = max((len(fixed) for fixed, _ in repairs), default=0)
    best = [(fixed, repair) for fixed, repair in repairs if len(fixed) == most]
    return next((repair for fixed, repair in best if sum(bool(fixed & other) for other, _ in best) == 1), None)


def _proof(named: Sequence[FieldReading]) -> float:
    """Return how likely it is that all fields of an equation are right, given that it holds: 0 to 1.

    If not all are right, two or more are wrong and their errors cancel each other out; with one repaired so that it
    holds, it proves nothing. How likely both cases are goes by what the reader thinks of each.
    """
    if any(each.is_repaired or each.problem for each in named):
        return 0.0
    doubts = [min(max(1 - each.confidence, 1e-6), 1 - 1e-6) for each in named]
    all_right = math.prod(1 - doubt for doubt in doubts)
    one_wrong = all_right * sum(doubt / (1 - doubt) for doubt in doubts)
    others = max(0.0, 1 - all_right - one_wrong) * CANCELLING
    return all_right / (all_right + others)


def _misread(form: Form, found: Mapping[str, FieldReading], rule: str) -> dict[str, float]:
    """Return how likely each field of a broken rule is misread, 0 to 1.

    Of an equation that goes by which other readings make it hold (`culprits`), of other rules by the doubt about each
    field alone. What is known for sure is not misread.
    """
    names = sorted(rules.names_in(rule, form.tables()) & found.keys())
    values = _values(found)
    gap = rules.gap(rule, form.tables(), values)
    if gap is not None:
        parts = {part.name: part for part in form.parts() if part.name in names}
        suspects = {}
        for name in names:
            one_more = rules.gap(rule, form.tables(), values | {name: (values[name] or 0) + 1})
            suspects[name] = _suspect(parts[name], found[name], 0.0 if one_more is None else one_more - gap)
        chances = culprits.misread(gap, suspects)
        if any(chances.values()):
            return chances
    doubts = {name: max(0.0, 1 - found[name].confidence) for name in names}
    total = sum(doubts.values())
    return {name: doubt / total if total else 0.0 for name, doubt in doubts.items()}


def _suspect(part: FormField, reading: FieldReading, per_unit: float) -> culprits.Suspect:
    sure = max(reading.confidence, LEAST_SURE_EVER)
    others = ((_value_of(text), share) for text, share in reading.candidates)
    return culprits.Suspect(
        reading.value or 0.0,
        max(0.0, 1 - sure) / sure,
        tuple((value, share) for value, share in others if value is not None),
        per_unit,
        lambda value: _may_be(part, value),
    )


def _may_be(part: FormField, value: float) -> bool:
    """Say whether a value may stand in a field."""
    decimals = part.decimals if part.type == "decimal" else 0
    return math.isclose(value, round(value, decimals), abs_tol=1e-6) and not problem_of(part, f"{value:.{decimals}f}")


def _culprits(chances: Mapping[str, float]) -> list[str]:
    """Return which fields of a broken rule may be misread, the likeliest first.

    So many that the wrong ones are among them with a probability of `LEAST_SURE`; all where there is no telling.

    Args:
        chances: how likely each is misread.
    """
    left = sum(chances.values())
    if left == 0:
        return sorted(chances)
    found = []
    for name in sorted(chances, key=lambda name: (-chances[name], name)):
        if left <= 1 - LEAST_SURE:
            break
        found.append(name)
        left -= chances[name]
    return found


def _doubted(reading: FieldReading, rule: str, chance: float) -> FieldReading:
    """Return a reading that is rejected since a rule is broken, which it is to blame for with this probability."""
    confidence = min(reading.confidence, 1 - chance)
    return replace(reading, accepted=False, problem=reading.problem or f"{rule} does not hold", confidence=confidence)


def _values(found: Mapping[str, FieldReading]) -> dict[str, float | None]:
    return {name: reading.value for name, reading in found.items()}


def _broken(form: Form, found: Mapping[str, FieldReading], among: Sequence[str]) -> list[str]:
    values = _values(found)
    return [rule for rule in among if rules.holds(rule, form.tables(), values) is False]
