"""`inkdigits serve`, `corrections`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from inkdigits.cli.options import HostOption, PortOption, TokenOption, named_model, say


def serve(
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="A run, an ONNX file, a hand. Default: what the page learned, or what ships.",
        ),
    ] = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    token: TokenOption = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Let web pages of this origin use the API, too.")
    ] = None,
    forms: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Edit the templates in this folder, at /forms.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the web page and the HTTP API. The API's documentation is at /docs.

    \b
    Examples:
      inkdigits serve --open
      inkdigits serve --host 0.0.0.0 --token secret
      inkdigits serve --forms . --open
    """
    from inkdigits.errors import InputError
    from inkdigits.web.serve import serve

    if forms is not None and not forms.is_dir():
        raise InputError(f"{forms}: no such folder of forms; `inkdigits form new` begins one")
    model = named_model(model) or _own_hand()
    origins = tuple(allow_origin or ())
    serve(model, host, port, token, origins, open_, lambda address: print(address, flush=True), forms=forms)


def _own_hand() -> Path | None:
    """Return the hand that the page learned, if it learned one."""
    from inkdigits.data.corrections import DEFAULT_HAND
    from inkdigits.personal.hands import hand_path
    from inkdigits.reading.adapted import newest

    hand = hand_path(DEFAULT_HAND)
    if newest(hand) is None:
        return None
    say(f"reads as it learned from your corrections (hand {DEFAULT_HAND!r}); `inkdigits adapt --undo` takes that back")
    return hand


corrections = typer.Typer(help="What people corrected on the web page.", no_args_is_help=True, rich_markup_mode=None)


@corrections.command("list")
def list_corrections(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per correction and line.")] = False,
) -> None:
    """List the corrections, the oldest first."""
    from inkdigits.data.corrections import load_corrections

    for correction in load_corrections():
        print(json.dumps(correction.to_dict()) if json_ else correction)


@corrections.command("export")
def export(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")]) -> None:
    """Write the corrections as a data set. In MNIST's own format, for `evaluate --data` and `train --data`."""
    from inkdigits.data.corrections import export_corrections, latest, load_corrections

    corrections = load_corrections()
    n_train, n_test = export_corrections(corrections, folder)
    n_left_out = sum(correction.truth is None for correction in latest(corrections))
    say(f"{n_train} for training, {n_test} for testing; left out, not digits: {n_left_out}")
    print(folder)


@corrections.command("clear")
def clear(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all corrections and their pictures."""
    from inkdigits.data.corrections import clear_corrections, load_corrections

    n = len(load_corrections())
    if n and not yes:
        typer.confirm(f"delete {n} corrections?", abort=True, err=True)
    say(f"{clear_corrections()} deleted")
