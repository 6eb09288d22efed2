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
from fake_reader import FakeReader

from inkdigits.bulk import read
from inkdigits.bulk.checkpoint import Done
from inkdigits.bulk.pool import BATCH, CHUNK, answers
from inkdigits.bulk.progress import progress
from inkdigits.bulk.read import Answer, as_text, count_doubtful, read_to_file
from inkdigits.bulk.table import rows_of
from inkdigits.data.splits import Split
from inkdigits.errors import ImageError, InkdigitsError, OutputError
from inkdigits.files.images import ImageSource, read_image
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, NumberReading, PageReading

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def line(text: str, accepted: list[bool]) -> NumberReading:
    digits = [character for character in text if character.isdigit()]
    items = tuple(
        Item(int(d), 0.9, ok, (0, 0, 5, 5), (), np.zeros((28, 28), np.uint8))
        for d, ok in zip(digits, accepted, strict=True)
    )
    return NumberReading(text, "".join(digits), 0.9, all(accepted), items)


def test_doubtful_digits_are_marked_and_counted() -> None:
    page = PageReading(50, 50, (line("-12.5", [True, False, True]), line("7", [False])))
    answer = Answer("a.png", page)
    assert as_text(answer) == "a.png: -12?.5\na.png: 7?"
    assert count_doubtful(answer) == 2
    assert as_text(Answer("b.png", PageReading(5, 5, ()))) == "b.png: "


def test_an_error_takes_the_place_of_the_lines() -> None:
    assert Answer("x", error="x: empty").to_dict() == {"image": "x", "error": "x: empty"}


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
        monkeypatch.setitem(CHUNK, name, 7)
        monkeypatch.setitem(BATCH, name, 5)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("layout", "kind"), [("digit", "digit"), ("number", "number"), ("page", "digit")])
def test_many_are_answered_to_the_bit_as_the_reader_answers_one(
    scans: Path, tmp_path: Path, layout: str, kind: str
) -> None:
    output = tmp_path / "rows.jsonl"
    summary = read_to_file(str(output), [str(scans)], layout, kind, workers=1)
    reader, expected = Reader(), []
    for path in sorted(scans.iterdir()):
        try:
            answer: PageReading | str = reader.read(path, layout)
        except ImageError as error:
            answer = str(error)
        expected += [row._asdict() for row in rows_of(str(path), answer, kind)]
    assert lines_of(output) == expected
    assert (summary.pictures, summary.errors) == (40, 3)
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
        read_to_file(str(output), names, "number", list_file=None if names else str(tmp_path / "list"), workers=2)
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
        "    pool.CHUNK.update(digit=3, number=3, page=3)\n"
        "    main()\n"
    )
    script = output.parent / "small_parts.py"
    script.write_text(code)
    return [sys.executable, str(script), "read", "--output", str(output), "--workers", "1", *words]


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(scans: Path, tmp_path: Path) -> None:
    names = [str(scans), "--layout", "number"]
    whole, output = tmp_path / "whole.csv", tmp_path / "rows.csv"
    subprocess.run(command(whole, *names), check=True, capture_output=True)
    parts_seen, kills = set(), 0
    for parts in (1, 4, 9):
        process = subprocess.Popen(command(output, *names, "--resume"), stderr=subprocess.PIPE, start_new_session=True)
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
    subprocess.run(command(output, *names, "--resume"), check=True, capture_output=True)
    assert output.read_bytes() == whole.read_bytes()
    assert not Path(f"{output}.parts").exists()
    again = subprocess.run(command(output, *names, "--resume"), check=True, capture_output=True, text=True)
    assert "is complete, of whatever inputs" in again.stderr


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
    with pytest.raises(OutputError, match="--resume goes on with it, --overwrite begins anew"):
        read_to_file(str(output), [str(folder)], "digit")
    (folder / "001.png").write_bytes((folder / "002.png").read_bytes())
    with pytest.raises(OutputError, match="the inputs have changed"):
        read_to_file(str(output), [str(folder)], "digit", resume=True)
    read_to_file(str(output), [str(folder)], "digit", overwrite=True, workers=1)
    with pytest.raises(OutputError, match="is there already; --overwrite replaces it"):
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

    with pytest.raises(InkdigitsError, match=r"a process killed by signal 9 near .*--resume goes on"):
        read_to_file(str(output), [str(scans)], "digit", workers=1, report=kill)
    read_to_file(str(output), [str(scans)], "digit", workers=1, resume=True)
    assert len(output.read_text().splitlines()) == 41


def test_one_that_breaks_the_reader_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile(FakeReader):
        def read(self, image: ImageSource, layout: str = "page") -> PageReading:
            if read_image(image).shape == (13, 13):
                raise ZeroDivisionError("thirteen")
            return super().read(image, layout)

    blobs = [cv2.imencode(".png", np.full((12 + i, 12 + i), 255, np.uint8))[1].tobytes() for i in range(3)]
    pictures = [(f"{i}.png", blob, None) for i, blob in enumerate(blobs)]
    found = dict(answers(Fragile(), pictures, "number"))  # type: ignore[arg-type]
    assert found["1.png"] == "1.png: cannot be read (ZeroDivisionError: thirteen)"
    assert [isinstance(answer, PageReading) for answer in found.values()] == [True, False, True]


def test_a_column_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [b"x"]}), tmp_path / "t.parquet")
    with pytest.raises(ImageError, match="'b' is not there"):
        read_to_file(str(tmp_path / "rows.csv"), [str(tmp_path / "t.parquet")], column="b", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]  # or the next try would be refused


def run(output: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(output, *words), capture_output=True, text=True, check=False, **more)


def test_what_cannot_be_done_is_one_line(scans: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    for output, words, says in (
        (blocked / "rows.csv", [str(scans)], "cannot be written"),
        (tmp_path / "rows.txt", [str(scans)], "rows are written as"),
        (tmp_path / "rows.csv", ["--list", str(blocked)], "an empty list"),
        (tmp_path / "rows.csv", [str(tmp_path / "*.gif")], "matches no file"),
        (tmp_path / "rows.csv", [str(scans), "scanz/"], "scanz/: no such file or folder"),
        (tmp_path / "rows.csv", [str(scans), "--model", "nowhere"], "no such model"),
    ):
        script = tmp_path / "a" / "rows"
        script.parent.mkdir(exist_ok=True)
        done = subprocess.run(
            [*command(script)[:2], "read", "--output", str(output), *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert says in done.stderr


def test_a_full_disk_is_one_line_and_nothing_is_lost(scans: Path, tmp_path: Path) -> None:
    output, words = tmp_path / "rows.csv", [str(scans), "--layout", "digit"]
    assert run(output, *words).returncode == 0
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
    assert run(output, *words, "--resume").returncode == 0
    assert output.read_bytes() == whole


def test_ctrl_c_is_one_line_and_says_how_to_go_on(scans: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    process = subprocess.Popen(command(output, str(scans)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob("rows.csv.parts/0*.csv")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "stopped; the same command with --resume goes on\n")


def test_progress_is_told_in_words_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(read.time, "monotonic", lambda: clock[0])
    with progress() as report:
        report(Done(0, 100, 0, 0, 0.5, before=True))
        for i in range(4):
            clock[0] += 20
            report(Done(1 + i, 10, 1, 0, 0.5 + 0.1 * (i + 1)))
    assert capsys.readouterr().err.splitlines() == [
        "70%: 120 pictures, 2 cannot be read, 0 a second, 1:00 left",
        "90%: 140 pictures, 4 cannot be read, 0 a second, 0:20 left",
    ]
