import functools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inkdigits.bulk import read
from inkdigits.bulk.checkpoint import Counts, Done
from inkdigits.bulk.pool import PICTURES_PER_CALL, PICTURES_PER_PART
from inkdigits.bulk.progress import progress
from inkdigits.bulk.read import Answer, as_text, read_to_file
from inkdigits.bulk.table import rows_of
from inkdigits.data.splits import Split
from inkdigits.errors import InkdigitsError, InputError, ModelError, OutputError
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, NumberReading, PageReading
from inkdigits.reading.text_detector import is_installed

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def line(text: str, accepted: list[bool]) -> NumberReading:
    digits = [character for character in text if character.isdigit()]
    items = tuple(
        Item(int(d), 0.9, ok, (0, 0, 5, 5), (), np.zeros((28, 28), np.uint8))
        for d, ok in zip(digits, accepted, strict=True)
    )
    return NumberReading(text, "".join(digits), 0.9, all(accepted), items)


def test_rejected_digits_are_marked_and_counted() -> None:
    page = PageReading(50, 50, (line("-12.5", [True, False, True]), line("7", [False])))
    answer = Answer("a.png", page)
    assert as_text(answer) == "a.png: -12?.5\na.png: 7?"
    assert answer.counts == Counts(1, n_rejected=2)


def test_a_picture_without_digits_is_counted() -> None:
    answer = Answer("b.png", PageReading(5, 5, ()))
    assert as_text(answer) == "b.png: ?"
    assert answer.counts == Counts(1, n_empty=1)


def test_an_error_takes_the_place_of_the_lines() -> None:
    answer = Answer("x", error="x: empty")
    assert answer.to_dict() == {"image": "x", "error": "x: empty"}
    assert answer.counts == Counts(1, n_errors=1)


# Very many: the processes are real ones, so their number and that of pictures is kept small.


@pytest.fixture(scope="session")
def scans(toy: tuple[Split, Split], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one digit, of numbers and of nothing, some of which cannot be read; read only, please."""
    folder = tmp_path_factory.mktemp("scans")
    images = toy[1].images
    for i in range(40):
        row = 255 - np.hstack(images[i : i + 1 + i % 3])
        cv2.imwrite(str(folder / f"{i:03}.png"), np.pad(row, 6 + i % 5, constant_values=255))
    (folder / "010.png").write_bytes(b"")
    (folder / "020.png").write_bytes(b"<html>404</html>")
    (folder / "030.png").write_bytes((folder / "031.png").read_bytes()[:60])
    cv2.imwrite(str(folder / "035.png"), np.full((40, 40), 255, np.uint8))
    return folder


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("digit", "number", "page"):
        monkeypatch.setitem(PICTURES_PER_PART, name, 7)
        monkeypatch.setitem(PICTURES_PER_CALL, name, 5)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("layout", "kind"), [("digit", "digit"), ("number", "number"), ("page", "digit")])
def test_many_are_answered_to_the_bit_as_the_reader_answers_one(
    scans: Path, tmp_path: Path, layout: str, kind: str
) -> None:
    output = tmp_path / "rows.jsonl"
    summary = read_to_file(str(output), [str(scans)], layout, kind, workers=1)
    reader, expected = Reader(text_detector=is_installed()), []  # as in the worker, whatever these tests do without
    for path in sorted(scans.iterdir()):
        try:
            answer: PageReading | str = reader.read(path, layout)
        except InputError as error:
            answer = str(error)
        expected += [row._asdict() for row in rows_of(str(path), answer, kind)]
    assert lines_of(output) == expected
    assert (summary.n_pictures, summary.n_errors) == (40, 3)
    assert summary.n_empty == sum(row["line"] is None and row["error"] is None for row in expected)
    assert summary.n_rejected == sum(row["marked"].count("?") for row in expected)
    assert sum(row["error"] is not None for row in expected) == 3
    assert list(tmp_path.iterdir()) == [output]


def test_the_same_pictures_are_the_same_rows_wherever_they_lie(scans: Path, tmp_path: Path, small_chunks: None) -> None:
    files = sorted(scans.iterdir())
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for file in files:
            archive.add(file, file.name)
    pq.write_table(pa.table({"image": [file.read_bytes() for file in files]}), tmp_path / "t.parquet", row_group_size=9)
    (tmp_path / "list").write_text("\n".join(map(str, files)))
    outputs = []
    for i, names in enumerate(([str(scans)], [str(tmp_path / "shard.tar")], [str(tmp_path / "t.parquet")], [])):
        output = tmp_path / f"{i}.parquet"
        list_file = None if names else str(tmp_path / "list")
        read_to_file(str(output), names, "number", list_file=list_file, workers=2 if i == 0 else 1)
        outputs.append(pq.read_table(output))
    assert outputs[0].equals(outputs[3])
    for table in outputs[1:3]:
        assert table.drop_columns(["path", "error"]).equals(outputs[0].drop_columns(["path", "error"]))
        assert table["error"].is_null().equals(outputs[0]["error"].is_null())
    assert outputs[1]["path"][4].as_py() == f"{tmp_path}/shard.tar#004.png"
    assert outputs[2]["path"][4].as_py() == f"{tmp_path}/t.parquet#4"


def command(output: Path, *words: str) -> list[str]:
    """Return the words of a bulk run in parts of three pictures, with one process."""
    code = (
        "import sys\n"
        "from inkdigits.bulk import pool\n"
        "from inkdigits.cli.main import main\n"
        "if __name__ == '__main__':\n"
        "    pool.PICTURES_PER_PART.update(digit=3, number=3, page=3)\n"
        "    main()\n"
    )
    script = output.parent / "small_parts.py"
    script.write_text(code)
    return [sys.executable, str(script), "read", "--output", str(output), "--workers", "1", *words]


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PICTURES_PER_PART, "number", 3)
    whole, output = tmp_path / "whole.csv", tmp_path / "rows.csv"
    read_to_file(str(whole), [str(scans)], "number", workers=1)
    parts_seen, kills = set(), 0
    words = command(output, str(scans), "--layout", "number", "--resume")
    for parts in (1, 4, 9):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(tmp_path.glob("rows.csv.parts/*.csv"))) >= parts:
                os.kill(process.pid, signal.SIGKILL)  # its own process alone: the others must find out themselves
                kills += process.wait() == -signal.SIGKILL
            time.sleep(0.001)
        process.communicate()
        assert not output.exists() or parts == 9
        parts_seen.add(len(list(tmp_path.glob("rows.csv.parts/*.csv"))))
    assert kills >= 2
    assert len(parts_seen) > 1
    read_to_file(str(output), [str(scans)], "number", resume=True, workers=1)
    assert output.read_bytes() == whole.read_bytes()
    assert not Path(f"{output}.parts").exists()
    again = read_to_file(str(output), [str(scans)], "number", resume=True)
    assert again.complete
    assert "already complete" in str(again)


def stopped(output: Path, scans: Path) -> None:
    """Leave a run behind that was stopped after two parts."""
    read_to_file(str(output), [str(scans)], "digit", workers=1)
    content = output.read_bytes()
    seen = 0

    def stop(_: Done) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_to_file(str(output), [str(scans)], "digit", overwrite=True, workers=1, report=stop)
    assert output.read_bytes() == content  # what is to be replaced stands until there is something to replace it


def test_other_inputs_and_settings_are_refused_and_nothing_is_mixed(
    scans: Path, tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, folder = tmp_path / "rows.csv", tmp_path / "scans"
    shutil.copytree(scans, folder)
    stopped(output, folder)
    output.unlink()
    for names, layout, kind, says in (
        ([str(folder)], "number", "number", "layout: digit then, number now"),
        ([str(folder)], "digit", "digit", "rows: number then, digit now"),
        ([str(folder / "001.png")], "digit", "number", "the inputs have changed .*40 files then, 1 now"),
    ):
        with pytest.raises(OutputError, match=says):
            read_to_file(str(output), names, layout, kind, resume=True)
    with pytest.raises(OutputError, match="use --resume to continue it"):
        read_to_file(str(output), [str(folder)], "digit")
    (folder / "001.png").write_bytes((folder / "002.png").read_bytes())
    with pytest.raises(OutputError, match="the inputs have changed"):
        read_to_file(str(output), [str(folder)], "digit", resume=True)
    read_to_file(str(output), [str(folder)], "digit", overwrite=True, workers=1)
    with pytest.raises(OutputError, match="exists already; use --overwrite"):
        read_to_file(str(output), [str(folder)], "digit")


def test_another_model_is_another_run(scans: Path, tmp_path: Path, small_chunks: None, tiny_model: Path) -> None:
    stopped(tmp_path / "rows.csv", scans)
    with pytest.raises(OutputError, match="another model"):
        read_to_file(str(tmp_path / "rows.csv"), [str(scans)], "digit", model=tiny_model, resume=True)


def test_a_process_that_dies_is_one_line_and_its_pictures_are_read_later(
    scans: Path, tmp_path: Path, small_chunks: None
) -> None:
    output = tmp_path / "rows.csv"

    def kill(_: Done) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(InkdigitsError, match=r"a process killed by signal 9 near .*--resume"):
        read_to_file(str(output), [str(scans)], "digit", workers=1, report=kill)
    read_to_file(str(output), [str(scans)], "digit", workers=1, resume=True)
    assert len(output.read_text().splitlines()) == 41


def test_a_column_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [b"x"]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="'b' is not there"):
        read_to_file(str(tmp_path / "rows.csv"), [str(tmp_path / "t.parquet")], column="b", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]  # or the next try would fail


def run(output: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(output, *words), capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize(
    ("output", "names", "more", "error", "says"),
    [
        ("file/rows.csv", ["scans"], {}, OutputError, "cannot be written"),
        ("rows.txt", ["scans"], {}, OutputError, "rows are written as"),
        ("rows.csv", [], {"list_file": "file"}, InputError, "an empty list"),
        ("rows.csv", [], {"list_file": "gone"}, InputError, "no such file"),
        ("rows.csv", ["*.gif"], {}, InputError, "matches no file"),
        ("rows.csv", ["scans", "scanz/"], {}, InputError, "scanz/: no such file or folder"),
        ("rows.csv", ["scans"], {"model": "nowhere"}, ModelError, "no such model"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    names: list[str],
    more: dict[str, str],
    error: type[InkdigitsError],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("scans").symlink_to(scans)
    with pytest.raises(error, match=says) as caught:
        read_to_file(output, names, workers=1, **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert type(caught.value) is error
    assert {path.name for path in tmp_path.iterdir()} == {"file", "scans"}


def test_the_command_prints_the_line_and_nothing_else(scans: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "rows.csv", str(scans), "scanz/")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: scanz/: no such file or folder\n"


def test_a_full_disk_is_one_line_and_nothing_is_lost(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PICTURES_PER_PART, "digit", 3)
    output, words = tmp_path / "rows.csv", [str(scans), "--layout", "digit"]
    read_to_file(str(output), [str(scans)], "digit", workers=1)
    whole = output.read_bytes()
    output.unlink()
    # No file may be larger than this: parts of three pictures and the manifest are smaller, their join is not.
    for limit, says in ((len(whole) - 1, f"{output}: cannot be written (File too large"), (500, "the list of inputs")):
        set_limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        done = run(output, *words, "--resume", preexec_fn=set_limit)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("error: ")
        assert says in done.stderr
        assert not list(tmp_path.glob("rows.csv.parts/*.part"))
        assert not output.exists()
    assert len(list(tmp_path.glob("rows.csv.parts/0*.csv"))) == 14
    read_to_file(str(output), [str(scans)], "digit", workers=1, resume=True)
    assert output.read_bytes() == whole


# Runs as a worker's interpreter starts.
INTERRUPT = """
import os, signal, sys
if "--multiprocessing-fork" in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_while_workers_start_prints_nothing_of_theirs(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run(tmp_path / "rows.csv", str(scans / "001.png"), env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert (tmp_path / "rows.csv").exists()


def test_ctrl_c_is_one_line_and_says_how_to_go_on(scans: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    process = subprocess.Popen(command(output, str(scans)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob("rows.csv.parts/0*.csv")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "stopped; the same command with --resume continues\n")


def test_progress_is_logged_in_words_where_there_is_no_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "inkdigits")
    clock = [100.0]
    monkeypatch.setattr(read.time, "monotonic", lambda: clock[0])
    with progress() as report:
        report(Done(0, Counts(100), 0.5, before=True))
        for i in range(4):
            clock[0] += 20
            report(Done(1 + i, Counts(10, n_errors=1), 0.5 + 0.1 * (i + 1)))
    assert caplog.messages == [
        "70%: 120 pictures, 2 cannot be read, 0 a second, 1:00 left",
        "90%: 140 pictures, 4 cannot be read, 0 a second, 0:20 left",
    ]
