"""Answers as a table with a row for each number or digit, the same columns in CSV, JSON Lines and Parquet.

A picture without any digit, and one that cannot be read, is a row as well: none gets lost.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from inkdigits.errors import OutputError
from inkdigits.files import storage
from inkdigits.reading.results import Item, NumberReading, PageReading

FORMATS = (".csv", ".jsonl", ".parquet")
# Of a Parquet file; rows of parts are gathered to groups of this size, so that a million parts read well.
ROW_GROUP = 1 << 17
# A spreadsheet takes such a text for a formula, or runs what is in it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Numbers that a spreadsheet shows as they are written; 007, 1.2.3 and twenty digits it changes.
PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?|[1-9]\d*( \d+)+|[\d?][\d? .]*\?[\d? .]*")


class TableRow(NamedTuple):
    """One number of a picture, or one digit.

    Attributes:
        path: the picture; in a container "container#member". Bytes that are no UTF-8 are written as \\xe9.
        line: which line of the picture, from 1 at the top; None where the picture has none.
        place: which digit of its line, from 1 at the left; None in rows of numbers.
        text: the number as written, or the digit; "" where there is none.
        marked: the same with a question mark behind each rejected digit.
        confidence: 0 to 1, calibrated, that all its digits are right.
        accepted: False where one of its digits is rejected, where there is none, and for an error.
        box_x, box_y, box_width, box_height: in the picture's pixels.
        error: why the picture could not be read.
    """

    path: str
    line: int | None = None
    place: int | None = None
    text: str = ""
    marked: str = ""
    confidence: float | None = None
    accepted: bool = False
    box_x: int | None = None
    box_y: int | None = None
    box_width: int | None = None
    box_height: int | None = None
    error: str | None = None


def rows_of(name: str, answer: PageReading | str, kind: str) -> Iterator[TableRow]:
    """Yield the rows of one picture.

    Args:
        name: the picture's.
        answer: its page, or in one line why it could not be read.
        kind: "number" or "digit".
    """
    path = printable(name)
    if isinstance(answer, str):
        yield TableRow(path, error=printable(answer))
    elif not answer.lines:
        yield TableRow(path)
    else:
        for number, line in enumerate(answer.lines, 1):
            yield from _of_line(path, number, line, kind)


def _of_line(path: str, number: int, line: NumberReading, kind: str) -> Iterator[TableRow]:
    if kind == "number":
        box = _hull([item.box for item in line.items])
        yield TableRow(path, number, None, line.text, marked(line), line.confidence, line.accepted, *box)
        return
    for place, item in enumerate(line.items, 1):
        text = str(item.digit)
        yield TableRow(path, number, place, text, text + _mark(item), item.confidence, item.accepted, *item.box)


def _mark(item: Item) -> str:
    return "" if item.accepted else "?"


def marked(line: NumberReading) -> str:
    """Return a line's text with a question mark behind each rejected digit."""
    items = iter(line.items)
    return "".join(character + (_mark(next(items)) if character.isdigit() else "") for character in line.text)


def _hull(boxes: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    return left, top, max(x + w for x, _, w, _ in boxes) - left, max(y + h for _, y, _, h in boxes) - top


def printable(name: str) -> str:
    """Return a name that UTF-8 can hold and that no spreadsheet takes for a formula: "=1.png" becomes "./=1.png"."""
    if name.startswith(FORMULA) and name != "-":
        name = os.path.join(os.curdir, name)
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def check_format(output: str) -> str:
    """Return the suffix of a file for rows.

    Raises:
        OutputError: a table cannot be written in this format.
    """
    suffix = os.path.splitext(output)[1].lower()
    if suffix not in FORMATS:
        raise OutputError(f"{output}: rows are written as {', '.join(FORMATS)}; give the file one of these endings")
    if suffix == ".parquet":
        storage.load_pyarrow("pyarrow")
    return suffix


def encode(rows: Iterable[TableRow], suffix: str) -> bytes:
    """Return rows as a part of a file: CSV without its header, JSON Lines, or a Parquet file of its own."""
    if suffix == ".parquet":
        buffer = io.BytesIO()
        storage.load_pyarrow("pyarrow.parquet").write_table(as_table(rows), buffer)
        return buffer.getvalue()
    if suffix == ".jsonl":
        return "".join(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows).encode()
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(map(_cells, rows))
    return text.getvalue().encode()


def _cells(row: TableRow) -> Iterator[Any]:
    """Yield a row's cells for CSV: no booleans of Python's own, nothing that a spreadsheet would change or run."""
    values = row._asdict()
    values["accepted"] = "true" if row.accepted else "false"
    if row.marked and not PLAIN_NUMBER.fullmatch(row.marked):
        values["marked"] = "'" + row.marked
    return iter(values.values())


def as_table(rows: Iterable[TableRow]) -> Any:
    """Return rows as a table of pyarrow's."""
    pa = storage.load_pyarrow("pyarrow")
    columns = list(zip(*rows, strict=True)) or [()] * len(TableRow._fields)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema(), strict=True)], schema=schema())


def schema() -> Any:
    """Return the columns' names and types, for pyarrow."""
    pa = storage.load_pyarrow("pyarrow")
    types = {"text": pa.string(), "marked": pa.string(), "path": pa.string(), "error": pa.string()}
    types |= {"confidence": pa.float64(), "accepted": pa.bool_()}
    needed = ("path", "text", "marked", "accepted")
    return pa.schema([pa.field(name, types.get(name, pa.int32()), name not in needed) for name in TableRow._fields])


def join(parts: Iterable[str], suffix: str, file: IO[bytes]) -> None:
    """Write parts, each of which `encode` made, as one file.

    Raises:
        InputError: a part cannot be read.
        OSError: the file cannot be written.
    """
    if suffix == ".parquet":
        _join_tables(parts, file)
        return
    if suffix == ".csv":
        # Without the mark of UTF-8 at its beginning Excel takes a file for Windows' own letters.
        file.write("\ufeff".encode() + (",".join(TableRow._fields) + "\r\n").encode())
    for part in parts:
        with storage.open_input(part) as source:
            while block := source.read(1 << 20):
                file.write(block)


def _join_tables(parts: Iterable[str], file: IO[bytes]) -> None:
    pa, pq = storage.load_pyarrow("pyarrow"), storage.load_pyarrow("pyarrow.parquet")
    gathered: list[Any] = []
    with pq.ParquetWriter(file, schema()) as writer:
        for part in parts:
            with storage.open_input(part) as source:
                gathered.append(pq.read_table(source, schema=schema()))
            if sum(map(len, gathered)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(gathered).combine_chunks())
                gathered.clear()
        if gathered:
            writer.write_table(pa.concat_tables(gathered).combine_chunks())
