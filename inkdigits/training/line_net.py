"""The line network: line images in, one prediction a column out, trained with CTC (Graves et al. 2006)."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from inkdigits.training import fused_ops, loop, networks
from inkdigits.training.line_rows import batches, plan_batches, prefetched, rounds_of
from inkdigits.training.recipes import LineRecipe
from inkdigits.training.synthesis.styles import ALPHABET

BLANK = len(ALPHABET)
MOMENTUM = 0.98  # of batch normalisation's statistics
CLIP = 5.0  # the gradients' largest norm


def build(
    recipe: LineRecipe, seed: int = 0, precision: str = "float32", is_normalised: bool = True, name: str = "line"
) -> keras.Model:
    """Return the network: uint8 (N, height, W) -> float32 logits (N, W / 4, 15); the last class is the blank.

    Args:
        recipe: height, channels and dropout.
        seed: fixes its first weights; sets Keras's, NumPy's and Python's global seeds.
        precision: Keras's name for the arithmetic of all but the last layer.
        is_normalised: whether batch normalisation follows each convolution; in an exported network it is part of it.
        name: of the model.
    """
    keras.utils.set_random_seed(seed)
    a, b, c, d, e = recipe.channels
    layer = functools.partial(_convolution, precision=precision, is_normalised=is_normalised)

    def residual(x: Any, channels: int, size: Any) -> Any:
        y = layer(layer(x, channels, size), channels, size, active=False)
        return layers.Activation("relu", dtype=precision)(layers.Add(dtype=precision)([x, y]))

    images = layers.Input((recipe.height, None), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 128, dtype=precision)(images)
    x = ops.expand_dims(x, -1)  # (N, 32, W, 1)
    x = layer(x, a, 5, stride=2)
    x = layer(x, b, 3)
    x = layers.MaxPooling2D(2, dtype=precision)(x)  # (N, 8, W / 4, b)
    x = residual(layer(x, c, 3), c, 3)
    x = layers.MaxPooling2D((2, 1), dtype=precision)(x)  # (N, 4, W / 4, c)
    x = layer(x, d, 3)
    x = residual(residual(x, d, 3), d, 3)
    x = layers.ZeroPadding2D((0, 1), dtype=precision)(x)
    x = layer(x, e, (recipe.height // 8, 3), padding="valid")  # (N, 1, W / 4, e)
    x = residual(x, e, (1, 3))
    x = residual(x, e, (1, 5))  # how wide the gaps beside this one are
    x = layers.Dropout(recipe.dropout, seed=seed, dtype=precision)(x)
    x = layers.Conv2D(BLANK + 1, 1, dtype="float32")(x)
    return keras.Model(images, ops.squeeze(x, 1), name=name)


def joined(members: Sequence[keras.Model]) -> keras.Model:
    """Return networks as one: uint8 (N, height, W) -> float32 logits (N, members, W / 4, 15); one alone as it is."""
    if len(members) == 1:
        return members[0]
    images = layers.Input(members[0].input_shape[1:], dtype="uint8", name="images")
    return keras.Model(images, ops.stack([member(images) for member in members], axis=1), name="line")


def _convolution(
    x: Any,
    channels: int,
    size: Any,
    stride: int = 1,
    padding: str = "same",
    active: bool = True,
    *,
    precision: str,
    is_normalised: bool,
) -> Any:
    x = layers.Conv2D(channels, size, strides=stride, padding=padding, use_bias=not is_normalised, dtype=precision)(x)
    if is_normalised:
        x = layers.BatchNormalization(momentum=MOMENTUM, dtype=precision)(x)
    return layers.Activation("relu", dtype=precision)(x) if active else x


def ctc_loss(targets: Any, logits: Any) -> Any:
    """Return the CTC loss (N,) of int targets (N, longest), padded with -1, under logits (N, columns, classes)."""
    targets = ops.cast(targets, "int32")  # Keras hands them over as floats
    lengths = ops.sum(ops.cast(targets >= 0, "int32"), axis=1)
    columns = ops.full_like(lengths, ops.shape(logits)[1])
    return ops.ctc_loss(ops.maximum(targets, 0), logits, lengths, columns, mask_index=BLANK)


def backend_loss() -> Any:
    """Return the CTC loss that is fastest on this backend."""
    return fused_ops.ctc_loss(BLANK) if keras.backend.backend() == "tensorflow" else ctc_loss


def _loss_of(model: keras.Model) -> Any:
    """Return the loss of a network, of one with several members the sum of theirs."""
    one = backend_loss()
    if len(model.output_shape) == 3:
        return one
    return lambda targets, logits: sum(one(targets, logits[:, i]) for i in range(model.output_shape[1]))


def prepare(model: keras.Model, recipe: LineRecipe) -> None:
    """Compile the network and make the optimizer's variables."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    model.compile(
        networks.optimizer_of(recipe, recipe.learning_rate, global_clipnorm=CLIP),
        loss=_loss_of(model),
        jit_compile=False if on_tensorflow else "auto",  # XLA makes convolutions on the CPU slower
    )
    model.optimizer.build(model.trainable_variables)
    if on_tensorflow:
        fused_ops.fuse(model)


def runner_for(model: keras.Model, recipe: LineRecipe) -> loop.Runner:
    """Return what turns an epoch's lines and texts into steps: batches of about one width, each at its own rate."""
    rounds, step = rounds_of(recipe), loop.step_of(model)

    def runner(lines: np.ndarray, texts: np.ndarray, seed: int, epoch: int) -> loop.Steps:
        rng = np.random.default_rng([seed, epoch])
        plan = plan_batches(lines, recipe, rng)
        coming = prefetched(batches(lines, texts, plan, rng))
        start, end = rounds[epoch - 1].learning_rates

        def run(first: int, last: int) -> None:
            for number in range(first, last):
                model.optimizer.learning_rate = start + (end - start) * number / len(plan)
                step(*next(coming))

        return loop.Steps(len(plan), run)

    return runner
