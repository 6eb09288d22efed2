"""Tables without a template: ruled ones by their boxes, others by what stands one below the other."""

import json
import zipfile
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from inkdigits.cli.main import main
from inkdigits.data.splits import Split
from inkdigits.forms.demo import Copy
from inkdigits.forms.tables import Cell, as_csv, read_tables
from inkdigits.reading.reader import Reader
from inkdigits.training.synthesis.lines import write_character
from inkdigits.training.synthesis.styles import STYLES, Digits, random_hand

VALUES = [["12", "305", "7"], ["48", "", "61"], ["9", "250", "33"], ["70", "18", "2"]]


def drawn(mnist: tuple[Split, Split], ruled: bool, turn: float = 0.0) -> np.ndarray:
    """Return a page with VALUES in a table."""
    rng = np.random.default_rng(4)
    digits, hand = Digits(mnist[1].images, mnist[1].labels), random_hand(rng, STYLES["clean"])
    page = np.full((700, 900), 250, np.uint8)
    for i, row in enumerate(VALUES):
        for j, text in enumerate(row):
            left, top = 100 + 220 * j, 100 + 120 * i
            if ruled:
                cv2.rectangle(page, (left, top), (left + 220, top + 120), 60, 2)
            x = left + 40
            for char in text:
                ink, rise = write_character(rng, digits, char, hand)
                y = top + 85 + rise
                page[y : y + ink.shape[0], x : x + ink.shape[1]] -= (ink * 0.85).astype(np.uint8)
                x += ink.shape[1] + 8
    matrix = cv2.getRotationMatrix2D((450, 350), turn, 1.0)
    return np.asarray(cv2.warpAffine(page, matrix, (900, 700), borderValue=250), np.uint8)


@pytest.mark.parametrize("turn", [0.0, 2.5])
def test_a_ruled_table_keeps_its_rows_and_columns(mnist: tuple[Split, Split], turn: float) -> None:
    (table,) = read_tables(drawn(mnist, True, turn), Reader(text_detector=False))
    assert [len(row) for row in table] == [3] * 4
    right = [
        cell.text == text
        for row, texts in zip(table, VALUES, strict=True)
        for cell, text in zip(row, texts, strict=True)
    ]
    assert sum(right) >= 10
    assert table[1][1] == Cell()


def test_numbers_below_each_other_are_a_column(mnist: tuple[Split, Split]) -> None:
    (table,) = read_tables(drawn(mnist, False), Reader(text_detector=False))
    assert [len(row) for row in table] == [3] * 4
    assert table[1][1].text == ""


def test_the_demo_forms_table_is_found(copies: list[Copy]) -> None:
    upright = next(each.picture for each in copies if each.picture.shape[0] > each.picture.shape[1])
    sizes = [(len(table), len(table[0])) for table in read_tables(upright, Reader(text_detector=False))]
    assert any(rows >= 10 and columns >= 4 for rows, columns in sizes)


def test_nothing_on_a_page_is_no_table() -> None:
    class Nothing:
        def read_page(self, page: np.ndarray) -> object:
            return type("Page", (), {"lines": ()})

    assert read_tables(np.full((300, 400), 255, np.uint8), cast(Reader, Nothing())) == []


def test_csv_marks_what_is_rejected() -> None:
    tables = [[[Cell("1,5"), Cell()]], [[Cell("7", 0.3, False)]]]
    assert as_csv(tables) == '"1,5",\n\n7?\n'


def test_the_command_writes_a_workbook_and_json(
    mnist: tuple[Split, Split], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), drawn(mnist, True))
    words = ["inkdigits", "read", str(tmp_path / "a.png"), "--layout", "table"]
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    said = json.loads(capsys.readouterr().out)
    assert len(said["tables"][0]) == 4
    assert said["tables"][0][1][1] == {"text": "", "confidence": 1.0, "accepted": True}
    for ending in ("xlsx", "csv"):
        monkeypatch.setattr("sys.argv", [*words, "--output", str(tmp_path / f"t.{ending}")])
        with pytest.raises(SystemExit, match="0"):
            main()
    with zipfile.ZipFile(tmp_path / "t.xlsx") as book:
        assert "xl/worksheets/sheet2.xml" in book.namelist()
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 4
    for more, code in ((["--output", str(tmp_path / "t.csv")], "1"), (["--ray", "--output", "x.csv"], "2")):
        monkeypatch.setattr("sys.argv", [*words, *more])
        with pytest.raises(SystemExit, match=code):
            main()
    capsys.readouterr()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    monkeypatch.setattr("sys.argv", [*words[:2], str(tmp_path / "broken.png"), *words[3:]])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert "broken.png" in capsys.readouterr().err
