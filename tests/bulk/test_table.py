import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from inkdigits.bulk import table
from inkdigits.bulk.table import FORMATS, FORMULA, TableRow, check_format, encode, join, rows_of, schema
from inkdigits.errors import OutputError
from inkdigits.reading.results import Item, NumberReading, PageReading

pq = pytest.importorskip("pyarrow.parquet")


def number(text: str, rejected: str = "", left: int = 0) -> NumberReading:
    digits = [character for character in text if character.isdigit()]
    framed = np.zeros((28, 28), np.uint8)
    items = tuple(
        Item(int(digit), 0.9 - i / 100, str(i) not in rejected, (left + 10 * i, 5 + i, 8, 12), (), framed)
        for i, digit in enumerate(digits)
    )
    return NumberReading(text, "".join(digits), 1 / 3, not rejected, items)


PAGE = PageReading(100, 50, (number("-12.5", "1"), number("007", left=3)))
ANSWERS: list[tuple[str, PageReading | str]] = [
    ("b,ü\r\n.png", PAGE),
    ("none.png", PageReading(5, 5, ())),
    ('"=gone.png', '"=gone.png: no such file'),
]


def all_rows(kind: str) -> list[TableRow]:
    return [row for name, answer in ANSWERS for row in rows_of(name, answer, kind)]


def test_a_number_or_a_digit_is_a_row_and_every_picture_has_one() -> None:
    assert all_rows("number") == [
        TableRow("b,ü\r\n.png", 1, None, "-12.5", "-12?.5", 1 / 3, False, 0, 5, 28, 14),
        TableRow("b,ü\r\n.png", 2, None, "007", "007", 1 / 3, True, 3, 5, 28, 14),
        TableRow("none.png"),
        TableRow('"=gone.png', error='"=gone.png: no such file'),
    ]
    digits = all_rows("digit")
    assert [(row.line, row.place, row.marked) for row in digits[:6]] == [
        (1, 1, "1"),
        (1, 2, "2?"),
        (1, 3, "5"),
        (2, 1, "0"),
        (2, 2, "0"),
        (2, 3, "7"),
    ]
    assert digits[1] == TableRow("b,ü\r\n.png", 1, 2, "2", "2?", 0.89, False, 10, 6, 8, 12)
    assert len(digits) == 8


def joined(tmp_path: Path, suffix: str, kind: str) -> Path:
    """Return a file joined of two parts."""
    parts = []
    for i, chunk in enumerate((all_rows(kind)[:1], all_rows(kind)[1:])):
        parts.append(tmp_path / f"{i}{suffix}")
        parts[-1].write_bytes(encode(chunk, suffix))
    path = tmp_path / f"whole{suffix}"
    with path.open("wb") as file:
        join(map(str, parts), suffix, file)
    return path


@pytest.mark.parametrize("kind", ["number", "digit"])
def test_all_formats_hold_the_same(tmp_path: Path, kind: str) -> None:
    expected = [row._asdict() for row in all_rows(kind)]
    lines = joined(tmp_path, ".jsonl", kind).read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    table = pq.read_table(joined(tmp_path, ".parquet", kind))
    assert table.to_pylist() == expected
    assert table.schema.equals(schema())
    with joined(tmp_path, ".csv", kind).open(encoding="utf-8-sig", newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(expected)
    for cell, row in zip(cells, expected, strict=True):
        row["accepted"] = str(row["accepted"]).lower()
        assert cell["marked"].lstrip("'") == row["marked"]
        assert {n: v for n, v in cell.items() if n != "marked"} == {
            n: "" if v is None else str(v) for n, v in row.items() if n != "marked"
        }


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("7", "7"),
        ("0", "0"),
        ("-12.5", "-12.5"),
        ("0.5", "0.5"),
        ("12?5", "12?5"),
        ("0?07", "0?07"),
        ("10 200", "10 200"),
        ("", ""),
        ("007", "'007"),  # would be shown as 7
        ("1234567890123456", "'1234567890123456"),  # would end in 0
        ("1.2.3", "'1.2.3"),  # may be a date
        ("1-2", "'1-2"),
        ("-12?", "'-12?"),  # begins like a formula
        ("-1-2", "'-1-2"),
    ],
)
def test_a_spreadsheet_shows_what_was_written(text: str, cell: str) -> None:
    part = encode([TableRow("a.png", 1, None, text.replace("?", ""), text, 1.0, True)], ".csv").decode()
    (cells,) = csv.reader(io.StringIO(part, newline=""))
    assert cells[3:5] == [text.replace("?", ""), cell]


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A0.png", "+1.png", "-1.png", "@SUM(1).png", "\tx.png"])
def test_no_name_is_a_formula_and_it_stays_the_same_file(name: str) -> None:
    (row,) = rows_of(name, f"{name}: empty", "number")
    assert row.path == f"./{name}"
    assert not str(row.error).startswith(FORMULA)
    assert os.path.normpath(row.path) == os.path.normpath(name)


def test_names_that_are_no_utf8_are_written_with_their_bytes(tmp_path: Path) -> None:
    (row,) = rows_of(os.fsdecode(b"caf\xe9.png"), "x", "number")
    assert row.path == "caf\\xe9.png"
    for suffix in FORMATS:
        encode([row], suffix)


def test_rows_are_gathered_to_large_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROW_GROUP", 10)
    parts = [tmp_path / f"{i}.parquet" for i in range(8)]
    for i, part in enumerate(parts):
        part.write_bytes(encode([TableRow(f"{i}.png")] * 4, ".parquet"))
    with (tmp_path / "all.parquet").open("wb") as file:
        join(map(str, parts), ".parquet", file)
    found = pq.ParquetFile(tmp_path / "all.parquet")
    assert [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)] == [12, 12, 8]
    assert found.read()["path"].to_pylist() == [f"{i // 4}.png" for i in range(32)]


def test_no_rows_at_all_are_a_file_with_its_columns(tmp_path: Path) -> None:
    for suffix in FORMATS:
        with (tmp_path / f"none{suffix}").open("wb") as file:
            join([], suffix, file)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    assert (tmp_path / "none.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,line,")


@pytest.mark.parametrize("output", ["x", "x.xlsx", "s3://bucket/x.txt"])
def test_the_ending_says_the_format(output: str) -> None:
    assert check_format("s3://b/X.CSV") == ".csv"
    with pytest.raises(OutputError, match=r"\.csv, \.jsonl, \.parquet"):
        check_format(output)
