"""Recipe -> `keras.Model`: the layers, and what `compile` gets. Backend-neutral Keras.

Every model eats uint8 (N, 28, 28), 0 = paper, 255 = ink: scaling to [0, 1] and flattening are layers.
"""

import dataclasses
import inspect
import json
import logging
import re
from collections.abc import Container, Iterator
from typing import Any

import keras
import numpy as np

from inkdigits.errors import RecipeError
from inkdigits.machine import has_bfloat16
from inkdigits.training.hyperparameters import nearest
from inkdigits.training.recipes import Recipe

logger = logging.getLogger(__name__)

# Of batch normalisation's statistics: 50 steps, as some recipes have but 400.
MOMENTUM = 0.98
# Bases of others, and optimizers that are made of others.
NOT_OFFERED = ("Loss", "Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap")
ONE_HOT_TWIN = {"sparse_categorical_crossentropy": "categorical_crossentropy"}


def check(recipe: Recipe) -> Recipe:
    """Return the recipe with the optimizer's default learning rate filled in.

    Raises:
        RecipeError: Keras does not know the activation, the optimizer or the loss; the nearest names are given.
    """
    _known("activation", recipe.activation, keras.activations)
    recipe = dataclasses.replace(recipe, loss=unabbreviated(recipe.loss))
    _known("loss", recipe.loss, keras.losses)
    optimizer = type(_known("optimizer", recipe.optimizer, keras.optimizers))
    known = inspect.signature(optimizer).parameters
    for name, value in _optional(recipe).items():
        if value is not None and name not in known:
            raise RecipeError(f"the optimizer {recipe.optimizer!r} has no {name}; leave it out")
    if recipe.learning_rate is not None:
        return recipe
    return dataclasses.replace(recipe, learning_rate=known["learning_rate"].default)


def _known(field: str, name: str, room: Any) -> Any:
    names = [each for each in dir(room) if not each.startswith("_") and _is_offered(getattr(room, each))]
    names = [each for each in names if each not in ("get", "serialize", "deserialize")]
    # Keras finds optimizers by any spelling of case; its other rooms by the exact name alone.
    if name.lower() not in [each.lower() for each in names]:
        raise RecipeError(f"Keras knows no {field} {name!r}; {nearest(name, names)}")
    try:
        return room.get(name)
    except (ValueError, TypeError, KeyError):
        raise RecipeError(f"Keras cannot make the {field} {name!r} by its name alone; {nearest(name, names)}") from None


def unabbreviated(loss: str) -> str:
    """Return the full name of a loss for which Keras knows an abbreviation, such as "mse"; any other name as it is."""
    try:
        found = keras.losses.get(loss)
    except ValueError:
        return loss
    return found.__name__ if inspect.isfunction(found) else loss


def _is_offered(thing: Any) -> bool:
    """Is it something a recipe can name: a function, or a class that is not the base of the others?"""
    return inspect.isfunction(thing) or (inspect.isclass(thing) and thing.__name__ not in NOT_OFFERED)


def for_this_machine(recipe: Recipe, asked: Container[str] = ()) -> Recipe:
    """Return the recipe in float32 where bfloat16 would be emulated, unless its precision was asked for.

    On a processor without bfloat16 (AVX2, two cores, TensorFlow 2.21) an epoch of `cnn` takes 6.6 times as long in
    mixed_bfloat16 as in float32, one of `champion` 7.9 times; with it, or on a GPU, float32 is the slower one.

    Args:
        recipe: what is to be trained.
        asked: the fields that the user has set.
    """
    if recipe.precision == "float32" or "precision" in asked or has_bfloat16():
        return recipe
    if keras.distribution.list_devices("gpu"):
        return recipe
    logger.info("this processor has no bfloat16 arithmetic: training in float32")
    return dataclasses.replace(recipe, precision="float32")


def build(recipe: Recipe, seed: int, n_classes: int = 10) -> keras.Model:
    """Return a fresh model for the recipe; the seed fixes its first weights.

    Args:
        recipe: the recipe.
        seed: >= 0; sets Keras's, NumPy's and Python's global seeds, as `keras.utils.set_random_seed` does.
        n_classes: >= 2.

    Raises:
        RecipeError: the convolutions leave nothing of a picture of 28 x 28.
    """
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((28, 28), dtype="uint8", name="images")]
    with_policy = {"dtype": recipe.precision}
    layers += [keras.layers.Rescaling(1 / 255, **with_policy)]
    if recipe.convolutions:
        layers += [keras.layers.Reshape((28, 28, 1), **with_policy)]
        layers += [layer for name in recipe.convolutions for layer in _convolution(name, recipe)]
    layers += [keras.layers.Flatten(**with_policy)]
    layers += [layer for units in recipe.hidden for layer in _hidden(units, recipe)]
    layers += [keras.layers.Dropout(recipe.dropout, seed=seed, **with_policy)] if recipe.dropout else []
    # The last layer stays float32: bfloat16's 8 bits are too few for a loss.
    activation = "linear" if recipe.output.startswith("logits") else recipe.output
    units = n_classes + 1 if recipe.output == "logits_none" else n_classes
    layers += [keras.layers.Dense(units, activation=activation, dtype="float32", name="scores")]
    try:
        return keras.Sequential(layers, name=recipe.name)
    except ValueError as error:  # when convolutions leave nothing of the picture
        raise RecipeError(f"such a network cannot be built: {cause_of(error)}") from None


def _convolution(name: str, recipe: Recipe) -> Iterator[keras.layers.Layer]:
    """Yield the layers that a word of `recipe.convolutions` means."""
    policy = {"dtype": recipe.precision}
    if name == "pool":
        yield keras.layers.MaxPooling2D(2, **policy)
        return
    size, channels, letters = re.fullmatch(r"(\d)x(\d+)([sdp]*)", name).groups()  # type: ignore[union-attr]
    settings = {
        "padding": "same" if "s" in letters else "valid",
        "strides": 2 if "d" in letters else 1,
        "use_bias": not recipe.batch_norm,
        **policy,
    }
    if not recipe.batch_norm and "p" not in letters:
        yield keras.layers.Conv2D(int(channels), int(size), activation=recipe.activation, **settings)
        return
    yield keras.layers.Conv2D(int(channels), int(size), **settings)
    if "p" in letters:
        yield keras.layers.MaxPooling2D(2, **policy)
    if recipe.batch_norm:
        yield keras.layers.BatchNormalization(momentum=MOMENTUM, **policy)
    yield keras.layers.Activation(recipe.activation, **policy)


def _hidden(units: int, recipe: Recipe) -> Iterator[keras.layers.Layer]:
    """Yield the layers that a number of `recipe.hidden` means."""
    policy = {"dtype": recipe.precision}
    if not (recipe.batch_norm and recipe.convolutions):
        yield keras.layers.Dense(units, activation=recipe.activation, **policy)
        return
    yield keras.layers.Dense(units, use_bias=False, **policy)
    yield keras.layers.BatchNormalization(momentum=MOMENTUM, **policy)
    yield keras.layers.Activation(recipe.activation, **policy)


def compile_for(model: keras.Model, recipe: Recipe, n_steps: int) -> None:
    """Compile the model with the recipe's optimizer and loss, and accuracy as its metric.

    Args:
        model: built; its last layer tells whether the loss is of logits.
        recipe: checked, with a learning rate.
        n_steps: steps of the whole training, which a schedule spreads over.
    """
    model.compile(
        optimizer=optimizer_of(recipe, _rate(recipe, n_steps)),
        loss=_loss(recipe, of_logits=output_of(model) == "logits"),
        metrics=["accuracy"],
    )


def optimizer_of(recipe: Recipe, learning_rate: Any, **settings: Any) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer, which averages the weights where the recipe says so.

    Args:
        recipe: checked.
        learning_rate: a number or a Keras schedule.
        settings: further arguments of the optimizer.
    """
    settings |= {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    settings |= {name: value for name, value in _optional(recipe).items() if value is not None}
    return type(keras.optimizers.get(recipe.optimizer))(learning_rate=learning_rate, **settings)


def _optional(recipe: Recipe) -> dict[str, float | None]:
    return {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2, "weight_decay": recipe.weight_decay}


def _rate(recipe: Recipe, n_steps: int) -> Any:
    if recipe.schedule == "constant" or recipe.learning_rate is None:
        return recipe.learning_rate
    warmup_steps = n_steps // 10
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 100,
        n_steps - warmup_steps,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup_steps,
    )


def _loss(recipe: Recipe, of_logits: bool) -> Any:
    name = ONE_HOT_TWIN.get(recipe.loss, recipe.loss) if recipe.label_smoothing else recipe.loss
    if "crossentropy" not in name:
        return name
    settings = {"label_smoothing": recipe.label_smoothing} if recipe.label_smoothing else {}
    kind = "".join(word.capitalize() for word in name.split("_")) if "_" in name else name
    return keras.losses.get({"class_name": kind, "config": {"from_logits": of_logits, **settings}})


def try_loss(model: keras.Model, recipe: Recipe) -> None:
    """Compute loss and metrics of two blank images once, which also makes their variables.

    Raises:
        RecipeError: they cannot be computed: the loss is made for other shapes than labels and scores (N, classes).
    """
    images = np.zeros((2, 28, 28), np.uint8)
    labels = np.eye(model.output_shape[-1], dtype=np.float32)[:2] if wants_one_hot(model) else np.arange(2)
    try:
        scores = model(images)
    except Exception as error:
        raise RecipeError(
            f"such a network cannot work (activation {recipe.activation!r}?): {cause_of(error)}"
        ) from None
    try:
        loss = model.compute_loss(x=images, y=keras.ops.convert_to_tensor(labels), y_pred=scores)
        model.compute_metrics(images, keras.ops.convert_to_tensor(labels), scores)
    except Exception as error:  # Keras, TensorFlow and JAX each have their own
        raise RecipeError(
            f"the loss {recipe.loss!r} cannot evaluate {model.output_shape[-1]} scores: {cause_of(error)}"
        ) from None
    if loss.shape != ():
        raise RecipeError(f"the loss {recipe.loss!r} gives {tuple(loss.shape)} numbers in place of one")


def cause_of(error: Exception) -> str:
    """Return the sentence of an error of Keras's or a backend's that says what is wrong, without colours."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", str(error)).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception encountered", "Arguments received"))]
    return told[0].split(". ")[0].rstrip(".") if told else type(error).__name__


def wants_one_hot(model: keras.Model) -> bool:
    """Does the compiled model's loss compare whole rows of scores, and so need one-hot labels?"""
    loss = model.loss
    name = str(loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", ""))
    return "sparse" not in name.lower().replace("_", "")


def output_of(model: keras.Model) -> str:
    """Return what the model's last layer gives: "sigmoid", "softmax" or "logits"."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return output_of(last)
    name = getattr(getattr(last, "activation", None), "__name__", "")
    if isinstance(last, keras.layers.Softmax):
        name = "softmax"
    return name if name in ("sigmoid", "softmax") else "logits"


def adopt(model: keras.Model) -> keras.Model:
    """Return a user's own model as one that takes uint8 (N, 28, 28); layers and weights are shared with the user's.

    A model that neither declares a uint8 input nor holds a `Rescaling` layer is taken to expect pixels in [0, 1], as
    the tutorial's do: it gets `Rescaling` in front, and `Reshape` when its input has another shape. What the user has
    compiled (optimizer, loss) is kept.

    Raises:
        RecipeError: the model is not built, or its input does not hold 784 pixels.
    """
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        raise RecipeError("the model has no input shape yet: give it a keras.Input(shape=(28, 28)) or call it once")
    size = 1
    for extent in shape[1:]:
        size *= extent or 1
    if size != 28 * 28:
        raise RecipeError(f"the model takes {shape[1:]}, and not 28 x 28 = 784 pixels")
    if model.inputs[0].dtype == "uint8" and shape[1:] == (28, 28):
        return model
    rescaling = [] if _has_rescaling(model) else [keras.layers.Rescaling(1 / 255)]
    reshape = [] if shape[1:] == (28, 28) else [keras.layers.Reshape(shape[1:])]
    images = keras.Input((28, 28), dtype="uint8", name="images")
    adopted = keras.Sequential([images, *rescaling, *reshape, model], name="own")
    if getattr(model, "compiled", False):
        adopted.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return adopted


def _has_rescaling(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.Rescaling) for layer in layers_of(model))


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the model's layers; models among them, and then their layers, too."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)


def in_float32(model: keras.Model) -> keras.Model:
    """Return the model with float32 arithmetic throughout: itself, or a copy where it computes in mixed precision."""
    config = json.dumps(model.get_config())
    if "mixed_" not in config:
        return model
    for policy in ("mixed_bfloat16", "mixed_float16"):
        config = config.replace(f'"{policy}"', '"float32"')
    copy = type(model).from_config(json.loads(config))
    copy.set_weights(model.get_weights())
    return copy
