"""`inkdigits train`, `runs`, `ensemble`, `tutorial`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigits.cli.options import (
    DataOption,
    MlflowOption,
    RunsOption,
    TensorboardOption,
    model_and_data,
    say,
    with_settings,
)
from inkdigits.training.hyperparameters import Choice, Hyperparameter, Layers, Switch
from inkdigits.training.recipes import HYPERPARAMETERS, RECIPES, kind_of, resolve


def _option(name: str, kind: Hyperparameter) -> Any:
    """Return the annotation of the option that sets a field of a recipe."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(kind, Switch):
        return Annotated[bool | None, typer.Option(f"{option}/--no-{option[2:]}", help=kind.help)]
    # Each `--hidden 100` may be followed by another: all of them are one network's.
    word = list[str] | None if isinstance(kind, Layers) else str | None
    metavar = "|".join(kind.choices) if isinstance(kind, Choice) else kind.metavar
    return Annotated[word, typer.Option(option, metavar=metavar, help=kind.help)]


def _read(name: str, value: Any) -> Any:
    """Return the value of a recipe's field for what its option was given."""
    if isinstance(value, bool):
        return value
    return kind_of(name).read(name, "+".join(value) if isinstance(value, list) else value)


@with_settings({name: _option(name, kind) for name, kind in HYPERPARAMETERS.items()})
def train(
    settings: Mapping[str, Any],
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help=f"{', '.join(RECIPES)}. Default: hidden.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Fixes first weights, order, all else.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Learn from the answers of this run or ONNX file, not from labels."),
    ] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue an unfinished run.")] = None,
    data: DataOption = None,
    mlflow: MlflowOption = None,
    tensorboard: TensorboardOption = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Train a model, export it, evaluate it on the test set. The run's folder goes to stdout.

    Hyperparameters that are not given are the recipe's.

    \b
    Examples:
      inkdigits train
      inkdigits train hidden --activation tanh --epochs 10
      inkdigits train cnn --convolutions 5x16s+pool+3x32 --seed 1
      inkdigits train --resume hidden-20261123-071500
    """
    changes = {name: _read(name, value) for name, value in settings.items()}
    if teacher is not None:
        from inkdigits.reading.model import model_path

        teacher = str(model_path(model_and_data(teacher, runs)[0]))
    if resume is None:
        resolve(recipe or "hidden", **changes)  # what is wrong with the words is said before TensorFlow is loaded
    from inkdigits.training.train import train

    changes |= {"mlflow": mlflow, "tensorboard": tensorboard}
    run = train(recipe, data=data, runs_dir=runs, seed=seed, teacher=teacher, resume=resume, **changes)
    figures = run.figures
    say(
        f"test: loss {figures['test_loss']:.4f} - accuracy {figures['test_accuracy']:.4f} ({figures['test_errors']} "
        f"errors in {figures['n_test']:,})"
    )
    if (report := run.path / "report.html").exists():  # the line network has none
        say(f"report: {report}")
    print(run.path)


def runs(
    runs: RunsOption = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per run and line.")] = False,
) -> None:
    """List the runs, newest first. Each with its test figures and settings."""
    from inkdigits.training.runs import list_runs, summary

    found = list_runs(runs)
    if not found:
        say(f"no runs in {runs}; `inkdigits train` makes one")
    for run in found:
        print(json.dumps({"path": str(run.path), "finished": run.finished, **run.info}) if json_ else summary(run))


def ensemble(
    members: Annotated[
        list[str], typer.Argument(metavar="MEMBERS", help="Names or paths of runs, or ONNX files: two or more.")
    ],
    save: Annotated[Path, typer.Option(metavar="FILE", help="The ONNX file to write.")] = Path("ensemble.onnx"),
    runs: RunsOption = Path("runs"),
) -> None:
    """Combine several models into one. It answers with the mean of their probabilities; its path goes to stdout.

    Line networks of one seed are joined as well, and calibrated together, which takes some minutes.

    \b
    Examples:
      inkdigits ensemble cnn-20261123-071500 cnn-20261123-081500 --save both.onnx
      inkdigits ensemble line-20261123-071500 line-varied-20261123-091500
    """
    if len(members) < 2:
        raise typer.BadParameter("an ensemble has two members or more")
    from inkdigits.reading.model import model_path
    from inkdigits.training.ensemble import combine

    combine([model_path(model_and_data(member, runs)[0]) for member in members], save)
    print(save)


def tutorial(
    runs: RunsOption = Path("runs"),
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Trainings behind each mean in the table.")] = 5,
    data: DataOption = None,
) -> None:
    """Run the MNIST tutorial. Three networks trained, evaluated, pictured and compared; then a page is read."""
    from inkdigits.data.loading import load_data
    from inkdigits.training.tutorial import tutorial

    train, test = load_data(data)
    tutorial(train, test, runs, seeds)
