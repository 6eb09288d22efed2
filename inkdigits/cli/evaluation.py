"""`inkdigits evaluate`, `compare`, `data`, `doctor`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigits.cli.options import Framed, MlflowOption, TensorboardOption, app, model_and_data, quiet_stderr, say


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
