import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inkdigits.cli.main import app
from inkdigits.data.splits import Split
from inkdigits.sweep.space import Configuration, apply, train_flags
from inkdigits.training import networks, recipes, train

COMMANDS = (
    *("read", "train", "committee", "sweep", "runs", "evaluate", "compare", "data", "doctor", "tutorial", "serve"),
    "corrections",
)


def run(*words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "inkdigits", *words]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert command in done.output


def test_help_and_reading_load_neither_keras_nor_tensorflow(mnist: tuple[Split, Split], tmp_path: Path) -> None:
    picture = tmp_path / "7.png"
    cv2.imwrite(str(picture), 255 - mnist[1].images[0])
    code = (
        "import sys; sys.argv = ['inkdigits', 'read', sys.argv[1]]\n"
        "from inkdigits.cli.main import app\n"
        "app(standalone_mode=False)\n"
        "print(sorted({'keras', 'tensorflow', 'matplotlib', 'sklearn', 'pooch', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, picture], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{picture}: 7", "[]"]


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
    "words", [("--learning-rate", "quick"), ("--hidden", "100+ten"), ("--hidden", "none", "--hidden", "100")]
)
def test_values_no_knob_takes_are_usage_errors(words: tuple[str, ...]) -> None:
    done = run("train", "linear", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().count("\n") == 1
    assert "is not" in done.stderr.decode()


def test_files_that_cannot_be_read_do_not_stop_the_others(mnist: tuple[Split, Split], tmp_path: Path) -> None:
    good, empty, html = tmp_path / "good.png", tmp_path / "empty.png", tmp_path / "page.jpg"
    cv2.imwrite(str(good), 255 - mnist[1].images[0])
    empty.touch()
    html.write_text("<html>404</html>")
    done = run("read", str(empty), str(good), str(html), str(tmp_path / "missing.png"), "--layout", "digit", "--json")
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("lines" in row, "error" in row) for row in rows] == [
        (False, True),
        (True, False),
        (False, True),
        (False, True),
    ]
    errors = done.stderr.decode().splitlines()
    assert len(errors) == 3
    assert all(line.startswith("error: ") and ("empty" in line or "404" not in line) for line in errors)
    assert "Traceback" not in done.stderr.decode()


def test_a_picture_on_stdin(mnist: tuple[Split, Split]) -> None:
    data = cv2.imencode(".png", 255 - mnist[1].images[0])[1].tobytes()
    done = run("read", "-", "--layout", "digit", stdin=data)
    assert (done.returncode, done.stdout) == (0, b"-: 7\n")
    assert run("read", "-", stdin=b"").returncode == 1


def test_overlays_and_explanations_are_written(mnist: tuple[Split, Split], tmp_path: Path) -> None:
    picture = tmp_path / "scan.png"
    cv2.imwrite(str(picture), np.pad(255 - np.hstack(mnist[1].images[:3]), 20, constant_values=255))
    done = run("read", str(picture), "--save-overlay", str(tmp_path / "seen"), "--explain", str(tmp_path / "why"))
    assert done.stdout.decode() == f"{picture}: 721\n"
    assert len(list((tmp_path / "seen").iterdir())) == 1
    assert len(list((tmp_path / "why").iterdir())) == 3
    blocked = tmp_path / "file"
    blocked.touch()
    done = run("read", str(picture), "--save-overlay", str(blocked))
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1


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
def test_errors_are_one_line_and_have_their_exit_code(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = run(*words)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    if code == 1:
        assert done.stderr.startswith(b"error: ")
        assert done.stderr.count(b"\n") == 1
