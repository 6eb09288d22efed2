"""The command line: each command parses, calls one function and prints. Imports stay inside the commands.

Results go to stdout, chatter and progress to stderr. Exit code 1: an error of the user's files; 2: of the
command's words.
"""

import functools
import inspect
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from inkdigits.errors import InkdigitsError, RecipeError, RunError

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


RAY_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+")
MlflowOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="Keep a record in MLflow: local for a database in the folder of runs, or a tracking URI."
    ),
]
TensorboardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Keep a record for TensorBoard, in the folder of runs.")
]


class Layout(StrEnum):
    """What a picture holds."""

    digit = "digit"
    number = "number"
    page = "page"


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        say("stopped; the same command with --resume goes on")
        raise typer.Exit(130) from None


class Rows(StrEnum):
    """What a row of an output file is."""

    number = "number"
    digit = "digit"


class WithRay(TyperCommand):
    """A command whose `--ray` may stand alone or before an address: `auto`, `local`, HOST:PORT or ray://HOST:PORT."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a lone `--ray` its value, this machine, which Typer cannot."""
        words: list[str] = []
        for word in args:
            if words and words[-1] == "--ray" and not RAY_ADDRESS.fullmatch(word):
                words[-1] = "--ray=local"
            words.append(word)
        if words and words[-1] == "--ray":
            words[-1] = "--ray=local"
        return super().parse_args(ctx, words)


@app.command(cls=WithRay)
def read(
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Pictures, folders, globs, tar or Parquet shards, s3://...; - is one picture on stdin."),
    ] = None,
    layout: Annotated[Layout, typer.Option(help="What a picture holds: one digit, one number, or rows.")] = Layout.page,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a picture and line.")] = False,
    model: Annotated[Path | None, typer.Option(help="A run or an ONNX file in place of the net that ships.")] = None,
    save_overlay: Annotated[Path | None, typer.Option(help="Folder for the pictures with boxes and answers.")] = None,
    explain: Annotated[Path | None, typer.Option(help="Folder for a picture a digit: crop, 28 x 28, bars.")] = None,
    list_: Annotated[
        str | None, typer.Option("--list", metavar="FILE", help="Names of further files, one a line; - is stdin.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Of a table, the pictures' bytes. Default: found.")] = None,
    output: Annotated[str | None, typer.Option(help="File for rows: .csv, .jsonl or .parquet. For very many.")] = None,
    rows: Annotated[Rows, typer.Option(help="What a row of the output is.")] = Rows.number,
    resume: Annotated[bool, typer.Option(help="Go on with an output that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an output that is there.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="[ADDRESS]", help="Share the work on a Ray cluster, or here without ADDRESS.")
    ] = None,
) -> None:
    """Read handwritten digits in pictures; doubtful ones are marked with a question mark."""
    # Reading multiplies no large matrices: BLAS's threads would only delay the start, by a tenth.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from inkdigits.bulk.progress import progress
    from inkdigits.bulk.read import as_text, count_doubtful, read_files, read_to_file

    if model is not None and not model.exists() and (Path("runs") / model).is_dir():
        model = Path("runs") / model  # a run by its name
    if not images and list_ is None:
        raise typer.BadParameter("name pictures, or a --list of them")
    if output is not None:
        if json_ or save_overlay or explain:
            raise typer.BadParameter("--json, --save-overlay and --explain do not go with --output")
        with progress() as report, told_how_to_go_on():
            summary = read_to_file(
                output,
                images or (),
                layout.value,
                rows.value,
                model=model,
                list_file=list_,
                column=column,
                resume=resume,
                overwrite=overwrite,
                workers=workers,
                ray=ray,
                report=report,
            )
        say(str(summary))
        print(output)
        return
    if resume or overwrite or workers or ray or rows is not Rows.number:
        raise typer.BadParameter("--rows, --resume, --overwrite, --workers and --ray belong to --output FILE")
    answers = read_files(images or (), layout.value, model, save_overlay, explain, list_, column)
    failed = False
    for answer in answers:
        failed |= answer.error is not None
        doubtful = count_doubtful(answer)
        if answer.error is not None:
            say(f"error: {answer.error}")
        elif doubtful:
            say(f"{answer.name}: {doubtful} doubtful, marked ?" if not json_ else f"{answer.name}: {doubtful} doubtful")
        if json_:
            print(json.dumps(answer.to_dict()))
        elif answer.error is None:
            print(as_text(answer))
    if failed:
        raise typer.Exit(1)


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
    if recipe == "line":
        settings |= {"mlflow": mlflow} if mlflow else {}
        settings |= {"tensorboard": tensorboard} if tensorboard else {}
        train_line(runs, data, seed, resume, settings)
        return
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


def train_line(
    runs: Path, data: Path | None, seed: int | None, resume: str | None, settings: Mapping[str, object]
) -> None:
    """Train the line net: rows composed of MNIST's digits, CTC; its ONNX file's path goes to stdout."""
    if settings:
        raise RecipeError(f"the line net's settings are fixed; leave out {', '.join(settings)}")
    with quiet_stderr():
        from inkdigits.training import line_net
        from inkdigits.training.runs import make_root

    make_root(runs)
    line_net.train_line(runs / "line.onnx", data=data, seed=seed or 0, resume=resume is not None)
    print(runs / "line.onnx")


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


class Framed(StrEnum):
    """Are the pictures in MNIST's form?"""

    yes = "yes"
    no = "no"
    auto = "auto"


@app.command()
def evaluate(
    run: Annotated[str | None, typer.Argument(help="A run's name or path, or an ONNX file.")] = None,
    model: Annotated[str | None, typer.Option(help="The same; `reader`, the default: the nets that ship.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="MNIST's format, or a .npz of x (N, H, W) and y. Default: the run's, or MNIST."),
    ] = None,
    framed: Annotated[Framed, typer.Option(help="Are the pictures in MNIST's form, or to be framed?")] = Framed.auto,
    outliers: Annotated[Path | None, typer.Option(help="A .npz with pictures x that are no digits.")] = None,
    cells: Annotated[Path | None, typer.Option(help="Folder of pictures of one number each, and truth.json.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file for the report on single digits.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object in place of the tables.")] = False,
    mlflow: MlflowOption = None,
    tensorboard: TensorboardOption = False,
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("runs"),
) -> None:
    """Judge a model: accuracy with its interval, loss, each class, the confusion matrix, calibration, refusal."""
    from inkdigits.evaluation.model_evaluation import evaluate_model
    from inkdigits.reading.reader import Reader

    if run is not None and model is not None:
        raise typer.BadParameter("give RUN or --model, not both")
    path, own_data = model_and_data(run or model or "reader", runs)
    if mlflow is not None or tensorboard:
        with quiet_stderr():
            from inkdigits.training import tracking

            to = tracking.destinations(mlflow, tensorboard, runs)
    judgement = evaluate_model(
        Reader(path), data or (own_data if cells is None else None), framed.value, outliers, cells
    )
    if report is not None and judgement.digits is not None:
        from inkdigits.evaluation.html import save_page
        from inkdigits.evaluation.report import evaluation_html

        say(f"report: {save_page(report, evaluation_html(judgement.digits).encode())}")
    print(json.dumps(judgement.to_dict(), allow_nan=False) if json_ else judgement)
    if mlflow is not None or tensorboard:
        for kept in tracking.keep(tracking.record_of_judgement(judgement, path), to):
            say(kept)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A run's name or path, an ONNX file, or `reader`.")],
    second: Annotated[str, typer.Argument(help="The same, to be held against the first.")],
    data: Annotated[
        Path | None, typer.Option(help="As for `evaluate`. Default: the data of the first, or MNIST.")
    ] = None,
    framed: Annotated[Framed, typer.Option(help="Are the pictures in MNIST's form, or to be framed?")] = Framed.auto,
    report: Annotated[Path | None, typer.Option(help="HTML file for the comparison, both matrices in it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object in place of the tables.")] = False,
    runs: Annotated[Path, typer.Option(help="The folder of all runs.")] = Path("runs"),
) -> None:
    """Hold two models against each other on the same test images: how far apart, by chance or not, in which digits."""
    from inkdigits.evaluation.comparison import compare
    from inkdigits.evaluation.digits import evaluate, load_test
    from inkdigits.reading.reader import Reader

    (path, own_data), (other, _) = (model_and_data(name, runs) for name in (first, second))
    reader = Reader(path)
    split = load_test(data or own_data, reader, framed.value)
    comparison = compare(evaluate(reader, split), evaluate(Reader(other), split))
    if report is not None:
        from inkdigits.evaluation.html import save_page
        from inkdigits.evaluation.report import comparison_html

        say(f"report: {save_page(report, comparison_html(comparison).encode())}")
    print(json.dumps(comparison.to_dict(), allow_nan=False) if json_ else comparison)


def model_and_data(name: str, runs: Path) -> tuple[Path | None, str | None]:
    """Return what a Reader opens for a run's name, an ONNX file or "reader", and the path of the run's own data."""
    if name == "reader" or name.endswith(".onnx"):
        return (None if name == "reader" else Path(name)), None
    from inkdigits.training.runs import read

    run = read(name, runs)
    if not run.finished:
        raise RunError(f"{run.name}: is not finished; `inkdigits train --resume {run.name}` goes on with it")
    return run.path, run.info.get("data", {}).get("path")


@app.command()
def data(
    data_: Annotated[
        Path | None, typer.Option("--data", help="Folder with four IDX files, or an mnist.npz; MNIST if left out.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Picture file for a contact sheet: a row a class.")] = None,
    export: Annotated[Path | None, typer.Option(help="New folder for the data as four IDX files.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object in place of the table.")] = False,
) -> None:
    """Show a data set: what there is, where it came from, checksums, class balance, a contact sheet."""
    from inkdigits.data.idx import save_idx_folder
    from inkdigits.data.loading import as_table, describe, load_data

    train, test = load_data(data_)
    if save is not None:
        from inkdigits.data.contact_sheet import draw_contact_sheet
        from inkdigits.files.images import save_picture

        save_picture(save, draw_contact_sheet(train.images, train.labels, train.class_names))
    if export is not None:
        save_idx_folder(export, train, test)
    description = describe(train, test)
    bar = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    print(json.dumps(description) if json_ else as_table(description, bar))


@app.command()
def doctor(
    data: Annotated[Path | None, typer.Option(help="A folder or .npz in MNIST's format. Default: MNIST.")] = None,
    recipe: Annotated[str, typer.Option(help="By which the nets that judge the labels are trained.")] = "cnn",
    folds: Annotated[int, typer.Option(min=2, help="Parts of the training set; a net for each.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the folds and the nets.")] = 0,
    top: Annotated[int, typer.Option(min=1, help="How many doubtful labels of each set to list.")] = 50,
    report: Annotated[Path | None, typer.Option(help="HTML file with pictures of all that was found.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object in place of the tables.")] = False,
) -> None:
    """Examine a data set: labels that are probably wrong, pictures that occur twice, classes out of balance."""
    from inkdigits.data.loading import load_data

    train, test = load_data(data)
    with quiet_stderr():
        from inkdigits.audit.label_issues import examine
    changes: dict[str, Any] = {"epochs": epochs} if epochs else {}
    diagnosis = examine(train, test, recipe, folds=folds, seed=seed, top=top, **changes)
    if report is not None:
        from inkdigits.audit.report import diagnosis_html
        from inkdigits.evaluation.html import save_page

        say(f"report: {save_page(report, diagnosis_html(diagnosis).encode())}")
    print(json.dumps(diagnosis.to_dict(), allow_nan=False) if json_ else diagnosis)


@app.command()
def serve(
    model: Annotated[Path | None, typer.Option(help="A run or an ONNX file in place of the nets that ship.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind to; by default only this machine gets in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    token: Annotated[str | None, typer.Option(envvar="INKDIGITS_TOKEN", help="Ask for this bearer token.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="Let web pages of this origin ask, too.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the web page and the HTTP API; its documents are at /docs."""
    try:
        from inkdigits.web.serve import serve
    except ModuleNotFoundError as error:
        raise InkdigitsError(f"{error.name} is missing: `pip install 'inkdigits[web]'` brings it") from None
    serve(model, host, port, token, tuple(allow_origin or ()), open_)


corrections = typer.Typer(help="What people corrected on the web page.", no_args_is_help=True)
app.add_typer(corrections, name="corrections")


@corrections.command("list")
def list_corrections(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a correction and line.")] = False,
) -> None:
    """List the corrections, the oldest first."""
    from inkdigits.data.corrections import load_corrections

    for correction in load_corrections():
        print(json.dumps(correction.to_dict()) if json_ else correction)


@corrections.command("export")
def export(folder: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Write the corrections as a data set in MNIST's own format, for `evaluate --data` and `train --data`."""
    from inkdigits.data.corrections import export_corrections, load_corrections

    n_train, n_test = export_corrections(load_corrections(), folder)
    say(f"{n_train} for training, {n_test} for testing")
    print(folder)


@corrections.command("clear")
def clear(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget all corrections and their pictures."""
    from inkdigits.data.corrections import clear_corrections, load_corrections

    n = len(load_corrections())
    if n and not yes:
        typer.confirm(f"forget {n} corrections?", abort=True, err=True)
    say(f"{clear_corrections()} forgotten")


def main() -> None:
    """Run the command line; errors become one line on stderr and exit code 1, or 2 where the command's words err."""
    # A warning is chatter: one line, without the place in our code that it came from.
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        app()
    except InkdigitsError as error:
        say(f"error: {error}")
        sys.exit(2 if isinstance(error, RecipeError) else 1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output, `head` say, has gone: nothing is left to tell it, not even at interpreter shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
