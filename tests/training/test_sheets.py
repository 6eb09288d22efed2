import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.reading.layout.page import find_layout
from inkdigits.training.synthesis.sheets import compose_labelled_sheet, compose_sheet


def test_a_sheet_is_the_same_for_a_seed_and_shows_its_rows(toy: tuple[Split, Split]) -> None:
    train, _ = toy
    lines = ["2026", "31 415", "7"]
    sheet = compose_sheet(train, lines, seed=1)
    assert sheet.dtype == np.uint8
    assert (sheet == compose_sheet(train, lines, seed=1)).all()
    assert (sheet != compose_sheet(train, lines, seed=2)).any()
    assert len(find_layout(sheet).lines) == 3


def test_the_boxes_of_a_sheet_lie_around_its_digits(toy: tuple[Split, Split]) -> None:
    lines = ["2026", "31 415", "7"]
    image, boxes = compose_labelled_sheet(toy[0], lines, seed=1)
    assert (image == compose_sheet(toy[0], lines, seed=1)).all()
    assert [len(row) for row in boxes] == [4, 5, 1]
    for x, y, width, height in (box for row in boxes for box in row):
        around = image[y - 12 : y + height + 12, x - 12 : x + width + 12]
        inside = image[y : y + height, x : x + width]
        assert inside.min() < 110
        assert (around < 110).sum() <= 1.1 * (inside < 110).sum()


def test_a_line_too_long_for_the_sheet_is_refused(toy: tuple[Split, Split]) -> None:
    with pytest.raises(ValueError, match="too long"):
        compose_sheet(toy[0], ["1234567890" * 3])
