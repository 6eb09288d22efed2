"""`inkdigits form`: templates, and stacks of filled forms into spreadsheets."""

import json
from pathlib import Path
from typing import Annotated

import typer

from inkdigits.cli.options import say

form = typer.Typer(help="Read filled forms into a spreadsheet by a template.", no_args_is_help=True)


@form.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    copies: Annotated[int, typer.Option(min=0, max=100_000, metavar="N", help="Filled copies to make.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Fixes what is written and how it is scanned.")] = 0,
) -> None:
    """Make a form to try: its template, a PDF to print, and copies filled by the hands of MNIST's test set.

    \b
    Example:
      inkdigits form demo tally
      inkdigits form read tally tally/scans --output answers.xlsx
    """
    from inkdigits.data.loading import load_mnist
    from inkdigits.errors import OutputError
    from inkdigits.files.storage import make_folder
    from inkdigits.forms.demo import save_demo_copies, save_demo_form
    from inkdigits.training.synthesis.styles import Digits

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: exists and is not an empty folder; name a new one")
    _, test = load_mnist()
    make_folder(str(folder / "scans"))
    save_demo_form(folder)
    save_demo_copies(folder / "scans", Digits(test.images, test.labels), copies, seed)
    say(f"a form, form.pdf to print, and {copies} filled copies; next: inkdigits form read {folder} {folder / 'scans'}")
    print(folder)


@form.command()
def read(
    template: Annotated[Path, typer.Argument(metavar="FORM", help="A form's folder, or its form.json.")],
    scans: Annotated[list[Path], typer.Argument(metavar="SCANS", help="Pictures, TIFFs, PDFs, folders of these.")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a spreadsheet: .xlsx, .csv or .jsonl.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per form and line.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
) -> None:
    """Read filled forms. Pages that do not lie on the template for sure are rejected and listed, never guessed.

    The exit code is 1 if any page was rejected; the others are read all the same.

    \b
    Example:
      inkdigits form read tally tally/scans --output answers.xlsx
    """
    from rich.console import Console
    from rich.progress import Progress

    from inkdigits.errors import OutputError
    from inkdigits.forms.export import SUFFIXES, to_dict, write_answers
    from inkdigits.forms.read import FormReader

    if output is None and not json_:
        raise typer.BadParameter("name an --output FILE, or ask for --json")
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"{output}: the ending must be one of {', '.join(SUFFIXES)}")
    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; name another file, or say --overwrite")
    reader = FormReader(template)
    answers = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading")
        for answer in reader.read(scans, lambda done, all_: bar.update(task, completed=done, total=all_)):
            answers.append(answer)
            if json_:
                print(json.dumps(to_dict(answer)), flush=True)
            if answer.problem:
                say(f"rejected: {' '.join(answer.sources)}: {answer.problem}")
    if output is not None:
        write_answers(output, reader.form, answers)
    n_fields = sum(len(answer.readings) for answer in answers)
    n_review = sum(not reading.accepted for answer in answers for reading in answer.readings)
    n_refused = sum(bool(answer.problem) for answer in answers)
    n_forms = sum(bool(answer.readings) for answer in answers)
    say(f"{n_forms:,} forms, {n_fields:,} fields, {n_review:,} of them to review; {n_refused:,} pages rejected")
    if output is not None:
        print(output)
    if n_refused:
        raise typer.Exit(1)


@form.command()
def schema() -> None:
    """Print the JSON Schema of form.json."""
    from inkdigits.forms.template import schema as schema_of

    print(json.dumps(schema_of(), indent=1))
