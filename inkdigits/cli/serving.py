"""`inkdigits serve`, `corrections`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from inkdigits.cli.options import app, say
from inkdigits.errors import InkdigitsError


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
    serve(model, host, port, token, tuple(allow_origin or ()), open_, lambda address: print(address, flush=True))


corrections = typer.Typer(help="What people corrected on the web page.", no_args_is_help=True)


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
    """Forget all corrections and their pictures."""
    from inkdigits.data.corrections import clear_corrections, load_corrections

    n = len(load_corrections())
    if n and not yes:
        typer.confirm(f"forget {n} corrections?", abort=True, err=True)
    say(f"{clear_corrections()} forgotten")
