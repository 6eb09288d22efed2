import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.errors import RunError, TrainingError
from inkdigits.training import loop, networks
from inkdigits.training.epochs import Examples, Unchanged
from inkdigits.training.recipes import Recipe, resolve

Splits = tuple[Split, Split]
XLA_LAYERS = loop.XLA_LAYERS


def prepared(recipe: Recipe, seed: int = 0) -> keras.Model:
    return networks.build(networks.check(recipe), seed)


def weights(model: keras.Model) -> np.ndarray:
    return np.concatenate([w.ravel() for w in model.get_weights()])


def fitted(recipe: Recipe, train: Split, **settings: object) -> tuple[keras.Model, loop.History]:
    model = prepared(recipe)
    return model, loop.fit(model, networks.check(recipe), train, progress=False, **settings)  # type: ignore[arg-type]


SMALL = {"convolutions": ("3x4", "pool"), "batch_norm": True, "dropout": 0, "precision": "float32", "batch_size": 32}


@pytest.mark.usefixtures("with_xla")
@pytest.mark.parametrize(
    "recipe",
    [
        resolve("linear"),
        resolve("hidden"),
        resolve("hidden", loss="mean_squared_error", optimizer="sgd", output="softmax"),
        resolve("cnn", **SMALL),
        resolve("cnn", **SMALL, optimizer="sgd"),
    ],
    ids=["linear", "hidden", "one-hot", "cnn", "cnn-sgd"],
)
def test_steps_are_those_of_keras_fit(recipe: Recipe, toy: Splits) -> None:
    """Three steps of 32, the last of a partial batch, both ways from one seed."""
    recipe = networks.check(replace(recipe, epochs=1))
    train = toy[0].take(80)
    ours, theirs = prepared(recipe), prepared(recipe)
    row = loop.fit(ours, recipe, train, seed=5, progress=False)[0]
    loop.prepare(theirs, recipe, 3)
    order = np.random.default_rng([5, 1]).permutation(80)
    targets = loop.targets_for(theirs, train.labels)[order]
    figures = theirs.fit(train.images[order], targets, batch_size=32, shuffle=False, verbose=0).history
    # Adam's first steps are as long for a gradient of next to nothing as for any: there the order of the additions in
    # the fused kernels shows, in one weight of a thousand.
    fused_adam = recipe.batch_norm and recipe.convolutions and recipe.optimizer == "adam"
    np.testing.assert_allclose(weights(ours), weights(theirs), atol=2e-4 if fused_adam else 1e-5)
    assert np.quantile(np.abs(weights(ours) - weights(theirs)), 0.99) < 1e-5
    assert row["loss"] == pytest.approx(
        figures["loss"][0], abs=3e-5 if recipe.batch_norm and recipe.convolutions else 1e-5
    )
    assert row["accuracy"] == pytest.approx(figures["accuracy"][0], abs=1e-6)


@pytest.mark.usefixtures("with_xla")
@pytest.mark.parametrize(
    "recipe",
    [resolve("hidden", dropout=0.5, epochs=2), resolve("cnn", convolutions=("5x8s", "pool", "3x8s"), epochs=2)],
    ids=["hidden", "cnn"],
)
def test_one_seed_fixes_everything(recipe: Recipe, toy: Splits) -> None:
    runs = [fitted(recipe, toy[0], seed=seed)[0] for seed in (3, 3, 4)]
    first, again, other = (weights(model) for model in runs)
    assert (first == again).all()
    assert (first != other).any()


class Killed(BaseException):
    """Stands for a kill between two epochs."""


def kill_after(epochs: int) -> Callable[[loop.History], None]:
    def on_epoch(history: loop.History) -> None:
        if len(history) == epochs:
            raise Killed

    return on_epoch


@pytest.mark.parametrize(
    ("settings", "xla"), [({}, True), ({"schedule": "cosine", "ema": 0.9}, False)], ids=["plain-xla", "cosine-ema"]
)
def test_a_resumed_training_ends_as_one_never_stopped(
    settings: dict, xla: bool, toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if xla:
        monkeypatch.setattr(loop, "XLA_LAYERS", XLA_LAYERS)
    recipe = resolve("hidden", dropout=0.4, epochs=4, **settings)
    whole, history = fitted(recipe, toy[0], validation=toy[1])
    checkpoint = tmp_path / "checkpoint.npz"
    with pytest.raises(Killed):
        fitted(recipe, toy[0], validation=toy[1], checkpoint=checkpoint, on_epoch=kill_after(2))
    resumed, again = fitted(recipe, toy[0], validation=toy[1], checkpoint=checkpoint)
    assert (weights(whole) == weights(resumed)).all()
    for row, row_again in zip(history, again, strict=True):
        assert {**row, "seconds": 0} == {**row_again, "seconds": 0}


def test_the_average_of_the_weights_is_what_is_kept(toy: Splits) -> None:
    plain, _ = fitted(resolve("linear", epochs=2), toy[0])
    averaged, history = fitted(resolve("linear", epochs=2, ema=0.9), toy[0], validation=toy[1])
    assert np.abs(weights(averaged)).mean() < np.abs(weights(plain)).mean() * 0.999
    scores = averaged.predict(toy[1].images, verbose=0)
    assert history[-1]["val_accuracy"] == pytest.approx((scores.argmax(axis=1) == toy[1].labels).mean(), abs=1e-6)


class Parts(Unchanged):
    """Shows other images in each epoch and remembers which it was asked for."""

    def __init__(self, split: Split) -> None:
        super().__init__(split.take(50))
        self.whole, self.asked = split, []

    def epoch(self, number: int) -> Examples:
        self.asked.append(number)
        part = self.whole.take(slice(number * 50, number * 50 + 50))
        return part.images, part.labels


def test_each_epoch_is_asked_for_once(toy: Splits) -> None:
    source = Parts(toy[0])
    fitted(resolve("linear", epochs=3), source)  # type: ignore[arg-type]
    assert source.asked == [1, 2, 3]


def test_it_learns(toy: Splits) -> None:
    _, history = fitted(resolve("hidden", epochs=8), toy[0], validation=toy[1])
    assert history[-1]["val_accuracy"] > 0.9
    assert history[-1]["loss"] < history[0]["loss"] / 2


def test_a_loss_of_nan_stops_with_its_likely_cause(toy: Splits) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1e3, "output": "logits", "loss": "mean_squared_error"}
    with pytest.raises(TrainingError, match=r"learning rate of 1e\+03 is too high for SGD"):
        fitted(resolve("linear", **settings), toy[0])


def test_a_users_compiled_model_keeps_its_optimizer(toy: Splits) -> None:
    model = networks.build(resolve("linear"), 0)
    model.compile(optimizer=keras.optimizers.SGD(0.25), loss="categorical_crossentropy", metrics=["accuracy"])
    loop.fit(model, networks.check(resolve("linear", epochs=1)), toy[0], progress=False)
    assert float(model.optimizer.learning_rate) == 0.25
    assert int(model.optimizer.iterations) == 19


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "garbage", "of another model"])
def test_a_checkpoint_that_cannot_be_used_is_refused(content: bytes | None, toy: Splits, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.npz"
    recipe = resolve("linear", epochs=1)
    if content is None:
        fitted(resolve("hidden", epochs=1), toy[0].take(32), checkpoint=checkpoint)
    else:
        checkpoint.write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint\.npz"):
        fitted(recipe, toy[0], checkpoint=checkpoint)


def test_epochs_are_told_as_keras_tells_them(toy: Splits, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = networks.check(resolve("linear", epochs=2))
    loop.fit(prepared(recipe), recipe, toy[0], progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines[0::2] == ["Epoch 1/2", "Epoch 2/2"]
    assert lines[1].startswith("19/19 - ")
    assert "ms/step - loss: " in lines[1]
    assert " - accuracy: 0." in lines[1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(toy: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(os.environ, "COLUMNS", "120")
    recipe = networks.check(resolve("linear", epochs=2))
    loop.fit(prepared(recipe), recipe, toy[0], progress=True)
    assert "epoch 2/2  step 19/19  loss: " in terminal.getvalue()
    assert "━" in terminal.getvalue()
