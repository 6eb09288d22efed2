"""`inkdigits evaluate`, `compare`, `data`, `doctor`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigits.cli.options import (
    DataOption,
    Framed,
    FramedOption,
    JsonOption,
    MlflowOption,
    ReportOption,
    RunsOption,
    SecondOpinionOption,
    TensorboardOption,
    model_and_data,
    say,
)


def evaluate(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's name or path, or an ONNX file.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The same. Default: `reader`, the networks that ship.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A folder or .npz in MNIST's format, or a .npz of x (N, H, W) and y. Default: the run's, or MNIST.",
        ),
    ] = None,
    framed: FramedOption = Framed.auto,
    outliers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .npz with pictures x that are not digits.")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Pictures of one number each, and truth.json.")
    ] = None,
    second_opinion: SecondOpinionOption = False,
    risk: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Of --cells: from which confidence on at most so many are wrong (95 % sure)."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep what --risk promises, for `read --promise` and `Reader(promise=)`."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --save names if it exists.")] = False,
    report: ReportOption = None,
    json_: JsonOption = False,
    mlflow: MlflowOption = None,
    tensorboard: TensorboardOption = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Evaluate a model. Accuracy with its interval, loss, each class, confusion matrix, calibration, rejection.

    \b
    Examples:
      inkdigits evaluate
      inkdigits evaluate hidden-20261123-071500 --report report.html
      inkdigits evaluate --cells scans --risk 0.01 --save promise.json
    """
    from inkdigits.errors import OutputError, PromiseError, require
    from inkdigits.evaluation.cells import promise_for, saved_promise
    from inkdigits.evaluation.model_evaluation import evaluate_model
    from inkdigits.reading.reader import Reader

    if run is not None and model is not None:
        raise typer.BadParameter("give RUN or --model, not both")
    if risk is not None and (cells is None or not 0 < risk < 1):
        raise typer.BadParameter("--risk belongs to --cells FOLDER and lies between 0 and 1, such as 0.01")
    if save is not None and risk is None:
        raise typer.BadParameter("--save belongs to --risk SHARE")
    if save is not None and save.exists() and not overwrite:
        raise OutputError(f"{save}: exists already; name another file, or say --overwrite")
    # Packages may be missing, which is better known before an evaluation of minutes.
    if risk is not None:
        require("scipy")
    if report is not None:
        from inkdigits.evaluation.html import save_page
        from inkdigits.evaluation.report import model_html

    path, own_data = model_and_data(run or model or "reader", runs)
    if mlflow is not None or tensorboard:
        from inkdigits.training import tracking

        to = tracking.destinations(mlflow, tensorboard, runs)
    reader = Reader(path, second_opinion=second_opinion)
    evaluation = evaluate_model(reader, data or (own_data if cells is None else None), framed.value, outliers, cells)
    said, figures, promise = str(evaluation), evaluation.to_dict(), None
    if risk is not None and evaluation.cells is not None:
        promise = promise_for(evaluation.cells, risk)
        said, figures = f"{said}\n{promise}", figures | promise.to_dict()
    if report is not None:
        say(f"report: {save_page(report, model_html(evaluation, promise).encode())}")
    print(json.dumps(figures, allow_nan=False) if json_ else said)
    if save is not None and evaluation.cells is not None and promise is not None:
        if promise.promise.threshold is None:  # how much is missing was printed
            raise PromiseError(
                f"{save}: not written, since at most {promise.promise.risk * 100:g} % wrong cannot be promised"
            )
        saved_promise(evaluation.cells, promise, reader).save(save)
        say(f"promise: {save}")
    if mlflow is not None or tensorboard:
        for kept in tracking.keep(tracking.record_of_evaluation(evaluation, path), to):
            say(kept)


def compare(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="A run's name or path, an ONNX file, or `reader`.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The same: the model to compare it with.")],
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="As for `evaluate`. Default: the data of the first, or MNIST.")
    ] = None,
    framed: FramedOption = Framed.auto,
    report: ReportOption = None,
    json_: JsonOption = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Compare two models on the same test images. How far apart, whether by chance, and in which digits.

    \b
    Example:
      inkdigits compare linear-20261123-071500 hidden-20261123-071600
    """
    from inkdigits.evaluation.comparison import compare
    from inkdigits.evaluation.digits import evaluate, load_test
    from inkdigits.reading.reader import Reader

    if report is not None:  # its packages may be missing, which is better known before an evaluation of minutes
        from inkdigits.evaluation.html import save_page
        from inkdigits.evaluation.report import comparison_html

    (path, own_data), (other, _) = (model_and_data(name, runs) for name in (first, second))
    reader = Reader(path)
    split = load_test(data or own_data, reader, framed.value)
    comparison = compare(evaluate(reader, split), evaluate(Reader(other), split))
    if report is not None:
        say(f"report: {save_page(report, comparison_html(comparison).encode())}")
    print(json.dumps(comparison.to_dict(), allow_nan=False) if json_ else comparison)


def data(
    data_: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="Four IDX files in a folder, or an mnist.npz. Default: MNIST."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture for a contact sheet: one row per class.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="New folder for the data as four IDX files.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show a data set. What is in it, where it came from, checksums, class balance, a contact sheet."""
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


def doctor(
    data: DataOption = None,
    recipe: Annotated[
        str, typer.Option(metavar="RECIPE", help="Recipe of the networks that check the labels.")
    ] = "cnn",
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="Parts of the training set; one network each.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Default: the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Fixes the folds and the networks.")] = 0,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many suspect labels of each set to list.")] = 50,
    report: ReportOption = None,
    json_: JsonOption = False,
) -> None:
    """Check a data set. Labels that are probably wrong, pictures that occur twice, classes out of balance.

    \b
    Example:
      inkdigits doctor --data my-digits --report doctor.html
    """
    from inkdigits.audit.label_issues import examine
    from inkdigits.data.loading import load_data

    train, test = load_data(data)
    changes: dict[str, Any] = {"epochs": epochs} if epochs else {}
    diagnosis = examine(train, test, recipe, folds=folds, seed=seed, top=top, **changes)
    if report is not None:
        from inkdigits.audit.report import diagnosis_html
        from inkdigits.evaluation.html import save_page

        say(f"report: {save_page(report, diagnosis_html(diagnosis).encode())}")
    print(json.dumps(diagnosis.to_dict(), allow_nan=False) if json_ else diagnosis)
