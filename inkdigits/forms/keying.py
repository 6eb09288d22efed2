"""What people key for a field: which text their keys mean, and what becomes of it beside what was read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inkdigits.errors import FormError
from inkdigits.forms.constraints import problem_of
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.template import FormField

KEYED_OTHERWISE = "keyed otherwise than read"


@dataclass(frozen=True)
class Outcome:
    """What became of a keyed value.

    Attributes:
        accepted: whether it is kept; if not, the same is to be keyed once more, or what is right.
        read: what the reader saw there, None where the value is kept.
        problem: which constraint the value breaks, "" for none.
    """

    accepted: bool
    read: str | None = None
    problem: str = ""


def outcome_of(field: FormField, reading: FieldReading, keyed: Sequence[str]) -> Outcome:
    """Return what becomes of the values that were keyed for a field, the oldest first.

    The last one stands where the reader saw it too, if only as a candidate, where there was nothing to see, and where
    it was keyed twice in turn.
    """
    if not keyed:
        return Outcome(False)
    text = keyed[-1]
    problem = problem_of(field, text)
    seen = (reading.text, *(candidate for candidate, _ in reading.candidates))
    is_agreed = any(means_same(field, text, each) for each in seen)
    nothing_seen = not reading.text and bool(reading.problem)
    if is_confirmed(keyed) or ((is_agreed or nothing_seen) and not problem):
        return Outcome(True)
    return Outcome(False, reading.text, problem or KEYED_OTHERWISE)


def known(field: FormField, reading: FieldReading, text: str) -> FieldReading:
    """Return a reading of which a person has said what is written there."""
    problem = problem_of(field, text)
    return replace(reading, text=text, confidence=1.0, accepted=True, problem=problem, candidates=(), is_repaired=False)


def means_same(field: FormField, one: str, other: str) -> bool:
    """Say whether two texts mean the same in a field: 4.5 and 4.50 do, the ids 07 and 7 do not."""
    if one == other or field.type not in ("integer", "decimal"):
        return one == other
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def is_confirmed(keyed: Sequence[str]) -> bool:
    """Say whether the last value was keyed twice in turn."""
    return len(keyed) >= 2 and keyed[-1] == keyed[-2]


def keyed_text(field: FormField, keys: str) -> str:
    """Return the text that a person's keys mean in a field.

    A comma is a decimal point; where the form prints the point, digits alone get it; of a mark, 1 is "x" and 0 is "".

    Raises:
        FormError: no field of this type can have it.
    """
    text = keys.strip().replace(",", ".")
    if field.type == "mark":
        if text not in ("", "0", "1"):
            raise FormError("a tick box: 1 where it is filled, / where it is not")
        return "x" if text == "1" else ""
    digits = text.removeprefix("-").replace(".", "", 1)
    if text and not (digits.isascii() and digits.isdecimal() and len(digits) <= 30):
        raise FormError(f"{keys[:40]!r}: a field holds digits, with one point and a minus in front at most")
    if field.type in ("digits", "date") and text and not text.isdecimal():
        raise FormError("this field holds digits alone")
    if field.type == "decimal" and field.decimals and text and "." not in text:
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
        digits = digits.zfill(field.decimals + 1)
        return f"{sign}{digits[: -field.decimals]}.{digits[-field.decimals :]}"
    return text
