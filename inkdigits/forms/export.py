"""Answers of a form -> a spreadsheet: XLSX, CSV, JSON lines, Parquet, a data package."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias

import xlsxwriter
from PIL import Image

from inkdigits.errors import OutputError
from inkdigits.files.storage import cannot_write, load_pyarrow, whole_folder, write_bytes
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.read import FormAnswer
from inkdigits.forms.template import Form, FormField

MOST_ROWS = 1_048_575  # of a sheet below its header; more would be left out in silence
PICTURE_PX = 40  # high, of a field's picture in a workbook
EXACT_DIGITS = 15  # a spreadsheet keeps no more of a number
# Excel's and LibreOffice's programs run what begins with one of these in a CSV.
FORMULA = ("=", "+", "@", "\t", "\r")


@dataclass(frozen=True)
class Extras:
    """What a workbook may hold besides the answers.

    Attributes:
        history: what people keyed, as `Job.history` has it.
        picture_of: returns the PNG of a field of a form, counted from 1, by its name; None for no pictures.
    """

    history: Sequence[Mapping[str, Any]] = ()
    picture_of: Callable[[int, str], bytes] | None = None


def write_answers(path: str | Path, form: Form, answers: Sequence[FormAnswer], more: Extras | None = None) -> None:
    """Write answers, whole or not at all.

    Args:
        path: ends in .xlsx, .csv, .jsonl or .parquet; without an ending, a new folder: a data package of CSV files.
        form: the template.
        answers: one a form, and one a page that is none.
        more: for a workbook.

    Raises:
        OutputError: another ending, or it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == "":
        _write_package(Path(path), form, answers)
    elif suffix in WRITERS:
        write_bytes(path, WRITERS[suffix](form, answers, more))
    else:
        raise OutputError(f"{path}: the ending must be one of {', '.join(WRITERS)}")


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


def as_jsonl(form: Form, answers: Sequence[FormAnswer], more: Extras | None = None) -> bytes:
    """Return one JSON object a line and form."""
    return "".join(json.dumps(to_dict(answer)) + "\n" for answer in answers).encode()


def as_csv(form: Form, answers: Sequence[FormAnswer], more: Extras | None = None) -> bytes:
    """Return one row a form: its sources, its problem, the names of fields to review, then each field's text."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [part.name for part in form.parts()]
    rows.writerow(["source", "problem", "review", *names])
    for answer in answers:
        found = {reading.name: reading.text for reading in answer.readings}
        cells = [" ".join(answer.sources), answer.problem, _to_review(answer), *(found.get(name, "") for name in names)]
        rows.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    return text.getvalue().encode()


def as_xlsx(form: Form, answers: Sequence[FormAnswer], more: Extras | None = None) -> bytes:
    """Return a workbook.

    Its sheets: "forms", one row a form, typed cells, those to review coloured, with a note; one sheet a table field, a
    row of it a line, with the form's number; "fields", every field's reading; "rejected", pages that were not read;
    "history", what people keyed, where they did.

    Raises:
        OutputError: more rows than a sheet has.
    """
    more = more or Extras()
    n_rows = [
        sum(len(answer.readings) for answer in answers),
        *(len(answers) * rows for rows, _ in form.tables().values()),
        len(more.history),
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
        if more.picture_of:
            _insert(sheet, row, 6, more.picture_of(number, reading.name))
    sheet = write.sheet("rejected", ["source", "problem"], [40, 80])
    for row, answer in enumerate((each for each in answers if each.problem), 1):
        sheet.write_string(row, 0, " ".join(answer.sources))
        sheet.write_string(row, 1, answer.problem)
    if more.history:
        _write_history(write, more.history)
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
    sheet = write.sheet(
        "history", ["form", "field", "keyed", "reviewer", "time (UTC)", "undone", "how"], [8, 22, 14, 16, 20, 10, 24]
    )
    for row, each in enumerate(history, 1):
        moment = datetime.fromtimestamp(each["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        sheet.write_number(row, 0, each["form"])
        for column, text in enumerate((each["field"], each["text"], each["reviewer"], moment), 1):
            sheet.write_string(row, column, text)
        sheet.write_boolean(row, 5, bool(each["undone"]))
        sheet.write_string(row, 6, each["how"])


def _insert(sheet: Any, row: int, column: int, png: bytes) -> None:
    """Put a picture into a cell's row, as high as that."""
    with Image.open(io.BytesIO(png)) as picture:
        scale = PICTURE_PX / picture.height
    options = {"image_data": io.BytesIO(png), "x_scale": scale, "y_scale": scale, "object_position": 1}
    sheet.set_row_pixels(row, PICTURE_PX + 2)
    sheet.insert_image(row, column, "", options)


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


# --------------------------------------------------------------------------------------- typed tables, for programs


def as_parquet(form: Form, answers: Sequence[FormAnswer], more: Extras | None = None) -> bytes:
    """Return one row a form, a typed column a field, cells of tables among them.

    Raises:
        MissingExtraError: the extra `scale` is not installed.
    """
    pa, parquet = load_pyarrow("pyarrow"), load_pyarrow("pyarrow.parquet")
    kinds = {"integer": pa.int64(), "decimal": pa.float64(), "date": pa.date32(), "mark": pa.bool_()}
    columns: dict[str, Any] = {
        "source": pa.array([" ".join(answer.sources) for answer in answers]),
        "problem": pa.array([answer.problem for answer in answers]),
        "review": pa.array([_to_review(answer) for answer in answers]),
    }
    found = [{reading.name: reading for reading in answer.readings} for answer in answers]
    for part in form.parts():
        values = [_typed(part, readings.get(part.name)) for readings in found]
        columns[part.name] = pa.array(values, kinds.get(part.type, pa.string()))
    stored = io.BytesIO()
    parquet.write_table(pa.table(columns), stored)
    return stored.getvalue()


def _to_review(answer: FormAnswer) -> str:
    return " ".join(reading.name for reading in answer.readings if not reading.accepted)


def _typed(field: FormField, reading: FieldReading | None) -> int | float | date | bool | str | None:
    """Return a field's value, None where there is none of its type."""
    if reading is None:
        return None
    if field.type == "mark":
        return reading.text == "x"
    if field.type == "date":
        return _date_of(reading.text)
    if field.type == "digits":
        return reading.text or None
    value = reading.value
    if value is None or field.type == "decimal":
        return value
    return int(value) if value.is_integer() else None


def _write_package(folder: Path, form: Form, answers: Sequence[FormAnswer]) -> None:
    """Write a Frictionless data package: forms.csv, a CSV for each table, and datapackage.json, which describes them.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    read = [answer for answer in answers if answer.readings]
    found = [{reading.name: reading for reading in answer.readings} for answer in read]
    singles = [each for each in form.fields if each.layout != "table"]
    resources = [
        _resource(
            "forms",
            [("form", "integer", {"required": True}), ("source", "string", {}), ("review", "string", {})],
            singles,
            [
                [number, " ".join(answer.sources), _to_review(answer), *(_as_text(each, readings) for each in singles)]
                for number, (answer, readings) in enumerate(zip(read, found, strict=True), 1)
            ],
        )
    ]
    for table in (each for each in form.fields if each.layout == "table"):
        cells = [part for part in table.parts() if part.name.startswith(f"{table.name}_1_")]
        rows = [
            [number, row, *(_as_text(table, readings, f"{table.name}_{row}_{j}") for j in range(1, len(cells) + 1))]
            for number, readings in enumerate(found, 1)
            for row in range(1, (table.rows or 0) + 1)
        ]
        columns = [each.model_copy(update={"name": f"column_{j}"}) for j, each in enumerate(cells, 1)]
        keys: list[Column] = [("form", "integer", {"required": True}), ("row", "integer", {"required": True})]
        resource, content = _resource(table.name, keys, columns, rows)
        resource["schema"]["foreignKeys"] = [{"fields": "form", "reference": {"resource": "forms", "fields": "form"}}]
        resources.append((resource, content))
    described = {"profile": "tabular-data-package", "title": form.title, "resources": [each for each, _ in resources]}
    try:
        if folder.exists():
            raise OutputError(f"{folder}: exists already; name a new folder")
        with whole_folder(folder) as new:
            for resource, content in resources:
                write_bytes(new / resource["path"], content)
            write_bytes(new / "datapackage.json", json.dumps(described, indent=1).encode())
    except OSError as error:
        raise cannot_write(folder, error) from None


Column: TypeAlias = tuple[str, str, dict[str, Any]]


def _resource(
    name: str, keys: Sequence[Column], fields: Sequence[FormField], rows: Sequence[Sequence[Any]]
) -> tuple[dict[str, Any], bytes]:
    """Return how a table is described, and it as a CSV."""
    kinds = {"integer": "integer", "decimal": "number", "date": "date", "mark": "boolean", "digits": "string"}
    columns = [*keys, *((f.name, kinds[f.type], f.constraints.model_dump(exclude_defaults=True)) for f in fields)]
    described = [
        {"name": name, "type": kind} | ({"constraints": limits} if limits else {}) for name, kind, limits in columns
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column[0] for column in columns])
    writer.writerows(rows)
    schema = {"fields": described, "primaryKey": [column[0] for column in keys if column[2]], "missingValues": [""]}
    resource = {"name": name.lower(), "path": f"{name}.csv", "profile": "tabular-data-resource", "schema": schema}
    return resource, text.getvalue().encode()


def _as_text(field: FormField, readings: Mapping[str, FieldReading], name: str | None = None) -> str:
    value = _typed(field, readings.get(name or field.name))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


WRITERS = {".xlsx": as_xlsx, ".csv": as_csv, ".jsonl": as_jsonl, ".parquet": as_parquet}
