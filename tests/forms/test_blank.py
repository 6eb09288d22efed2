"""A template's beginning: what is printed, from a blank page or filled copies, and the fields it seems to have."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inkdigits.cli.main import main
from inkdigits.errors import FormError
from inkdigits.forms.blank import as_field, common_print, new_form, proposals
from inkdigits.forms.demo import Copy, blank_form
from inkdigits.forms.read import FormReader
from inkdigits.forms.template import load_form

BLANK, FIELDS, _ = blank_form()


def test_the_boxes_of_a_blank_page_are_proposed() -> None:
    found = proposals(BLANK)
    assert [each.layout for each in found] == ["comb", "comb", "table", "line", "line", "mark"]
    assert [(each.rows, each.columns) for each in found[:3]] == [(1, 6), (1, 8), (10, 4)]
    wanted = [field.box for field in FIELDS]
    for proposal, box in zip(found, wanted, strict=True):
        assert max(abs(a - b) for a, b in zip(proposal.box, box, strict=True)) <= 10


@pytest.mark.parametrize("page", [np.full((300, 200), 255, np.uint8), np.zeros((64, 64), np.uint8)])
def test_nothing_is_proposed_where_nothing_is(page: np.ndarray) -> None:
    assert proposals(page) == []


def test_columns_of_two_widths_are_two_tables() -> None:
    page = np.full((800, 1000), 255, np.uint8)
    for left, width in ((100, 80), (180, 80), (260, 200), (460, 200)):
        for row in range(5):
            cv2.rectangle(page, (left, 100 + 60 * row), (left + width, 160 + 60 * row), 0, 2)
    assert [(each.layout, each.rows, each.columns) for each in proposals(page)] == [("table", 5, 2), ("table", 5, 2)]


def test_filled_copies_show_what_is_printed(copies: list[Copy]) -> None:
    blank = common_print([copy.picture for copy in copies[::2]])
    # Boxes in which all three copies have ink at one place are not empty in it; of the table's 40 cells few are.
    assert sum(each.rows * each.columns for each in proposals(blank) if each.layout == "table") >= 36
    with pytest.raises(FormError, match="3 or more"):
        common_print([copies[0].picture] * 2)
    with pytest.raises(FormError, match="copy 2"):
        common_print([copies[0].picture, np.full((900, 700), 255, np.uint8), copies[2].picture])


def test_a_form_is_begun_and_read(copies: list[Copy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(BLANK).save(tmp_path / "blank.pdf", resolution=200)
    monkeypatch.setattr("sys.argv", ["inkdigits", "form", "new", str(tmp_path / "a"), str(tmp_path / "blank.pdf")])
    with pytest.raises(SystemExit, match="0"):
        main()
    form = load_form(tmp_path / "a")
    assert (form.fields, len(form.pages)) == ((), 1)
    fields = tuple(as_field(each, f"f{i}", 0) for i, each in enumerate(proposals(BLANK)))
    (tmp_path / "a" / "form.json").write_text(form.model_copy(update={"fields": fields}).model_dump_json())
    _, readings = FormReader(tmp_path / "a").read_page(copies[0].picture)
    right = [reading.text == copies[0].values[name] for reading, name in zip(readings, copies[0].values, strict=True)]
    assert np.mean(right) > 0.85
    with pytest.raises(FormError, match="not empty"):
        new_form(tmp_path / "a", [tmp_path / "blank.pdf"])
