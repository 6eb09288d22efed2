"""A line network is fitted to one hand, on a tiny scale."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import inkdigits
from inkdigits.arrays import GrayImage
from inkdigits.data.splits import Split
from inkdigits.errors import ModelError
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import SHIPPED, OnnxModel
from inkdigits.training import ensemble, line_tuning
from inkdigits.training.line_tuning import LineTuner, written

Splits = tuple[Split, Split]


@pytest.fixture(scope="module")
def base(toy: Splits, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    small = {"channels": (4, 4, 4, 8, 8), "composed": 32, "passes": 1, "epochs": 2, "validation": 20, "batch_size": 16}
    folder = tmp_path_factory.mktemp("runs")
    run = inkdigits.train("line", data=(toy[0], toy[1].take(50)), runs_dir=folder, seed=2, progress=False, **small)
    return OnnxModel(run.path / "model.onnx")


@pytest.fixture
def tuner(base: OnnxModel, toy: Splits, monkeypatch: pytest.MonkeyPatch) -> LineTuner:
    monkeypatch.setattr(line_tuning, "N_REPLAY", 48)
    return LineTuner(base, toy[0])


def number(text: str) -> GrayImage:
    picture = np.full((60, 40 * len(text) + 30), 255, np.uint8)
    cv2.putText(picture, text, (10, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 0, 3)
    return picture


LINES = [(number(text), text) for text in ("12", "7.5", "430", "88", "9", "61")]


def test_it_begins_where_the_network_stands(base: OnnxModel, tuner: LineTuner) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64)).astype(np.uint8)
    tuner._model.set_weights(tuner._weights)
    np.testing.assert_allclose(tuner._scores(images), base.scores(images), atol=1e-3)


def test_the_gate_counts_and_the_network_is_written(base: OnnxModel, tuner: LineTuner, tmp_path: Path) -> None:
    gate, fit = tuner.gate(LINES)
    assert (gate.what, gate.n, len(fit.unseen)) == ("lines", len(LINES), len(LINES))
    assert gate.n_home == 4
    assert 0 <= gate.errors_after <= gate.n
    tuner.write(LINES, fit, tmp_path / "line.onnx", {"name": "anna-0001"})
    reader = LineReader(tmp_path / "line.onnx")
    assert (reader.card["name"], reader.card["adapted"]) == ("anna-0001", {"name": "anna-0001"})
    assert len(reader.read([picture for picture, _ in LINES])) == len(LINES)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64)).astype(np.uint8)
    assert np.abs(reader.model.scores(images) - base.scores(images)).max() > 1e-4


def test_each_fit_begins_where_the_network_stands(tuner: LineTuner) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64)).astype(np.uint8)
    scores = []
    for _ in range(2):
        tuner._tuned(LINES)
        scores.append(tuner._scores(images))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-2)  # but for dropout


def test_all_members_of_an_ensemble_are_fitted(
    base: OnnxModel, toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_tuning, "N_REPLAY", 48)
    cards = [base.card, base.card]
    ensemble._save(ensemble._merged([base.path] * 2, cards), base.card | {"members": cards}, tmp_path / "both.onnx")
    both = OnnxModel(tmp_path / "both.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 64)).astype(np.uint8)
    tuner = LineTuner(both, toy[0])
    tuner._model.set_weights(tuner._weights)
    np.testing.assert_allclose(tuner._scores(images), both.scores(images), atol=1e-3)
    _, fit = tuner.gate(LINES)
    tuner.write(LINES, fit, tmp_path / "line.onnx", {"name": "anna-0001"})
    after = OnnxModel(tmp_path / "line.onnx").scores(images)
    for member in range(2):
        assert np.abs(after[:, member] - both.scores(images)[:, member]).max() > 1e-4
    assert len(LineReader(tmp_path / "line.onnx").read([LINES[0][0]])) == 1


def test_another_network_than_its_recipe_says_is_rejected(base: OnnxModel) -> None:
    from inkdigits.training.line_net import build
    from inkdigits.training.recipes import resolve

    with pytest.raises(ModelError, match="its convolutions are not those of its recipe"):
        line_tuning._weights_of(SHIPPED / "digit.onnx", build(resolve("line"), is_normalised=False))  # type: ignore[arg-type]


def test_texts_in_the_networks_alphabet() -> None:
    assert [written(text) for text in ("10,200", "-9.5", "3 4", "12 kg")] == ["10.200", "-9.5", "3 4", "12 "]
