"""A run directory: what is in it, how it is written, listed and read.

    runs/hidden-20261123-071500/
        run.json       recipe, seed, data and its SHA-256, versions, machine, times, figures
        history.csv    one row an epoch
        model.keras    for Keras
        model.onnx     for the Reader, its card inside
        report.html, figures/*.png

A run in progress lives in the same place under a name that ends in ".unfinished", with a checkpoint, and gets its
own name by one rename when everything in it is written: a run is complete or absent.
"""

import csv
import errno
import io
import json
import logging
import shutil
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigits.errors import RunError, reason
from inkdigits.files import storage
from inkdigits.training import recipes
from inkdigits.training.recipes import Recipe

if TYPE_CHECKING:
    import keras

    from inkdigits.data.splits import Split
    from inkdigits.evaluation.digits import Evaluation

logger = logging.getLogger(__name__)

DEFAULT_ROOT = Path("runs")
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Run:
    """One training and all it left.

    Attributes:
        path: the run directory.
        info: what run.json holds.
    """

    path: Path
    info: dict[str, Any]

    @property
    def name(self) -> str:
        """The directory's name, without the mark of a run in progress."""
        return self.path.name.removesuffix(UNFINISHED)

    @property
    def finished(self) -> bool:
        """Is everything in it written?"""
        return not self.path.name.endswith(UNFINISHED)

    @property
    def checkpoint(self) -> Path:
        """The file which holds the last whole epoch's state while the run is in progress."""
        return self.path / "checkpoint.npz"

    @property
    def initial(self) -> Path:
        """The Keras model before its first epoch, while the run is in progress."""
        return self.path / "initial.keras"

    @property
    def seed(self) -> int:
        """The seed that fixes first weights and order."""
        return int(self.info["seed"])

    @property
    def figures(self) -> dict[str, float]:
        """Measured once, at the end: "test_loss", "test_accuracy", "test_errors", "n_test"; empty when unfinished."""
        figures: dict[str, float] = self.info.get("figures", {})
        return figures

    @property
    def recipe(self) -> Recipe:
        """Every hyperparameter."""
        return recipes.from_dict(self.info["recipe"])

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch: "epoch", "loss", "accuracy", "seconds", and "val_..." where there was validation."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

    @cached_property
    def model(self) -> "keras.Model":
        """The Keras model, trained."""
        import keras

        return keras.models.load_model(self.path / "model.keras")

    def evaluate(self, split: "Split") -> "Evaluation":
        """Return the evaluation of the run's ONNX model on a split."""
        from inkdigits.evaluation.digits import evaluate
        from inkdigits.reading.reader import Reader

        return evaluate(Reader(self.path), split)

    def save_info(self, **changes: Any) -> "Run":
        """Write run.json with some of its entries changed and return the run as it then is."""
        info = self.info | changes
        write_beside(self.path / "run.json", (json.dumps(info, indent=2) + "\n").encode())
        return Run(self.path, info)

    def save_history(self, history: list[dict[str, float]]) -> None:
        """Write history.csv."""
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
        write_beside(self.path / "history.csv", table.getvalue().encode())

    def discard(self) -> None:
        """Remove the directory of a run in progress from which nothing can come."""
        shutil.rmtree(self.path, ignore_errors=True)

    def finish(self) -> "Run":
        """Give the directory its own name and drop what only a resumed training would need.

        Raises:
            RunError: the directory cannot be renamed.
        """
        finished = Run(self.path.with_name(self.name), self.info)
        try:
            self.path.rename(finished.path)
            for path in (finished.checkpoint, finished.initial):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.path, error) from None
        return finished


def start(root: Path, recipe_name: str, info: dict[str, Any]) -> Run:
    """Make the directory of a new run, in progress.

    Args:
        root: the folder of all runs; made where missing.
        recipe_name: begins the run's name.
        info: what run.json is to hold.

    Raises:
        RunError: the folder cannot be written.
    """
    info = json.loads(json.dumps(info))  # as it will be read again: lists for tuples
    stem = f"{recipe_name}-{datetime.now():%Y%m%d-%H%M%S}"
    make_root(root)
    try:
        for name in (stem, *(f"{stem}-{i}" for i in range(2, 1000))):
            path = root / (name + UNFINISHED)
            if not (root / name).exists() and not path.exists():
                path.mkdir()  # fails where another process has just taken the name
                return Run(path, info).save_info()
    except OSError as error:
        raise _cannot_write(root, error) from None
    raise RunError(f"{root}: a thousand runs started in one second")


def make_root(root: Path) -> None:
    """Make the folder of all runs unless there is one.

    Raises:
        RunError: it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(root, error) from None


def read(run: str | Path, root: Path = DEFAULT_ROOT) -> Run:
    """Return the run of that name or path, finished or in progress.

    Args:
        run: a path, or a name in `root`; with or without the mark of a run in progress.
        root: the folder of all runs.

    Raises:
        RunError: there is none, or its run.json is damaged.
    """
    given = Path(run)
    for path in (given, given.with_name(given.name + UNFINISHED), root / run, root / f"{run}{UNFINISHED}"):
        if (path / "run.json").is_file():
            return _read(path)
    names = ", ".join(each.name for each in list_runs(root)[:3])
    raise RunError(f"{run}: no such run; " + (f"the newest in {root} are: {names}" if names else f"none is in {root}"))


def list_runs(root: Path = DEFAULT_ROOT) -> list[Run]:
    """Return the runs in a folder, those in progress too, newest first; none where there is no folder.

    A damaged run does not hide the others: it is logged as a warning and left out.
    """
    runs = []
    for path in root.glob("*/run.json"):
        try:
            runs.append(_read(path.parent))
        except RunError as error:
            logger.warning("%s", error)
    return sorted(runs, key=lambda run: (run.info.get("started", ""), run.name), reverse=True)


def summary(run: Run) -> str:
    """Return one line about a run: its name, how far it is, its figures, its settings."""
    figures, recipe = run.figures, run.recipe
    if run.finished:
        state = f"{figures['test_accuracy']:.2%} of {figures['n_test']:,}  loss {figures['test_loss']:.4f}"
    else:
        state = f"unfinished: {len(run.history)} of {recipe.epochs} epochs"
    layers = " ".join(map(str, recipe.convolutions + recipe.hidden)) or "-"
    settings = f"{layers} {recipe.activation} {recipe.optimizer} {recipe.learning_rate:g} {recipe.output}"
    return f"{run.name:<32}  {state:<32}  {recipe.epochs} x {recipe.batch_size}  seed {run.seed}  {settings}"


def _read(path: Path) -> Run:
    try:
        info = json.loads((path / "run.json").read_text())
        if info["format"] != 1:
            raise RunError(f"{path}: a run of format {info['format']}; this inkdigits reads format 1")
        return Run(path, info)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}/run.json: not readable as a run ({error})") from None


def write_beside(path: Path, content: bytes) -> None:
    """Write a file of a run, whole or not at all.

    Raises:
        RunError: it cannot be written, because the disk is full, say.
    """
    try:
        # Always the same name beside it: a run has one writer, and what a kill leaves is overwritten by the next one.
        with storage.whole_file(path, f"{path}.part") as file:
            file.write(content)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path: Path, error: OSError) -> RunError:
    free = "free space or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return RunError(f"{path}: cannot write the run ({reason(error)}); {free}choose another --runs folder")
