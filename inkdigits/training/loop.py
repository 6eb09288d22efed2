"""The training loop, for every network: epochs, checkpoints, averages, a look for NaN, resume, progress.

`keras.Model.fit` returns to Python after every batch, which for small networks costs ten times what the arithmetic
does. Here the data set lies in memory, an epoch's shuffled indices go in, and a `tf.while_loop` runs Keras's own
`train_step` over the batches. Same updates, same metrics; on other backends than TensorFlow, `fit` does the steps. A
network whose batches are not all alike brings its own `Runner`.
"""

import functools
import io
import json
import math
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from inkdigits.data.splits import Split
from inkdigits.errors import RunError, TrainingError
from inkdigits.training import fused_ops, keras_internals, networks
from inkdigits.training.epochs import EpochSource, Unchanged
from inkdigits.training.recipes import Recipe
from inkdigits.training.runs import write_beside

# One row an epoch: "epoch", "loss", "seconds", "accuracy" of digit networks, and "val_loss", "val_accuracy" where there
# is validation.
History = list[dict[str, float]]


@dataclass(frozen=True)
class Steps:
    """The steps of one epoch.

    Attributes:
        n: how many.
        run: runs those from the first to before the last.
        in_parts: may they be run some at a time?
    """

    n: int
    run: Callable[[int, int], None]
    in_parts: bool = True


# (inputs, targets, seed, epoch) -> the epoch's steps, in an order that seed and epoch fix.
Runner = Callable[[np.ndarray, np.ndarray, int, int], Steps]

# XLA makes dense networks several times faster and convolutions on the CPU slower.
XLA_LAYERS = ("InputLayer", "Rescaling", "Reshape", "Flatten", "Dense", "Dropout", "Activation", "BatchNormalization")
# The compiled call returns about so often, for the progress bar, for Ctrl-C and to look for a loss of NaN.
PART_S = 0.25


def fit(
    model: keras.Model,
    recipe: Recipe,
    train: Split | EpochSource,
    validation: Split | None = None,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = True,
    runner: Runner | None = None,
    behind: History | None = None,
) -> History:
    """Train `model` in place and return its history.

    Args:
        model: one that is compiled keeps its optimizer and loss; another takes uint8 (N, 28, 28) and gets the recipe's.
        recipe: epochs, batch size and, for `compile`, optimizer, loss and schedule.
        train: what to learn from, shuffled in each epoch by (seed, epoch), the last partial batch included; entered
            already where it is a source of epochs.
        validation: evaluated after each epoch.
        seed: fixes the order of the images.
        checkpoint: a file, written after each epoch. Where it exists, training continues from it and ends with the same
            bits as one never stopped.
        on_epoch: called with the history after each epoch, its checkpoint written.
        progress: print a line for each epoch and, to a terminal, a bar. To stderr.
        runner: runs an epoch's steps of this very model, which is prepared: what `runner_for` gave for this batch size
            and number of images, so that nothing is compiled again, or another.
        behind: the history of the epochs that this very model has behind it; training goes on after them.

    Raises:
        TrainingError: the loss is no longer a number, or a process that makes pictures was killed.
        RecipeError: the loss does not go with the model's scores.
        RunError: the checkpoint cannot be written, or is another model's.
    """
    source = Unchanged(train) if isinstance(train, Split) else train
    if runner is None:
        prepare(model, recipe, math.ceil(len(source) / recipe.batch_size))
        runner = runner_for(model, recipe.batch_size, len(source))
    history = load_checkpoint(checkpoint, model) if checkpoint and checkpoint.exists() else list(behind or [])
    with _display(recipe.epochs, progress) as show:
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            inputs, targets = source.epoch(epoch)
            steps = runner(inputs, targets_for(model, targets), seed, epoch)
            row = {"epoch": epoch, **run_epoch(model, steps, functools.partial(show.steps_done, epoch, steps.n))}
            if recipe.ema and epoch == recipe.epochs:
                take_averages(model)
            history.append(row | (validate(model, recipe, validation) if validation else {}))
            if checkpoint:
                save_checkpoint(checkpoint, model, history)
            if on_epoch:
                on_epoch(history)
            show.epoch_done(history[-1], steps.n)
    return history


def prepare(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
    """Compile the model unless it is, and make every variable of optimizer, loss and metrics.

    Raises:
        RecipeError: the loss cannot be computed of the model's scores.
    """
    if not model.compiled:
        networks.compile_for(model, recipe, steps_per_epoch * recipe.epochs)
    networks.try_loss(model, recipe)
    model.optimizer.build(model.trainable_variables)
    model.reset_metrics()


def targets_for(model: keras.Model, labels: np.ndarray) -> np.ndarray:
    """Return the labels as the model's loss wants them: int32 (N,), or one-hot float32 (N, classes).

    Two-dimensional ones, a teacher's probabilities or texts, and pages' maps stay as they are.
    """
    if labels.ndim == 2 or labels.dtype == object:
        return labels
    if networks.wants_one_hot(model):
        one_hot: np.ndarray = np.eye(model.output_shape[-1], dtype=np.float32)[labels]
        return one_hot
    return labels.astype(np.int32)


def validate(model: keras.Model, recipe: Recipe, split: Split) -> dict[str, float]:
    """Return "val_loss" and "val_accuracy" on a split; of the averaged weights, where the recipe averages."""
    with averaged(model) if recipe.ema else nullcontext():
        figures = model.evaluate(
            split.images, targets_for(model, split.labels), batch_size=1000, verbose=0, return_dict=True
        )
    return {f"val_{name}": float(value) for name, value in figures.items()}


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Let the model have its averaged weights for a while; it must average them."""
    weights = [keras.ops.convert_to_numpy(variable).copy() for variable in model.trainable_variables]
    take_averages(model)
    yield
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)


def take_averages(model: keras.Model) -> None:
    """Give the model its averaged weights for good."""
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # A copy: under JAX weight and average would be one buffer, which the next step cannot use up twice.
        variable.assign(np.array(keras.ops.convert_to_numpy(variable)))


def run_epoch(
    model: keras.Model, steps: Steps, show: Callable[[int, dict[str, float]], None] | None = None
) -> dict[str, float]:
    """Run one epoch in parts of about PART_S and return its metrics ("loss", "accuracy") and "seconds".

    Raises:
        TrainingError: the loss is no longer a number.
    """
    model.reset_metrics()
    start = time.perf_counter()
    figures: dict[str, float] = {}
    done, part = 0, max(1, steps.n // 20) if steps.in_parts else steps.n
    while done < steps.n:
        before = time.perf_counter()
        last = min(steps.n, done + part)
        steps.run(done, last)
        figures = {name: float(value) for name, value in model.get_metrics_result().items()}
        part = max(1, int((last - done) / (time.perf_counter() - before) * PART_S))
        done = last
        _check_loss(figures["loss"], model, f"step {done} of {steps.n}")
        if show:
            show(done, figures)
    return {**figures, "seconds": time.perf_counter() - start}


def _check_loss(loss: float, model: keras.Model, place: str) -> None:
    if math.isfinite(loss):
        return
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    raise TrainingError(
        f"the loss is no longer a number (by {place}): most likely the learning rate "
        f"of {rate:.3g} is too high for {type(model.optimizer).__name__}, so try a tenth of it; else the "
        f"loss does not suit the output {networks.output_of(model)}"
    )


def order_of(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return int32 (n,), the order in which an epoch shows its n examples."""
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int32)


def runner_for(model: keras.Model, batch_size: int, n_images: int) -> Runner:
    """Return what turns an epoch's images and targets into steps."""
    if keras.backend.backend() == "tensorflow":
        return _compiled_runner(model, batch_size, n_images)

    def runner(images: np.ndarray, targets: np.ndarray, seed: int, epoch: int) -> Steps:
        order = order_of(len(images), seed, epoch)

        def run(first: int, last: int) -> None:
            part = order[first * batch_size : last * batch_size]
            with keras_internals.unfinished(model.optimizer):
                model.fit(images[part], targets[part], batch_size=batch_size, shuffle=False, verbose=0)

        # `fit` resets its metrics at each call.
        return Steps(math.ceil(len(images) / batch_size), run, in_parts=False)

    return runner


def _compiled_runner(model: keras.Model, batch_size: int, n_images: int) -> Runner:
    import tensorflow as tf

    jit = all(type(layer).__name__ in XLA_LAYERS for layer in networks.layers_of(model))
    if not jit:  # XLA fuses by itself
        fused_ops.fuse(model)
    n_whole, rest = divmod(n_images, batch_size)

    def step(x: Any, y: Any, start: Any, size: int) -> None:
        # Slices of known length: XLA compiles for fixed shapes.
        batch = tf.slice(x, [start, 0, 0], [size, *x.shape[1:]])
        model.train_step((batch, tf.slice(y, [start] + [0] * (y.shape.rank - 1), [size, *y.shape[1:]])))

    def whole_batches(x: Any, y: Any, first: Any, last: Any) -> None:
        def body(number: Any) -> tuple[Any]:
            step(x, y, number * batch_size, batch_size)
            return (number + 1,)

        tf.while_loop(lambda number: number < last, body, (first,))

    def last_batch(x: Any, y: Any) -> None:
        step(x, y, n_whole * batch_size, rest)

    compiled, compiled_last = (tf.function(each, jit_compile=jit) for each in (whole_batches, last_batch))

    def runner(images: np.ndarray, targets: np.ndarray, seed: int, epoch: int) -> Steps:
        order = order_of(len(images), seed, epoch)
        # Shuffled once an epoch by TensorFlow's own kernel: XLA gathers rows pixel by pixel, at 0.1 s an epoch.
        data = (tf.gather(tf.constant(images), order), tf.gather(tf.constant(targets), order))

        def run(first: int, last: int) -> None:
            if first < min(last, n_whole):
                compiled(*data, tf.constant(first), tf.constant(min(last, n_whole)))
            if last > n_whole:
                compiled_last(*data)

        return Steps(math.ceil(n_images / batch_size), run)

    return runner


def step_of(
    model: keras.Model, targets: tuple[int | None, ...] = (None, None), dtype: str = "int32"
) -> Callable[[np.ndarray, np.ndarray], object]:
    """Return what learns from one batch: inputs of the model's shape, targets of a shape and dtype; metrics add up."""
    if keras.backend.backend() != "tensorflow":
        return model.train_on_batch  # type: ignore[no-any-return]
    import tensorflow as tf

    # With its shapes said beforehand it is compiled once; `train_on_batch` would be for each new width.
    signature = [tf.TensorSpec(model.input_shape, model.inputs[0].dtype), tf.TensorSpec(targets, dtype)]
    step: Callable[[np.ndarray, np.ndarray], object] = tf.function(
        lambda x, y: model.train_step((x, y))["loss"], input_signature=signature
    )
    return step


def save_checkpoint(path: Path, model: keras.Model, history: History) -> None:
    """Write weights, optimizer, random states and history; a killed program leaves the old file or the new one.

    Raises:
        RunError: the file cannot be written.
    """
    arrays = {f"v{i:04}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(state_of(model))}
    buffer = io.BytesIO()
    np.savez(buffer, history=np.array(json.dumps(history)), **arrays)
    write_beside(path, buffer.getvalue())


def load_checkpoint(path: Path, model: keras.Model) -> History:
    """Set the model, its optimizer and its random states to what the checkpoint holds and return the history.

    Raises:
        RunError: the file is damaged, or another model's.
    """
    try:
        with np.load(path) as stored:
            history: History = json.loads(str(stored["history"]))
            values = [stored[name] for name in sorted(stored.files) if name != "history"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: not a readable checkpoint ({error}); start again") from None
    variables = state_of(model)
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise RunError(f"{path}: the checkpoint of another model or optimizer")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return history


def state_of(model: keras.Model) -> list[Any]:
    """Return all variables that the next step depends on: weights, random states (dropout's), the optimizer's."""
    return [*model.variables, *model.optimizer.variables]


class _Display:
    """Lines for epochs as Keras prints them and, on a terminal, a bar; to stderr."""

    def __init__(self, epochs: int, lines: bool, bar: Any) -> None:
        self._epochs, self._lines, self._bar = epochs, lines, bar
        self._task = bar.add_task("", total=epochs, figures="") if bar else None

    def steps_done(self, epoch: int, n_steps: int, done: int, figures: dict[str, float]) -> None:
        if self._bar:
            text = f"epoch {epoch}/{self._epochs}  step {done}/{n_steps}  " + _words(figures)
            self._bar.update(self._task, completed=epoch - 1 + done / n_steps, figures=text)

    def epoch_done(self, row: dict[str, float], n_steps: int) -> None:
        if not self._lines:
            return
        figures = {name: value for name, value in row.items() if name not in ("epoch", "seconds")}
        seconds = row["seconds"]
        line = f"Epoch {row['epoch']:.0f}/{self._epochs}\n{n_steps}/{n_steps} - {seconds:.2f} s - "
        line += f"{seconds / n_steps * 1000:.2f} ms/step - {_words(figures)}"
        if self._bar:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr)


def _words(figures: dict[str, float]) -> str:
    return " - ".join(
        f"{name}: {value:.4f}" for name, value in sorted(figures.items(), key=lambda pair: "acc" in pair[0])
    )


@contextmanager
def _display(epochs: int, progress: bool) -> Iterator[_Display]:
    if not progress or not sys.stderr.isatty():
        yield _Display(epochs, progress, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[figures]}"), BarColumn(20), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        yield _Display(epochs, progress, bar)
