import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import inkdigits
from inkdigits.cli.main import app
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, RecipeError, RunError, TrainingError
from inkdigits.evaluation.metrics import calibration_error
from inkdigits.reading.calibration import probabilities_of
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.reader import Reader
from inkdigits.training import runs

Splits = tuple[Split, Split]


def weights(run: inkdigits.Run) -> np.ndarray:
    return np.concatenate([w.ravel() for w in run.model.get_weights()])


@pytest.mark.usefixtures("with_xla", "with_report")
def test_a_run_is_complete(toy: Splits, tmp_path: Path) -> None:
    run = inkdigits.train("hidden", data=toy, runs_dir=tmp_path, seed=3, epochs=2, activation="tanh", progress=False)
    assert list(tmp_path.iterdir()) == [run.path]
    assert {"run.json", "history.csv", "model.keras", "model.onnx", "model.held-out.npz", "report.html", "figures"} == {
        path.name for path in run.path.iterdir()
    }
    assert run == runs.read(run.path)
    assert run.recipe.activation == "tanh"
    assert [row["epoch"] for row in run.history] == [1, 2]
    answers = Reader(run.path).classify(toy[1].images)
    scores = run.model.predict(toy[1].images, verbose=0)
    assert (answers.labels == scores.argmax(axis=1)).all()
    assert run.figures["test_errors"] == (answers.labels != toy[1].labels).sum()
    assert run.figures["test_accuracy"] == (answers.labels == toy[1].labels).mean()
    card = Reader(run.path).card
    assert (card["output"], card["seed"], card["recipe"]["activation"]) == ("sigmoid", 3, "tanh")
    assert card["data"] == {"name": "printed digits", "sha256": toy[0].sha256, "n": 600}
    assert run.recipe.validation == 100  # a sixth: so few images cannot spare 5,000
    assert {"val_loss", "val_accuracy"} <= run.history[0].keys()
    assert 0 < card["threshold"] < 1
    assert answers.accepted.all()
    assert card["normalisation"] == 1


def test_a_validation_part_is_held_out(toy: Splits, tmp_path: Path) -> None:
    run = inkdigits.train("linear", data=toy, runs_dir=tmp_path, epochs=1, validation=100, progress=False)
    assert 0 <= run.history[0]["val_accuracy"] <= 1
    answers = Reader(run.path).classify(toy[0].images)
    assert 0.9 < answers.accepted.mean() < 1


def test_a_net_taught_to_be_modest_says_how_sure_it_may_be(toy: Splits, tmp_path: Path) -> None:
    words = {"data": toy, "runs_dir": tmp_path, "epochs": 20, "output": "logits", "progress": False}
    modest = inkdigits.train("hidden", label_smoothing=0.3, **words)  # type: ignore[arg-type]
    frank = inkdigits.train("hidden", **words)  # type: ignore[arg-type]
    assert Reader(frank.path).card["temperature"] == 1
    assert Reader(modest.path).card["temperature"] < 0.8
    answers = Reader(modest.path).classify(toy[1].images)
    right = answers.labels == toy[1].labels
    smoothed = probabilities_of(OnnxModel(modest.path / "model.onnx").scores(toy[1].images), "logits", 1.0).max(axis=1)
    assert calibration_error(answers.confidence, right) < 0.5 * calibration_error(smoothed, right)


def test_a_users_own_model_is_trained(toy: Splits, tmp_path: Path) -> None:
    dense = keras.layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((784,)), dense])
    before = dense.kernel.numpy().copy()
    run = inkdigits.train(model, data=toy, runs_dir=tmp_path, epochs=5, progress=False)
    assert run.path.name.startswith("own-")
    assert run.figures["test_accuracy"] > 0.5
    assert (dense.kernel.numpy() != before).any()
    assert Reader(run.path).card["output"] == "softmax"


@pytest.mark.parametrize(("recipe", "settings"), [("hiden", {}), ("hidden", {"optimizer": "adamm"})])
def test_what_is_refused_leaves_nothing(recipe: str, settings: dict, toy: Splits, tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        inkdigits.train(recipe, data=toy, runs_dir=tmp_path / "runs", **settings)
    assert not (tmp_path / "runs").exists()


def test_too_large_a_validation_part_leaves_nothing(toy: Splits, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        inkdigits.train("hidden", data=toy, runs_dir=tmp_path / "runs", validation=600)
    assert not (tmp_path / "runs").exists()


def test_a_hopeless_training_leaves_nothing(toy: Splits, tmp_path: Path) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1e3, "output": "logits", "loss": "mean_squared_error"}
    with pytest.raises(TrainingError, match="too high"):
        inkdigits.train("linear", data=toy, runs_dir=tmp_path, progress=False, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_and_an_unknown_one_cannot_be_resumed(toy: Splits, tmp_path: Path) -> None:
    run = inkdigits.train("linear", data=toy, runs_dir=tmp_path, epochs=1, progress=False)
    with pytest.raises(RunError, match="is finished, nothing is left to resume"):
        inkdigits.train(data=toy, runs_dir=tmp_path, resume=run.path)
    with pytest.raises(RunError, match="no such run"):
        inkdigits.train(data=toy, runs_dir=tmp_path, resume="linear-0")


SETTINGS = ("hidden", "--hidden", "50", "--dropout", "0.3", "--epochs", "4", "--seed", "5")
# Waits for a signal in the middle of the third epoch, when some of its steps are done and no checkpoint is written.
STOP_IN_EPOCH_3 = """
import signal
from inkdigits.training import loop
run_epoch, epochs = loop.run_epoch, []

def run_and_wait(model, steps, show=None):
    epochs.append(steps)
    if len(epochs) == 3:
        steps.run(0, steps.n // 2)
        print("waiting", flush=True)
        signal.pause()
    return run_epoch(model, steps, show)

loop.run_epoch = run_and_wait
"""


def command(folder: Path, data: Path, *words: str, before: str = "") -> list[str]:
    code = before + "\nfrom inkdigits.cli.main import main; main()"
    return [sys.executable, "-c", code, "train", *words, "--data", str(data), "--runs", str(folder)]


def start_and_stop(folder: Path, data: Path, how: signal.Signals) -> tuple[runs.Run, str]:
    """Start a training in a process of its own, stop it in its third epoch, and return what it said to that."""
    words = command(folder, data, *SETTINGS, before=STOP_IN_EPOCH_3)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    (run,) = runs.list_runs(folder)
    return run, told


@pytest.fixture(scope="module")
def whole(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> inkdigits.Run:
    folder = tmp_path_factory.mktemp("whole")
    return inkdigits.train(
        "hidden", data=toy_folder, runs_dir=folder, hidden=50, dropout=0.3, epochs=4, seed=5, progress=False
    )


@pytest.mark.usefixtures("with_xla")  # as the command has it that is stopped
@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_killed_training_resumed_ends_as_one_never_stopped(
    how: signal.Signals, whole: inkdigits.Run, toy_folder: Path, tmp_path: Path
) -> None:
    stopped, told = start_and_stop(tmp_path, toy_folder, how)
    assert ("--resume" in told) == (how is signal.SIGINT)
    assert not stopped.finished
    assert len(stopped.history) == 2
    for settings, word in (({"epochs": 5}, "epochs"), ({"seed": 6}, "seed"), ({"recipe": "cnn"}, "recipe")):
        with pytest.raises(RunError, match=f"was started with {word}"):
            inkdigits.train(runs_dir=tmp_path, resume=stopped.name, **settings)
    resumed = inkdigits.train(runs_dir=tmp_path, resume=stopped.name, epochs=4, progress=False)
    assert (weights(resumed) == weights(whole)).all()
    assert resumed.figures == whole.figures
    drop = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]
    assert drop == [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]


def test_other_data_cannot_be_resumed_with(toy: Splits, tmp_path: Path) -> None:
    run = inkdigits.train("linear", data=toy, runs_dir=tmp_path, epochs=1, progress=False)
    unfinished = run.path.rename(run.path.with_name(run.name + runs.UNFINISHED))
    with pytest.raises(RunError, match="other data"):
        inkdigits.train(data=(toy[0].take(300), toy[1]), resume=unfinished)


def test_the_command_line_trains_and_lists(toy_folder: Path, tmp_path: Path) -> None:
    words = command(tmp_path, toy_folder, "linear", "--epochs", "1", "--learning-rate", "0.01")
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip())
    assert (path / "model.onnx").is_file()
    assert "Epoch 1/1\n16/16 - " in done.stderr
    assert "errors in 200)" in done.stderr
    listing = ["runs", "--runs", str(tmp_path)]
    assert path.name in CliRunner().invoke(app, listing).stdout
    told = json.loads(CliRunner().invoke(app, [*listing, "--json"]).stdout)
    assert told["finished"]
    assert told["recipe"]["learning_rate"] == 0.01


def test_the_command_line_refuses_in_one_line(tmp_path: Path, toy_folder: Path) -> None:
    words = command(tmp_path / "runs", toy_folder, "linear", "--optimizer", "adamm")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["error: Keras knows no optimizer 'adamm'; nearest: Adam, Nadam, AdamW"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_fast_reads_mnist_after_one_epoch(mnist: Splits, tmp_path: Path) -> None:
    run = inkdigits.train("fast", data=mnist, runs_dir=tmp_path, seed=1, progress=False)
    # Ten seeds: docs/benchmarks.md has mean and spread; this is five deviations below.
    assert run.figures["test_accuracy"] > 0.986
    assert len(run.history) == 1
