"""What several commands share: options, chatter, what a model is called."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inkdigits.errors import RunError

app = typer.Typer(
    name="inkdigits",
    help="Reads handwritten digits and numbers; trains, judges and explains the models which do so.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def say(text: str) -> None:
    """Print chatter to stderr, where it does not mix with results."""
    print(text, file=sys.stderr)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send what libraries write to file descriptor 2 nowhere: importing TensorFlow prints six lines of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


MlflowOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="Keep a record in MLflow: local for a database in the folder of runs, or a tracking URI."
    ),
]
TensorboardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Keep a record for TensorBoard, in the folder of runs.")
]


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        say("stopped; the same command with --resume goes on")
        raise typer.Exit(130) from None


class Framed(StrEnum):
    """Are the pictures in MNIST's form?"""

    yes = "yes"
    no = "no"
    auto = "auto"


def model_and_data(name: str, runs: Path) -> tuple[Path | None, str | None]:
    """Return what a Reader opens for a run's name, an ONNX file or "reader", and the path of the run's own data."""
    if name == "reader" or name.endswith(".onnx"):
        return (None if name == "reader" else Path(name)), None
    from inkdigits.training.runs import read

    run = read(name, runs)
    if not run.finished:
        raise RunError(f"{run.name}: is not finished; `inkdigits train --resume {run.name}` goes on with it")
    return run.path, run.info.get("data", {}).get("path")
