"""The page finder's network: a whole grey picture in, maps of rows and other writing out at a quarter of its size."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from inkdigits.training import fused_ops, loop, networks
from inkdigits.training.finder_pages import batches, plan_batches
from inkdigits.training.recipes import FinderRecipe
from inkdigits.training.synthesis.page_maps import CHANNELS, STEPS, ZEROS

N_MAPS = len(CHANNELS) - 1  # the weight is no output
MOMENTUM = 0.98  # of batch normalisation's statistics
CLIP = 1.0  # the gradients' largest norm
WARM_UP = 0.02  # of the training, until the learning rate has reached its peak
# How much each part of the loss counts. The core decides what is found; height and axis are learned on it alone.
WEIGHTS = {"core": 4.0, "dice": 1.0, "other": 1.0, "height": 0.7, "axis": 0.7}
SMALLEST, LARGEST = 0.4, 3.0  # weight of a row's pixels: 16 pixels over its half height, within these bounds
CORE_FROM = 0.2  # share of a map's pixel that a core must cover for height and axis to be learned there
# Of the last layer: a page is nearly all paper, and a network that begins there learns sooner (Lin et al. 2017).
FIRST_BIAS = np.array([-3, -3, 0, 0, 0], np.float32)
SMOOTH = 20.0  # pixels added to both sides of the Dice ratio: pages without rows must not jump


def build(recipe: FinderRecipe, seed: int = 0, precision: str = "float32") -> keras.Model:
    """Return the network: uint8 (N, H, W), sides multiples of 64 -> float32 (N, H / 4, W / 4, 5).

    The maps are logits of core and other writing, log of half the row's height over 16 pixels, cosine and sine of twice
    the angle of its axis.

    Args:
        recipe: its channels.
        seed: fixes its first weights; sets Keras's, NumPy's and Python's global seeds.
        precision: Keras's name for the arithmetic of all but the last layer.
    """
    keras.utils.set_random_seed(seed)
    images = layers.Input((None, None), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 64, -2.0, dtype=precision)(images)
    x = ops.expand_dims(x, -1)  # (N, H, W, 1)
    x = _convolution(x, recipe.channels[0], 5, precision, stride=2)
    steps = []
    for channels in recipe.channels[1:]:  # 1/4, 1/8, 1/16, 1/32, 1/64
        x = _residual(_convolution(x, channels, 3, precision, stride=2), channels, precision)
        steps.append(x)
    for step in reversed(steps[:-1]):
        x = _merged(x, step, max(step.shape[-1], recipe.head), precision)
    x = _convolution(x, recipe.head, 3, precision)
    maps = layers.Conv2D(N_MAPS, 1, dtype="float32")(x)
    model = keras.Model(images, maps, name="finder")
    model.layers[-1].bias.assign(FIRST_BIAS)
    return model


def _convolution(x: Any, channels: int, size: int, precision: str, stride: int = 1, active: bool = True) -> Any:
    x = layers.Conv2D(channels, size, strides=stride, padding="same", use_bias=False, dtype=precision)(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, dtype=precision)(x)
    return layers.Activation("relu", dtype=precision)(x) if active else x


def _residual(x: Any, channels: int, precision: str) -> Any:
    y = _convolution(x, channels, 3, precision)
    y = _convolution(y, channels, 3, precision, active=False)
    return layers.Activation("relu", dtype=precision)(layers.Add(dtype=precision)([x, y]))


def _merged(coarse: Any, fine: Any, channels: int, precision: str) -> Any:
    """Return what a coarse step knows, at a finer one's size, added to what that one sees."""
    coarse = layers.Conv2D(channels, 1, use_bias=False, dtype=precision)(coarse)
    coarse = layers.UpSampling2D(2, dtype=precision)(coarse)
    x = layers.Add(dtype=precision)([coarse, layers.Conv2D(channels, 1, use_bias=False, dtype=precision)(fine)])
    x = layers.BatchNormalization(momentum=MOMENTUM, dtype=precision)(x)
    x = layers.Activation("relu", dtype=precision)(x)
    return _convolution(x, channels, 3, precision)


# ----------------------------------------------------------------------------------------------------------------- loss


def finder_loss(targets: Any, maps: Any) -> Any:
    """Return the loss float32 (N,) of maps under target maps; where a target's weight is 0, the maps may be anything.

    Args:
        targets: (N, h, w, 6), bytes as `page_maps` keeps them, of any dtype.
        maps: float32 (N, h, w, 5), the network's.
    """
    core, other, weight, high, axis = _targets(targets)
    there = weight * ops.cast(core > CORE_FROM, "float32")
    size = ops.clip(ops.exp(-high), SMALLEST, LARGEST)
    pixel = weight * ops.where(there > 0, 1.5 * size, 1.0)
    found = ops.sigmoid(maps[..., 0])
    parts = {
        "core": _mean(_cross_entropy(core, maps[..., 0]) * pixel, weight),
        "dice": 1 - (2 * _sum(found * core * pixel) + SMOOTH) / (_sum((found + core) * pixel) + SMOOTH),
        "other": _mean(_cross_entropy(other, maps[..., 1]) * weight, weight),
        "height": _mean(ops.abs(maps[..., 2] - high) * there * size, there * size),
        "axis": _mean(ops.sum(ops.square(maps[..., 3:5] - axis), -1) * there * size, there * size),
    }
    return sum(WEIGHTS[name] * part for name, part in parts.items())


def _targets(targets: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return what `page_maps.as_floats` does, as tensors: core, other, weight, log half height, axis."""
    values = (ops.cast(targets, "float32") - ZEROS) * STEPS
    return values[..., 0], values[..., 1], values[..., 5], values[..., 2], values[..., 3:5]


def _cross_entropy(target: Any, logits: Any) -> Any:
    return ops.relu(logits) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))


def _sum(values: Any) -> Any:
    return ops.sum(values, axis=(1, 2))


def _mean(values: Any, weights: Any) -> Any:
    """Return the mean of weighted values (N,); 0 where there are none."""
    return _sum(values) / (_sum(weights) + 1.0)


# ------------------------------------------------------------------------------------------------------------- training


def prepare(model: keras.Model, recipe: FinderRecipe) -> None:
    """Compile the network and make the optimizer's variables."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    model.compile(
        networks.optimizer_of(recipe, recipe.learning_rate, global_clipnorm=CLIP),
        loss=finder_loss,
        jit_compile=False if on_tensorflow else "auto",  # XLA makes convolutions on the CPU slower
    )
    model.optimizer.build(model.trainable_variables)
    if on_tensorflow:
        fused_ops.fuse(model)


def rate_at(recipe: FinderRecipe, done: float) -> float:
    """Return the learning rate once a share 0 to 1 of the training is done: a short rise, then half a cosine to 0."""
    assert recipe.learning_rate is not None  # `networks.check` fills it in
    if recipe.schedule == "constant":
        return recipe.learning_rate
    rise = min(1.0, (done + 1e-3) / WARM_UP)
    return float(recipe.learning_rate * (rise * 0.5 * (1 + np.cos(np.pi * done)) + 2e-3))


def runner_for(model: keras.Model, recipe: FinderRecipe) -> loop.Runner:
    """Return what turns an epoch's pages and maps into steps: batches of one shape, each at its own rate."""
    step = loop.step_of(model, targets=(None, None, None, len(CHANNELS)), dtype="uint8")

    def runner(pages: np.ndarray, maps: np.ndarray, seed: int, epoch: int) -> loop.Steps:
        rng = np.random.default_rng([seed, epoch])
        plan = plan_batches(pages, recipe, rng)
        coming = batches(pages, maps, plan, rng)

        def run(first: int, last: int) -> None:
            for number in range(first, last):
                model.optimizer.learning_rate = rate_at(recipe, (epoch - 1 + number / len(plan)) / recipe.epochs)
                step(*next(coming))

        return loop.Steps(len(plan), run)

    return runner
