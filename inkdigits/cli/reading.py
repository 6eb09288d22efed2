"""`inkdigits read`."""

import json
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from inkdigits.cli.options import app, say, told_how_to_go_on

RAY_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+")


class Layout(StrEnum):
    """What a picture holds."""

    digit = "digit"
    number = "number"
    page = "page"


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
    from inkdigits.bulk.read import as_text, read_files, read_to_file

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
        doubtful = answer.counts.n_rejected
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
