import errno
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inkdigits.cli.main import app
from inkdigits.cli.options import with_ray_address
from inkdigits.data.splits import Split
from inkdigits.sweep.space import Configuration, apply, train_flags
from inkdigits.training import networks, recipes, runs, train

COMMANDS = (
    *(
        "read",
        "train",
        "sweep",
        "runs",
        "evaluate",
        "compare",
        "data",
        "doctor",
        "ensemble",
        "tutorial",
        "serve",
        "adapt",
    ),
    "form",
    "corrections",
)
WITH_EXAMPLES = {"adapt", "read", "train", "sweep", "evaluate", "compare", "doctor", "ensemble", "serve"}
Run = Callable[..., Any]


@pytest.fixture
def seven(mnist: tuple[Split, Split], tmp_path: Path) -> Path:
    picture = tmp_path / "7.png"
    cv2.imwrite(str(picture), 255 - mnist[1].images[0])
    return picture


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_in_80_columns(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], terminal_width=80)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert command in lines[0]
    assert max(map(len, lines)) <= 80
    assert (f"    inkdigits {command}" in done.output) == (command in WITH_EXAMPLES)
    # Help texts have more than half of the width.
    assert max(len(line) - len(line.lstrip()) for line in lines) <= 34


def test_the_help_lists_the_commands_in_their_order(run: Run) -> None:
    done = run("--help")
    listed = done.out[done.out.index("Commands:") :].splitlines()[1:]
    assert tuple(line.split()[0] for line in listed) == COMMANDS
    assert "--install-completion" in done.out


def test_the_version(run: Run) -> None:
    expected = f"inkdigits {version('inkdigits')}\n"
    assert run("--version").out == expected
    done = subprocess.run([sys.executable, "-m", "inkdigits", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == expected


def test_help_reading_and_usage_errors_load_nothing_heavy(seven: Path) -> None:
    code = """
import sys
from inkdigits.cli.main import main
for words in (["--help"], ["train", "--help"], ["read", sys.argv[1]], ["train", "linear", "--dropout", "2"]):
    sys.argv = ["inkdigits", *words]
    try:
        main()
    except SystemExit as end:
        print(end.code)
heavy = {"keras", "tensorflow", "matplotlib", "sklearn", "scipy", "pooch", "fastapi", "rich"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, seven], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-4:] == [f"{seven}: 7", "0", "2", "[]"]
    assert done.stderr == "error: dropout must be at least 0 and under 1, got 2.0\n"


# Training


def test_a_sweeps_train_command_trains_what_the_sweep_did(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Configuration = {"hidden": "none", "convolutions": "5x16dp+3x32", "learning_rate": "default"}
    settings |= {"beta_1": 0.8, "batch_norm": False, "epochs": 3, "loss": "sparse_categorical_crossentropy"}
    told: dict[str, Any] = {}
    monkeypatch.setattr(train, "train", lambda recipe, **words: told.update(words, recipe=recipe) or sys.exit(7))
    done = CliRunner().invoke(app, ["train", "fast", *train_flags(settings)])
    assert done.exit_code == 7
    changes = {name: told[name] for name in settings}
    assert changes["hidden"] == ()
    assert networks.check(recipes.resolve("fast", **changes)) == apply(recipes.RECIPES["fast"], settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--learning-rate", "quick"), "'quick' is not a number"),
        (("--epochs", "2.5"), "'2.5' is not a whole number"),
        (("--hidden", "100+ten"), "'100+ten' is not"),
        (("--hidden", "none", "--hidden", "100"), "'none+100' is not"),
        (("--epochs", "0"), "from 1 to"),
        (("--schedule", "cosin"), "nearest: cosine"),
        (("--composed", "10"), "output logits_none"),
    ],
)
def test_values_that_no_hyperparameter_takes_are_usage_errors(words: tuple[str, ...], message: str, run: Run) -> None:
    done = run("train", "linear", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_training_says_where_its_run_and_its_report_are(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = {"test_loss": 0.1, "test_accuracy": 0.5, "test_errors": 100, "n_test": 200}
    monkeypatch.setattr(train, "train", lambda *_, **__: runs.Run(tmp_path, {"figures": figures}))
    (tmp_path / "report.html").touch()
    done = run("train")
    assert (done.code, done.out) == (0, f"{tmp_path}\n")
    assert done.err.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "runs/a/initial.keras"),
        OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
    ],
)
def test_a_full_disk_is_one_line(error: OSError, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(train, "train", fail)
    monkeypatch.setattr("inkdigits.cli.main._discard_stdout", lambda: None)
    done = run("train")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "No space left on device" in done.err


def test_a_damaged_run_hides_neither_the_others_nor_an_unknown_name(run: Run, tmp_path: Path) -> None:
    info = {"format": 1, "recipe": {"name": "hidden", "learning_rate": 0.001}, "seed": 7}
    good, damaged = (runs.start(tmp_path, "hidden", info) for _ in range(2))
    (damaged.path / "run.json").write_text("{")
    done = run("runs", "--runs", str(tmp_path))
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == [good.name]
    assert done.err.startswith(f"warning: {damaged.path}")
    assert done.err.count("\n") == 1
    assert "no such run" in run("evaluate", "other", "--runs", str(tmp_path)).err


# Reading


def test_files_that_cannot_be_read_do_not_stop_the_others(run: Run, seven: Path, tmp_path: Path) -> None:
    empty, html = tmp_path / "empty.png", tmp_path / "page.jpg"
    empty.touch()
    html.write_text("<html>404</html>")
    done = run("read", str(empty), str(seven), str(html), str(tmp_path / "missing.png"), "--layout", "digit", "--json")
    assert done.code == 1
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [("lines" in row, "error" in row) for row in rows] == [
        (False, True),
        (True, False),
        (False, True),
        (False, True),
    ]
    errors = done.err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("error: ") and ("empty" in line or "404" not in line) for line in errors)


def test_the_exit_code_is_the_same_with_and_without_a_table(run: Run, seven: Path, tmp_path: Path) -> None:
    damaged, table = tmp_path / "damaged.png", tmp_path / "rows.csv"
    damaged.write_bytes(b"no picture")
    assert run("read", str(damaged), str(seven)).code == 1
    done = run("read", str(damaged), str(seven), "--output", str(table), "--workers", "1")
    assert (done.code, done.out) == (1, f"{table}\n")
    assert "2 pictures, 1 could not be read" in done.err
    assert len(table.read_text().splitlines()) == 3
    assert run("read", str(seven), "--output", str(table), "--overwrite", "--workers", "1").code == 0


def test_a_picture_without_a_digit_is_marked_and_counted(run: Run, tmp_path: Path) -> None:
    blank, table = tmp_path / "blank.png", tmp_path / "rows.csv"
    cv2.imwrite(str(blank), np.full((60, 80), 255, np.uint8))
    done = run("read", str(blank))
    assert (done.code, done.out, done.err) == (0, f"{blank}: ?\n", f"{blank}: no digit found, marked ?\n")
    done = run("read", str(blank), "--json")
    assert json.loads(done.out)["lines"] == []
    assert done.err == f"{blank}: no digit found\n"
    done = run("read", str(blank), "--output", str(table), "--workers", "1")
    assert "1 picture, 0 could not be read, 1 without a digit" in done.err


def test_a_second_opinion_changes_how_sure_answers_are(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    folder.mkdir()
    for name, text in (("a.png", "273"), ("b.png", "845")):
        picture = np.full((120, 220), 255, np.uint8)
        cv2.imwrite(str(folder / name), cv2.putText(picture, text, (20, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 6))
    (folder / "truth.json").write_text(json.dumps({"a.png": "273", "b.png": "845"}))

    def confidences(*words: str) -> list[float]:
        shown = run("read", str(folder), "--layout", "number", "--json", *words).out.splitlines()
        return [json.loads(each)["lines"][0]["confidence"] for each in shown]

    table = tmp_path / "numbers.jsonl"
    how = ("--layout", "number", "--output", str(table), "--workers", "1")
    assert run("read", str(folder), *how).code == 0
    alone = [json.loads(each)["confidence"] for each in table.read_text().splitlines()]
    assert run("read", str(folder), *how, "--overwrite", "--second-opinion").code == 0
    both = [json.loads(each)["confidence"] for each in table.read_text().splitlines()]
    assert confidences() == pytest.approx(alone, abs=1e-4)
    assert confidences("--second-opinion") == pytest.approx(both, abs=1e-4)
    assert alone != both
    evaluated = run("evaluate", "--cells", str(folder), "--json", "--second-opinion")
    assert evaluated.code == 0


def test_a_picture_on_stdin(run: Run, seven: Path) -> None:
    done = run("read", "-", "--layout", "digit", stdin=seven.read_bytes())
    assert (done.code, done.out) == (0, "-: 7\n")
    assert run("read", "-", stdin=b"").code == 1


def test_overlays_and_explanations_are_written(run: Run, mnist: tuple[Split, Split], tmp_path: Path) -> None:
    picture = tmp_path / "scan.png"
    cv2.imwrite(str(picture), np.pad(255 - np.hstack(mnist[1].images[:3]), 20, constant_values=255))
    done = run("read", str(picture), "--save-overlay", str(tmp_path / "seen"), "--explain", str(tmp_path / "why"))
    assert done.out == f"{picture}: 721\n"
    assert len(list((tmp_path / "seen").iterdir())) == 1
    assert len(list((tmp_path / "why").iterdir())) == 3
    blocked = tmp_path / "file"
    blocked.touch()
    done = run("read", str(picture), "--save-overlay", str(blocked))
    assert done.code == 1
    assert done.err.count("\n") == 1


def test_an_address_of_the_web_is_named_as_it_was_given(run: Run) -> None:
    assert "https://example.org/7.png" in run("read", "https://example.org/7.png").err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["read", "a.png"], ["read", "a.png"]),
        (["read", "--ray"], ["read", "--ray=local"]),
        (["read", "--ray", "a.png"], ["read", "--ray=local", "a.png"]),
        (["read", "--ray", "--resume"], ["read", "--ray=local", "--resume"]),
        (["read", "--ray", "auto", "a.png"], ["read", "--ray", "auto", "a.png"]),
        (["sweep", "--ray", "10.0.0.1:6379"], ["sweep", "--ray", "10.0.0.1:6379"]),
        (["sweep", "--ray", "ray://head:10001"], ["sweep", "--ray", "ray://head:10001"]),
        (["sweep", "--ray=head:1"], ["sweep", "--ray=head:1"]),
        (["read", "--", "--ray"], ["read", "--", "--ray"]),
    ],
)
def test_ray_stands_alone_or_before_an_address(words: list[str], expected: list[str]) -> None:
    assert with_ray_address(words) == expected


# Errors


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("read",), 2),
        (("read", "x.png", "--layout", "line"), 2),
        (("nonsense",), 2),
        (("read", "x.png", "--model", "nowhere"), 1),
        (("evaluate", "nowhere"), 1),
        (("train", "hiden"), 2),
        (("compare", "a", "b"), 1),
    ],
)
def test_errors_are_one_line_and_have_their_exit_code(words: tuple[str, ...], code: int, run: Run) -> None:
    done = run(*words)
    assert (done.code, done.out) == (code, "")
    if code == 1:
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_a_full_stdout_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "inkdigits", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert os.strerror(errno.ENOSPC) in done.stderr


def test_warnings_are_one_line_without_their_place(run: Run) -> None:
    run("--version")
    assert warnings.formatwarning("slow", UserWarning, "file.py", 1) == "warning: slow\n"
