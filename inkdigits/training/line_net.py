"""The line net: strips of ink in, one prediction a column out (CTC), trained on rows composed from MNIST's digits.

The recipe is data: stages, each a mixture of `synthesis.STYLES`. Rows are composed in rounds by processes of their own
while the round before is learned; each strip is used some times, warped a little differently each time. Everything
follows from (seed, round), so a training that was stopped goes on from its checkpoint as if it had not been.
"""

import dataclasses
import io
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import onnx
from keras import layers, ops

from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import Split, hold_out
from inkdigits.errors import ModelError, RunError, TrainingError
from inkdigits.machine import cores
from inkdigits.reading.decoding import decode, digits_of
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.normalise.line import normalise_line
from inkdigits.reading.normalise.version import normalisation_version
from inkdigits.training import export
from inkdigits.training.runs import write_beside
from inkdigits.training.synthesis.lines import compose_line, start_process, strips_in_process
from inkdigits.training.synthesis.styles import ALPHABET, STYLES, Digits, Strips, Texts

BLANK = len(ALPHABET)
STRIDE_PX = 4
# Strips of about one width share a batch; wider ones than the last are squeezed.
WIDTHS_PX = (64, 96, 160, 288)
CHUNK = 384  # rows that one process composes at a time
N_VALIDATION = 5_000
TOLERANCE = 0.05  # of log-probabilities: weights are stored in float16
ACCEPT_FROM = 0.5  # a digit that is more likely wrong than right is doubtful
# What the temperature is fitted on: the styles of real input, as many rows each.
CALIBRATION = {"cell": 3_000, "row": 1_000}


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        shares: style -> its share of the rows; they sum to 1.
        rows: how many rows are learned, repetitions counted.
        learning_rate: at its beginning and its end; a half cosine lies between.
    """

    shares: dict[str, float]
    rows: int
    learning_rate: tuple[float, float]


@dataclass(frozen=True)
class LineRecipe:
    """Every hyperparameter of the line net.

    Attributes:
        height: of strips in pixels, a multiple of 8.
        channels: of the five steps of the net, from the pixels on.
        dropout: before the last layer.
        stages: one after the other.
        round_rows: new rows composed a round.
        passes: how often each row is used, warped anew.
        batch_px: pixels of width in a batch: 128 strips of 96 px, say.
        ema: momentum of the weights' moving average, which is what ships.
        weight_decay: of AdamW.
        precision: Keras's name for the arithmetic while training.
        views: (zoom, shear) of each view of a row that is read; texts' probabilities are averaged over them.
    """

    height: int = 32
    channels: tuple[int, int, int, int, int] = (20, 32, 48, 96, 192)
    dropout: float = 0.1
    stages: tuple[Stage, ...] = (
        Stage({"clean": 1.0}, 55_000, (1.5e-3, 1.0e-3)),
        Stage({"cell": 0.8, "row": 0.2}, 92_000, (1.0e-3, 9.0e-4)),
        Stage({"cell": 0.8, "row": 0.2}, 370_000, (1.0e-3, 5.0e-5)),
        Stage({"cell": 0.8, "row": 0.2}, 420_000, (6.0e-4, 1.0e-5)),
    )
    round_rows: int = 6_144
    passes: int = 3
    batch_px: int = 12_288
    ema: float = 0.998
    weight_decay: float = 2e-2
    precision: str = "mixed_bfloat16"
    views: tuple[tuple[float, float], ...] = ((0.92, 0.0), (1.1, 0.0))


LINE = LineRecipe()


# The net


def build(recipe: LineRecipe, precision: str = "float32") -> keras.Model:
    """Return the net: uint8 (N, height, W) -> float32 logits (N, W / 4, 13); the last class is the blank."""
    a, b, c, d, e = recipe.channels
    images = layers.Input((recipe.height, None), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 128, dtype=precision)(images)
    x = ops.expand_dims(x, -1)  # (N, 32, W, 1)
    x = _convolution(x, a, 5, precision, stride=2)
    x = _convolution(x, b, 3, precision)
    x = layers.MaxPooling2D(2, dtype=precision)(x)  # (N, 8, W / 4, b)
    x = _residual(_convolution(x, c, 3, precision), c, 3, precision)
    x = layers.MaxPooling2D((2, 1), dtype=precision)(x)  # (N, 4, W / 4, c)
    x = _convolution(x, d, 3, precision)
    x = _residual(_residual(x, d, 3, precision), d, 3, precision)
    x = layers.ZeroPadding2D((0, 1), dtype=precision)(x)
    x = _convolution(x, e, (recipe.height // 8, 3), precision, padding="valid")  # (N, 1, W / 4, e)
    x = _residual(x, e, (1, 3), precision)
    x = layers.Dropout(recipe.dropout, dtype=precision)(x)
    x = layers.Conv2D(BLANK + 1, 1, dtype="float32")(x)
    return keras.Model(images, ops.squeeze(x, 1), name="line")


def _convolution(
    x: Any, channels: int, size: Any, precision: str, stride: int = 1, padding: str = "same", active: bool = True
) -> Any:
    x = layers.Conv2D(channels, size, strides=stride, padding=padding, use_bias=False, dtype=precision)(x)
    x = layers.BatchNormalization(momentum=0.98, dtype=precision)(x)
    return layers.Activation("relu", dtype=precision)(x) if active else x


def _residual(x: Any, channels: int, size: Any, precision: str) -> Any:
    y = _convolution(x, channels, size, precision)
    y = _convolution(y, channels, size, precision, active=False)
    return layers.Activation("relu", dtype=precision)(layers.Add(dtype=precision)([x, y]))


def ctc_loss(targets: Any, logits: Any) -> Any:
    """Return the CTC loss (N,) of int targets (N, longest), padded with -1, under logits (N, columns, classes)."""
    targets = ops.cast(targets, "int32")  # Keras hands them over as floats
    lengths = ops.sum(ops.cast(targets >= 0, "int32"), axis=1)
    columns = ops.full_like(lengths, ops.shape(logits)[1])
    if keras.backend.backend() != "tensorflow":
        return ops.ctc_loss(ops.maximum(targets, 0), logits, lengths, columns, mask_index=BLANK)
    import tensorflow as tf

    # Keras's own way through TensorFlow is a loop of some thousand small operations; with sparse targets it is one.
    places = tf.where(targets >= 0)
    sparse = tf.SparseTensor(places, tf.gather_nd(targets, places), tf.shape(targets, out_type=tf.int64))
    return tf.nn.ctc_loss(sparse, logits, None, columns, logits_time_major=False, blank_index=BLANK)


# Rows to learn from


def compose_round(recipe: LineRecipe, shares: dict[str, float], seed: int, number: int) -> list[tuple[Any, ...]]:
    """Return what the processes are asked for: (seed of the chunk, style, count, height) each."""
    jobs: list[tuple[Any, ...]] = []
    for kind, (style, share) in enumerate(sorted(shares.items())):
        n = round(recipe.round_rows * share)
        jobs += [
            ((seed, number, kind, start), style, min(CHUNK, n - start), recipe.height) for start in range(0, n, CHUNK)
        ]
    return jobs


def batches(strips: Strips, recipe: LineRecipe, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a round's batches, each strip `passes` times: uint8 (n, height, W), int32 (n, longest) padded with -1."""
    images, texts = strips
    wide = np.searchsorted(WIDTHS_PX[:-1], [image.shape[1] for image in images])
    plan: list[tuple[int, np.ndarray]] = []
    for width, members in ((width, np.flatnonzero(wide == i)) for i, width in enumerate(WIDTHS_PX)):
        size = max(1, recipe.batch_px // width)
        for _ in range(recipe.passes):
            order = rng.permutation(members)
            plan += [(width, order[start : start + size]) for start in range(0, len(order), size)]
    for i in rng.permutation(len(plan)):
        width, chosen = plan[i]
        yield _warped(rng, [images[j] for j in chosen], width), targets([texts[j] for j in chosen])


def targets(texts: Texts) -> np.ndarray:
    """Return int32 (N, longest), the classes of each text's characters, padded with -1."""
    padded = np.full((len(texts), max(map(len, texts))), -1, np.int32)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = [ALPHABET.index(char) for char in text]
    return padded


def _warped(rng: np.random.Generator, images: list[np.ndarray], width: int) -> np.ndarray:
    """Return the strips on one width, each shifted, scaled and sheared a little."""
    height = len(images[0])
    batch = np.empty((len(images), height, width), np.uint8)
    for target, image in zip(batch, images, strict=True):
        squeeze = min(1.0, width / image.shape[1])
        sx, sy = rng.normal(1.0, 0.05, 2)
        shear, right, down = rng.normal(0, (0.06, 2.0, 1.0))
        room = max(0.0, width - image.shape[1]) * (rng.random() if rng.random() < 0.5 else 0.0)
        a = sx * squeeze
        matrix = np.array(
            [[a, shear, room + right + (1 - sx) * 10 - shear * height / 2], [0.0, sy, height / 2 * (1 - sy) + down]]
        )
        target[:] = cv2.warpAffine(image, matrix, (width, height))
    return batch


# Training


class _Training:
    """Weights, their moving average, the optimizer's state and the count of rounds: what a checkpoint holds."""

    def __init__(self, recipe: LineRecipe, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.recipe = recipe
        self.model = build(recipe, recipe.precision)
        self.optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, global_clipnorm=5.0)
        self.model.compile(self.optimizer, loss=ctc_loss, jit_compile=False)
        self.optimizer.build(self.model.trainable_variables)
        self.average = self.model.get_weights()
        self.steps = self.rounds = 0

    def step(self, images: np.ndarray, classes: np.ndarray, learning_rate: float) -> float:
        self.optimizer.learning_rate = learning_rate
        loss = float(self.model.train_on_batch(images, classes))
        if not np.isfinite(loss):
            raise TrainingError("the line net's loss is no longer a number; try a lower learning rate")
        self.steps += 1
        keep = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        for mean, weight in zip(self.average, self.model.get_weights(), strict=True):
            mean += (1 - keep) * (weight - mean)
        return loss

    def averaged(self) -> keras.Model:
        """Return the net with the averaged weights, in float32."""
        model = build(self.recipe)
        model.set_weights(self.average)
        return model

    def save(self, path: Path) -> None:
        state = {f"model{i}": np.asarray(v) for i, v in enumerate(self.model.variables)}
        state |= {f"average{i}": v for i, v in enumerate(self.average)}
        state |= {f"optimizer{i}": np.asarray(v) for i, v in enumerate(self.optimizer.variables)}
        stored = io.BytesIO()
        np.savez(stored, counts=np.array([self.steps, self.rounds]), **state)  # type: ignore[arg-type]
        write_beside(path, stored.getvalue())

    def load(self, path: Path) -> None:
        try:
            with np.load(path) as state:
                self.steps, self.rounds = (int(n) for n in state["counts"])
                for i, variable in enumerate(self.model.variables):
                    variable.assign(state[f"model{i}"])
                for i, variable in enumerate(self.optimizer.variables):
                    variable.assign(state[f"optimizer{i}"])
                self.average = [state[f"average{i}"] for i in range(len(self.average))]
        except (OSError, KeyError, ValueError) as error:
            raise RunError(f"{path}: not a checkpoint of this line recipe ({error}); train without --resume") from None


def train_line(
    path: Path,
    *,
    recipe: LineRecipe = LINE,
    data: Path | str | None = None,
    seed: int = 0,
    resume: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the line net, write it with its card as ONNX, and return the card.

    Args:
        path: of the ONNX file, which appears whole at the end; the checkpoint lies beside it (`.checkpoint.npz`),
            written after each round (about a minute) and removed at the end.
        recipe: every hyperparameter.
        data: MNIST's files, where not the cache's (see `load_mnist`); the test part is not used.
        seed: >= 0, fixes first weights, rows and order.
        resume: go on from the checkpoint where there is one.
        workers: processes that compose rows; as many as there are cores for None.
        progress: print a line a round to stderr.

    Raises:
        DataError: MNIST cannot be had.
        TrainingError: the loss is no longer a number.
        ModelError: the exported net does not agree with Keras's.
        RunError: the checkpoint is not one of this recipe, or cannot be written.
    """
    train, validation = hold_out(load_mnist(data)[0], N_VALIDATION, 0)
    checkpoint = path.with_suffix(".checkpoint.npz")
    training = _Training(recipe, seed)
    if resume and checkpoint.exists():
        training.load(checkpoint)
    started = time.perf_counter()
    pool = ProcessPoolExecutor(
        workers or cores(),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_process,
        initargs=(np.asarray(train.images), np.asarray(train.labels)),
    )
    with pool:
        _learn(training, pool, seed, checkpoint, progress)
    model = training.averaged()
    card = _card(recipe, seed, train, time.perf_counter() - started)
    export_line(model, path, card | {"temperature": fit_temperature(model, recipe, validation)})
    checkpoint.unlink(missing_ok=True)
    return OnnxModel(path).card


def schedule(recipe: LineRecipe) -> list[tuple[dict[str, float], float, float]]:
    """Return a round's shares, and its learning rates at beginning and end, for all rounds."""
    rounds = []
    for stage in recipe.stages:
        n = max(1, round(stage.rows / recipe.round_rows / recipe.passes))
        first, last = stage.learning_rate
        rates = last + (first - last) * 0.5 * (1 + np.cos(np.pi * np.arange(n + 1) / n))
        rounds += [(stage.shares, float(rates[i]), float(rates[i + 1])) for i in range(n)]
    return rounds


def _learn(training: _Training, pool: ProcessPoolExecutor, seed: int, checkpoint: Path, progress: bool) -> None:
    recipe, rounds = training.recipe, schedule(training.recipe)
    started = time.perf_counter()

    def asked(number: int) -> list[Future[Strips]]:
        if number >= len(rounds):
            return []
        return [pool.submit(strips_in_process, *job) for job in compose_round(recipe, rounds[number][0], seed, number)]

    coming = asked(training.rounds)
    for number in range(training.rounds, len(rounds)):
        parts = [future.result() for future in coming]
        coming = asked(number + 1)  # composed while this round is learned
        strips = [image for part in parts for image in part[0]], [text for part in parts for text in part[1]]
        _, first, last = rounds[number]
        rng = np.random.default_rng((seed, number))
        plan = list(batches(strips, recipe, rng))
        training.model.reset_metrics()
        losses = [training.step(*batch, first + (last - first) * i / len(plan)) for i, batch in enumerate(plan)]
        training.rounds = number + 1
        training.save(checkpoint)
        if progress:
            seconds = time.perf_counter() - started
            print(
                f"round {number + 1}/{len(rounds)}: loss {losses[-1]:.3f}, {seconds:.0f} s", file=sys.stderr, flush=True
            )


# Export


def fit_temperature(model: keras.Model, recipe: LineRecipe, validation: Split) -> float:
    """Return the temperature for whole numbers at which log-likelihood is best, on rows of digits never learned."""
    digits = Digits(np.asarray(validation.images), np.asarray(validation.labels))
    scored: list[tuple[list[np.ndarray], str]] = []
    for kind, (style, count) in enumerate(CALIBRATION.items()):
        rng = np.random.default_rng((77, kind))
        rows = [compose_line(rng, digits, STYLES[style]) for _ in range(count)]
        views = [[normalise_line(row, recipe.height, *view) for row, _ in rows] for view in recipe.views]
        scores = [_scores(model, strips) for strips in views]
        scored += [([view[i] for view in scores], text) for i, (_, text) in enumerate(rows)]
    return min((float(t) for t in np.geomspace(0.5, 4.0, 19)), key=lambda t: _surprise(scored, t))


def _scores(model: keras.Model, images: list[np.ndarray]) -> list[np.ndarray]:
    out: list[np.ndarray] = [np.empty(0)] * len(images)
    widths = np.array([image.shape[1] for image in images])
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        scores = model.predict(np.stack([images[i] for i in members]), batch_size=64, verbose=0)
        for i, score in zip(members, scores, strict=True):
            out[i] = score
    return out


def _surprise(scored: list[tuple[list[np.ndarray], str]], temperature: float) -> float:
    """Return the mean negative log-likelihood of "all digits are right"."""
    total = 0.0
    for views, text in scored:
        read = decode(views, ALPHABET, temperature)
        p = min(max(read.probability, 1e-6), 1 - 1e-6)
        total -= np.log(p if read.digits == digits_of(text) else 1 - p)
    return total / len(scored)


def _card(recipe: LineRecipe, seed: int, train: Split, seconds: float) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "line",
        "name": "line",
        "output": "logits",
        "classes": [*ALPHABET, ""],
        "normalisation": normalisation_version("line"),
        "blank": BLANK,
        "height": recipe.height,
        "stride": STRIDE_PX,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "data": {"name": "MNIST", "sha256": train.sha256, "n": len(train)},
        "versions": {name: version(name) for name in ("inkdigits", "keras", "numpy", "onnx")},
        "views": [{"zoom": zoom, "shear": shear} for zoom, shear in recipe.views],
        "temperature": 1.0,
        "threshold": ACCEPT_FROM,
        "figures": {"training_s": round(seconds)},
    }


def export_line(model: keras.Model, path: Path, card: dict[str, Any]) -> None:
    """Write the net as ONNX with weights in float16 (arithmetic stays in float32), held equal to Keras's answers.

    Raises:
        ModelError: ONNX Runtime's log-probabilities are off by more than 0.05, or a column's class differs.
    """
    probe = np.random.default_rng(0).integers(0, 256, (8, card["height"], 96)).astype(np.uint8)
    expected = ops.convert_to_numpy(model(probe))
    export.export(model, path, card)
    proto = onnx.load(path)
    _halve(proto.graph)
    write_beside(path, proto.SerializeToString())
    ours = OnnxModel(path).scores(probe)
    apart = float(np.abs(ours - expected).max())
    if not apart <= TOLERANCE:
        path.unlink()
        raise ModelError(f"{path}: ONNX and Keras disagree by {apart:.2g} (allowed: {TOLERANCE})")


def _halve(graph: onnx.GraphProto) -> None:
    """Store large float32 constants as float16, cast back when the file is opened: half the bytes, same arithmetic."""
    casts = []
    for constant in list(graph.initializer):
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < 256:
            continue
        half = onnx.numpy_helper.from_array(values.astype(np.float16), constant.name + "_half")
        casts.append(onnx.helper.make_node("Cast", [half.name], [constant.name], to=onnx.TensorProto.FLOAT))
        graph.initializer.remove(constant)
        graph.initializer.append(half)
    for i, cast in enumerate(casts):
        graph.node.insert(i, cast)
