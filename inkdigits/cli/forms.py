"""`inkdigits form`: templates, and stacks of filled forms into spreadsheets."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigits.cli.options import HostOption, PortOption, SecondOpinionOption, TokenOption, named_model, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from inkdigits.forms.audit import Kept, Stated
    from inkdigits.forms.job import Job
    from inkdigits.forms.read import FormAnswer

SUFFIXES = ".xlsx, .csv, .jsonl, .parquet, or a new folder for a data package"
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
    from inkdigits.evaluation.text import counted
    from inkdigits.files.storage import make_folder
    from inkdigits.forms.demo import save_demo_copies, save_demo_form
    from inkdigits.training.synthesis.styles import Digits

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: exists and is not an empty folder; name a new one")
    _, test = load_mnist()
    make_folder(str(folder / "scans"))
    save_demo_form(folder)
    save_demo_copies(folder / "scans", Digits(test.images, test.labels), copies, seed)
    say(f"a form, form.pdf to print, and {counted(copies, 'filled scan')}")
    if copies:
        say(f"next: inkdigits form read {folder} {folder / 'scans'} --output answers.xlsx")
    print(folder)


@form.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder: the form.")],
    pages: Annotated[list[Path], typer.Argument(metavar="PAGES", help="Pictures or PDFs of the blank form.")],
    filled: Annotated[
        bool,
        typer.Option(
            "--filled",
            help="PAGES are three or more filled copies of one page, the first upright; or one, of a ruled table.",
        ),
    ] = False,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What people call the form. Default: FOLDER's name.")] = "",
) -> None:
    """Begin a template. Its fields are then drawn in the browser.

    \b
    Examples:
      inkdigits form new forms/tally tally/form.pdf
      inkdigits serve --forms forms --open
    """
    from inkdigits.evaluation.text import counted
    from inkdigits.forms.blank import new_form

    made = new_form(folder, pages, filled, title)
    say(f"{counted(len(made.pages), 'page')}; next: inkdigits serve --forms {folder.parent} --open")
    print(folder)


@form.command()
def read(
    template: Annotated[Path, typer.Argument(metavar="FORM", help="A form's folder, or its form.json.")],
    scans: Annotated[list[Path], typer.Argument(metavar="SCANS", help="Pictures, TIFFs, PDFs, folders of these.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help=f"Write a spreadsheet: {SUFFIXES}.")] = None,
    job: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep what is read here, to go on and to review. Default: beside FILE."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per form and line.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="A run, an ONNX file, a hand. Default: what ships.")
    ] = None,
    second_opinion: SecondOpinionOption = False,
    ray: Annotated[
        str | None, typer.Option(metavar="[ADDRESS]", help="Share the pages on a Ray cluster; alone: on this machine.")
    ] = None,
) -> None:
    """Read filled forms. Pages that do not lie on the template for sure are rejected and listed, never guessed.

    What is read is kept in a job, answers.job for answers.xlsx. The same command again reads what is new, and after an
    interruption what is left; `inkdigits form review` shows what is not sure. The exit code is 1 if any page was
    rejected; the others are read all the same.

    \b
    Example:
      inkdigits form read tally tally/scans --output answers.xlsx
      inkdigits form review answers.job
    """
    import tempfile

    from inkdigits.files.storage import PassedOver
    from inkdigits.forms.cluster import on_cluster
    from inkdigits.forms.export import to_dict
    from inkdigits.forms.job import Job
    from inkdigits.forms.read import FormReader
    from inkdigits.reading.reader import Reader

    if output is None and job is None and not json_:
        raise typer.BadParameter("name an --output FILE or a --job FOLDER, or ask for --json")
    _check_output(output, overwrite)
    model = named_model(model)
    reader = FormReader(template, Reader(model, text_detector=False, second_opinion=second_opinion))
    passed_over = PassedOver()
    kept_at = job or (output.with_suffix(".job") if output else None)
    with tempfile.TemporaryDirectory() as beside, closing(Job.begin(kept_at or Path(beside, "job"), template)) as kept:
        with _progress() as bar:
            task = bar.add_task("reading")

            def show(done: int, all_: int) -> None:
                bar.update(task, completed=done, total=all_)

            folder = template if template.is_dir() else template.parent
            with nullcontext() if ray is None else on_cluster(ray, folder, model, second_opinion) as pool:
                for answer in kept.read(reader, scans, show, passed_over, pool):
                    if json_:
                        print(json.dumps(to_dict(answer)), flush=True)
                    if answer.problem:
                        say(f"rejected: {' '.join(answer.sources)}: {answer.problem}")
        n_rejected = _summed_up(kept, output)
    if passed_over.n:
        say(str(passed_over))
    if kept_at is not None:
        say(f"next: inkdigits form review {kept_at}")
    if output is not None:
        print(output)
    if n_rejected:
        raise typer.Exit(1)


@form.command()
def export(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="The folder that `form read` keeps.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help=f"The spreadsheet: {SUFFIXES}.")],
    pictures: Annotated[bool, typer.Option("--pictures", help="Put each field's picture into the workbook.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
) -> None:
    """Write what stands in a job, as read and as reviewed, into a spreadsheet.

    \b
    Example:
      inkdigits form export answers.job --output answers.xlsx --overwrite
    """
    from inkdigits.forms.job import Job

    _check_output(output, overwrite)
    with closing(Job(job)) as kept:
        _summed_up(kept, output, pictures)
    print(output)


@form.command()
def review(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="The folder that `form read` keeps.")],
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    token: TokenOption = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the page on which a person keys what is not sure in a job: digits and Enter, nothing else is needed.

    Several people may review at once; nobody is given a field that another one has.

    \b
    Example:
      inkdigits form review answers.job --open
    """
    from inkdigits.forms.job import Job
    from inkdigits.web.serve import serve

    with closing(Job(job)) as kept:
        serve(None, host, port, token, (), open_, lambda address: print(address, flush=True), kept)


@form.command()
def promise(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="The folder that `form read` keeps.")],
    risk: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of accepted fields that may be wrong, such as 0.01.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="How likely it may be that more are. Default: as last asked, or 0.05."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Fields to check. Default: twice the fewest that can do."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Accept from the promised confidence on alone.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Promise how many accepted fields are wrong at most, from a random sample of them that people key blind, twice.

    With --risk a sample is drawn, unless there is one; `form review` gives its fields after all others. Without --risk
    nothing is drawn: the command says what is promised. With --keep, what lies below the promised confidence is to be
    keyed, too. A kept promise is withdrawn when pages are read with other weights, and watched: of every tenth page
    read later a field is checked.

    \b
    Examples:
      inkdigits form promise answers.job --risk 0.01
      inkdigits form promise answers.job
      inkdigits form promise answers.job --risk 0.01 --keep
    """
    from inkdigits.forms.job import Job

    if risk is None and (delta is not None or sample is not None or keep):
        raise typer.BadParameter("--delta, --sample and --keep belong to --risk SHARE")
    for name, share in (("--risk", risk), ("--delta", delta)):
        if share is not None and not 0 < share < 1:
            raise typer.BadParameter(f"{name} lies between 0 and 1, such as 0.005; got {share:g}")
    with closing(Job(job)) as kept:
        given, asked = kept.kept_promise(), kept.asked_promise()
        found = given.stated if given else kept.promise(*asked) if asked else None
        if risk is not None:
            found, given = _asked(kept, given, risk, delta or (found.asked if found else 0.05), sample, keep)
        _print_promise(kept, found, given, json_)


def _asked(
    job: "Job", given: "Kept | None", risk: float, delta: float, sample: int | None, keep: bool
) -> "tuple[Stated, Kept | None]":
    """Return what the sample says of a risk, drawn before where there is none; and the promise that is kept of it."""
    from inkdigits.evaluation.text import counted

    found = job.promise(risk, delta)
    is_same = given is not None and (given.stated.read.risk, given.stated.asked) == (risk, delta)
    if given is not None and is_same and sample is None and found.read.n == given.stated.read.n:
        return given.stated, given
    drawn = job.draw_audit(sample, risk, delta)
    if drawn or sample is not None:
        say(f"{counted(drawn, 'field')} drawn at random")
    found = job.promise(risk, delta)
    if not keep:
        return found, None
    say(f"{counted(job.keep_promise(found), 'more field')} to key")
    return found, job.kept_promise()


def _print_promise(job: "Job", found: "Stated | None", given: "Kept | None", as_json: bool) -> None:
    """Print what is promised, and say what to do next."""
    from dataclasses import asdict

    from inkdigits.evaluation.text import counted

    progress, alarm = job.progress(), job.standing().alarm
    left, attention = progress.audits_left, progress.attention
    if left:
        say(f"{counted(left, 'field')} to check, each keyed twice; next: inkdigits form review {job.folder}")
    elif found is not None and given is None and found.is_possible:
        more = f"--sample {found.read.n + found.read.n_missing}" if found.read.threshold is None else "--keep"
        say(f"next: inkdigits form promise {job.folder} --risk {found.read.risk:g} {more}")
    if alarm:
        say(alarm)
    if attention.screens:
        say(str(attention))
    if as_json:
        since = None if given is None else {"date": given.date, "forms": given.forms, "watch": asdict(given.watch)}
        said = asdict(found) if found else {"read": None, "repaired": None, "coverage": 0.0}
        print(json.dumps(said | {"kept": since, "left": left, "alarm": alarm, "attention": asdict(attention)}))
    elif found is None:
        print(f"no promise was asked for; `inkdigits form promise {job.folder} --risk 0.01` draws a sample for one")
    else:
        print(given or f"{found}{'' if found.read.threshold is None else ' (not kept)'}")


def _check_output(output: Path | None, overwrite: bool) -> None:
    from inkdigits.errors import OutputError
    from inkdigits.forms.export import WRITERS

    if output is not None and output.suffix.lower() not in ("", *WRITERS):
        raise typer.BadParameter(f"{output}: the ending must be one of {SUFFIXES}")
    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; name another file, or say --overwrite")


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _summed_up(job: "Job", output: Path | None, pictures: bool = False) -> int:
    """Write a job's answers where an output is asked for, say what they are, return how many pages were rejected."""
    from collections import Counter

    from inkdigits.evaluation.text import counted
    from inkdigits.forms.export import Extras, write_answers

    counts: Counter[str] = Counter()

    def answers() -> Iterator["FormAnswer"]:
        for answer in job.answers():
            counts["forms"] += bool(answer.readings)
            counts["fields"] += len(answer.readings)
            counts["review"] += sum(not reading.accepted for reading in answer.readings)
            counts["rejected"] += bool(answer.problem)
            yield answer

    if output is not None:
        write_answers(output, job.form, answers(), Extras(job.history(), job.picture_of if pictures else None))
    else:
        deque(answers(), 0)
    say(
        f"{counted(counts['forms'], 'form')}, {counted(counts['fields'], 'field')}, {counts['review']:,} of them to "
        f"review; {counted(counts['rejected'], 'page')} rejected"
    )
    return counts["rejected"]


@form.command()
def schema() -> None:
    """Print the JSON Schema of form.json."""
    from inkdigits.forms.template import schema as schema_of

    print(json.dumps(schema_of(), indent=1))
