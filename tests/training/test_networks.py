import keras
import numpy as np
import pytest

from inkdigits.errors import RecipeError
from inkdigits.training import networks
from inkdigits.training.recipes import Recipe, change, resolve

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)


def weights(model: keras.Model) -> np.ndarray:
    return np.concatenate([w.ravel() for w in model.get_weights()])


def test_the_hidden_net_is_the_tutorials() -> None:
    model = networks.build(resolve("hidden"), seed=0)
    kernel, bias, last_kernel, last_bias = model.get_weights()
    pixels = IMAGES.reshape(4, 784).astype(np.float64) / 255
    by_hand = np.maximum(pixels @ kernel + bias, 0) @ last_kernel + last_bias
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), 1 / (1 + np.exp(-by_hand)), atol=1e-5)
    assert model.count_params() == 785 * 100 + 101 * 10


def test_every_recipe_eats_uint8_and_gives_ten_scores() -> None:
    for name in ("linear", "hidden", "cnn"):
        model = networks.build(resolve(name), seed=0)
        assert model.inputs[0].dtype == "uint8"
        assert model.output_shape == (None, 10)
        assert networks.build(resolve(name), 0, n_classes=3).output_shape == (None, 3)


def test_the_seed_fixes_the_first_weights() -> None:
    first, again, other = (weights(networks.build(resolve("hidden"), seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activation": "rellu"}, "no activation 'rellu'; nearest: relu"),
        ({"optimizer": "adamm"}, "no optimizer 'adamm'; nearest: Adam"),
        ({"optimizer": "Optimizer"}, "no optimizer"),
        ({"optimizer": "get"}, "no optimizer 'get'"),
        ({"optimizer": "MultiOptimizer"}, "no optimizer 'MultiOptimizer'"),
        ({"loss": "sparse_crossentropy"}, ", sparse_categorical_crossentropy"),
    ],
)
def test_names_that_keras_does_not_know_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        networks.check(resolve("hidden", **changes))
    assert words in str(caught.value)


def test_a_net_that_leaves_nothing_of_the_picture_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"cannot be built: .*output size") as caught:
        networks.build(resolve("cnn", convolutions=["pool"] * 5), seed=0)
    assert "\x1b" not in str(caught.value)


def test_an_activation_that_halves_its_input_is_to_blame_itself() -> None:
    recipe = networks.check(resolve("hidden", activation="glu"))
    model = networks.build(recipe, seed=0)
    networks.compile_for(model, recipe, 1)
    with pytest.raises(RecipeError, match="activation 'glu'"):
        networks.try_loss(model, recipe)


def test_an_optimizers_own_learning_rate_is_filled_in() -> None:
    assert networks.check(resolve("hidden")).learning_rate == 0.001
    assert networks.check(resolve("hidden", optimizer="sgd")).learning_rate == 0.01
    assert networks.check(resolve("hidden", optimizer="SGD", learning_rate=0.5)).learning_rate == 0.5


def test_a_cosine_warms_up_and_ends_at_nothing() -> None:
    recipe = resolve("hidden", schedule="cosine", learning_rate=0.1)
    model = networks.build(recipe, 0)
    networks.compile_for(model, recipe, n_steps=100)
    rate = [float(model.optimizer._learning_rate(step)) for step in (0, 10, 100)]
    np.testing.assert_allclose(rate, [0.001, 0.1, 0.0], atol=1e-6)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize("output", ["softmax", "logits"])
def test_cross_entropy_knows_logits_and_smoothing(loss: str, output: str) -> None:
    recipe = Recipe("x", loss=loss, output=output, learning_rate=0.1, label_smoothing=0.2)
    model = networks.build(recipe, 0)
    networks.compile_for(model, recipe, 1)
    assert networks.wants_one_hot(model)
    logits = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.eye(10, dtype=np.float32)[[3, 1, 4, 1]]
    expected = -((0.8 * truth + 0.02) * np.log(p)).sum(axis=1).mean()
    got = model.compute_loss(y=truth, y_pred=keras.ops.convert_to_tensor(p if output == "softmax" else logits))
    assert float(got) == pytest.approx(expected, abs=1e-5)


def test_a_loss_for_other_shapes_is_refused() -> None:
    recipe = networks.check(resolve("hidden", loss="ctc"))
    model = networks.build(recipe, 0)
    networks.compile_for(model, recipe, 1)
    with pytest.raises(RecipeError, match="the loss 'ctc' cannot evaluate 10 scores"):
        networks.try_loss(model, recipe)


def test_what_the_last_layer_gives_is_found() -> None:
    for output in ("sigmoid", "softmax", "logits"):
        assert networks.output_of(networks.build(resolve("hidden", output=output), 0)) == output
    by_layer = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Softmax()])
    assert networks.output_of(by_layer) == "softmax"


def test_a_users_flat_model_is_fed_scaled_and_flattened_pixels() -> None:
    theirs = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10, activation="sigmoid")])
    theirs.compile(optimizer="sgd", loss="mse")
    adopted = networks.adopt(theirs)
    expected = theirs.predict(IMAGES.reshape(4, 784) / np.float32(255), verbose=0)
    np.testing.assert_allclose(adopted.predict(IMAGES, verbose=0), expected, atol=1e-6)
    assert networks.output_of(adopted) == "sigmoid"
    assert adopted.optimizer is theirs.optimizer
    assert networks.wants_one_hot(adopted)


def test_a_users_model_that_scales_by_itself_is_not_scaled_again() -> None:
    layers = keras.layers
    scaling = [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10)]
    theirs = keras.Sequential(scaling)
    expected = theirs.predict(IMAGES[..., None].astype(np.float32), verbose=0)
    np.testing.assert_allclose(networks.adopt(theirs).predict(IMAGES, verbose=0), expected, atol=1e-6)


def test_a_users_model_of_other_pictures_is_refused() -> None:
    with pytest.raises(RecipeError, match="784 pixels"):
        networks.adopt(keras.Sequential([keras.Input((32, 32)), keras.layers.Flatten(), keras.layers.Dense(10)]))
    with pytest.raises(RecipeError, match="no input shape"):
        networks.adopt(keras.Sequential([keras.layers.Dense(10)]))


def test_mixed_precision_is_left_behind_with_the_same_weights() -> None:
    mixed = networks.build(resolve("cnn"), 0)
    exact = networks.in_float32(mixed)
    assert {layer.compute_dtype for layer in exact.layers} <= {"float32", "uint8"}
    assert (weights(exact) == weights(mixed)).all()
    assert networks.in_float32(exact) is exact


def test_a_loss_may_be_abbreviated_as_in_keras() -> None:
    assert networks.check(resolve("linear", loss="mse")).loss == "mean_squared_error"
    assert networks.check(resolve("linear", loss="MAE")).loss == "mean_absolute_error"
    assert (
        networks.check(resolve("linear", loss="SparseCategoricalCrossentropy")).loss == "SparseCategoricalCrossentropy"
    )


def test_the_letters_of_a_convolution_mean_what_they_say() -> None:
    recipe = resolve("cnn", convolutions=("5x4dp", "3x6s", "3x8sp"), hidden=7, batch_norm=True)
    shapes = [layer.output.shape[1:] for layer in networks.build(recipe, 0).layers if "conv2d" in layer.name]
    assert shapes == [(12, 12, 4), (6, 6, 6), (6, 6, 8)]
    names = [layer.__class__.__name__ for layer in networks.build(recipe, 0).layers]
    # The maximum is taken before it is normalised and activated, and hidden layers are normalised as well.
    assert names[2:6] == ["Conv2D", "MaxPooling2D", "BatchNormalization", "Activation"]
    assert names[-4:] == ["Dense", "BatchNormalization", "Activation", "Dense"] or "Dropout" in names[-3:]


def test_maxima_before_or_after_a_relu_are_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    settings = {"batch_norm": False, "dropout": 0.0, "precision": "float32"}
    early = networks.build(resolve("cnn", convolutions=("5x4p",), **settings), 0)
    late = networks.build(resolve("cnn", convolutions=("5x4", "pool"), **settings), 0)
    late.set_weights(early.get_weights())
    np.testing.assert_allclose(early.predict(images, verbose=0), late.predict(images, verbose=0), atol=1e-6)


def test_settings_an_optimizer_does_not_have_are_refused() -> None:
    with pytest.raises(RecipeError, match="'sgd' has no beta_1"):
        networks.check(resolve("fast", optimizer="sgd"))
    model = networks.build(resolve("fast"), 0)
    networks.compile_for(model, networks.check(resolve("fast", weight_decay=0.01)), 10)
    assert (model.optimizer.beta_1, model.optimizer.beta_2, model.optimizer.weight_decay) == (0.7, 0.9, 0.01)


def test_bfloat16_is_left_out_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve("cnn")
    monkeypatch.setattr(networks, "has_bfloat16", lambda: True)
    assert networks.for_this_machine(recipe) == recipe
    monkeypatch.setattr(networks, "has_bfloat16", lambda: False)
    assert networks.for_this_machine(recipe) == change(recipe, precision="float32")
    assert networks.for_this_machine(recipe, {"precision": "mixed_bfloat16"}) == recipe
    monkeypatch.setattr("keras.distribution.list_devices", lambda kind: [f"{kind}:0"])
    assert networks.for_this_machine(recipe) == recipe
