import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.reading.layout.page import find_layout
from inkdigits.training.synthesis.sheets import compose_sheet


def test_a_sheet_is_the_same_for_a_seed_and_shows_its_rows(toy: tuple[Split, Split]) -> None:
    train, _ = toy
    lines = ["2026", "31 415", "7"]
    sheet = compose_sheet(train, lines, seed=1)
    assert sheet.dtype == np.uint8
    assert (sheet == compose_sheet(train, lines, seed=1)).all()
    assert (sheet != compose_sheet(train, lines, seed=2)).any()
    assert len(find_layout(sheet).lines) == 3


def test_a_line_too_long_for_the_sheet_is_refused(toy: tuple[Split, Split]) -> None:
    with pytest.raises(ValueError, match="too long"):
        compose_sheet(toy[0], ["1234567890" * 3])
