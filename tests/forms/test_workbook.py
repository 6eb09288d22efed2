"""The workbook as a spreadsheet program has it: each cell's type, its format, where pictures stand."""

import tempfile
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from inkdigits.forms.export import Extras, write_answers
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.read import FormAnswer
from inkdigits.forms.template import Form, FormField, Page

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"

# The first one is called like a column that every form has.
FIELDS = (
    FormField(name="source", box=(10, 10, 80, 20), type="digits"),
    FormField(name="day", box=(10, 40, 80, 20), type="date"),
    FormField(name="heat", box=(10, 70, 80, 20), type="decimal", decimals=1),
    FormField(name="count", box=(10, 100, 80, 20)),
    FormField(name="long", box=(10, 130, 80, 20)),
    FormField(name="seen", box=(10, 160, 20, 20), type="mark"),
    FormField(name="t", box=(10, 190, 80, 40), layout="table", rows=1, columns=2),
)
TEXTS = {"source": "007", "day": "24122025", "heat": "36.5", "count": "12", "long": "9" * 16, "seen": "x", "t_1_1": "5"}


@dataclass(frozen=True)
class Cell:
    kind: str
    value: str
    style: int


class Workbook:
    """A workbook's sheets, by their names, and the number formats of its styles."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as book:
            self.parts = {name: book.read(name) for name in book.namelist()}
        names = [each.attrib["name"] for each in self.tree("xl/workbook.xml").iter(f"{MAIN}sheet")]
        self.sheets = {name: self.cells(f"xl/worksheets/sheet{i}.xml") for i, name in enumerate(names, 1)}
        styles = self.tree("xl/styles.xml")
        own = {each.attrib["numFmtId"]: each.attrib["formatCode"] for each in styles.iter(f"{MAIN}numFmt")}
        (xfs,) = styles.iter(f"{MAIN}cellXfs")
        self.formats = [own.get(xf.attrib["numFmtId"], "General") for xf in xfs]
        self.is_filled = [xf.attrib["fillId"] != "0" for xf in xfs]

    def tree(self, part: str) -> ElementTree.Element:
        return ElementTree.fromstring(self.parts[part])

    def cells(self, part: str) -> dict[str, Cell]:
        found = {}
        for cell in self.tree(part).iter(f"{MAIN}c"):
            value = cell.findtext(f"{MAIN}v") or cell.findtext(f"{MAIN}is/{MAIN}t") or ""
            found[cell.attrib["r"]] = Cell(cell.attrib.get("t", "n"), value, int(cell.attrib.get("s", 0)))
        return found


def workbook(folder: Path, more: Extras | None = None) -> Workbook:
    form = Form(pages=(Page(picture="p.png", width=100, height=240, sha256="0" * 64),), fields=FIELDS)
    readings = [
        FieldReading(
            each.name, TEXTS.get(each.name, ""), 0.5 if each.name == "heat" else 1.0, each.name != "heat", "", each.box
        )
        for each in form.parts()
    ]
    answers = [FormAnswer(["=1+1.png"], readings), FormAnswer(["http://x"], problem="a blank page")]
    write_answers(folder / "a.xlsx", form, answers, more)
    return Workbook(folder / "a.xlsx")


def test_each_cell_is_of_its_fields_type(tmp_path: Path) -> None:
    book = workbook(tmp_path)
    assert list(book.sheets) == ["forms", "t", "fields", "rejected"]
    forms = book.sheets["forms"]
    titles = [forms[f"{column}1"].value for column in "ABCDEFGHI"]
    assert titles == ["form", "source", "to review", "source", "day", "heat", "count", "long", "seen"]
    day = (date(2025, 12, 24) - date(1899, 12, 30)) // timedelta(days=1)  # Excel's count of days
    wanted = {
        "A2": ("n", "1"), "B2": ("inlineStr", "=1+1.png"), "C2": ("n", "1"), "D2": ("inlineStr", "007"),
        "E2": ("n", str(day)), "F2": ("n", "36.5"), "G2": ("n", "12"), "H2": ("inlineStr", "9" * 16),
        "I2": ("inlineStr", "x"),
    }  # fmt: skip
    assert {name: (forms[name].kind, forms[name].value) for name in wanted} == wanted
    assert [book.formats[forms[name].style] for name in ("D2", "E2", "F2")] == ["@", "yyyy-mm-dd", "General"]
    assert [name for name in wanted if book.is_filled[forms[name].style]] == ["F2"]
    assert (book.sheets["t"]["C2"].kind, book.sheets["t"]["C2"].value) == ("n", "5")
    assert "D2" not in book.sheets["t"]  # an empty cell of the table
    assert book.sheets["rejected"]["A2"].value == "http://x"
    assert not any(name.startswith("xl/worksheets/_rels") and b"http://x" in part for name, part in book.parts.items())


def test_readings_are_texts_with_a_number_and_a_truth_value(tmp_path: Path) -> None:
    fields = workbook(tmp_path).sheets["fields"]
    heat = {column: (fields[f"{column}4"].kind, fields[f"{column}4"].value) for column in "ABCDE"}
    assert heat == {
        "A": ("n", "1"), "B": ("inlineStr", "heat"), "C": ("inlineStr", "36.5"), "D": ("n", "0.5"), "E": ("b", "0"),
    }  # fmt: skip
    assert fields["E2"] == Cell("b", "1", fields["E4"].style)
    assert "F4" not in fields  # no problem: the cell is empty, not a text without characters


def test_each_picture_stands_beside_its_reading(tmp_path: Path) -> None:
    shades = {part.name: 20 * i for i, field in enumerate(FIELDS) for part in field.parts()}

    def picture_of(form: int, name: str) -> bytes:
        return cv2.imencode(".png", np.full((30, 60), shades[name], np.uint8))[1].tobytes()

    book = workbook(tmp_path, Extras(picture_of=picture_of))
    places = [
        (
            int(each.findtext(f"{DRAWING}from/{DRAWING}col") or -1),
            int(each.findtext(f"{DRAWING}from/{DRAWING}row") or -1),
        )
        for each in book.tree("xl/drawings/drawing1.xml").iter(f"{DRAWING}twoCellAnchor")
    ]
    assert places == [(6, row) for row in range(1, 9)]
    said = [each.attrib["descr"] for each in book.tree("xl/drawings/drawing1.xml").iter(f"{DRAWING}cNvPr")]
    assert said == [f"{name} of form 1" for name in shades]
    stored = [part for name, part in book.parts.items() if name.startswith("xl/media/")]
    seen = {int(cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_GRAYSCALE)[0, 0]) for part in stored}
    assert seen == set(shades.values())
    assert tempfile.gettempdir().encode() not in b"".join(book.parts.values())
