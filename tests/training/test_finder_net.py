"""The page finder: its network and loss, its runs on a tiny scale, how found rows are counted."""

import json
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, ModelError, RecipeError
from inkdigits.reading.finder import Finder
from inkdigits.reading.found_rows import FoundRow
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.row_reader import confidences
from inkdigits.training import finder_model, finder_net, runs
from inkdigits.training.recipes import FinderRecipe, from_dict, resolve, resolve_digit
from inkdigits.training.synthesis.page_lines import row_around
from inkdigits.training.synthesis.page_maps import as_floats, draw_maps
from inkdigits.training.synthesis.pages import Page

Splits = tuple[Split, Split]
TINY: dict[str, Any] = {
    "channels": (4, 4, 4, 4, 4, 4),
    "head": 4,
    "uses": 2,
    "composed": 8,
    "epochs": 3,
    "validation": 20,
    "batch_size": 1,
    "precision": "float32",
    "ema": 0.9,
    "seed": 2,
    "progress": False,
}
ROW = np.stack([np.stack([np.linspace(40, 120, 9), np.full(9, y)], axis=1) for y in (40.0, 72.0)])


def finder(**changes: object) -> FinderRecipe:
    recipe = resolve("finder", **changes)
    assert isinstance(recipe, FinderRecipe)
    return recipe


def tiny() -> FinderRecipe:
    return finder(channels=TINY["channels"], head=4)


@pytest.fixture(scope="module")
def small(toy: Splits) -> Splits:
    return toy[0], toy[1].take(50)


@pytest.fixture(scope="module")
def run(small: Splits, tmp_path_factory: pytest.TempPathFactory) -> inkdigits.Run:
    return inkdigits.train("finder", data=small, runs_dir=tmp_path_factory.mktemp("runs"), **TINY)


class Killed(BaseException):
    """Stands for a kill between two epochs."""


# ---------------------------------------------------------------------------------------------- recipe, network, loss


def test_the_recipe_survives_json_and_trains_no_network_for_digits() -> None:
    recipe = finder(epochs=3, channels=(4,) * 6, head=8, uses=3)
    assert from_dict(json.loads(json.dumps(vars(recipe)))) == recipe
    with pytest.raises(RecipeError, match="for pages"):
        resolve_digit("finder")
    with pytest.raises(RecipeError, match="composed must be at least 1"):
        resolve("finder", composed=0)
    with pytest.raises(RecipeError, match="validation must be at least 10"):
        resolve("finder", validation=0)


def test_the_network_has_some_600_000_weights_and_draws_maps_of_any_size() -> None:
    model = finder_net.build(finder())
    assert 500_000 < model.count_params() < 750_000
    for height, width in ((64, 64), (128, 320)):
        maps = model(np.zeros((2, height, width), np.uint8))
        assert tuple(maps.shape) == (2, height // 4, width // 4, 5)


def loss_of(targets: np.ndarray, maps: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(finder_net.finder_loss(targets, maps)))


def perfect(targets: np.ndarray) -> np.ndarray:
    """Maps that say what the targets do, to one in a million."""
    values = as_floats(targets)
    shares = np.clip(values[..., :2], 1e-6, 1 - 1e-6)
    return np.concatenate([np.log(shares / (1 - shares)), values[..., 2:5]], axis=-1).astype(np.float32)


def test_the_loss_is_small_where_maps_are_right_and_grows_with_each_error() -> None:
    targets = draw_maps((96, 160), [ROW], [np.array([[8, 80], [56, 80], [56, 92], [8, 92.0]])], [])[None]
    right = perfect(targets)
    least = loss_of(targets, right)
    assert least.shape == (1,)
    assert least[0] < 0.4  # the edges of a core are neither 0 nor 1
    for channel, value in enumerate((-4.0, -4.0, 1.0, -1.0, 1.0)):
        wrong = right.copy()
        wrong[..., channel] = value
        assert loss_of(targets, wrong)[0] > least[0] + 0.05


def test_the_loss_ignores_what_has_no_weight_and_counts_pages_apart() -> None:
    targets = np.concatenate([draw_maps((96, 160), [ROW], [], [])[None]] * 2)
    targets[1, :, 20:, 5] = 0
    maps = perfect(targets)
    before = loss_of(targets, maps)
    maps[1, :, 20:] = 7.0
    after = loss_of(targets, maps)
    assert after == pytest.approx(before, abs=1e-5)
    maps[1, :, :20, 0] *= -1
    assert loss_of(targets, maps)[1] > before[1] + 1
    assert loss_of(targets, maps)[0] == pytest.approx(before[0], abs=1e-5)


def test_the_cross_entropy_is_that_of_its_definition() -> None:
    targets = np.zeros((1, 4, 4, 6), np.uint8)
    targets[..., 5] = 255
    maps = np.random.default_rng(0).normal(0, 2, (1, 4, 4, 5)).astype(np.float32)
    p = 1 / (1 + np.exp(-maps[0, ..., :2].astype(float)))
    core, other = (-np.log(1 - p[..., i]).sum() / 17 for i in (0, 1))
    dice = 1 - 20 / (p[..., 0].sum() + 20)
    assert loss_of(targets, maps)[0] == pytest.approx(4 * core + dice + other, rel=1e-4)


def test_the_rate_rises_at_first_and_falls_to_almost_nothing() -> None:
    recipe = finder()
    rates = [finder_net.rate_at(recipe, done) for done in (0.0, 0.01, 0.02, 0.5, 1.0)]
    assert rates[0] < 0.1 * rates[2]
    assert rates[2] == pytest.approx(2.5e-3, rel=0.01)
    assert rates[2] > rates[3] > rates[4] > 0
    assert finder_net.rate_at(finder(schedule="constant"), 0.9) == 2.5e-3


# ------------------------------------------------------------------------------------------------- runs


def test_a_finder_run_is_a_run_and_finds(run: inkdigits.Run) -> None:
    assert {path.name for path in run.path.iterdir()} == {"run.json", "history.csv", "model.keras", "model.onnx"}
    assert runs.list_runs(run.path.parent) == [run]
    assert isinstance(run.recipe, FinderRecipe)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert run.figures["n_test"] >= run.figures["test_errors"] >= 0
    assert run.figures["n_pages"] == 4
    finder = Finder(run.path)
    assert finder.card["kind"] == "finder"
    assert finder.card["figures"] == json.loads(json.dumps(run.figures))
    assert finder.card["threshold"] in finder_model.THRESHOLDS
    assert isinstance(finder.find(np.full((70, 333), 200, np.uint8)), list)


def test_a_finder_training_killed_and_resumed_ends_as_one_never_stopped(
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
            inkdigits.train("finder", data=small, runs_dir=tmp_path, **TINY)
    (stopped,) = runs.list_runs(tmp_path)
    assert len(stopped.history) == 2
    resumed = inkdigits.train("finder", data=small, resume=stopped.path, **TINY)
    for row, whole in zip(resumed.history, run.history, strict=True):
        assert row["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    for ours, theirs in zip(resumed.model.get_weights(), run.model.get_weights(), strict=True):
        # TensorFlow's threads add up a convolution's gradient in any order: the last bits of a weight may differ.
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_pages_cannot_be_learned_from_leaves_nothing(toy: Splits, tiny_model: Path, tmp_path: Path) -> None:
    letters = toy[0].__class__(**{**vars(toy[0]), "class_names": tuple("abcdefghij")})
    with pytest.raises(DataError, match="pages are composed of the digits"):
        inkdigits.train("finder", data=(letters, toy[1]), runs_dir=tmp_path / "runs", **TINY)
    with pytest.raises(RecipeError, match="teacher"):
        inkdigits.train("finder", data=toy, runs_dir=tmp_path / "runs", teacher=tiny_model, **TINY)
    assert not (tmp_path / "runs").exists()


def test_an_export_keeps_any_size_and_one_that_disagrees_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, card = finder_net.build(tiny()), finder_model.card_of_finder(tiny())
    finder_model.export_finder(model, tmp_path / "finder.onnx", card)
    network = OnnxModel(tmp_path / "finder.onnx")
    for height, width in ((64, 64), (192, 320)):
        assert network.scores(np.zeros((3, height, width), np.uint8)).shape == (3, height // 4, width // 4, 5)
    monkeypatch.setattr(OnnxModel, "scores", lambda self, images: np.zeros((2, 32, 48, 5), np.float32) + 9)
    with pytest.raises(ModelError, match="disagree"):
        finder_model.export_finder(model, tmp_path / "again.onnx", card)
    assert not (tmp_path / "again.onnx").exists()


# ------------------------------------------------------------------------------------------------- counting


def found(x: float, y: float, half_width: float, half_height: float, angle: float = 0.0) -> FoundRow:
    return FoundRow(x, y, half_width, half_height, angle, 0.9, 0.0)


def test_a_found_row_is_a_true_one_if_it_overlaps_along_and_across() -> None:
    true = row_around(ROW)
    assert (true.x, true.y, true.half_width, true.half_height, true.angle) == (80, 56, 40, 16, 0)
    assert finder_model.is_same(found(80, 56, 40, 16), true)
    assert finder_model.is_same(found(80, 56, 40, 16, np.pi), true)
    assert finder_model.is_same(found(90, 60, 38, 14, 0.1), true)
    assert not finder_model.is_same(found(130, 56, 40, 16), true)
    assert not finder_model.is_same(found(80, 80, 40, 16), true)
    assert not finder_model.is_same(found(80, 56, 40, 40), true)
    assert not finder_model.is_same(found(80, 56, 15, 16), true)
    assert not finder_model.is_same(found(80, 56, 40, 16, 1.5), true)


def test_each_row_is_found_once_and_what_is_left_open_is_no_error() -> None:
    cut = ROW + np.array([100, 0])  # most of it beyond the edge
    lone = np.array([[8, 76], [24, 76], [24, 92], [8, 92.0]])
    page = Page(
        np.zeros((96, 160), np.uint8), draw_maps((96, 160), [ROW, cut], [], [lone]), [ROW, cut], ["12", "3"], [], [lone]
    )
    right, again = found(80, 56, 40, 16), found(82, 57, 41, 16)
    assert finder_model.match([], page) == (0, 1, 0)
    assert finder_model.match([right], page) == (1, 1, 0)
    assert finder_model.match([right, again], page) == (1, 1, 1)
    assert finder_model.match([found(16, 84, 8, 8), found(152, 56, 12, 16)], page) == (0, 1, 0)
    assert finder_model.match([found(80, 10, 20, 8)], page) == (0, 1, 1)


def test_the_model_of_a_rows_confidence_is_a_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 6)) * (1, 3, 0.2, 1, 1, 1) + (0, -4, 1, 0, 0, 0)
    chances = 1 / (1 + np.exp(-(x @ (1.5, 0.4, -3.0, 0, 0, 0.7) + 2.0)))
    weights = finder_model.fit_logistic(x, rng.random(4000) < chances)
    np.testing.assert_allclose(weights, (1.5, 0.4, -3.0, 0, 0, 0.7, 2.0), atol=0.5)
    ours = confidences(x, {"weights": weights})
    assert np.abs(ours - chances).mean() < 0.02


def test_a_finder_that_finds_nothing_accepts_nothing(small: Splits) -> None:
    class Blind:
        card: ClassVar = {"rows": finder_model.NOTHING_LEARNED}

        def find(self, image: np.ndarray, threshold: float) -> list[FoundRow]:
            return []

    pages = finder_model.held_out_pages(small[0], (1, 0.0))
    rows = finder_model.fit_rows(Blind(), pages)  # type: ignore[arg-type]
    assert (rows["weights"], rows["accepted"]) == ([0.0] * 7, 1.0)
