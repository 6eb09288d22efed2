"""A job: what was read and keyed is kept, weighed by the rules, given to one reviewer at a time, and survives kills."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
import time
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from forms.made import FLAT, page_of

from inkdigits.cli.main import main
from inkdigits.errors import FormError
from inkdigits.files.images import read_image
from inkdigits.forms import export
from inkdigits.forms.alignment import AlignmentError
from inkdigits.forms.demo import Copy, save_demo_form
from inkdigits.forms.export import write_answers
from inkdigits.forms.job import Job
from inkdigits.forms.keying import keyed_text
from inkdigits.forms.read import FormAnswer, FormReader
from inkdigits.forms.template import FormField


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> Job:
    return Job.begin(tmp_path / "job", folder)


def values_of(job: Job) -> list[dict[str, tuple[str, bool]]]:
    return [{r.name: (r.text, r.accepted) for r in answer.readings} for answer in job.answers() if answer.readings]


def test_a_value_keyed_as_read_stands_and_another_is_asked_for_twice(job: Job) -> None:
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("12", 0.8), "cases_1_2": ("30", 0.8), "total": ("42", 1.0)}))
    # The sum holds: nothing is left to key.
    assert job.tasks("ann") == []
    job.add(page_of(job.form, "b.png", {"cases_1_1": ("12", 0.5), "cases_1_2": ("36", 0.6), "total": ("42", 1.0)}))
    first, second = job.tasks("ann", 5)
    assert (first.name, first.form, first.problem) == ("cases_1_1", 2, "total == sum(cases) does not hold")
    assert job.key(first.field, "12", "ann").accepted
    outcome = job.key(second.field, "30", "ann")
    assert (outcome.accepted, outcome.read, outcome.problem) == (False, "36", "keyed otherwise than read")
    assert job.tasks("ann")[0].field == second.field
    assert job.key(second.field, "30", "ann").accepted
    assert job.tasks("ann") == []
    assert values_of(job)[1]["cases_1_2"] == ("30", True)
    assert [each["text"] for each in job.history()] == ["12", "30", "30"]
    assert job.progress().decisions == 3


def test_what_was_keyed_twice_stands_against_a_rule(job: Job) -> None:
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("12", 1.0), "total": ("13", 1.0)}))
    keyed: list[str] = []
    while tasks := job.tasks("ann", 1):
        assert len(keyed) < 200
        keyed.append(tasks[0].name)
        job.key(tasks[0].field, {"cases_1_1": "12", "total": "13"}.get(tasks[0].name, ""), "ann")
    standing = {r.name: r for answer in job.answers() for r in answer.readings}
    assert all(r.accepted for r in standing.values())
    assert standing["total"].problem == "total == sum(cases) does not hold"
    assert max(keyed.count(name) for name in keyed) <= 2


def test_a_value_out_of_range_is_asked_for_again(job: Job) -> None:
    job.add(page_of(job.form, "a.png", {"date": ("", 0.5)}))
    (task,) = [each for each in job.tasks("ann", 9) if each.name == "date"]
    assert job.key(task.field, "32012026", "ann").problem == "no date"
    assert job.key(task.field, "31012026", "ann").accepted is False  # the reader took it for empty
    assert job.key(task.field, "31012026", "ann").accepted


def test_undo_takes_ones_own_last_value_back(job: Job) -> None:
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("12", 0.5), "post": ("7", 0.5)}))
    tasks = job.tasks("ann", 9)
    job.key(tasks[0].field, "", "ann")
    job.key(tasks[1].field, "", "ben")
    undone = job.undo("ann")
    assert undone is not None
    assert undone.field == tasks[0].field
    assert job.undo("ann") is None
    assert [each["undone"] for each in job.history()] == [1, 0]


def test_two_reviewers_get_different_fields_and_postponed_ones_come_last(job: Job) -> None:
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("1", 0.5), "cases_2_1": ("2", 0.5), "cases_3_1": ("3", 0.5)}))
    mine, yours = job.tasks("ann", 1), job.tasks("ben", 1)
    assert mine[0].field != yours[0].field
    assert job.tasks("ann", 1) == mine
    job.postpone(mine[0].field)
    assert [each.field for each in job.tasks("ann", 9)][-1] == mine[0].field


def work_of(job: Job, ask: Callable[[], object]) -> int:
    """Return how many hundreds of SQLite's instructions a request takes."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with job._store.session() as connection:
        connection.set_progress_handler(count, 100)
        ask()
        connection.set_progress_handler(None, 0)
    return steps


def test_the_next_fields_take_no_longer_in_a_job_of_many_forms(job: Job) -> None:
    def add(numbers: range) -> None:
        for number in numbers:
            job.add(page_of(job.form, f"{number}.png", {"cases_1_1": ("12", 0.5), "fridge": ("4.5", 0.5)}))

    add(range(3))
    before = [work_of(job, ask) for ask in (lambda: job.tasks("ann"), job.progress)]
    add(range(3, 40))
    after = [work_of(job, ask) for ask in (lambda: job.tasks("ann"), job.progress)]
    assert [max(0, now - then) <= 5 for now, then in zip(after, before, strict=True)] == [True, True], (before, after)


def recounted(job: Job) -> tuple[int, int, int, int]:
    with job._store.session() as connection:
        row = connection.execute(
            """SELECT count(*), count(*) FILTER (WHERE left AND problem <> ''),
               count(*) FILTER (WHERE left AND problem = ''), (SELECT count(*) FROM decisions WHERE NOT undone)
               FROM (SELECT problem, accepted = 0 AND id NOT IN (SELECT field FROM audit) AS left FROM fields)"""
        ).fetchone()
    return tuple(row)


def counted_by(job: Job) -> tuple[int, int, int, int]:
    state = job.progress()
    return state.fields, state.rules_left, state.doubts_left, state.decisions


def test_what_is_left_is_counted_as_forms_are_read_keyed_and_audited(job: Job) -> None:
    for number in range(4):
        values = {"cases_1_1": ("12", 0.5 if number else 1.0), "cases_2_1": ("8", 0.9), "total": ("21", 1.0)}
        job.add(page_of(job.form, f"{number}.png", values))
    assert counted_by(job) == recounted(job)
    assert job.progress().rules_left > 0
    job.add(
        page_of(job.form, "sure.png", {"cases_1_1": ("12", 0.5), "fridge": ("4.5", 0.5), "total": ("17", 0.5)}, "1")
    )
    job.draw_audit(100, risk=0.05)
    assert counted_by(job) == recounted(job)
    seen = set()
    for number in range(30):
        (task,) = job.tasks("ann", 1)
        job.key(task.field, ("12", "8", "20")[number % 3], "ann")
        if number % 5 == 4:
            job.undo("ann")
        seen.add(counted_by(job))
        assert counted_by(job) == recounted(job)
    assert len(seen) > 3


def test_a_job_of_the_format_before_is_upgraded(job: Job, folder: Path) -> None:
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("12", 0.5), "fridge": ("4.5", 0.5), "total": ("13", 1.0)}))
    tasks, state = job.tasks("ann", 9), job.progress()
    job.close()
    with closing(sqlite3.connect(job.folder / "job.sqlite3")) as db, db:
        for made in (
            "TRIGGER count_new",
            "TRIGGER count_changed",
            "TABLE counts",
            "INDEX to_review",
            "INDEX taken_back",
        ):
            db.execute(f"DROP {made}")
        db.execute("CREATE INDEX to_review ON fields (accepted, postponed, problem)")
        db.execute("PRAGMA user_version = 2")
    again = Job(job.folder)
    assert again.tasks("ann", 9) == tasks
    assert again.progress() == state
    again.add(page_of(again.form, "b.png", {"fridge": ("4.5", 0.5)}))
    assert counted_by(again) == recounted(again)


def test_a_value_that_must_be_unique_is_rejected_the_second_time(tmp_path: Path) -> None:
    save_demo_form(tmp_path)
    stored = json.loads((tmp_path / "form.json").read_text())
    stored["fields"][0]["constraints"]["unique"] = True
    (tmp_path / "form.json").write_text(json.dumps(stored))
    job = Job.begin(tmp_path / "job", tmp_path)
    name = stored["fields"][0]["name"]
    job.add(page_of(job.form, "a.png", {name: ("79927398713", 1.0)}))
    second = job.add(page_of(job.form, "b.png", {name: ("79927398713", 1.0)}))
    (rejected,) = [reading for reading in second.readings if not reading.accepted]
    assert (rejected.name, rejected.problem) == (name, "the same as in a.png")


def test_a_rejected_page_is_aligned_by_four_clicks(job: Job, reader: FormReader, copies: list[Copy]) -> None:
    copy = copies[0]
    job.add(FormAnswer(["a.png"], problem="a blank page", scan=copy.picture, digest="a" * 64))
    job.add(FormAnswer(["b.png"], problem="a blank page", scan=FLAT[:400, :300], digest="b" * 64))
    (page, source, problem), (other, *_) = job.unaligned_pages()
    assert (source, problem) == ("a.png", "a blank page")
    with pytest.raises(AlignmentError):
        job.align(reader, page, 0, copy.place(reader.anchors(0))[::-1])  # in another order
    clicks = copy.place(reader.anchors(0)) + np.random.default_rng(1).uniform(-4, 4, (4, 2))
    job.align(reader, page, 0, clicks)
    (answer, *_) = job.answers()
    right = [r.text == copy.values[r.name] for r in answer.readings if copy.values[r.name]]
    assert np.mean(right) > 0.8
    job.discard(other)
    assert job.unaligned_pages() == []
    assert job.progress().pages_left == 0
    with pytest.raises(FormError):
        job.align(reader, other, 0, clicks)


def test_a_page_aligned_wrong_is_never_accepted(reader: FormReader, copies: list[Copy]) -> None:
    copy = copies[0]
    off = copy.place(reader.anchors(0)) + np.array([0, 0.03 * copy.picture.shape[0]])
    _, readings = reader.read_aligned(copy.picture, 0, off)
    assert not any(reading.accepted for reading in readings)


def test_keyed_fields_come_without_what_is_printed_in_them(
    reader: FormReader, copies: list[Copy], folder: Path, tmp_path: Path
) -> None:
    """What a hand is learned from: its digits, not the form's boxes."""
    job = Job.begin(tmp_path / "keyed.job", folder)
    cv2.imwrite(str(tmp_path / "scan.png"), copies[0].picture)
    list(job.read(reader, [tmp_path / "scan.png"]))
    name, text = next((name, text) for name, text in copies[0].values.items() if text and "." not in text)
    (field,) = [task.field for task in job.tasks("a", 10_000) if task.name == name] or [None]
    if field is None:  # it was accepted: a person may key it all the same
        with job._session() as connection:
            (field,) = connection.execute("SELECT id FROM fields WHERE name = ?", (name,)).fetchone()
    for _ in range(2):
        job.key(field, text, "a")
    ((picture, keyed),) = job.keyed(reader)
    assert keyed == text
    printed = np.asarray(read_image(job.cut_out(field, 0.0)))
    # The lines of the box, along its edges, are there in the one and gone in the other.
    assert (picture < 128).sum() < (printed < 128).sum()
    assert (picture[:3] < 128).mean() < 0.2
    job.close()


def test_cut_outs_show_the_field(job: Job) -> None:
    answer = page_of(job.form, "a.png", {"total": ("3", 0.5)})
    picture = FLAT.copy()
    x, y, width, height = next(part.box for part in job.form.parts() if part.name == "total")
    picture[y + 10 : y + height - 10, x + 10 : x + width - 10] = 0
    job.add(replace(answer, pages=[replace(answer.pages[0], flat=picture)]))
    (task,) = [each for each in job.tasks("ann", 9) if each.name == "total"]
    close, wide = (read_image(job.cut_out(task.field, room)).mean() for room in (0.1, 2))
    assert close < 150 < wide
    with pytest.raises(FormError):
        job.cut_out(99_999, 0.2)


@pytest.mark.parametrize(
    ("field", "keys", "text"),
    [
        ({}, " 12 ", "12"),
        ({}, "-3", "-3"),
        ({"type": "decimal"}, "1,5", "1.5"),
        ({"type": "decimal", "decimals": 1}, "5", "0.5"),
        ({"type": "decimal", "decimals": 2}, "-1234", "-12.34"),
        ({"type": "digits"}, "007", "007"),
        ({"type": "mark"}, "1", "x"),
        ({"type": "mark"}, "0", ""),
    ],
)
def test_keys_become_a_text(field: dict[str, object], keys: str, text: str) -> None:
    assert keyed_text(FormField.model_validate({"name": "a", "box": (0, 0, 9, 9)} | field), keys) == text


@pytest.mark.parametrize("keys", ["1a", "1.2.3", "--1", "²", "1" * 31, "."])
def test_keys_that_mean_nothing_are_refused(keys: str) -> None:
    with pytest.raises(FormError):
        keyed_text(FormField.model_validate({"name": "a", "box": (0, 0, 9, 9), "type": "decimal"}), keys)


def test_a_job_of_another_template_and_what_is_no_job_are_refused(job: Job, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    save_demo_form(tmp_path / "other")
    stored = json.loads((tmp_path / "other" / "form.json").read_text()) | {"title": "Another"}
    (tmp_path / "other" / "form.json").write_text(json.dumps(stored))
    with pytest.raises(FormError, match="another version of the form"):
        Job.begin(job.folder, tmp_path / "other")
    with pytest.raises(FormError, match="not a job"):
        Job(tmp_path)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_or_doubled(folder: Path, copies: list[Copy], tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, copy in enumerate(copies):
        cv2.imwrite(str(scans / f"{number}.png"), copy.picture)
    command = [sys.executable, "-m", "inkdigits", "form", "read", str(folder), str(scans), "--job"]
    kept = tmp_path / "killed.job"
    for pause in (1.5, 3.0, 4.5):
        with subprocess.Popen([*command, str(kept)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
    subprocess.run([*command, str(kept)], check=True, capture_output=True)
    subprocess.run([*command, str(tmp_path / "whole.job")], check=True, capture_output=True)
    assert len(values_of(Job(kept))) == len(copies)
    assert values_of(Job(kept)) == values_of(Job(tmp_path / "whole.job"))


def test_a_job_is_exported_with_what_was_keyed(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("12", 0.5), "total": ("13", 0.5)}))
    for task in job.tasks("ann", 9):
        if task.name == "total":
            job.key(task.field, "12", "ann")
            job.key(task.field, "12", "ann")
    job.close()
    for ending in (".xlsx", ".csv", ".jsonl"):
        output = tmp_path / f"answers{ending}"
        monkeypatch.setattr("sys.argv", ["inkdigits", "form", "export", str(job.folder), "--output", str(output)])
        with pytest.raises(SystemExit, match="0"):
            main()
        said = capsys.readouterr()
        assert said.out.strip() == str(output)
        assert "1 form, 45 fields, 0 of them to review; 0 pages rejected" in said.err
    (stored,) = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert [each["text"] for each in stored["fields"] if each["text"]] == ["12", "12"]
    with zipfile.ZipFile(tmp_path / "answers.xlsx") as book:
        assert b'name="history"' in book.read("xl/workbook.xml")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["inkdigits", *words])
    with pytest.raises(SystemExit, match="0"):
        main()


def test_typed_tables_and_pictures(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {"post": ("007", 1.0), "date": ("31012026", 1.0), "fridge": ("4.5", 1.0), "stock_counted": ("x", 1.0)}
    job.add(page_of(job.form, "a.png", values | {"cases_2_3": ("12", 1.0), "total": ("1.5", 1.0)}))
    job.add(page_of(job.form, "b.png", {"date": ("32012026", 0.5)}))
    job.close()
    run(monkeypatch, "form", "export", str(job.folder), "--output", str(tmp_path / "package"))
    described = json.loads((tmp_path / "package" / "datapackage.json").read_text())
    resources = {each["name"]: each for each in described["resources"]}
    columns = {each["name"]: each for each in resources["forms"]["schema"]["fields"]}
    assert (columns["post"]["type"], columns["fridge"]["type"]) == ("string", "number")
    assert columns["fridge"]["constraints"]["maximum"] == 30
    first, second = csv.DictReader((tmp_path / "package" / "forms.csv").read_text().splitlines())
    assert [first[name] for name in ("post", "date", "fridge", "stock_counted", "total")] == [
        *("007", "2026-01-31", "4.5", "true", ""),
    ]
    assert second["date"] == ""
    cells = list(csv.DictReader((tmp_path / "package" / "cases.csv").read_text().splitlines()))
    assert len(cells) == 20
    assert cells[1] == {"form": "1", "row": "2", "column_1": "", "column_2": "", "column_3": "12", "column_4": ""}
    run(monkeypatch, "form", "export", str(job.folder), "--output", str(tmp_path / "a.xlsx"), "--pictures")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        assert any(name.startswith("xl/media/") for name in book.namelist())
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `scale` is not installed")
    run(monkeypatch, "form", "export", str(job.folder), "--output", str(tmp_path / "a.parquet"))
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert (rows[0]["post"], rows[0]["cases_2_3"], rows[0]["total"], rows[1]["date"]) == ("007", 12, None, None)


@pytest.mark.parametrize("ending", [".xlsx", ".csv", ".jsonl", ".parquet", ""])
def test_exports_hold_few_forms_at_a_time(
    job: Job, ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra `scale` is not installed")
    monkeypatch.setattr(export, "FORMS_AT_ONCE", 5)
    alive: weakref.WeakSet[FormAnswer] = weakref.WeakSet()
    most = 0

    def answers() -> Iterator[FormAnswer]:
        nonlocal most
        made = page_of(job.form, "a.png", {"total": ("3", 0.5)})
        for number in range(60):
            answer = _Answer([f"{number}.png"], made.readings)
            alive.add(answer)
            most = max(most, len(alive))
            yield answer
            del answer

    write_answers(tmp_path / f"a{ending}", job.form, answers())
    assert 0 < most <= 12


class _Answer(FormAnswer):
    """One that a set can hold."""

    __hash__ = object.__hash__


def test_what_is_no_page_is_counted_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    cv2.imwrite(str(scans / "1.png"), FLAT)
    for name in ("a.txt", "b.docx", "c.zip", "d.txt", ".hidden"):
        (scans / name).write_text("")
    words = ["inkdigits", "form", "read", str(folder), str(scans), "--job", str(tmp_path / "a.job")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="1"):
        main()
    assert "4 files passed over, no pictures: a.txt, b.docx, c.zip, ...\n" in capsys.readouterr().err
    for more in ([], ["--output", str(tmp_path / "a.csv")], ["--layout", "table"]):
        monkeypatch.setattr("sys.argv", ["inkdigits", "read", str(scans), *more])
        with pytest.raises(SystemExit, match="0"):
            main()
        assert "4 files passed over, no pictures: a.txt, b.docx, c.zip, ...\n" in capsys.readouterr().err
