"""Answers of a form -> a spreadsheet: XLSX, CSV, JSON lines, Parquet, a data package.

Answers come one by one and are written as they come: memory does not depend on how many forms there are.
"""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeAlias

import xlsxwriter
from PIL import Image
from xlsxwriter.exceptions import FileCreateError

from inkdigits.errors import OutputError
from inkdigits.files.storage import cannot_write, load_pyarrow, whole_file, whole_folder, write_bytes, write_whole
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.read import FormAnswer
from inkdigits.forms.template import Form, FormField

MOST_ROWS = 1_048_575  # of a sheet below its header; more would be left out in silence
MOST_NOTES = 10_000  # kept in memory until the end, and slow to open; the sheet "fields" says the same of all
HISTORY = ("form", "field", "keyed", "reviewer", "time (UTC)", "undone", "how")
FORMS_AT_ONCE = 1000  # in a row group of a Parquet file
PICTURE_PX = 40  # high, of a field's picture in a workbook
WIDEST_PRINT = 14  # columns of a sheet that is printed as wide as a page
# LibreOffice shows a boolean without a format of its own as a number, Excel whatever its format is.
BOOLEAN = '"TRUE";"TRUE";"FALSE"'
EXACT_DIGITS = 15  # a spreadsheet keeps no more of a number
TEXT, NUMBER = "left", "right"  # where a column's values and its title stand
NUMBERS_IN = dict.fromkeys(("integer", "decimal", "date"), NUMBER)  # by a field's type
# Excel's and LibreOffice's programs run what begins with one of these in a CSV.
FORMULA = ("=", "+", "@", "\t", "\r")


@dataclass(frozen=True)
class Extras:
    """What a workbook may hold besides the answers.

    Attributes:
        history: what people keyed, as `Job.history` has it.
        picture_of: returns the PNG of a field of a form, counted from 1, by its name; None for no pictures.
    """

    history: Iterable[Mapping[str, Any]] = ()
    picture_of: Callable[[int, str], bytes] | None = None


def write_answers(path: str | Path, form: Form, answers: Iterable[FormAnswer], more: Extras | None = None) -> None:
    """Write answers, whole or not at all.

    Args:
        path: ends in .xlsx, .csv, .jsonl or .parquet; without an ending, a new folder: a data package of CSV files.
        form: the template.
        answers: one a form, and one a page that is none; each is asked for once.
        more: for a workbook.

    Raises:
        OutputError: another ending, or it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == "":
        _write_package(Path(path), form, answers)
    elif suffix in WRITERS:
        write_whole(path, lambda file: WRITERS[suffix](file, form, answers, more or Extras()))
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


def write_jsonl(file: IO[bytes], form: Form, answers: Iterable[FormAnswer], more: Extras) -> None:
    """Write one JSON object a line and form."""
    for answer in answers:
        file.write(json.dumps(to_dict(answer)).encode() + b"\n")


def write_csv(file: IO[bytes], form: Form, answers: Iterable[FormAnswer], more: Extras) -> None:
    """Write one row a form: its sources, its problem, the names of fields to review, then each field's text."""
    with _text(file) as text:
        rows = csv.writer(text, lineterminator="\n")
        names = [part.name for part in form.parts()]
        rows.writerow(["source", "problem", "review", *names])
        for answer in answers:
            found = {reading.name: reading.text for reading in answer.readings}
            values = (found.get(name, "") for name in names)
            cells = [" ".join(answer.sources), answer.problem, _to_review(answer), *values]
            rows.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])


@contextmanager
def _text(file: IO[bytes]) -> Iterator[io.TextIOWrapper]:
    """Yield a binary file as one of text, and leave it open."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()


def write_xlsx(file: IO[bytes], form: Form, answers: Iterable[FormAnswer], more: Extras) -> None:
    """Write a workbook.

    Its sheets: "forms", one row a form, typed cells, those to review coloured, with a note; one sheet a table field, a
    row of it a line, with the form's number; "fields", every field's reading; "rejected", pages that were not read;
    "history", what people keyed or accepted.

    Raises:
        OutputError: more rows than a sheet has.
    """
    # Without the last two options a text that begins with = or http:// would become a formula or a link.
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with tempfile.TemporaryDirectory() as beside:  # where complete rows and pictures go
        book = xlsxwriter.Workbook(file, options | {"tmpdir": beside})
        try:
            _fill(_Writer(book, Path(beside)), form, answers, more)
            book.close()
        except FileCreateError as error:
            raise OSError(str(error)) from None
        finally:
            for sheet in book.worksheets():
                sheet.row_data_fh.close()


def _fill(write: "_Writer", form: Form, answers: Iterable[FormAnswer], more: Extras) -> None:
    singles = [each for each in form.fields if each.layout != "table"]
    tables = [each for each in form.fields if each.layout == "table"]
    values = [(each.name, NUMBERS_IN.get(each.type, TEXT)) for each in singles]
    forms = write.sheet("forms", [*_texts("form", "source", "to review"), *values], [8, 30, 10])
    of_tables = []
    for each in tables:
        columns = [(str(j + 1), NUMBERS_IN.get(each.type, TEXT)) for j in range(each.columns or 0)]
        of_tables.append(write.sheet(each.name, [*_texts("form", "row"), *columns], [8, 8]))
    head = [*_texts("form", "field", "text"), ("confidence", NUMBER), *_texts("accepted", "problem")]
    fields = write.sheet("fields", head + (_texts("picture") if more.picture_of else []), [8, 22, 14, 12, 10, 40, 40])
    rejected = write.sheet("rejected", _texts("source", "problem"), [40, 80])
    number = 0
    for answer in answers:
        if answer.problem:
            row = rejected.next()
            rejected.sheet.write_string(row, 0, " ".join(answer.sources))
            rejected.sheet.write_string(row, 1, answer.problem)
        if not answer.readings:
            continue
        number += 1
        found = {reading.name: reading for reading in answer.readings}
        row = forms.next()
        forms.sheet.write_number(row, 0, number)
        forms.sheet.write_string(row, 1, " ".join(answer.sources))
        forms.sheet.write_number(row, 2, sum(not reading.accepted for reading in answer.readings))
        for column, each in enumerate(singles, 3):
            write.reading(forms.sheet, row, column, each, found.get(each.name))
        for table, rows in zip(tables, of_tables, strict=True):
            _write_table(write, rows, table, number, found)
        for reading in answer.readings:
            _write_field(write, fields, number, reading, more)
    history = None
    for decision in more.history:
        history = history or write.sheet("history", _texts(*HISTORY), [8, 22, 14, 16, 20, 10, 24])
        _write_decision(write, history, decision)


def _texts(*titles: str) -> list[tuple[str, str]]:
    return [(title, TEXT) for title in titles]


def _write_field(write: "_Writer", rows: "_Rows", number: int, reading: FieldReading, more: Extras) -> None:
    row, sheet = rows.next(), rows.sheet
    sheet.write_row(row, 0, [number, reading.name])
    if reading.text:
        sheet.write_string(row, 2, reading.text)
    sheet.write_number(row, 3, round(reading.confidence, 4))
    sheet.write_boolean(row, 4, reading.accepted, write.boolean)
    if reading.problem:
        sheet.write_string(row, 5, reading.problem)
    if more.picture_of:
        write.picture(sheet, row, 6, more.picture_of(number, reading.name), f"{reading.name} of form {number}")


def _write_table(
    write: "_Writer", rows: "_Rows", table: FormField, number: int, found: Mapping[str, FieldReading]
) -> None:
    for i in range(table.rows or 0):
        line = rows.next()
        rows.sheet.write_row(line, 0, [number, i + 1])
        for j in range(table.columns or 0):
            write.reading(rows.sheet, line, j + 2, table, found.get(f"{table.name}_{i + 1}_{j + 1}"))


def _write_decision(write: "_Writer", rows: "_Rows", each: Mapping[str, Any]) -> None:
    row, sheet = rows.next(), rows.sheet
    moment = datetime.fromtimestamp(each["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    sheet.write_number(row, 0, each["form"])
    for column, text in enumerate((each["field"], each["text"], each["reviewer"], moment), 1):
        sheet.write_string(row, column, text)
    sheet.write_boolean(row, 5, bool(each["undone"]), write.boolean)
    sheet.write_string(row, 6, each["how"])


class _Rows:
    """A sheet that is filled row by row."""

    def __init__(self, sheet: Any) -> None:
        self.sheet = sheet
        self._row = 0

    def next(self) -> int:
        """Return the number of the next row."""
        self._row += 1
        if self._row > MOST_ROWS:
            raise OutputError(f"more than {MOST_ROWS:,} rows, which a sheet of a workbook has; write .csv or .jsonl")
        return self._row


class _Writer:
    """The formats of a workbook, and cells in them.

    Args:
        book: the workbook.
        beside: a folder for pictures until the workbook is closed.
    """

    def __init__(self, book: xlsxwriter.Workbook, beside: Path) -> None:
        self._book = book
        self._beside = beside
        self._n_notes = 0
        # Headers stand above what is below them, numbers at the right, all else at the left.
        # A text keeps off the number at its left.
        sides: dict[str, dict[str, Any]] = {TEXT: {"align": TEXT, "indent": 1}, NUMBER: {"align": NUMBER}}
        self._heads = {side: book.add_format(style | {"bold": True, "bottom": 1}) for side, style in sides.items()}
        self._left = book.add_format(sides[TEXT])
        self.boolean = book.add_format(sides[TEXT] | {"num_format": BOOLEAN})
        kinds = {"General": NUMBER, "@": TEXT, "yyyy-mm-dd": NUMBER}
        styles = {name: sides[side] | {"num_format": name} for name, side in kinds.items()}
        self._sure = {name: book.add_format(style) for name, style in styles.items()}
        self._uncertain = {name: book.add_format(style | {"bg_color": "#FFE2B8"}) for name, style in styles.items()}

    def sheet(self, name: str, header: Sequence[tuple[str, str]], widths: Sequence[int]) -> _Rows:
        """Begin a sheet: its columns' titles, each with its side, TEXT or NUMBER, and the widths of the first ones."""
        sheet = self._book.add_worksheet(name[:31])
        for column, (title, side) in enumerate(header):
            width = widths[column] if column < len(widths) else max(12, len(title) + 4)  # the filter's arrow beside it
            sheet.write_string(0, column, title, self._heads[side])
            sheet.set_column(column, column, width, self._left if side == TEXT else None)
        sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MOST_ROWS + 1}"})  # ids, and texts as they were read
        sheet.repeat_rows(0)
        if len(header) <= WIDEST_PRINT:
            sheet.set_landscape()
            sheet.fit_to_pages(1, 0)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, 0, len(header) - 1)
        return _Rows(sheet)

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
        if not reading.accepted and self._n_notes < MOST_NOTES:
            self._n_notes += 1
            note = f"confidence {reading.confidence:.0%}" + (f"; {reading.problem}" if reading.problem else "")
            sheet.write_comment(row, column, note)

    def picture(self, sheet: Any, row: int, column: int, png: bytes, description: str) -> None:
        """Put a picture into a cell's row, as high as that. It lies in a file until the workbook is closed."""
        with Image.open(io.BytesIO(png)) as picture:
            scale = PICTURE_PX / picture.height
        file = self._beside / f"{row}.png"
        file.write_bytes(png)
        options = {"x_scale": scale, "y_scale": scale, "object_position": 1, "description": description}
        sheet.set_row_pixels(row, PICTURE_PX + 2)
        sheet.insert_image(row, column, str(file), options)


def _date_of(text: str) -> date | None:
    try:
        return date(int(text[4:8]), int(text[2:4]), int(text[:2])) if len(text) == 8 else None
    except ValueError:
        return None


# --------------------------------------------------------------------------------------- typed tables, for programs


def write_parquet(file: IO[bytes], form: Form, answers: Iterable[FormAnswer], more: Extras) -> None:
    """Write one row a form, a typed column a field, cells of tables among them.

    Raises:
        MissingExtraError: the extra `scale` is not installed.
    """
    pa, parquet = load_pyarrow("pyarrow"), load_pyarrow("pyarrow.parquet")
    kinds = {"integer": pa.int64(), "decimal": pa.float64(), "date": pa.date32(), "mark": pa.bool_()}
    names = ("source", "problem", "review")
    schema = pa.schema(
        [(name, pa.string()) for name in names]
        + [(each.name, kinds.get(each.type, pa.string())) for each in form.parts()]
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for some in _batches(answers):
            columns: dict[str, Any] = {
                "source": [" ".join(answer.sources) for answer in some],
                "problem": [answer.problem for answer in some],
                "review": [_to_review(answer) for answer in some],
            }
            found = [{reading.name: reading for reading in answer.readings} for answer in some]
            for part in form.parts():
                columns[part.name] = [_typed(part, readings.get(part.name)) for readings in found]
            writer.write_table(pa.table(columns, schema))


def _batches(answers: Iterable[FormAnswer]) -> Iterator[list[FormAnswer]]:
    left = iter(answers)
    while some := list(islice(left, FORMS_AT_ONCE)):
        yield some


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


def _write_package(folder: Path, form: Form, answers: Iterable[FormAnswer]) -> None:
    """Write a Frictionless data package: forms.csv, a CSV for each table, and datapackage.json, which describes them.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    singles = [each for each in form.fields if each.layout != "table"]
    tables = {each: _cells_of(each) for each in form.fields if each.layout == "table"}
    keys: list[Column] = [("form", "integer", {"required": True})]
    resources = [_resource("forms", [*keys, ("source", "string", {}), ("review", "string", {})], singles)]
    for table, cells in tables.items():
        columns = [each.model_copy(update={"name": f"column_{j}"}) for j, each in enumerate(cells, 1)]
        resource = _resource(table.name, [*keys, ("row", "integer", {"required": True})], columns)
        resource["schema"]["foreignKeys"] = [{"fields": "form", "reference": {"resource": "forms", "fields": "form"}}]
        resources.append(resource)
    described = {"profile": "tabular-data-package", "title": form.title, "resources": resources}
    try:
        if folder.exists():
            raise OutputError(f"{folder}: exists already; name a new folder")
        with whole_folder(folder) as new:
            with ExitStack() as open_:
                writers = []
                for resource in resources:
                    text = open_.enter_context(_text(open_.enter_context(whole_file(new / resource["path"]))))
                    writers.append(csv.writer(text, lineterminator="\n"))
                    writers[-1].writerow([column["name"] for column in resource["schema"]["fields"]])
                read = (answer for answer in answers if answer.readings)
                for number, answer in enumerate(read, 1):
                    found = {reading.name: reading for reading in answer.readings}
                    values = (_as_text(each, found) for each in singles)
                    writers[0].writerow([number, " ".join(answer.sources), _to_review(answer), *values])
                    for (table, cells), writer in zip(tables.items(), writers[1:], strict=True):
                        for row in range(1, (table.rows or 0) + 1):
                            names = (f"{table.name}_{row}_{j}" for j in range(1, len(cells) + 1))
                            writer.writerow([number, row, *(_as_text(table, found, name) for name in names)])
            write_bytes(new / "datapackage.json", json.dumps(described, indent=1).encode())
    except OSError as error:
        raise cannot_write(folder, error) from None


Column: TypeAlias = tuple[str, str, dict[str, Any]]


def _cells_of(table: FormField) -> list[FormField]:
    """Return the cells of a table's first row."""
    return [part for part in table.parts() if part.name.startswith(f"{table.name}_1_")]


def _resource(name: str, keys: Sequence[Column], fields: Sequence[FormField]) -> dict[str, Any]:
    """Return how a table is described."""
    kinds = {"integer": "integer", "decimal": "number", "date": "date", "mark": "boolean", "digits": "string"}
    columns = [*keys, *((f.name, kinds[f.type], f.constraints.model_dump(exclude_defaults=True)) for f in fields)]
    described = [
        {"name": name, "type": kind} | ({"constraints": limits} if limits else {}) for name, kind, limits in columns
    ]
    schema = {"fields": described, "primaryKey": [column[0] for column in keys if column[2]], "missingValues": [""]}
    return {"name": name.lower(), "path": f"{name}.csv", "profile": "tabular-data-resource", "schema": schema}


def _as_text(field: FormField, readings: Mapping[str, FieldReading], name: str | None = None) -> str:
    value = _typed(field, readings.get(name or field.name))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


WRITERS = {".xlsx": write_xlsx, ".csv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet}
