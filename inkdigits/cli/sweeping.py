"""`inkdigits sweep`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from inkdigits.cli.options import (
    DataOption,
    JsonOption,
    MlflowOption,
    RunsOption,
    TensorboardOption,
    say,
    with_settings,
)
from inkdigits.training.recipes import HYPERPARAMETERS, RECIPES

LISTS = {
    name: Annotated[
        str | None,
        typer.Option(f"--{name.replace('_', '-')}", metavar="LIST", help=kind.sweep_help or kind.help),
    ]
    for name, kind in HYPERPARAMETERS.items()
}


@with_settings(LISTS)
def sweep(
    settings: Mapping[str, str],
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help=f"One of {', '.join(RECIPES)}.")] = "hidden",
    seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Trainings per configuration; in a search, of its best five.")
    ] = 3,
    search: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Search with N trials (TPE) instead of trying every combination."),
    ] = None,
    max_runs: Annotated[
        int, typer.Option(metavar="N", help="Abort if the sweep would train more than N models.")
    ] = 100,
    yes: Annotated[bool, typer.Option("--yes", help="Train them, however many they are.")] = False,
    winner: Annotated[bool, typer.Option(help="Train the best on all images; evaluate it on the test set.")] = True,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Trainings at a time. Default: one per core.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="[ADDRESS]", help="Train on a Ray cluster; alone: on one started here.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Database to keep it in. Default: sweeps.db in --runs.")
    ] = None,
    data: DataOption = None,
    mlflow: MlflowOption = None,
    tensorboard: TensorboardOption = False,
    runs: RunsOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Try many hyperparameters and say which differences are significant.

    Every hyperparameter takes a list; all combinations are tried. Layers of one network are joined by +. With --search
    a hyperparameter may be a range. Models are chosen on held-out training images; the test set is read for the winner
    alone. Stopped or killed, the same command continues where it stopped.

    \b
    Examples:
      inkdigits sweep hidden --activation relu,tanh --epochs 5,10
      inkdigits sweep cnn --convolutions 5x16s+pool,3x8+pool+3x16 --seeds 5
      inkdigits sweep hidden --search 30 --learning-rate 1e-4..1e-2
    """
    from inkdigits.sweep.sweep import sweep

    try:
        found = sweep(
            recipe,
            settings,
            seeds=seeds,
            search=search,
            data=data,
            runs_dir=runs,
            storage=storage,
            max_runs=max_runs,
            yes=yes,
            jobs=jobs,
            ray=ray,
            winner=winner,
            mlflow=mlflow,
            tensorboard=tensorboard,
        )
    except KeyboardInterrupt:
        say("the same command continues from here")
        raise
    print(json.dumps(found.to_dict(), allow_nan=False) if json_ else found)
    if found.failed:
        say(f"error: {found.failed}")
        raise typer.Exit(1)
