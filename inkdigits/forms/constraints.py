"""What may stand in a field: which constraint a value breaks, and which beginnings an allowed value can have."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import re2

from inkdigits.forms.template import FormField
from inkdigits.reading.decoding import Allowed, digits_of, readable

DATE = 8  # digits of DDMMYYYY


def as_type(field: FormField, text: str) -> str:
    """Return a number's text in the form of its field's type."""
    text = _joined(field, text)
    if _has_unwritten_point(field, text) and len(text.lstrip("-")) > field.decimals:
        return f"{text[: -field.decimals]}.{text[-field.decimals :]}"
    return text


def _joined(field: FormField, text: str) -> str:
    text = text.replace(" ", "").replace(",", ".")
    return digits_of(text) if field.type in ("digits", "date") else text


def _has_unwritten_point(field: FormField, text: str) -> bool:
    return field.type == "decimal" and field.decimals > 0 and "." not in text


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
    return len(text) == DATE


# ------------------------------------------------------------------------------------------- beginnings, to search with


@cache
def allowed_in(field: FormField) -> Allowed:
    """Return which texts are allowed in a field that is written on.

    Length, type, values allowed, minimum and maximum turn down beginnings; patterns and check digits whole values only.
    In a comb a space is a box that is struck out: such boxes stand before or behind the digits, not between them.
    """
    conditions = [_length_of(field), _start_of_type(field), _start_of_range(field), _start_of_enum(field)]
    is_comb = field.layout == "comb"

    def may_begin(text: str) -> bool:
        if is_comb and " " in text.strip():
            return False
        start = _joined(field, readable(text))
        return all(condition(start) for condition in conditions)

    return Allowed(
        lambda text: as_type(field, readable(text)),
        may_begin,
        lambda value: bool(value) and not problem_of(field, value),
    )


def _length_of(field: FormField) -> Callable[[str], bool]:
    longest = field.constraints.maxLength
    return lambda start: longest is None or len(start) <= longest


def _start_of_type(field: FormField) -> Callable[[str], bool]:
    if field.type == "date":
        return lambda start: start[:4] in _starts_of_days() and len(start) <= DATE
    pattern = re2.compile(r"-?\d*(\.0*)?" if field.type == "integer" else r"-?\d*(\.\d*)?")
    return lambda start: bool(pattern.fullmatch(start))


@cache
def _starts_of_days() -> frozenset[str]:
    """Return all beginnings of DDMM."""
    lengths = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    days = [f"{day:02}{month:02}" for month, n in enumerate(lengths, 1) for day in range(1, n + 1)]
    return frozenset(day[:n] for day in days for n in range(5))


def _start_of_range(field: FormField) -> Callable[[str], bool]:
    """Turn down what is beyond a limit already: further digits take a number further from zero."""
    low, high = field.constraints.minimum, field.constraints.maximum

    def may_begin(start: str) -> bool:
        digits = start.removeprefix("-")
        if field.type not in ("integer", "decimal") or digits in ("", "."):
            return True
        unwritten = field.decimals if _has_unwritten_point(field, start) else 0
        least = float(digits) / 10**unwritten
        if start.startswith("-"):
            return low is None or -least >= low
        return high is None or least <= high

    return may_begin


def _start_of_enum(field: FormField) -> Callable[[str], bool]:
    values = field.constraints.enum
    if values is None:
        return lambda start: True
    starts = {value[:n] for value in values for n in range(len(value) + 1)}
    if field.type == "decimal" and field.decimals:  # its point may be left out
        without = [value.replace(".", "") for value in values]
        starts |= {value[:n] for value in without for n in range(len(value) + 1)}
    return starts.__contains__
