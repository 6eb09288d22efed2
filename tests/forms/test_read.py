"""Filled copies of the demo form: laid on the template, read, exported; pages that are none are rejected."""

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inkdigits.cli.main import main
from inkdigits.errors import InputError, OutputError
from inkdigits.forms.alignment import Aligner, AlignmentError
from inkdigits.forms.demo import Copy, blank_form
from inkdigits.forms.export import write_answers
from inkdigits.forms.fields import FieldReading, with_rules
from inkdigits.forms.read import FormAnswer, FormReader

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
    sums = with_rules(reader.form, [*cells.values(), field("total", "40")])
    assert all(reading.accepted for reading in sums)
    (first, *_, total) = with_rules(reader.form, [cells.pop("cases_1_1"), *cells.values(), field("total", "10")])
    assert (first.name, first.text, first.is_repaired, first.accepted) == ("cases_1_1", "10", True, False)
    assert not total.accepted  # it was made to hold, and proves nothing
    broken = with_rules(reader.form, [first, *cells.values(), field("total", "11")])
    assert [reading.name for reading in broken if not reading.accepted] == ["cases_1_1", "total"]
    assert broken[-1].problem == "total == sum(cases)"


def test_when_the_doubtful_fields_of_a_broken_rule_are_known_the_others_are_doubted(reader: FormReader) -> None:
    names = [part.name for part in reader.form.parts() if part.name.startswith("cases")]
    known = [field("cases_1_1", "40", confidence=1.0), field("total", "41", confidence=1.0)]
    others = [field(name, "", confidence=0.999) for name in names[1:]]
    readings = with_rules(reader.form, [known[0], *others, known[1]])
    assert all(reading.accepted for reading in readings if reading.confidence == 1)
    # Any of the others may be the wrong one: nineteen of twenty are looked at.
    doubted = [reading for reading in readings if not reading.accepted]
    assert len(doubted) >= 0.95 * len(others)
    assert {reading.problem for reading in doubted} == {"total == sum(cases)"}
    all_known = [replace(reading, confidence=1.0, accepted=True) for reading in readings]
    assert not any(reading.accepted for reading in with_rules(reader.form, all_known) if reading.name in names)


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


def test_exports_hold_every_field_and_no_formula(reader: FormReader, tmp_path: Path) -> None:
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
    with pytest.raises(OutputError, match=r"\.csv or \.jsonl"):
        write_answers(tmp_path / "b.xlsx", reader.form, answers[:1] * 30_000)
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
