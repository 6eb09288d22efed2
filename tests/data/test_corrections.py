"""Corrections: kept, listed, exported in MNIST's format, taken back, deleted."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from inkdigits.cli.main import app
from inkdigits.data.corrections import Corrections, export_corrections, latest
from inkdigits.data.loading import load_data
from inkdigits.errors import DataError, OutputError

BOX = (1, 2, 30, 40)


def framed(level: int) -> np.ndarray:
    return np.full((28, 28), level, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "new" / "corrections.sqlite3")


def add(store: Corrections, truth: int | None, picture: bytes = b"picture") -> int:
    return store.add(picture, BOX, 1, 0.5, truth, "net", framed(truth or 0))


def test_a_correction_comes_back_as_it_was(store: Corrections) -> None:
    number = store.add(b"picture", BOX, 1, 0.75, 7, "net", framed(9))
    (correction,) = store.all()
    assert (correction.id, correction.box, correction.answer, correction.truth) == (number, BOX, 1, 7)
    assert (correction.confidence, correction.model) == (0.75, "net")
    assert correction.picture_sha256 == hashlib.sha256(b"picture").hexdigest()
    assert np.array_equal(correction.framed, framed(9))
    assert sqlite3.connect(store.path).execute("SELECT data FROM pictures").fetchall() == [(b"picture",)]
    store.close()


def test_the_log_is_written_ahead_and_flushed_with_each_commit(store: Corrections) -> None:
    add(store, 1)
    assert store._connection is not None
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    store.close()


def test_no_file_is_no_corrections_and_none_is_made(store: Corrections) -> None:
    assert store.all() == []
    assert store.clear() == 0
    assert not store.path.parent.exists()


def test_many_threads_and_two_programs_add_at_once(store: Corrections) -> None:
    other = Corrections(store.path)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda i: add((store, other)[i % 2], i % 10), range(40)))
    assert sorted(numbers) == list(range(1, 41))
    store.close()
    other.close()


def test_a_new_file_in_another_programs_hands_is_waited_for(
    store: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # before which SQLite gives up turning to WAL at once, whatever its timeout
        # The other program is done while this one waits.
        monkeypatch.setattr(time, "sleep", lambda _: other.in_transaction and other.execute("COMMIT"))
        assert add(store, 7) == 1
    store.close()


def test_clear_leaves_no_trace_in_the_file(store: Corrections) -> None:
    add(store, 3, b"a picture that somebody may want gone" * 100)
    add(store, 4)
    assert store.clear() == 2
    assert store.all() == []
    store.close()
    for file in store.path.parent.iterdir():
        assert b"somebody may want gone" not in file.read_bytes()


def test_a_damaged_or_foreign_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.sqlite3"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DataError, match=r"broken\.sqlite3"):
        Corrections(path).all()
    newer = tmp_path / "newer.sqlite3"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataError, match="another version"):
        Corrections(newer).all()


def test_a_full_file_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    store = Corrections(tmp_path / "small.sqlite3", max_bytes=100_000)
    add(store, 1)
    with pytest.raises(DataError, match="full"):
        add(store, 2, os.urandom(200_000))
    assert len(store.all()) == 1
    add(store, 3)
    assert [c.truth for c in store.all()] == [1, 3]
    store.close()


def test_the_export_is_a_data_set_in_mnists_format(store: Corrections, tmp_path: Path) -> None:
    for i in range(11):
        add(store, i % 10, str(i).encode())
    assert export_corrections(store.all(), tmp_path / "out") == (8, 3)
    train, test = load_data(tmp_path / "out")
    assert test.labels.tolist() == [0, 5, 0]
    assert train.labels.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert np.array_equal(train.images[3], framed(4))
    with pytest.raises(OutputError, match="exists"):
        export_corrections(store.all(), tmp_path / "out")
    store.close()


def test_one_correction_is_enough_to_export_and_none_is_not(store: Corrections, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no corrected digits"):
        export_corrections(store.all(), tmp_path / "out")
    add(store, 5)
    assert export_corrections(store.all(), tmp_path / "out") == (1, 1)
    assert load_data(tmp_path / "out")[0].labels.tolist() == [5]
    store.close()


def test_what_is_not_a_digit_is_kept_but_not_exported(store: Corrections, tmp_path: Path) -> None:
    add(store, None, b"a blot")
    with pytest.raises(DataError, match="no corrected digits"):
        export_corrections(store.all(), tmp_path / "out")
    for i in range(4):
        add(store, i, str(i).encode())
    assert "not a digit" in str(store.all()[0])
    assert store.all()[0].to_dict()["truth"] is None
    export_corrections(store.all(), tmp_path / "out")
    train, test = load_data(tmp_path / "out")
    assert train.labels.tolist() == [0, 1, 2, 3]
    assert test.labels.tolist() == [0, 1, 2, 3]  # none of their numbers is for testing
    store.close()


def test_a_correction_can_be_taken_back_with_its_picture(store: Corrections) -> None:
    assert not store.remove(1)
    first = add(store, 3, b"a picture that somebody wants gone" * 100)
    second = add(store, 4, b"a picture that somebody wants gone" * 100)
    assert store.remove(second)
    assert [correction.id for correction in store.all()] == [first]
    assert not store.remove(second)
    assert store.remove(first)
    assert add(store, 5) == second + 1  # no number is given twice
    store.close()
    for file in store.path.parent.iterdir():
        assert b"somebody wants gone" not in file.read_bytes()


def test_a_digit_keeps_its_side_of_the_export(store: Corrections, tmp_path: Path) -> None:
    for i in range(7):
        add(store, i, str(i).encode())
    export_corrections(store.all(), tmp_path / "before")
    store.remove(2)
    add(store, 9, b"0")  # corrected again: still for testing
    export_corrections(store.all(), tmp_path / "after")
    assert load_data(tmp_path / "before")[1].labels.tolist() == [0, 5]
    assert load_data(tmp_path / "after")[1].labels.tolist() == [5, 9]
    store.close()


FORMAT_1 = """
CREATE TABLE pictures (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    picture TEXT NOT NULL REFERENCES pictures (sha256),
    x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    answer INTEGER, confidence REAL,
    truth INTEGER NOT NULL CHECK (truth BETWEEN 0 AND 9),
    time TEXT NOT NULL,
    model TEXT NOT NULL,
    framed BLOB NOT NULL CHECK (length(framed) = 784)
);
PRAGMA user_version = 1;
"""
FORMAT_2 = FORMAT_1.replace("truth INTEGER NOT NULL", "truth INTEGER").replace("version = 1", "version = 2")


@pytest.mark.parametrize("schema", [FORMAT_1, FORMAT_2])
def test_a_file_of_an_older_version_is_upgraded_and_loses_nothing(store: Corrections, schema: str) -> None:
    store.path.parent.mkdir()
    insert = "INSERT INTO corrections VALUES (?, 'sum', 1, 2, 30, 40, 1, 0.5, ?, '2026-01-01T00:00:00Z', 'net', ?)"
    with contextlib.closing(sqlite3.connect(store.path)) as old:
        old.executescript(schema)
        old.execute("INSERT INTO pictures VALUES ('sum', 'picture')")
        for number in (1, 2, 7):
            old.execute(insert, (number, number, framed(number).tobytes()))
        old.execute("DELETE FROM corrections WHERE id = 7")
        old.commit()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:  # as several programs at once
        found = list(threads.map(lambda _: Corrections(store.path).all(), range(4)))
    for corrections in found:
        assert [(c.id, c.truth, c.box, c.picture_sha256) for c in corrections] == [
            (1, 1, BOX, "sum"),
            (2, 2, BOX, "sum"),
        ]
        assert np.array_equal(corrections[1].framed, framed(2))
        assert {correction.hand for correction in corrections} == {"me"}
    assert add(store, None) == 8
    assert len(store.all("me")) == 3
    assert store.all("anna") == []
    store.close()


def test_a_file_in_a_folder_that_may_not_be_written_is_read(
    store: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, 3, b"one")
    monkeypatch.setattr("inkdigits.data.corrections.open_database", _forbidden)
    behind = Corrections(store.path)
    assert [each.truth for each in behind.all()] == [3]  # another program has it open, its log is not merged yet
    behind.close()
    store.close()
    again = Corrections(store.path)
    assert [each.truth for each in again.all()] == [3]
    with pytest.raises(DataError, match="attempt to write a readonly database"):
        add(again, 4)
    again.close()
    with pytest.raises(DataError, match=r"sqlite3: corrections cannot be kept or read \(Permission denied\)"):
        add(Corrections(store.path), 4)


def _forbidden(path: Path, *_: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_of_two_truths_for_one_digit_the_last_stands(store: Corrections) -> None:
    for truth in (3, 4):
        add(store, truth)
    add(store, 5, b"another picture")
    assert [correction.truth for correction in latest(store.all())] == [4, 5]
    store.close()


def cli(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["corrections", *arguments], env={"INKDIGITS_HOME": str(home)})


def test_the_commands(tmp_path: Path) -> None:
    assert cli(tmp_path, "list").stdout == ""
    done = cli(tmp_path, "export", str(tmp_path / "out"))
    assert (type(done.exception), done.stdout) == (DataError, "")
    store = Corrections(tmp_path / "corrections.sqlite3")
    truths = [*range(6), None]
    for truth in truths:
        add(store, truth, str(truth).encode())
    store.close()
    lines = cli(tmp_path, "list").stdout.splitlines()
    assert (len(lines), "not a digit" in lines[6]) == (7, True)
    rows = [json.loads(line) for line in cli(tmp_path, "list", "--json").stdout.splitlines()]
    assert [row["truth"] for row in rows] == truths
    done = cli(tmp_path, "export", str(tmp_path / "out"))
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "out"))
    assert "not digits: 1" in done.stderr
    assert len(load_data(tmp_path / "out")[0]) == 4
    assert cli(tmp_path, "clear").exit_code == 1  # nobody there to say yes
    assert cli(tmp_path, "clear", "--yes").exit_code == 0
    assert cli(tmp_path, "list").stdout == ""
