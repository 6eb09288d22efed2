"""The line network: its loss, its runs on a tiny scale, and the weights that ship."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, ModelError, RecipeError, RunError
from inkdigits.reading.model import SHIPPED, OnnxModel
from inkdigits.reading.reader import Reader
from inkdigits.training import line_net, runs
from inkdigits.training.line_model import ctc_loss_of, export_line
from inkdigits.training.recipes import LineRecipe, resolve

Splits = tuple[Split, Split]
TINY: dict[str, Any] = {
    "channels": (4, 4, 4, 8, 8),
    "composed": 32,
    "passes": 1,
    "epochs": 3,
    "validation": 20,
    "batch_size": 16,
    "precision": "float32",
    "ema": 0.9,
    "seed": 2,
    "progress": False,
}


def tiny() -> LineRecipe:
    recipe = resolve("line", channels=TINY["channels"])
    assert isinstance(recipe, LineRecipe)
    return recipe


@pytest.fixture(scope="module")
def small(toy: Splits) -> Splits:
    return toy[0], toy[1].take(50)


@pytest.fixture(scope="module")
def run(small: Splits, tmp_path_factory: pytest.TempPathFactory) -> inkdigits.Run:
    return inkdigits.train("line", data=small, runs_dir=tmp_path_factory.mktemp("runs"), **TINY)


class Killed(BaseException):
    """Stands for a kill between two epochs."""


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_a_line_run_is_a_run(run: inkdigits.Run) -> None:
    assert {path.name for path in run.path.iterdir()} == {"run.json", "history.csv", "model.keras", "model.onnx"}
    assert runs.list_runs(run.path.parent) == [run]
    assert isinstance(run.recipe, LineRecipe)
    assert run.recipe.stages == resolve("line").stages  # type: ignore[attr-defined]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert run.figures["n_test"] == sum(run.figures[f"{style}_n"] for style in ("cell", "row", "page", "found")) == 20
    assert run.figures["test_loss"] > 0
    assert "0.00% of 20" in runs.summary(run)
    assert run.model.output_shape == (None, None, line_net.BLANK + 1)


def test_a_reader_reads_with_a_line_run(run: inkdigits.Run) -> None:
    reader = Reader(run.path)
    assert reader.line_card["kind"] == "line"
    assert reader.line_card["name"] == run.name
    assert reader.line_card["figures"] == json.loads(json.dumps(run.figures))
    reader.read_page(np.full((60, 200), 255, np.uint8))


def test_a_line_training_killed_and_resumed_ends_as_one_never_stopped(
    run: inkdigits.Run, small: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_history = runs.Run.save_history

    def save_and_die(self: runs.Run, history: list[dict[str, float]]) -> None:
        save_history(self, history)
        if len(history) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs.Run, "save_history", save_and_die)
        with pytest.raises(Killed):
            inkdigits.train("line", data=small, runs_dir=tmp_path, **TINY)
    (stopped,) = runs.list_runs(tmp_path)
    assert not stopped.finished
    assert len(stopped.history) == 2
    with pytest.raises(RunError, match="was started with epochs"):
        inkdigits.train(data=small, resume=stopped.path, epochs=4)
    resumed = inkdigits.train("line", data=small, resume=stopped.path, **TINY)
    for row, whole in zip(without_seconds(resumed.history), without_seconds(run.history), strict=True):
        assert row == pytest.approx(whole, rel=1e-5)
    assert resumed.figures == pytest.approx(run.figures, rel=1e-4)
    for ours, theirs in zip(resumed.model.get_weights(), run.model.get_weights(), strict=True):
        # TensorFlow's threads add up a convolution's gradient in any order: the last bit of a weight may differ.
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_what_lines_cannot_be_learned_from_leaves_nothing(toy: Splits, tiny_model: Path, tmp_path: Path) -> None:
    letters = toy[0].__class__(**{**vars(toy[0]), "class_names": tuple("abcdefghij")})
    with pytest.raises(DataError, match="other classes"):
        inkdigits.train("line", data=(letters, toy[1]), runs_dir=tmp_path / "runs", **TINY)
    with pytest.raises(RecipeError, match="teacher"):
        inkdigits.train("line", data=toy, runs_dir=tmp_path / "runs", teacher=tiny_model, **TINY)
    with pytest.raises(RecipeError, match="no setting 'activation'"):
        inkdigits.train("line", data=toy, runs_dir=tmp_path / "runs", activation="tanh", **TINY)
    assert not (tmp_path / "runs").exists()


def test_all_three_losses_are_one() -> None:
    logits = keras.ops.convert_to_tensor(
        np.random.default_rng(0).normal(0, 2, (3, 9, line_net.BLANK + 1)).astype(np.float32)
    )
    texts = keras.ops.convert_to_tensor(np.array([[1, 10, 5, -1], [7, 7, -1, -1], [0, -1, -1, -1]], np.float32))
    neutral = keras.ops.convert_to_numpy(line_net.ctc_loss(texts, logits))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(line_net.backend_loss()(texts, logits)), neutral, rtol=1e-4)
    assert neutral.shape == (3,)
    by_numpy = [ctc_loss_of(np.asarray(logits)[i], text) for i, text in enumerate(("1.5", "77", "0"))]
    np.testing.assert_allclose(by_numpy, neutral, rtol=1e-4)
    assert ctc_loss_of(np.asarray(logits)[0], "777777") == 1_000


def test_export_agrees_with_keras_and_keeps_any_width(tmp_path: Path) -> None:
    export_line(line_net.build(tiny()), tmp_path / "line.onnx", {"height": 32, "kind": "line"})
    net = OnnxModel(tmp_path / "line.onnx")
    assert net.card["kind"] == "line"
    for width in (16, 64, 320):
        assert net.scores(np.zeros((3, 32, width), np.uint8)).shape == (3, width // 4, line_net.BLANK + 1)


def test_an_export_that_disagrees_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = 24, line_net.BLANK + 1
    monkeypatch.setattr(OnnxModel, "scores", lambda self, images: np.zeros((len(images), *shape), np.float32))
    with pytest.raises(ModelError, match="disagree"):
        export_line(line_net.build(tiny()), tmp_path / "line.onnx", {"height": 32, "kind": "line"})
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_net_keeps_its_contract_and_its_size() -> None:
    path = SHIPPED / "line.onnx"
    net = OnnxModel(path)
    assert net.card["kind"] == "line"
    assert net.card["classes"][net.card["blank"]] == ""
    assert net.card["views"]
    assert 0.3 < net.card["temperature"] < 3
    assert sum(each.stat().st_size for each in SHIPPED.glob("*.onnx")) <= 6_000_000
    strips = np.random.default_rng(0).integers(0, 255, (7, net.card["height"], 64)).astype(np.uint8)
    assert net.scores(strips).shape == (7, len(net.card["members"]), 16, len(net.card["classes"]))
    together = net.scores(strips)
    alone = np.concatenate([net.scores(strip[None]) for strip in strips])
    assert np.allclose(together, alone, atol=1e-4)
