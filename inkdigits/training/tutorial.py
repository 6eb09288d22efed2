"""The MNIST tutorial in the terminal and as one report: two networks and a CNN trained, evaluated, drawn, compared.

Its figures to hold ours against are those of the Keras tutorial "handwritten digits classification" (parts 1 and 2,
and the bonus with `Flatten`): five epochs, batches of 32, Adam, sigmoid outputs, sparse categorical cross-entropy.
"""

import itertools
import math
import os
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from inkdigits.data.splits import Split, hold_out
from inkdigits.evaluation.comparison import Comparison, compare
from inkdigits.evaluation.digits import Evaluation, confused_lines, matrix_lines
from inkdigits.evaluation.figures import N_SAMPLES, N_WORST, draw_confusions, png_of
from inkdigits.evaluation.html import render, save_page
from inkdigits.evaluation.inspection import look_inside
from inkdigits.files.storage import write_bytes
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.overlay import draw_overlay
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading
from inkdigits.training import loop, networks
from inkdigits.training.recipes import Recipe
from inkdigits.training.runs import Run
from inkdigits.training.synthesis.sheets import compose_sheet
from inkdigits.training.train import evaluate_keras
from inkdigits.training.train import train as train_run

# What the tutorial prints: train accuracy of the last epoch, test accuracy, test loss.
TOLD = {"linear": (0.9259, 0.9241, 0.2702), "hidden": (0.9835, 0.9759, 0.0769)}
TOLD_FLATTEN = 0.9846
TOLD_SECONDS = {"linear": "3", "hidden": "4 to 5"}

SHADES = " ░▒▓█"
SHEET_LINES = ("31 415", "2718 28", "16 180", "299 792", "5040 67", "8 1 2 3")
# How a newcomer gets the command, for both kinds of shell.
ACTIVATE = "source .venv/bin/activate"
ACTIVATE_WINDOWS = ".venv\\Scripts\\activate"
NEXT = (
    ("another activation: the tutorial asks for it", "inkdigits train hidden --activation tanh"),
    ("a wider and a deeper network", "inkdigits train hidden --hidden 300+100"),
    ("another optimizer, another loss", "inkdigits train hidden --optimizer sgd --loss mean_squared_error"),
    ("outputs that are probabilities", "inkdigits train hidden --output softmax"),
    ("all runs, newest first", "inkdigits runs"),
    ("is that better, or chance? in which digits?", "inkdigits compare {linear} {hidden}"),
    ("your own handwriting", "inkdigits read photo.jpg --save-overlay seen"),
    ("a page to draw on", "inkdigits serve --open"),
)


@dataclass
class Chapter:
    """A chapter of the report.

    Attributes:
        title: its heading.
        parts: what it shows, each a macro of tutorial.html or sections.html with its arguments.
    """

    title: str
    parts: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)


@dataclass
class Story:
    """What is told, to the terminal at once and to the report at the end.

    Attributes:
        console: the terminal.
        chapters: of the report, the last one open.
    """

    console: Console
    chapters: list[Chapter] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.chapters.append(Chapter(title))
        self.console.print()
        self.console.rule(f"[bold]{len(self.chapters)}. {title}", align="left")

    def say(self, text: str) -> None:
        """Add a sentence or two, plain text."""
        self.console.print(text, markup=False, highlight=False)
        self.show("paragraph", text)

    def print(self, text: str) -> None:
        """Add lines whose columns matter, plain text."""
        self.print_only(text)
        self.show("code", text)

    def print_only(self, text: str) -> None:
        """Print lines whose columns matter; the report shows the same in another way."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, macro: str, *values: Any) -> None:
        """Add to the report what the terminal cannot show."""
        self.chapters[-1].parts.append((macro, values))


@dataclass(frozen=True)
class Seeds:
    """What trainings that differ by their seed alone came to.

    Attributes:
        train_accuracy: of the last epoch, while training; one a seed.
        test_accuracy: one a seed.
        test_loss: one a seed.
        seconds: of every epoch after compiling.
    """

    train_accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    test_loss: tuple[float, ...]
    seconds: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.test_accuracy)


def tutorial(train: Split, test: Split, runs_dir: Path, n_seeds: int = 5, console: Console | None = None) -> Path:
    """Tell the whole tutorial and return the path of its report.

    Args:
        train: MNIST's training split.
        test: MNIST's test split.
        runs_dir: where the three runs and tutorial.html go.
        n_seeds: >= 1; how many trainings the table's means and deviations are of.
        console: the terminal; None for stdout.
    """
    story = Story(console or Console())
    _tell_data(story, train, test)
    linear = _tell_linear(story, train, test, runs_dir)
    hidden = _tell_hidden(story, train, test, runs_dir)
    compared = compare(linear[1], hidden[1])
    _tell_comparison(story, compared)
    flatten_accuracy = _tell_flatten(story, train, test, hidden[0])
    _tell_cnn(story, train, test, runs_dir, hidden[1])
    seeds = {run.recipe.name: train_seeds(run.recipe, n_seeds, train, test) for run, _ in (linear, hidden)}
    _tell_table(story, seeds, flatten_accuracy)
    _tell_page(story, test, runs_dir)
    _tell_next(story, linear[0], hidden[0], runs_dir)
    page = render(
        "tutorial.html",
        __package__,
        title="The tutorial",
        lead="Handwritten digits classification with a neural network, on MNIST, from the first image to a page read.",
        chapters=story.chapters,
    )
    path = save_page(runs_dir / "tutorial.html", page.encode())
    story.print_only(f"\nreport: {path}")
    return path


# ------------------------------------------------------------------------------------------------------- chapters


def _tell_data(story: Story, train: Split, test: Split) -> None:
    story.chapter("The data")
    story.say(f"{len(train):,} images to train on and {len(test):,} to test on, from {train.source}.")
    story.print(
        f"train images {train.images.shape} {train.images.dtype}, labels {train.labels.shape}\n"
        f"test images  {test.images.shape} {test.images.dtype}, labels {test.labels.shape}\n"
        f"the first five labels: {' '.join(map(str, train.labels[:5]))}"
    )
    image, name = train.images[0], train.class_names[train.labels[0]]
    story.say(f"An image is 28 x 28 numbers from 0 (paper) to 255 (ink). The first, a {name}, its middle as numbers:")
    story.print("\n".join("".join(f"{pixel:4}" for pixel in row) for row in image[5:25, 6:25]))
    story.say("and the whole of it as a picture:")
    story.print_only(as_text(image))
    story.show("digits", [(image, f"The first training image, a {name}")])


def as_text(image: np.ndarray) -> str:
    """Return an image uint8 (H, W) as lines of shades, two characters a pixel, without empty rows."""
    rows = image[image.any(axis=1)]
    return "\n".join("".join(SHADES[-(-int(pixel) * 4 // 255)] * 2 for pixel in row).rstrip() for row in rows)


def _train(story: Story, name: str, train: Split, test: Split, runs_dir: Path) -> tuple[Run, Evaluation]:
    """Train a recipe with seed 0 and tell how it went."""
    run = train_run(name, data=(train, test), runs_dir=runs_dir)
    rows = [f"epoch {r['epoch']:.0f}/5  loss {r['loss']:.4f}  accuracy {r['accuracy']:.4f}" for r in run.history]
    story.show("code", "\n".join(rows))
    evaluation = run.evaluate(test)
    story.print("\n".join(evaluation.headlines()))
    return run, evaluation


def _png(run: Run, name: str) -> bytes:
    """Return a figure that the run's own report has drawn."""
    return (run.path / "figures" / f"{name}.png").read_bytes()


def _tell_linear(story: Story, train: Split, test: Split, runs_dir: Path) -> tuple[Run, Evaluation]:
    story.chapter("A network without a hidden layer")
    story.say("Flatten, then Dense(10): one weight for each pixel and digit. Five epochs, batches of 32.")
    run, evaluation = _train(story, "linear", train, test, runs_dir)
    scores = look_inside(OnnxModel(run.path / "model.onnx"), test.images[:1]).scores[0]
    story.say("What it answers for the first test image: ten numbers, the largest is the answer.")
    story.print("".join(f"{k:>8}" for k in evaluation.class_names) + "\n" + "".join(f"{s:8.4f}" for s in scores))
    story.say(
        f"They sum to {scores.sum():.2f}: sigmoid outputs are not probabilities (`--output softmax` makes them so). "
        f"The first five test digits are read as {' '.join(map(str, evaluation.answers.labels[:5]))}; "
        f"the labels are {' '.join(map(str, test.labels[:5]))}."
    )
    story.show("samples", evaluation, min(N_SAMPLES, len(evaluation)))
    _tell_matrix(story, run, evaluation)
    story.show("heading", "What it has learned")
    story.show("weights", _png(run, "weights"))
    return run, evaluation


def _tell_matrix(story: Story, run: Run, evaluation: Evaluation) -> None:
    story.say("Its confusion matrix:")
    lines = ["\n".join(matrix_lines(evaluation)), "\n".join(confused_lines(evaluation))]
    story.print_only("\n\n".join(lines))
    story.show("confusion", evaluation, _png(run, "confusion"), _png(run, "confusion_errors"))
    story.show("link", run.name)


def _tell_hidden(story: Story, train: Split, test: Split, runs_dir: Path) -> tuple[Run, Evaluation]:
    story.chapter("One hidden layer of 100")
    story.say("Flatten, Dense(100, relu), Dense(10): now pixels can be seen together.")
    run, evaluation = _train(story, "hidden", train, test, runs_dir)
    _tell_matrix(story, run, evaluation)
    return run, evaluation


def _tell_comparison(story: Story, compared: Comparison) -> None:
    story.chapter("How the matrix improved")
    story.print("\n".join(compared.headlines()))
    changed = [f"{t} read as {a}: {n} -> {m} times" for t, a, n, m in compared.pairs[:6]]
    story.print("\n".join(changed))
    story.show("heading", "Both matrices")
    story.show("matrices", compared, png_of(draw_confusions(compared)))
    story.show("heading", "Class by class")
    story.show("classes", compared)


def _tell_flatten(story: Story, train: Split, test: Split, hidden: Run) -> float:
    """Train the tutorial's last form, the user's own Keras model, and return its train accuracy."""
    story.chapter("The same with Flatten, as a Keras model of your own")
    code = """model = keras.Sequential([
    keras.Input((28, 28)), keras.layers.Flatten(),
    keras.layers.Dense(100, activation="relu"), keras.layers.Dense(10, activation="sigmoid"),
])
inkdigits.train(model)"""
    story.print(code)
    keras.utils.set_random_seed(hidden.seed)
    own = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dense(10, activation="sigmoid"),
        ]
    )
    model = networks.adopt(own)
    part, _ = hold_out(train, hidden.recipe.validation, hidden.seed)  # as the run did
    history = loop.fit(model, hidden.recipe, part, seed=hidden.seed, progress=False)
    accuracy = history[-1]["accuracy"]
    figures = evaluate_keras(model, test)
    story.say(
        f"Train accuracy {accuracy:.4f}, test accuracy {figures['test_accuracy']:.4f}; the chapter before, "
        f"from the same seed: {hidden.history[-1]['accuracy']:.4f} and {hidden.figures['test_accuracy']:.4f}. Flatten "
        "changes the shape of the input and nothing else: what is left is sums rounded in another order. Between seeds "
        "chance does more, and the table below says how much."
    )
    return accuracy


def _tell_cnn(story: Story, train: Split, test: Split, runs_dir: Path, hidden: Evaluation) -> None:
    story.chapter("A convolutional network: the tutorial's promised next step")
    story.say("Convolutions see neighbouring pixels together, wherever in the image they are.")
    run, evaluation = _train(story, "cnn", train, test, runs_dir)
    story.print("\n".join(compare(hidden, evaluation).headlines()[2:4]))
    story.show("heading", "Its worst errors")
    story.show("errors", evaluation, evaluation.worst_errors(N_WORST))
    story.show("link", run.name)


def train_seeds(recipe: Recipe, n_seeds: int, train: Split, test: Split) -> Seeds:
    """Train a recipe from seeds 0 to n_seeds - 1, compiling once, and evaluate each at its end.

    Args:
        recipe: checked, with a learning rate.
        n_seeds: >= 1.
        train: what to learn from.
        test: read at the end of each training.
    """
    n_steps = math.ceil(len(train) / recipe.batch_size)
    model = networks.build(recipe, 0, len(train.class_names))
    loop.prepare(model, recipe, n_steps)
    untrained = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]
    runner = loop.runner_for(model, recipe.batch_size, len(train))
    targets = loop.targets_for(model, train.labels)
    results = []
    for seed in range(n_seeds):
        model.set_weights(networks.build(recipe, seed, len(train.class_names)).get_weights())
        for variable, value in zip(model.optimizer.variables, untrained, strict=True):
            variable.assign(value)
        rows = [
            loop.run_epoch(model, runner(train.images, targets, seed, epoch)) for epoch in range(1, recipe.epochs + 1)
        ]
        results.append((rows, evaluate_keras(model, test)))
    seconds = tuple(row["seconds"] for rows, _ in results for row in rows)
    return Seeds(
        tuple(rows[-1]["accuracy"] for rows, _ in results),
        tuple(figures["test_accuracy"] for _, figures in results),
        tuple(figures["test_loss"] for _, figures in results),
        # The first epoch of all compiles.
        seconds[1:] or seconds,
    )


def _tell_table(story: Story, seeds: dict[str, Seeds], flatten_accuracy: float) -> None:
    n = len(next(iter(seeds.values())))
    story.chapter("The tutorial's figures and ours")
    head = ["", "tutorial", f"here (mean of {n} seed{'s' if n > 1 else ''} ± sd)"]
    rows = []
    for name, found in seeds.items():
        told = dict(zip(("train accuracy", "test accuracy", "test loss"), TOLD[name], strict=True))
        here = (found.train_accuracy, found.test_accuracy, found.test_loss)
        rows += [
            [f"{name}: {what}", f"{value:.4f}", _mean_sd(ours)]
            for (what, value), ours in zip(told.items(), here, strict=True)
        ]
    rows.append(["hidden with Flatten: train accuracy", f"{TOLD_FLATTEN:.4f}", f"{flatten_accuracy:.4f} (one seed)"])
    rows += [
        [f"seconds an epoch: {name}", TOLD_SECONDS[name], _mean_sd(found.seconds, 2)] for name, found in seeds.items()
    ]
    table = Table(*head, title_justify="left")
    for row in rows:
        table.add_row(*row)
    story.console.print(table)
    story.show("table", head, rows)


def _mean_sd(values: Sequence[float], places: int = 4) -> str:
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.{places}f}"
    return f"{mean:.{places}f} ± {statistics.stdev(values):.{places}f}"


def _tell_page(story: Story, test: Split, runs_dir: Path) -> None:
    story.chapter("A page of handwriting, read by the networks that ship")
    picture = compose_sheet(test, SHEET_LINES)
    path = runs_dir / "sheet.png"
    write_bytes(str(path), _as_png(picture))
    reading = Reader().read_page(picture)
    story.say(
        "Digits of the test set, composed into a page and photographed by computation: what is written, and "
        "what is read."
    )
    story.print(_written_and_read(reading))
    story.print(f"inkdigits read {path} --save-overlay {runs_dir / 'seen'}")
    story.show("overlay", _as_png(draw_overlay(picture, reading.lines, reading.left_out)))


def _written_and_read(reading: PageReading) -> str:
    rows = ["written       read"]
    for line, found in itertools.zip_longest(SHEET_LINES, reading.lines):
        written, read = (line or "").replace(" ", ""), found.digits if found else ""
        rows.append(f"{written:<12}  {read:<12}" + ("" if written == read else "  <- not the same"))
    return "\n".join(row.rstrip() for row in rows)


def _as_png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def _on_path() -> bool:
    """Does a shell find the command `inkdigits`? `make demo` runs it by its path."""
    return shutil.which("inkdigits") is not None


def _tell_next(story: Story, linear: Run, hidden: Run, runs_dir: Path) -> None:
    story.chapter("What to try next")
    place = "" if runs_dir == Path("runs") else f" --runs {runs_dir}"
    lines = []
    if not _on_path():
        command = ACTIVATE_WINDOWS if os.name == "nt" else ACTIVATE
        lines.append(f"# first, once in each terminal: put the command `inkdigits` on the PATH\n{command}")
    for what, command in NEXT:
        words = command.format(linear=linear.name, hidden=hidden.name)
        if words.split()[1] in ("train", "runs", "compare"):
            words += place
        lines.append(f"# {what}\n{words}")
    story.print("\n".join(lines))
