"""`inkdigits read`."""

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigits.cli.options import SecondOpinionOption, named_model, resumable, say

if TYPE_CHECKING:
    from inkdigits.bulk.read import Answer
    from inkdigits.reading.reader import Reader


class Layout(StrEnum):
    """What a picture holds."""

    digit = "digit"
    number = "number"
    page = "page"
    table = "table"


class Rows(StrEnum):
    """What a row of an output file is."""

    number = "number"
    digit = "digit"


def read(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGES",
            help="Pictures, PDFs, folders, globs, tar or Parquet shards, s3://...; - is one picture on stdin.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="What a picture holds: one digit, one number, rows of them, or tables.")
    ] = Layout.page,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per picture and line.")] = False,
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="A run, an ONNX file, a hand. Default: what ships."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="P", help="Accept from this confidence on. Default: as the networks say."),
    ] = None,
    promise: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Accept as a promise allows that `evaluate --save` wrote (--layout number)."),
    ] = None,
    second_opinion: SecondOpinionOption = False,
    save_overlay: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save the pictures with boxes and answers drawn on them.")
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save a picture per digit: crop, 28 x 28, probabilities.")
    ] = None,
    list_: Annotated[
        str | None, typer.Option("--list", metavar="FILE", help="Names of further files, one a line; - is stdin.")
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Table column that holds the image bytes (default: detected).")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a table: .csv, .jsonl or .parquet. For very many pictures."),
    ] = None,
    rows: Annotated[Rows, typer.Option(help="What a row of the output is.")] = Rows.number,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an output that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes. Default: one per core.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="[ADDRESS]", help="Share the work on a Ray cluster; alone: on this machine.")
    ] = None,
) -> None:
    """Read handwritten digits in pictures. A question mark follows each rejected digit.

    The exit code is 1 if any picture could not be read; the others are read all the same.

    \b
    Examples:
      inkdigits read photo.jpg --save-overlay seen
      inkdigits read scans/ --layout number --json
      inkdigits read 'scans/*.tar' --output numbers.csv
      inkdigits read ledger.pdf --layout table --output ledger.xlsx
    """
    # Reading multiplies no large matrices: BLAS's threads would only delay the start, by a tenth.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # OpenCV would import NumPy, and by that way it takes 30 ms longer.
    import numpy  # noqa: F401

    from inkdigits.bulk.read import read_files
    from inkdigits.files.storage import PassedOver
    from inkdigits.reading.reader import Reader

    model = named_model(model)
    if not images and list_ is None:
        raise typer.BadParameter("name pictures, or a --list of them")
    if promise is not None:
        threshold = _promised(promise, threshold, layout, model, second_opinion)
    if layout is Layout.table:
        if resume or workers or ray or save_overlay or explain or column or rows is not Rows.number:
            raise typer.BadParameter(
                "--layout table goes with --json, --model, --threshold, --second-opinion, --list, --output and "
                "--overwrite alone"
            )
        reader = Reader(model, threshold=threshold, second_opinion=second_opinion)
        n_errors = _read_tables(images or (), list_, reader, json_, output, overwrite)
    elif output is None:
        if resume or overwrite or workers or ray or rows is not Rows.number:
            raise typer.BadParameter("--rows, --resume, --overwrite, --workers and --ray belong to --output FILE")
        passed_over = PassedOver()
        answers = read_files(
            images or (),
            layout.value,
            model,
            threshold,
            save_overlay,
            explain,
            list_,
            column,
            passed_over,
            second_opinion,
        )
        n_errors = sum([_show(answer, json_) for answer in answers])
        if passed_over.n:
            say(str(passed_over))
    else:
        if json_ or save_overlay or explain:
            raise typer.BadParameter("--json, --save-overlay and --explain do not go with --output")
        how = {"threshold": threshold, "resume": resume, "overwrite": overwrite, "workers": workers, "ray": ray}
        n_errors = _read_to(
            output,
            images or (),
            layout.value,
            rows.value,
            model=model,
            list_file=list_,
            column=column,
            second_opinion=second_opinion,
            **how,
        )
    if n_errors:
        raise typer.Exit(1)


def _promised(
    promise: Path, threshold: float | None, layout: Layout, model: Path | None, second_opinion: bool
) -> float | None:
    """Return the threshold of a promise, and say what it promises."""
    from inkdigits.reading.reader import Reader

    if threshold is not None:
        raise typer.BadParameter("give --threshold or --promise, not both")
    if layout is not Layout.number:
        raise typer.BadParameter("--promise is about pictures of one number each: it goes with --layout number")
    reader = Reader(model, promise=promise, second_opinion=second_opinion)
    say(str(reader.promise))
    return reader.threshold


def _read_tables(
    images: Sequence[str], list_file: str | None, reader: "Reader", as_json: bool, output: str | None, overwrite: bool
) -> int:
    """Print or write the tables of pictures; return how many pictures could not be read."""
    from dataclasses import asdict

    from inkdigits.bulk.containers import loaded
    from inkdigits.bulk.inputs import all_sources, members_in
    from inkdigits.bulk.pool import image_of
    from inkdigits.errors import OutputError
    from inkdigits.files.storage import PassedOver, write_bytes
    from inkdigits.forms import tables

    if output is not None:
        if Path(output).suffix.lower() not in (".csv", ".xlsx"):
            raise typer.BadParameter(f"{output}: the ending must be .csv or .xlsx")
        if Path(output).exists() and not overwrite:
            raise OutputError(f"{output}: exists already; name another file, or say --overwrite")
    pages, n_errors, passed_over = [], 0, PassedOver()
    for source in all_sources(images, list_file, passed_over):
        for member in members_in(source, None):
            image = image_of(loaded(member))
            if isinstance(image, str):
                n_errors += 1
                say(f"error: {image}")
                continue
            found = tables.read_tables(image.pixels, reader)
            pages.append((member.name, found))
            doubts = sum(not cell.accepted for table in found for row in table for cell in row)
            say(f"{member.name}: {len(found)} tables" + (f", {doubts} cells rejected, marked ?" if doubts else ""))
            if as_json:
                print(
                    json.dumps({"image": member.name, "tables": [[list(map(asdict, row)) for row in t] for t in found]})
                )
            elif output is None:
                print(tables.as_csv(found))
    if passed_over.n:
        say(str(passed_over))
    if output is not None:
        all_tables = [table for _, found in pages for table in found]
        is_book = Path(output).suffix.lower() == ".xlsx"
        write_bytes(output, tables.as_xlsx(pages) if is_book else tables.as_csv(all_tables).encode())
        print(output)
    return n_errors


def _read_to(output: str, images: Sequence[str], layout: str, rows: str, **settings: Any) -> int:
    """Write a table, show the progress, and return how many pictures could not be read."""
    from inkdigits.bulk.progress import progress
    from inkdigits.bulk.read import read_to_file

    with progress() as report, resumable():
        summary = read_to_file(output, images, layout, rows, report=report, **settings)
    say(str(summary))
    print(output)
    return summary.n_errors


def _show(answer: "Answer", as_json: bool) -> bool:
    """Print an answer, its doubts and its error; return whether there was one."""
    from inkdigits.bulk.read import as_text

    if answer.page is None:
        say(f"error: {answer.error}")
    elif answer.counts.n_empty or answer.counts.n_rejected:
        doubts = "no digit found" if answer.counts.n_empty else f"{answer.counts.n_rejected} rejected"
        say(f"{answer.name}: {doubts}" if as_json else f"{answer.name}: {doubts}, marked ?")
    if as_json:
        print(json.dumps(answer.to_dict()))
    elif answer.page is not None:
        print(as_text(answer))
    return answer.page is None
