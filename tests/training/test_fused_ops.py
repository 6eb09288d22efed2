import keras
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.training import fused_ops, loop, networks
from inkdigits.training.recipes import Recipe, resolve

Splits = tuple[Split, Split]
RECIPE = resolve("cnn", convolutions=("5x8dp", "3x8s"), batch_norm=True, dropout=0.0, epochs=3, precision="float32")


def trained(split: Split, recipe: Recipe) -> tuple[keras.Model, loop.History]:
    model = networks.build(recipe, seed=3)
    history = loop.fit(model, recipe, split, progress=False)
    return model, history


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the kernels are TensorFlow's")
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_fused_kernels_learn_what_kerass_own_operations_learn(
    optimizer: str, toy: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = networks.check(resolve("cnn", **{**vars_of(RECIPE), "optimizer": optimizer, "learning_rate": 1e-3}))
    fused, fused_history = trained(toy[0], recipe)
    monkeypatch.setattr(fused_ops, "fuse", lambda model: None)
    plain, plain_history = trained(toy[0], recipe)
    for ours, theirs in zip(fused_history, plain_history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-3)
    for ours, theirs in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-3)
    images = toy[1].images
    np.testing.assert_allclose(fused.predict(images, verbose=0), plain.predict(images, verbose=0), atol=0.02)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the kernels are TensorFlow's")
def test_the_variance_kept_is_kerass_own(toy: Splits) -> None:
    # Three images a batch: the sample's variance is half as large again as Keras's.
    layer = keras.layers.BatchNormalization(momentum=0.0)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(optimizer="sgd", loss="mse")
    batch = np.array([[0.0, 1.0], [3.0, 1.0], [6.0, 4.0]], np.float32)
    fused_ops.fuse(model)
    model(batch, training=True)
    np.testing.assert_allclose(layer.moving_variance, batch.var(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, batch.mean(axis=0), rtol=1e-6)


def vars_of(recipe: Recipe) -> dict:
    return {name: value for name, value in vars(recipe).items() if name != "name"}
