"""`inkdigits sweep`."""

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigits.cli.options import MlflowOption, TensorboardOption, app, quiet_stderr, say
from inkdigits.cli.reading import WithRay
from inkdigits.cli.training import RECIPE_FLAGS, train

# Where a list of a sweep is written in another way than the flag of a training.
LIST_HELP = {
    "hidden": "Units of hidden layers, such as 100,300,100+100,none.",
    "convolutions": "Layers before those, such as 5x16s+pool,3x8+pool+3x16,none.",
    "batch_norm": "yes,no: normalise the convolutions' outputs.",
    "validation": "One number: training images to hold out and choose on. Default: 10,000, or a sixth.",
}


def with_knobs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every flag of `train` that is a field of a recipe, as words: lists and ranges."""
    own = inspect.signature(command).parameters
    words = {
        name: Annotated[
            str | None,
            typer.Option(
                metavar="LIST", rich_help_panel="Knobs", help=LIST_HELP.get(name, flag.annotation.__metadata__[0].help)
            ),
        ]
        for name, flag in inspect.signature(train).parameters.items()
        if name not in RECIPE_FLAGS
    }
    knobs = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in words.items()
    ]
    kept = [parameter for name, parameter in own.items() if name != "words"]

    @functools.wraps(command)
    def with_words(**values: Any) -> None:
        command(
            words={name: values.pop(name) for name in words if values[name] is not None},
            **{name: value for name, value in values.items() if name not in words},
        )

    with_words.__signature__ = inspect.Signature([*kept, *knobs])  # type: ignore[attr-defined]
    with_words.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *knobs)}
    return with_words


@app.command(cls=WithRay)
@with_knobs
def sweep(
    words: dict[str, str],
    recipe: Annotated[str, typer.Argument(help="linear, hidden, cnn, fast, champion or reader.")] = "hidden",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings a configuration; of a search, of its best five.")] = 3,
    search: Annotated[int | None, typer.Option(min=1, help="Search so many in place of a grid (TPE).")] = None,
    max_runs: Annotated[int, typer.Option(help="Refuse more trainings than these,")] = 100,
    yes: Annotated[bool, typer.Option("--yes", help="unless this is said.")] = False,
    winner: Annotated[bool, typer.Option(help="Train the best on all images; judge it on the test set.")] = True,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at a time. Default: one a core.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="[ADDRESS]", help="Train on a Ray cluster; alone: on one started here.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Database to keep it in. Default: sweeps.db in --runs.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A folder or .npz in MNIST's format. Default: MNIST.")] = None,
    mlflow: MlflowOption = None,
    tensorboard: TensorboardOption = False,
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="One JSON object in place of the table.")] = False,
) -> None:
    """Try what a recipe's knobs do: every combination of lists, or a search over ranges; say what is real.

    Every knob takes a list: `--activation relu,tanh --epochs 5,10`. Layers of one net are joined by +: `--hidden
    100,300,100+100,none`, `--convolutions 5x16s+pool,3x8+pool+3x16`. With --search a knob may be a range:
    `--learning-rate 1e-4..1e-2`. Chosen on held-out training images; the test set is read for the winner alone.
    Stopped or killed, the same command goes on where it was.
    """
    with quiet_stderr():
        from inkdigits.sweep.sweep import sweep

    try:
        found = sweep(
            recipe,
            words,
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
        say("the same command goes on from here")
        raise
    print(json.dumps(found.to_dict(), allow_nan=False) if json_ else found)
    if found.failed:
        say(f"error: {found.failed}")
        raise typer.Exit(1)
