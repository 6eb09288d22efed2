"""A page that lies on its template -> what is written in each field."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import re2

from inkdigits.arrays import Box, GrayImage
from inkdigits.forms import rules
from inkdigits.forms.ink import ink_of, print_of
from inkdigits.forms.template import Form, FormField
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, NumberReading

PRINT_PX = 2  # print of the template is taken away with so many pixels around it
SLACK = 0.3  # of a row's height: so far from where a table has it a row may be written
MOVING = 4.0  # what it counts to go that far, squared, in the mean ink of a row
MARGIN = 0.08  # of a field's height: strokes that run over its edge are looked at too
# Of a field's inner area: with less ink than this nothing is written, with more than twice as much something is.
EMPTY_INK = 0.004
MARKED_INK = 0.03
# A field is accepted from this confidence on.
LEAST_SURE = 0.95
SECOND_LOOK = 0.97  # of a comb's digit on which two of three readings agree
# Of readings with one digit changed.
LEAST_CANDIDATE, MOST_CANDIDATES = 0.002, 12
# Two errors cancel each other out: in one digit place, one as much too low as the other is too high, which of errors at
# random 1 in 18 does or fewer.
CANCELLING = 1 / 18
STRAY = 0.1  # how likely a minus is a stray stroke, and a 1 where a decimal point may stand is that point
MOST_REPAIRS = 500  # that are tried on a form whose rules are broken, the likeliest first
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
        self._print = np.zeros_like(reference)  # elsewhere nobody looks
        for field in self._fields:
            x, y, width, height = _with_margin(field.box, reference, SLACK + MARGIN)
            self._print[y : y + height, x : x + width] = near[y : y + height, x : x + width]

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
        return [replace(answer, box=field.box) for answer, field in zip(answers, self._fields, strict=True)]

    def without_print(self, flat: GrayImage) -> GrayImage:
        """Return a page uint8 (H, W) as it lies on the template, without what is printed in its fields."""
        return np.asarray(cv2.inpaint(flat, self._print, 3, cv2.INPAINT_TELEA), np.uint8)

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
            cells = [_cell(field, i, box, found) for i, box in enumerate(cells_of(field)) if _is_filled(ink, box)]
            text = "".join(cell.text for cell in cells)
            items = [cell.item for cell in cells if cell.text and cell.item]
            confidence = math.prod(cell.confidence for cell in cells) if _is_in_one_piece(cells) else 0.0
            accepted = bool(cells)
        else:
            reading = found[field.name]
            text, confidence, accepted = _as_type(field, reading.text), reading.confidence, reading.accepted
            items = list(reading.items)
        problem = problem_of(field, text)
        candidates = _candidates(field, text, items)
        if is_written and not text and field.type != "mark" and not (field.layout == "comb" and accepted):
            problem = "written on, but not readable"
        accepted &= confidence >= LEAST_SURE or not is_written
        answer = FieldReading(field.name, text, confidence, accepted and not problem, problem, field.box, candidates)
        return _repaired(answer, *candidates[0]) if problem and candidates else answer


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
    """What is written in a box of a comb: `text` is "" where it is struck out, `place` its number from 0 on."""

    place: int
    text: str
    confidence: float
    item: Item | None


def _cell(field: FormField, place: int, box: Box, found: Mapping[str, NumberReading]) -> _Cell:
    """Put together what three readings say of a box: its digit alone, the box as a line, the whole comb as a line.

    The digit network knows digits best and takes a cross for one; the line network knows what is none. On 138 boxes of
    six election forms by as many hands the first has 113 of 114 digits right and none of 24 crosses, the second and
    third miss 24 and 11 digits, of which 4 both, and see 23 and 19 crosses.
    """
    alone = found[f"{field.name} {place}"].items
    as_line = found[f"{field.name} {place} alone"].items
    in_comb = [item for item in found[field.name].items if box[0] <= item.box[0] + item.box[2] / 2 < box[0] + box[2]]
    if not alone:
        return _Cell(place, "", 0.0, None)
    digit = alone[0]
    if not as_line and not in_comb:
        return _Cell(place, "", 1 - digit.confidence, digit)
    agreeing = [item for items in (as_line, in_comb) if len(items) == 1 for item in items if item.digit == digit.digit]
    if not agreeing:
        return _Cell(place, str(digit.digit), 0.5 * digit.confidence, digit)
    confidence = max(digit.confidence, *(item.confidence for item in agreeing))
    return _Cell(place, str(digit.digit), confidence if len(agreeing) == 2 else confidence * SECOND_LOOK, digit)


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


def _mark(share: float) -> tuple[str, float, bool]:
    is_marked = share > MARKED_INK
    doubt = min(share / MARKED_INK, MARKED_INK / max(share, 1e-6))
    return "x" if is_marked else "", 1 - 0.5 * doubt, doubt < 0.6


def _as_type(field: FormField, text: str) -> str:
    """Return a number's text in the form of its field's type."""
    text = text.replace(" ", "").replace(",", ".")
    if field.type in ("digits", "date"):
        return "".join(char for char in text if char.isdigit())
    if field.type == "decimal" and field.decimals and "." not in text and len(text.lstrip("-")) > field.decimals:
        return f"{text[: -field.decimals]}.{text[-field.decimals :]}"
    return text


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
        found[_as_type(field, digits[:point] + digits[point + 1 :])] = STRAY
    fitting = [(each, share) for each, share in found.items() if not problem_of(field, each)]
    return tuple(sorted(fitting, key=lambda pair: -pair[1])[:MOST_CANDIDATES])


def _repaired(reading: FieldReading, text: str, share: float) -> FieldReading:
    """Return a reading with one of its candidates in its place: to be reviewed, for it was not what was seen first."""
    confidence = reading.confidence * share / (1 + share)
    return replace(reading, text=text, confidence=confidence, accepted=False, is_repaired=True, problem="")


# ------------------------------------------------------------------------------------------------------- what may stand


def problem_of(field: FormField, text: str) -> str:
    """Return in a few words which constraint a field's text breaks, "" for none."""
    limits = field.constraints
    if not text:
        return "required, but empty" if limits.required else ""
    if field.type == "mark":
        return ""
    if field.type in ("integer", "decimal"):
        try:
            value = float(text)
        except ValueError:
            return "no number"
        if field.type == "integer" and not value.is_integer():
            return "no whole number"
        if limits.minimum is not None and value < limits.minimum:
            return f"below {limits.minimum:g}"
        if limits.maximum is not None and value > limits.maximum:
            return f"above {limits.maximum:g}"
    if field.type == "date" and not _is_date(text):
        return "no date"
    if limits.minLength is not None and len(text) < limits.minLength:
        return f"fewer than {limits.minLength} characters"
    if limits.maxLength is not None and len(text) > limits.maxLength:
        return f"more than {limits.maxLength} characters"
    if limits.pattern is not None and not re2.fullmatch(limits.pattern, text):
        return f"does not match {limits.pattern}"
    if limits.enum is not None and text not in limits.enum:
        return "not among the values allowed"
    if field.check is not None and not _format(field.check).is_valid(text):
        return f"check digit: no {field.check}"
    return ""


@cache
def _format(name: str) -> Any:
    return import_module(f"stdnum.{name}")


def _is_date(text: str) -> bool:
    from datetime import date

    try:
        date(int(text[4:8]), int(text[2:4]), int(text[:2]))
    except ValueError:
        return False
    return len(text) == 8


def with_rules(form: Form, readings: Sequence[FieldReading]) -> list[FieldReading]:
    """Return a form's readings, weighed by its rules.

    Fields of an equation between two or more that are filled in are accepted where it holds and that proves them right
    (`_proof`).
    Where rules are broken and one candidate of a field makes all of its rules hold, that is its answer, to be reviewed
    (`_repair`); where none or several do, the likeliest culprits are rejected, the rule as their problem (`_culprits`).
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
            if proof >= LEAST_SURE:
                sure = [replace(each, accepted=True, confidence=max(each.confidence, proof)) for each in named]
                found |= {each.name: each for each in sure}
    for rule in broken:
        names = rules.names_in(rule, form.tables()) & found.keys()
        for name in _culprits({name: found[name].confidence for name in names}):
            found[name] = replace(found[name], accepted=False, problem=found[name].problem or rule)
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


def _culprits(confidences: Mapping[str, float]) -> list[str]:
    """Return which fields of a broken rule may be wrong, the likeliest first.

    At least one is. How likely it is this one goes by what each is doubted; as many are returned as it takes for the
    wrong one to be among them with a probability of `LEAST_SURE`. What is known for sure is none of them, unless all
    is.
    """
    doubts = {name: max(0.0, 1 - confidence) for name, confidence in confidences.items()}
    total = sum(doubts.values())
    if total == 0:
        return sorted(confidences)
    found, reached = [], 0.0
    for name in sorted(doubts, key=lambda name: (-doubts[name], name)):
        if reached >= LEAST_SURE:
            break
        found.append(name)
        reached += doubts[name] / total
    return found


def _values(found: Mapping[str, FieldReading]) -> dict[str, float | None]:
    return {name: reading.value for name, reading in found.items()}


def _broken(form: Form, found: Mapping[str, FieldReading], among: Sequence[str]) -> list[str]:
    values = _values(found)
    return [rule for rule in among if rules.holds(rule, form.tables(), values) is False]
