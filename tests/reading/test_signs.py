"""Signs that are not read stay visible in a row's text."""

import numpy as np
import pytest

from inkdigits.arrays import Box
from inkdigits.reading.results import SIGN, Item, LeftOut, NumberReading
from inkdigits.reading.signs import with_signs

PLUS = (55, 20, 20, 20)


def row(text: str, boxes: list[Box], left_out: list[Box], reason: str = "text") -> NumberReading:
    digits = [char for char in text if char.isdigit()]
    items = tuple(
        Item(int(digit), 0.9, True, box, (), np.zeros((28, 28), np.uint8))
        for digit, box in zip(digits, boxes, strict=True)
    )
    return NumberReading(text, "".join(digits), 0.9, True, items, (), tuple(LeftOut(box, reason) for box in left_out))


@pytest.mark.parametrize(
    ("second", "left_out", "text"),
    [
        (80, [PLUS], f"8{SIGN}3"),
        (80, [], "8 3"),
        (80, [(55, 120, 20, 20)], "8 3"),  # of the row below
        (80, [(140, 20, 20, 20)], "8 3"),  # behind both
        (150, [PLUS], "8 3"),  # a name, and far from it a number
    ],
)
def test_ink_close_between_two_digits_stands_in_the_text(second: int, left_out: list[Box], text: str) -> None:
    reading = row("8 3", [(20, 10, 25, 40), (second, 10, 25, 40)], left_out)
    found = with_signs(reading)
    assert found.text == text
    assert [number.text for number in found.numbers] == ["8", "3"]
    assert found.digits == "83"


def test_rows_that_run_down_the_picture_have_signs_too() -> None:
    reading = row("8 3", [(10, 20, 40, 25), (10, 80, 40, 25)], [(20, 55, 20, 20)])
    assert with_signs(reading).text == f"8{SIGN}3"


def test_specks_are_no_signs() -> None:
    assert with_signs(row("8 3", [(20, 10, 25, 40), (80, 10, 25, 40)], [PLUS], "mark")).text == "8 3"


def test_numbers_with_marks_keep_their_places() -> None:
    boxes: list[Box] = [(20, 10, 25, 40), (50, 10, 25, 40), (110, 10, 25, 40)]
    assert with_signs(row("1.2 3", boxes, [(85, 20, 20, 20)])).text == f"1.2{SIGN}3"
