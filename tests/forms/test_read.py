"""Filled copies of the demo form: laid on the template, read, exported; pages that are none are rejected."""

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inkdigits.arrays import GrayImage
from inkdigits.cli.main import main
from inkdigits.errors import InputError, OutputError
from inkdigits.forms import alignment, export, read
from inkdigits.forms.alignment import Aligner, AlignmentError, NothingSeenError, Scan
from inkdigits.forms.demo import Copy, blank_form
from inkdigits.forms.export import write_answers
from inkdigits.forms.fields import FieldReading, _candidates, _cells_as_written, _is_all_read, with_rules
from inkdigits.forms.read import OUT_OF_ORDER, FormAnswer, FormReader, PageAnswer
from inkdigits.forms.template import Form, FormField
from inkdigits.reading.results import Item, LeftOut, Mark, NumberReading

BLANK, FIELDS, _ = blank_form()
BOXES = [part.box for field in FIELDS for part in field.parts()]


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner(BLANK, BOXES)


def test_corners_of_fields_are_found_within_two_pixels(copies: list[Copy], aligner: Aligner) -> None:
    corners = np.array([(x + i * w, y + j * h) for x, y, w, h in BOXES for i in (0, 1) for j in (0, 1)], float)
    off: list[float] = []
    for copy in copies:
        found = aligner.align(copy.picture)
        off += (np.hypot(*(found.place(corners, aligner.size) - copy.place(corners)).T) / found.scale).tolist()
    assert np.mean(np.array(off) < 2.0) > 0.98  # beside a sharp fold up to 2.6
    assert max(off) < 3.0


def test_what_is_not_the_whole_form_is_refused(copies: list[Copy], aligner: Aligner) -> None:
    page = copies[0].picture
    height, width = page.shape
    covered = page.copy()
    cv2.ellipse(covered, (width // 2, 3 * height // 4), (width // 5, height // 6), 20, 0, 360, 120, -1)
    moved = BLANK.copy()
    moved[1830:2090] = 255
    moved[1860:2120] = BLANK[1830:2090]  # another version of the form: a field further down
    strange = np.full((1400, 1000), 240, np.uint8)
    cv2.putText(strange, "Another form", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 3, 30, 6)
    for scan in (page[: height // 2], page[:, : int(0.6 * width)], covered, moved, strange, np.zeros((9, 9), np.uint8)):
        with pytest.raises(AlignmentError):
            aligner.align(scan)


@pytest.fixture
def sparse_page(monkeypatch: pytest.MonkeyPatch) -> GrayImage:
    """A page with little print: a small copy shows too few of its features, of which there are 117."""
    monkeypatch.setattr(alignment, "LEAST_AT_FIRST_LOOK", 120)
    page = np.full((2339, 1654), 255, np.uint8)
    for y in (300, 2000):
        cv2.putText(page, f"Part {y}", (150 + y // 4, y), cv2.FONT_HERSHEY_SIMPLEX, 2, 40, 3, cv2.LINE_AA)
        cv2.rectangle(page, (700, y), (1200, y + 90), 40, 3)
    return page


def test_a_page_with_little_print_is_found_at_a_second_look(sparse_page: GrayImage) -> None:
    aligner, turned = Aligner(sparse_page, []), Scan(np.ascontiguousarray(sparse_page[::-1, ::-1]))
    with pytest.raises(NothingSeenError):
        aligner.align(turned, at_a_glance=True)
    off = aligner.align(turned).place(np.array([[700.0, 900.0]]), aligner.size) - [1654 - 701, 2339 - 901]
    assert np.abs(off).max() < 2


def test_each_page_of_a_form_is_found_also_one_with_little_print(
    copies: list[Copy], aligner: Aligner, monkeypatch: pytest.MonkeyPatch, reader: FormReader, sparse_page: GrayImage
) -> None:
    fields = reader._pages[0][1]
    monkeypatch.setattr(reader, "_pages", [(Aligner(sparse_page, []), fields), (aligner, fields)])
    assert reader._aligned(copies[0].picture)[0] == 1
    assert reader._aligned(sparse_page)[0] == 0
    with pytest.raises(AlignmentError, match="none of the form's 2 pages"):
        reader._aligned(copies[0].picture[:900])


def test_print_without_writing_beside_it_becomes_paper_and_strokes_over_it_go_on(reader: FormReader) -> None:
    page = BLANK.copy()
    x, y, width, _ = next(box for box, part in zip(BOXES, reader.form.parts(), strict=True) if part.name == "total")
    cv2.line(page, (x + 60, y - 20), (x + 60, y + 60), 40, 7)  # over the upper edge of the box
    clean = reader.without_print(page, 0)
    assert clean[y - 4 : y + 5, x + 150 : x + width - 20].min() > 240
    assert clean[y - 10 : y + 20, x + 60].max() < 90


def test_copies_are_read_and_nothing_wrong_is_accepted(copies: list[Copy], reader: FormReader) -> None:
    right = n = 0
    for copy in copies:
        page, readings = reader.read_page(copy.picture)
        assert page == 0
        readings = with_rules(reader.form, readings)
        assert [reading.name for reading in readings] == [part.name for part in reader.form.parts()]
        for reading in readings:
            wanted = copy.values[reading.name]
            same = reading.text == wanted or (bool(wanted) and reading.value == _number(wanted))
            assert same or not reading.accepted, (reading, wanted)
            right, n = right + same, n + 1
    assert right / n > 0.93


def test_ink_that_was_not_read_is_seen() -> None:
    """A field of 100 by 40 pixels at (20, 10): a 9 was read, and what else may lie there."""
    nine = Item(9, 0.99, True, (30, 15, 16, 30), (), np.zeros((28, 28), np.uint8))
    reading = NumberReading("9", "9", 0.99, True, (nine,))

    def is_all_read(left: int, top: int, width: int, height: int, of: NumberReading = reading) -> bool:
        ink = np.zeros((80, 200), np.uint8)
        ink[15:45, 30:46] = 255
        ink[top : top + height, left : left + width] = 255
        return _is_all_read(ink, (20, 10, 100, 40), of)

    assert is_all_read(46, 20, 1, 20)  # the 9's own edge
    assert not is_all_read(60, 30, 8, 11)  # a small 0
    assert is_all_read(60, 38, 4, 8)  # a speck
    assert is_all_read(60, 40, 8, 15)  # print or a stroke of the row below, at the edge
    assert not is_all_read(112, 15, 14, 30)  # a digit over the edge
    assert is_all_read(118, 5, 3, 60)  # a line
    assert is_all_read(60, 30, 8, 11, replace(reading, marks=(Mark(".", (59, 29, 10, 13)),)))
    assert not is_all_read(46, 20, 1, 20, replace(reading, left_out=(LeftOut((60, 15, 9, 30), "text"),)))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def field(
    name: str, text: str, candidates: tuple[tuple[str, float], ...] = (), confidence: float = 0.6
) -> FieldReading:
    return FieldReading(name, text, confidence, confidence > 0.95, "", (0, 0, 9, 9), candidates)


def test_an_equation_accepts_repairs_or_rejects(reader: FormReader) -> None:
    names = [part.name for part in reader.form.parts() if part.name.startswith("cases")]
    empty = [field(name, "", confidence=0.999) for name in names]
    cells = {each.name: each for each in empty} | {"cases_1_1": field("cases_1_1", "40", (("10", 0.3), ("70", 0.1)))}
    sums = with_rules(reader.form, [*cells.values(), field("total", "40", confidence=0.8)])
    assert all(reading.accepted for reading in sums)
    unsure = with_rules(reader.form, [*cells.values(), field("total", "40")])
    assert not unsure[0].accepted  # 1 in 40 that both are wrong by as much
    (first, *_, total) = with_rules(reader.form, [cells.pop("cases_1_1"), *cells.values(), field("total", "10")])
    assert (first.name, first.text, first.is_repaired, first.accepted) == ("cases_1_1", "10", True, False)
    assert not total.accepted  # it was made to hold, and proves nothing
    broken = with_rules(reader.form, [first, *cells.values(), field("total", "11")])
    assert [reading.name for reading in broken if not reading.accepted] == ["cases_1_1", "total"]
    assert broken[-1].problem == "total == sum(cases) does not hold"


def test_when_the_doubtful_fields_of_a_broken_rule_are_known_the_others_are_doubted(reader: FormReader) -> None:
    names = [part.name for part in reader.form.parts() if part.name.startswith("cases")]
    known = [field("cases_1_1", "40", confidence=1.0), field("total", "41", confidence=1.0)]
    others = [field(name, "", confidence=0.999) for name in names[1:]]
    readings = with_rules(reader.form, [known[0], *others, known[1]])
    assert all(reading.accepted for reading in readings if reading.confidence == 1)
    # Any of the others may be the wrong one: nineteen of twenty are looked at.
    doubted = [reading for reading in readings if not reading.accepted]
    assert len(doubted) >= 0.95 * len(others)
    assert {reading.problem for reading in doubted} == {"total == sum(cases) does not hold"}
    all_known = [replace(reading, confidence=1.0, accepted=True) for reading in readings]
    assert not any(reading.accepted for reading in with_rules(reader.form, all_known) if reading.name in names)


def test_a_broken_sum_rejects_those_whose_other_readings_mend_it_and_what_is_not_readable(reader: FormReader) -> None:
    names = [part.name for part in reader.form.parts() if part.name.startswith("cases")]
    cells = {name: field(name, "", confidence=0.999) for name in names}
    cells |= {f"cases_1_{i}": field(f"cases_1_{i}", "20", confidence=0.96) for i in (1, 2, 3, 4)}
    cells["cases_2_1"] = field("cases_2_1", "16", (("17", 0.1),), 0.9)
    cells["cases_3_1"] = field("cases_3_1", "26", (("27", 0.2),), 0.83)
    cells["cases_4_1"] = field("cases_4_1", "31", (("37", 0.2),), 0.82)  # makes no sum hold
    total = field("total", "154", confidence=0.99)
    answers = {each.name: each for each in with_rules(reader.form, [*cells.values(), total])}
    doubted = [each for each in answers.values() if each.problem == "total == sum(cases) does not hold"]
    likeliest = sorted(doubted, key=lambda each: each.confidence)[:2]
    assert [each.name for each in likeliest] == ["cases_3_1", "cases_2_1"]
    assert likeliest[0].confidence < likeliest[1].confidence < 0.7
    assert answers["cases_4_1"].problem == ""  # by the doubt about each alone it comes first, and nine are rejected
    assert len(doubted) <= 4
    # Something is written that cannot be read: most likely that is what the sum lacks.
    cells["cases_5_1"] = replace(cells["cases_5_1"], accepted=False, confidence=0.0, problem="written on")
    lacking = with_rules(reader.form, [*cells.values(), replace(total, text="163")])
    assert min(lacking, key=lambda each: each.confidence).name == "cases_5_1"


def test_two_errors_of_a_table_are_repaired_each_by_its_own_rules(tmp_path: Path) -> None:
    """Each wrong day breaks the sum of its column and the mean of its row; one digit read otherwise repairs both."""
    page = {"picture": "page-1.png", "width": 800, "height": 800, "sha256": "0" * 64}
    table = {"name": "days", "box": (0, 0, 300, 200), "layout": "table", "rows": 4, "columns": 3, "type": "decimal"}
    sums = {"name": "sums", "box": (0, 300, 300, 50), "layout": "table", "rows": 1, "columns": 3, "type": "decimal"}
    days = {"1_1": "25.9", "1_2": "13.8", "1_3": "19.9", "2_1": "26.5", "2_2": "14.1", "2_3": "20.3"}
    days |= {"3_1": "24.4", "3_2": "14.2", "3_3": "19.3", "4_1": "25.3", "4_2": "14.6", "4_3": "20.0"}
    form = Form.model_validate(
        {
            "pages": (page,),
            "fields": (table, sums),
            "rules": (
                *(f"sums_1_{column} == column(days, {column})" for column in (1, 2, 3)),
                *(f"abs(2 * days_{row}_3 - days_{row}_1 - days_{row}_2) <= 0.2" for row in (1, 2, 3, 4)),
            ),
        }
    )
    sums_read = {"sums_1_1": "102.1", "sums_1_2": "56.7", "sums_1_3": "79.5"}
    read_right = {f"days_{place}": text for place, text in days.items()} | sums_read
    right = [field(name, text, confidence=0.9) for name, text in read_right.items()]
    assert all(reading.accepted for reading in with_rules(form, right))  # though floats of tenths do not add up
    read = {each.name: each for each in right}
    read["days_2_1"] = field("days_2_1", "20.5", (("26.5", 0.2), ("29.5", 0.1)))
    read["days_3_2"] = field("days_3_2", "19.2", (("14.2", 0.2), ("17.2", 0.1)))
    answers = {each.name: each for each in with_rules(form, list(read.values()))}
    assert {name: each.text for name, each in answers.items()} == {each.name: each.text for each in right}
    assert {name for name, each in answers.items() if each.is_repaired} == {"days_2_1", "days_3_2"}
    assert not any(answers[name].accepted for name in ("days_2_1", "days_3_2", "sums_1_1", "sums_1_2"))


def test_a_decimal_point_read_as_1_and_a_stray_minus_are_told_by_the_limits() -> None:
    wanted = FormField.model_validate(
        {"name": "a", "box": (0, 0, 90, 40), "type": "decimal", "decimals": 1}
        | {"constraints": {"minimum": 0, "maximum": 45}}
    )
    blank = np.zeros((28, 28), np.uint8)
    items = [Item(digit, 0.9, True, (0, 0, 9, 9), ((digit, 0.9),), blank) for digit in (1, 8, 1, 7)]
    assert [text for text, _ in _candidates(wanted, "181.7", items)] == ["18.7"]
    assert [text for text, _ in _candidates(wanted, "-18.7", [items[0], items[1], items[3]])] == ["18.7"]


def test_the_rows_of_a_table_part_where_least_is_written() -> None:
    table = FormField(name="t", box=(0, 50, 300, 200), layout="table", rows=4, columns=2)
    ink = np.zeros((320, 300), np.uint8)
    assert [box for _, box in _cells_as_written(table, ink)] == [part.box for part in table.parts()]
    for row in range(4):
        ink[60 + 50 * row + 12 : 60 + 50 * row + 45, 20:280] = 255  # 12 px lower than the table has its rows
    for (name, (x, y, width, height)), part in zip(_cells_as_written(table, ink), table.parts(), strict=True):
        assert (name, x, width) == (part.name, part.box[0], part.box[2])
        written = ink[y : y + height, 100] > 0
        assert written.sum() == 33
        assert not written[0]
        assert not written[-1]


def test_an_equation_of_one_field_that_is_filled_in_accepts_nothing(reader: FormReader) -> None:
    empty = [field(part.name, "") for part in reader.form.parts() if part.name.startswith("cases")]
    assert not any(reading.accepted for reading in with_rules(reader.form, [*empty, field("total", "0")]))


def test_files_of_every_kind_become_a_workbook(
    copies: list[Copy],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scans, pages = tmp_path / "scans", [Image.fromarray(copy.picture) for copy in copies]
    scans.mkdir()
    pages[0].save(scans / "a.tif", save_all=True, append_images=[pages[1]])
    pages[2].save(scans / "b.pdf", resolution=150)
    pages[3].save(scans / "c.png")
    pages[4].save(scans / "misnamed.tif", "PNG")
    pages[3].save(scans / "d.bmp")  # the same page once more
    Image.new("L", (900, 1300), 255).save(scans / "e.png")
    (scans / "f.pdf").write_bytes(b"%PDF-1.4 broken")
    (scans / "notes.txt").write_text("passed over")
    output = tmp_path / "answers.xlsx"
    monkeypatch.setattr("sys.argv", ["inkdigits", "form", "read", str(folder), str(scans), "--output", str(output)])
    with pytest.raises(SystemExit, match="1"):  # pages were rejected
        main()
    said = capsys.readouterr()
    assert said.out.strip() == str(output)
    assert "5 forms, 225 fields" in said.err
    for part in ("d.bmp: the same picture as", "e.png: a blank page", "f.pdf: "):
        assert part in said.err
    assert output.read_bytes()[:2] == b"PK"
    with pytest.raises(SystemExit, match="1"):  # it exists
        main()
    assert "--overwrite" in capsys.readouterr().err


def test_exports_hold_every_field_and_no_formula(
    reader: FormReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = [FieldReading(part.name, "12", 0.9, True, "", part.box) for part in reader.form.parts()]
    answers = [FormAnswer(["=cmd.png"], readings), FormAnswer(["x.png"], problem="a blank page")]
    write_answers(tmp_path / "a.csv", reader.form, answers)
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert len(rows) == 3
    assert rows[0].split(",")[:5] == ["source", "problem", "review", "post", "date"]
    assert rows[1].startswith("'=cmd.png,,,12,12,")
    write_answers(tmp_path / "a.jsonl", reader.form, answers)
    stored = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(stored[0]["fields"]) == 45
    assert stored[1] == {"sources": ["x.png"], "problem": "a blank page", "sure": False, "fields": []}
    write_answers(tmp_path / "a.xlsx", reader.form, [FormAnswer(["x"], [replace(readings[8], text="9" * 40)])])
    assert export.MOST_ROWS == 2**20 - 1  # as spreadsheets have below the header
    monkeypatch.setattr(export, "MOST_ROWS", 1_000)
    with pytest.raises(OutputError, match=r"\.csv or \.jsonl"):
        write_answers(tmp_path / "b.xlsx", reader.form, answers[:1] * 30)
    assert not (tmp_path / "b.xlsx").exists()
    with pytest.raises(OutputError, match="ending"):
        write_answers(tmp_path / "a.doc", reader.form, answers)


def test_no_scans_is_an_error(reader: FormReader, tmp_path: Path) -> None:
    for paths in ([tmp_path], [tmp_path / "none.png"]):
        with pytest.raises(InputError):
            list(reader.read(paths))


def test_a_page_of_many_in_a_pdf_keeps_its_number(copies: list[Copy], tmp_path: Path, reader: FormReader) -> None:
    stored = io.BytesIO()
    pages = [Image.fromarray(copy.picture) for copy in copies[:2]]
    pages[0].save(stored, "PDF", save_all=True, append_images=pages[1:], resolution=150)
    (tmp_path / "two.pdf").write_bytes(stored.getvalue())
    answers = list(reader.read([tmp_path / "two.pdf"]))
    assert [answer.sources for answer in answers] == [[f"{tmp_path / 'two.pdf'}#1"], [f"{tmp_path / 'two.pdf'}#2"]]
    assert all(answer.readings for answer in answers)


@pytest.mark.parametrize(
    ("stack", "problems"),
    [
        ("1221", ["", ""]),
        ("1 2 1", ["", "page 2 is missing"]),
        ("112", ["page 2 is missing", OUT_OF_ORDER]),
        ("1122", ["page 2 is missing", OUT_OF_ORDER, "page 1 is missing"]),  # a stack that is sorted by page
        ("11212", ["page 2 is missing", OUT_OF_ORDER, ""]),
    ],
)
def test_pages_that_may_be_of_two_copies_are_not_joined_in_silence(
    reader: FormReader, monkeypatch: pytest.MonkeyPatch, stack: str, problems: list[str]
) -> None:
    nothing = np.zeros((4, 4), np.uint8)
    answers = [
        PageAnswer(f"{i}.png", str(i), int(page) - 1, nothing, []) for i, page in enumerate(stack.replace(" ", ""))
    ]
    monkeypatch.setattr(reader, "form", reader.form.model_copy(update={"pages": reader.form.pages * 2, "fields": ()}))
    monkeypatch.setattr(reader, "_pages", reader._pages * 2)
    monkeypatch.setattr(reader, "_page_answers", lambda *_: iter(answers))
    monkeypatch.setattr(read, "documents_in", lambda *_: [])
    monkeypatch.setattr(read, "with_rules", lambda _, readings: readings)
    assert [answer.problem for answer in reader.read([])] == problems
