"""Answers of a form -> a spreadsheet: XLSX, CSV or JSON lines."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from inkdigits.errors import OutputError
from inkdigits.files.storage import write_bytes
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.read import FormAnswer
from inkdigits.forms.template import Form, FormField

MOST_ROWS = 1_048_575  # of a sheet below its header; more would be left out in silence
EXACT_DIGITS = 15  # a spreadsheet keeps no more of a number
# Excel's and LibreOffice's programs run what begins with one of these in a CSV.
FORMULA = ("=", "+", "@", "\t", "\r")


def write_answers(
    path: str | Path, form: Form, answers: Sequence[FormAnswer], history: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Write answers, whole or not at all.

    Args:
        path: ends in .xlsx, .csv or .jsonl.
        form: the template.
        answers: one a form, and one a page that is none.
        history: what people keyed, as `Job.history` has it; a workbook gets it as a sheet.

    Raises:
        OutputError: another ending, or it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise OutputError(f"{path}: the ending must be one of {', '.join(WRITERS)}")
    write_bytes(path, WRITERS[suffix](form, answers, history))


def to_dict(answer: FormAnswer) -> dict[str, Any]:
    """Return what `--json` and .jsonl say of a form."""
    return {
        "sources": answer.sources,
        "problem": answer.problem,
        "sure": answer.is_sure,
        "fields": [
            {
                "name": reading.name,
                "text": reading.text,
                "confidence": round(reading.confidence, 4),
                "accepted": reading.accepted,
                "problem": reading.problem,
                "box": list(reading.box),
            }
            for reading in answer.readings
        ],
    }


def as_jsonl(form: Form, answers: Sequence[FormAnswer], history: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Return one JSON object a line and form."""
    return "".join(json.dumps(to_dict(answer)) + "\n" for answer in answers).encode()


def as_csv(form: Form, answers: Sequence[FormAnswer], history: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Return one row a form: its sources, its problem, the names of fields to review, then each field's text."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [part.name for part in form.parts()]
    rows.writerow(["source", "problem", "review", *names])
    for answer in answers:
        found = {reading.name: reading.text for reading in answer.readings}
        to_review = " ".join(reading.name for reading in answer.readings if not reading.accepted)
        cells = [" ".join(answer.sources), answer.problem, to_review, *(found.get(name, "") for name in names)]
        rows.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    return text.getvalue().encode()


def as_xlsx(form: Form, answers: Sequence[FormAnswer], history: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Return a workbook.

    Its sheets: "forms", one row a form, typed cells, those to review coloured, with a note; one sheet a table field, a
    row of it a line, with the form's number; "fields", every field's reading; "rejected", pages that were not read;
    "history", what people keyed, where they did.

    Raises:
        OutputError: more rows than a sheet has.
    """
    n_rows = [
        sum(len(answer.readings) for answer in answers),
        *(len(answers) * rows for rows, _ in form.tables().values()),
        len(history),
    ]
    if max(n_rows) > MOST_ROWS:
        raise OutputError(f"{max(n_rows):,} rows are more than a sheet of a workbook has; write .csv or .jsonl")
    stored = io.BytesIO()
    # Without these two options a text that begins with = or http:// would become a formula or a link.
    book = xlsxwriter.Workbook(stored, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    write = _Writer(book)
    read = [answer for answer in answers if answer.readings]
    singles = [each for each in form.fields if each.layout != "table"]
    sheet = write.sheet("forms", ["form", "source", "to review", *(each.name for each in singles)], [8, 30, 10])
    for number, answer in enumerate(read, 1):
        found = {reading.name: reading for reading in answer.readings}
        sheet.write_number(number, 0, number)
        sheet.write_string(number, 1, " ".join(answer.sources))
        sheet.write_number(number, 2, sum(not reading.accepted for reading in answer.readings))
        for column, each in enumerate(singles, 3):
            write.reading(sheet, number, column, each, found.get(each.name))
    for table in (each for each in form.fields if each.layout == "table"):
        _write_table(write, table, read)
    sheet = write.sheet(
        "fields", ["form", "field", "text", "confidence", "accepted", "problem"], [8, 22, 14, 12, 10, 40]
    )
    rows = [(number, reading) for number, answer in enumerate(read, 1) for reading in answer.readings]
    for row, (number, reading) in enumerate(rows, 1):
        sheet.write_row(row, 0, [number, reading.name])
        sheet.write_string(row, 2, reading.text)
        sheet.write_row(row, 3, [round(reading.confidence, 4), reading.accepted])
        sheet.write_string(row, 5, reading.problem)
    sheet = write.sheet("rejected", ["source", "problem"], [40, 80])
    for row, answer in enumerate((each for each in answers if each.problem), 1):
        sheet.write_string(row, 0, " ".join(answer.sources))
        sheet.write_string(row, 1, answer.problem)
    if history:
        _write_history(write, history)
    book.close()
    return stored.getvalue()


def _write_table(write: "_Writer", table: FormField, read: Sequence[FormAnswer]) -> None:
    rows, columns = table.rows or 0, table.columns or 0
    sheet = write.sheet(table.name, ["form", "row", *(str(j + 1) for j in range(columns))], [8, 8])
    for number, answer in enumerate(read, 1):
        found = {reading.name: reading for reading in answer.readings}
        for i in range(rows):
            line = (number - 1) * rows + i + 1
            sheet.write_row(line, 0, [number, i + 1])
            for j in range(columns):
                write.reading(sheet, line, j + 2, table, found.get(f"{table.name}_{i + 1}_{j + 1}"))


def _write_history(write: "_Writer", history: Sequence[Mapping[str, Any]]) -> None:
    sheet = write.sheet("history", ["form", "field", "keyed", "reviewer", "time (UTC)", "undone"], [8, 22, 14, 16, 20])
    for row, each in enumerate(history, 1):
        moment = datetime.fromtimestamp(each["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        sheet.write_number(row, 0, each["form"])
        for column, text in enumerate((each["field"], each["text"], each["reviewer"], moment), 1):
            sheet.write_string(row, column, text)
        sheet.write_boolean(row, 5, bool(each["undone"]))


class _Writer:
    """The formats of a workbook, and cells in them."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self._book = book
        self._head = book.add_format({"bold": True, "bottom": 1})
        self._sure = {name: book.add_format({"num_format": name}) for name in ("General", "@", "yyyy-mm-dd")}
        doubt = {"bg_color": "#FFE2B8"}
        self._uncertain = {name: book.add_format({"num_format": name} | doubt) for name in self._sure}

    def sheet(self, name: str, header: Sequence[str], widths: Sequence[int]) -> Any:
        sheet = self._book.add_worksheet(name[:31])
        for column, (title, width) in enumerate(zip(header, [*widths, *[12] * len(header)], strict=False)):
            sheet.write_string(0, column, title, self._head)
            sheet.set_column(column, column, width)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, 0, len(header) - 1)
        return sheet

    def reading(self, sheet: Any, row: int, column: int, field: FormField, reading: FieldReading | None) -> None:
        """Write a field's value: a number as one, a date as one, an id as text, what is to be reviewed in colour."""
        if reading is None:
            return
        formats = self._sure if reading.accepted else self._uncertain
        day = _date_of(reading.text) if field.type == "date" else None
        is_exact = sum(char.isdigit() for char in reading.text) <= EXACT_DIGITS
        if field.type in ("integer", "decimal") and reading.value is not None and is_exact:
            sheet.write_number(row, column, reading.value, formats["General"])
        elif day is not None:
            sheet.write_datetime(row, column, day, formats["yyyy-mm-dd"])
        elif reading.text:
            sheet.write_string(row, column, reading.text, formats["@"])
        elif not reading.accepted:
            sheet.write_blank(row, column, None, formats["General"])
        if not reading.accepted:
            note = f"confidence {reading.confidence:.0%}" + (f"; {reading.problem}" if reading.problem else "")
            sheet.write_comment(row, column, note)


def _date_of(text: str) -> date | None:
    try:
        return date(int(text[4:8]), int(text[2:4]), int(text[:2])) if len(text) == 8 else None
    except ValueError:
        return None


WRITERS = {".xlsx": as_xlsx, ".csv": as_csv, ".jsonl": as_jsonl}
