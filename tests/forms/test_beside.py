"""Digits beside a field: they are seen, and what is no digit, or belongs elsewhere, is not taken for one."""

import cv2
import numpy as np
import pytest

from inkdigits.arrays import GrayImage
from inkdigits.forms.beside import Beside
from inkdigits.forms.demo import blank_form
from inkdigits.forms.ink import ink_of
from inkdigits.forms.read import FormReader
from inkdigits.forms.template import FormField

FIELDS = (FormField(name="a", box=(100, 100, 120, 60)), FormField(name="b", box=(100, 220, 120, 60)))
DIGIT_PX = 40


def blank() -> GrayImage:
    """A field above another, and to the right of both an empty box that is no field."""
    page = np.full((400, 500), 250, np.uint8)
    for x, y in ((100, 100), (100, 220), (230, 100)):
        cv2.rectangle(page, (x - 1, y - 1), (x + 121, y + 61), 30, 2)
    cv2.putText(page, "Total", (20, 140), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 30, 2)
    return page


@pytest.mark.parametrize(
    ("text", "left", "low", "grey", "found"),
    [
        ("7", 140, 150, 20, set()),  # in the field
        ("7", 140, 92, 20, {"a"}),
        ("2", 140, 207, 20, {"a"}),  # between both, nearer to the upper one
        ("5", 62, 265, 20, {"b"}),
        ("7", 280, 150, 20, set()),  # in the other box
        ("7", 140, 30, 20, set()),  # too far away
        ("7", 140, 92, 200, set()),  # a pale pattern
        ("7", 140, 115, 20, set()),  # reaches into the field
        ("-", 140, 92, 20, set()),
    ],
)
def test_a_digit_beside_a_field_is_seen(text: str, left: int, low: int, grey: int, found: set[str]) -> None:
    reference = blank()
    beside = Beside(reference, FIELDS, np.zeros_like(reference))
    written = np.full_like(reference, 255)
    cv2.putText(written, text, (left, low), cv2.FONT_HERSHEY_SIMPLEX, DIGIT_PX / 22, grey, 4)
    page = cv2.warpAffine(reference, np.array([[1.0, 0, 1], [0, 1, -1]]), reference.shape[::-1], borderValue=250)
    page = np.minimum(page, written)
    assert beside.fields_of(page, ink_of(page), DIGIT_PX) == found


def test_a_field_with_a_digit_below_it_is_not_accepted(reader: FormReader) -> None:
    page = blank_form()[0].copy()
    (before,) = [each for each in reader.read_page(page)[1] if each.name == "fridge"]
    assert (before.text, before.accepted) == ("", True)
    cv2.putText(page, "7", (760, 2145), cv2.FONT_HERSHEY_SIMPLEX, 2.6, 30, 5)
    readings = reader.read_page(page)[1]
    (after,) = [each for each in readings if each.name == "fridge"]
    assert (after.text, after.accepted) == ("", False)
    assert sum(not each.accepted and not each.problem for each in readings) == 1
