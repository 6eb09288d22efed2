"""`inkdigits adapt`."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigits.cli.options import say

if TYPE_CHECKING:
    from inkdigits.personal.adapt import Outcome
    from inkdigits.personal.examples import Examples
    from inkdigits.training.line_tuning import LineTuner


def adapt(
    hand: Annotated[str, typer.Argument(metavar="HAND", help="A name for whose hand it is.")] = "me",
    cells: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Learn from pictures of one number each and truth.json.")
    ] = None,
    job: Annotated[
        Path | None, typer.Option(metavar="JOB", help="Learn from what people keyed in `form review`.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Learn from a folder or .npz in MNIST's format.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Fit the network for whole numbers, too: with TensorFlow, in minutes.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the hands and their versions.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Forget the hand's last version.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit the reader to one hand, from at least 20 examples: by default the corrections made on the web page.

    A fit is kept only if it reads digits of this hand better that it was not fitted to, and forgets nothing. Where none
    is kept the exit code is 1.

    \b
    Examples:
      inkdigits adapt
      inkdigits adapt anna --job answers.job --lines
      inkdigits read photo.jpg --model anna
      inkdigits adapt anna --undo
    """
    if sum(each is not None for each in (cells, job, data)) > 1:
        raise typer.BadParameter("one source at a time: --cells, --job or --data")
    if list_:
        _list(json_)
    elif undo:
        _undo(hand, json_)
    else:
        _adapt(hand, cells, job, data, lines, json_)


def _adapt(hand: str, cells: Path | None, job: Path | None, data: Path | None, lines: bool, as_json: bool) -> None:
    from inkdigits.errors import DataError, require

    require("scipy", "threadpoolctl", *(("keras", "tensorflow") if lines else ()))
    from inkdigits.personal.adapt import adapt

    if lines and data is not None:
        raise DataError(f"{data}: single digits; --lines learns from whole numbers (--cells, --job, corrections)")
    _check_name(hand)
    found = _examples(hand, cells, job, data, lines)
    outcome = adapt(hand, found, make_tuner=_tuner if lines else None, report=say)
    if found.left_out:
        say(f"left out: {found.left_out}")
    if as_json:
        print(json.dumps(outcome.to_dict()))
    else:
        _say_outcome(outcome, hand, lines)
    if outcome.version is None:
        raise typer.Exit(1)


def _say_outcome(outcome: "Outcome", hand: str, lines: bool) -> None:
    for gate in (outcome.digits, outcome.lines):
        if gate is not None:
            say(str(gate))
    if outcome.n_set_aside:
        these = "1 digit was" if outcome.n_set_aside == 1 else f"{outcome.n_set_aside} digits were"
        say(f"{these} not learned: this hand's others make the label unlikely")
    print(outcome.summary)
    if outcome.version is not None:
        say(f"use it: inkdigits read --model {hand} ..., inkdigits serve --model {hand}; take it back: --undo")
        if not lines:
            say("single digits and pages; whole numbers and forms are learned with --lines")


def _tuner() -> "LineTuner":
    from inkdigits.data.loading import load_mnist
    from inkdigits.reading.model import SHIPPED, OnnxModel
    from inkdigits.training.line_tuning import LineTuner

    return LineTuner(OnnxModel(SHIPPED / "line.onnx"), load_mnist()[0])


def _check_name(hand: str) -> None:
    """Raise ModelError for a name by which --model would mean something else here."""
    from inkdigits.cli.options import named_model
    from inkdigits.errors import ModelError
    from inkdigits.personal.hands import hand_path

    hand_path(hand)
    other = named_model(Path(hand), must_exist=False)
    if other is not None and (other.is_file() or (other / "model.onnx").is_file() or other.parent == Path("runs")):
        raise ModelError(f"{hand}: --model means {other} by this name; name the hand otherwise")


def _examples(hand: str, cells: Path | None, job: Path | None, data: Path | None, with_lines: bool) -> "Examples":
    from dataclasses import replace

    from inkdigits.data.corrections import Corrections, default_path
    from inkdigits.errors import DataError
    from inkdigits.personal import examples
    from inkdigits.reading.reader import Reader

    if data is not None:
        return examples.of_data(data)
    if cells is not None:
        return examples.of_cells(cells, Reader())
    if job is not None:
        from inkdigits.forms.job import Job

        with closing(Job(job)) as kept:
            return examples.of_job(kept, Reader())
    with closing(Corrections(default_path())) as store:
        mine, everyones = store.all(hand), store.all()
        if not mine:
            others = ", ".join(sorted({each.hand for each in everyones}))
            only = f", only of: {others}" if others else ""
            raise DataError(f"{hand}: no corrections of this hand{only}; {_how_to_begin(hand)}")
        found = examples.of_corrections(mine)
        lines = tuple(examples.lines_of_corrections(store, hand, Reader())) if with_lines else ()
        return replace(found, lines=lines)


def _how_to_begin(hand: str) -> str:
    """Say where examples of a hand come from that has no corrections: a page serves only hands that have a version."""
    from inkdigits.data.corrections import DEFAULT_HAND
    from inkdigits.personal.hands import hand_path
    from inkdigits.reading.adapted import newest

    if hand == DEFAULT_HAND:
        return "`inkdigits serve` collects them"
    if newest(hand_path(hand)) is not None:
        return f"`inkdigits serve --model {hand}` collects them"
    return "a hand of this name begins with --cells, --job or --data"


def _list(as_json: bool) -> None:
    from inkdigits.errors import ModelError
    from inkdigits.personal.hands import hands
    from inkdigits.reading.adapted import DIGIT, LINE, facts_of, versions

    for hand in hands():
        for version in versions(hand):
            parts = [name for name in (DIGIT, LINE) if (version / name).is_file()]
            try:
                facts = facts_of(version)
            except ModelError as error:
                say(f"error: {error}")
                continue
            if as_json:
                print(json.dumps({"hand": hand.name, "version": version.name, "parts": parts, **facts}))
            else:
                before, after = facts["errors"]
                counts = f"{facts['n']:>5} examples, {before} -> {after} errors, {facts['date']}"
                print(f"{hand.name:<16} {version.name}  {counts}{'  with lines' if LINE in parts else ''}")
    if not hands():
        say("no hand yet: `inkdigits adapt` learns one")


def _undo(hand: str, as_json: bool) -> None:
    from inkdigits.personal.hands import undo

    before = undo(hand)
    if as_json:
        print(json.dumps({"hand": hand, "version": before.name if before else None}))
    else:
        print(f"{hand}: back to " + (f"version {before.name}" if before else "the networks that ship"))
