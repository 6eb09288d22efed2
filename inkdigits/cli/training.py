"""`inkdigits train`, `runs`, `committee`, `tutorial`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigits.cli.options import MlflowOption, TensorboardOption, app, model_and_data, quiet_stderr, say


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(help="linear, hidden (the default), cnn, fast, champion, reader or line.")
    ] = None,
    hidden: Annotated[
        list[str] | None, typer.Option(metavar="UNITS", help="Hidden layers, as 100, 300+100 or none.")
    ] = None,
    convolutions: Annotated[
        list[str] | None, typer.Option(metavar="LAYERS", help="Layers before those, as 5x16s+pool+3x32s+3x64p or none.")
    ] = None,
    batch_norm: Annotated[bool | None, typer.Option(help="Normalise the convolutions' outputs.")] = None,
    dropout: Annotated[float | None, typer.Option(help="0 to 1, share left out before the last layer.")] = None,
    activation: Annotated[str | None, typer.Option(help="Of all but the last layer; any name Keras knows.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Any name Keras knows.")] = None,
    learning_rate: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Or default: Keras's for the optimizer.")
    ] = None,
    beta_1: Annotated[
        str | None, typer.Option("--beta-1", metavar="NUMBER", help="0 to 1, Adam's memory of gradients.")
    ] = None,
    beta_2: Annotated[str | None, typer.Option("--beta-2", metavar="NUMBER", help="0 to 1, of their squares.")] = None,
    weight_decay: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Share of a weight lost a step, times the rate.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="constant or cosine.")] = None,
    loss: Annotated[str | None, typer.Option(help="Any name Keras knows.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="0 to 1, for cross-entropies.")] = None,
    ema: Annotated[float | None, typer.Option(help="0 to 1, momentum of the weights' moving average.")] = None,
    output: Annotated[str | None, typer.Option(help="sigmoid (the tutorial's) or softmax.")] = None,
    distortion: Annotated[
        float | None, typer.Option(help="How far each epoch's images are bent; 0: not at all.")
    ] = None,
    composed: Annotated[int | None, typer.Option(help="Pictures composed anew for each epoch; 0: as they are.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    validation: Annotated[int | None, typer.Option(help="Training images to hold out and judge each epoch.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or mixed_bfloat16, while training.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Fixes first weights, order and all else.")] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="RUN", help="A run or ONNX file that teaches in place of the labels.")
    ] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with an unfinished run.")] = None,
    data: Annotated[Path | None, typer.Option(help="A folder or .npz in MNIST's format. Default: MNIST.")] = None,
    mlflow: MlflowOption = None,
    tensorboard: TensorboardOption = False,
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("runs"),
) -> None:
    """Train a model, export it and judge it on the test set; the run directory's path goes to stdout."""
    settings: dict[str, Any] = {
        name: value for name, value in locals().items() if value is not None and name not in RECIPE_FLAGS
    }
    if teacher is not None:
        from inkdigits.reading.model import model_path

        teacher = str(model_path(model_and_data(teacher, runs)[0]))
    with quiet_stderr():
        from inkdigits.sweep.space import fit_for
        from inkdigits.training.train import train

    settings |= {name: "+".join(value) for name, value in settings.items() if isinstance(value, list)}
    settings = {name: fit_for(name, value) for name, value in settings.items()}
    settings |= {"mlflow": mlflow, "tensorboard": tensorboard}
    run = train(recipe, data=data, runs_dir=runs, seed=seed, teacher=teacher, resume=resume, **settings)
    figures = run.figures
    say(
        f"test: loss {figures['test_loss']:.4f} - accuracy {figures['test_accuracy']:.4f} ({figures['test_mistakes']} "
        f"mistakes in {figures['n_test']:,})"
    )
    print(run.path)


# What `train` is told besides the fields of a recipe.
RECIPE_FLAGS = ("recipe", "seed", "teacher", "resume", "data", "mlflow", "tensorboard", "runs")


@app.command()
def runs(
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("runs"),
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a run and line.")] = False,
) -> None:
    """List the runs there are, newest first, with their figures."""
    from inkdigits.training.runs import list_runs, summary

    found = list_runs(runs)
    if not found:
        say(f"no runs in {runs}; `inkdigits train` makes one")
    for run in found:
        print(json.dumps({"path": str(run.path), "finished": run.finished, **run.info}) if json_ else summary(run))


@app.command()
def committee(
    members: Annotated[list[str], typer.Argument(help="Names or paths of runs, or ONNX files: two or more.")],
    save: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("committee.onnx"),
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("runs"),
) -> None:
    """Make one model of several, which answers with the mean of their probabilities; its path goes to stdout."""
    if len(members) < 2:
        raise typer.BadParameter("a committee has two members or more")
    from inkdigits.reading.model import model_path
    from inkdigits.training.ensemble import combine

    combine([model_path(model_and_data(member, runs)[0]) for member in members], save)
    print(save)


@app.command()
def tutorial(
    runs: Annotated[Path, typer.Option(help="The folder of all runs, and of tutorial.html.")] = Path("runs"),
    seeds: Annotated[int, typer.Option(min=1, help="Trainings a mean in the table is of.")] = 5,
    data: Annotated[Path | None, typer.Option(help="A folder or .npz that holds MNIST. Default: found.")] = None,
) -> None:
    """Tell the whole MNIST tutorial: three nets trained, judged, pictured and compared; then a page read."""
    from inkdigits.data.loading import load_data

    train, test = load_data(data)
    with quiet_stderr():
        from inkdigits.training.tutorial import tutorial
    tutorial(train, test, runs, seeds)
