"""The command line: each command parses, calls one function and prints. Imports stay inside the commands.

Results go to stdout, chatter and progress to stderr. Exit code 1: an error of the user's files; 2: of the
command's words.
"""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inkdigits.errors import InkdigitsError

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


class Layout(StrEnum):
    """What a picture holds."""

    digit = "digit"
    number = "number"
    page = "page"


@app.command()
def read(
    images: Annotated[list[str], typer.Argument(help="Pictures, folders, globs; - reads one picture from stdin.")],
    layout: Annotated[Layout, typer.Option(help="What a picture holds: one digit, one number, or rows.")] = Layout.page,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a picture and line.")] = False,
    model: Annotated[Path | None, typer.Option(help="A run or an ONNX file in place of the net that ships.")] = None,
    save_overlay: Annotated[Path | None, typer.Option(help="Folder for the pictures with boxes and answers.")] = None,
    explain: Annotated[Path | None, typer.Option(help="Folder for a picture a digit: crop, 28 x 28, bars.")] = None,
) -> None:
    """Read handwritten digits in pictures; doubtful ones are marked with a question mark."""
    from inkdigits import bulk

    answers = bulk.read_files(images, layout.value, model, save_overlay, explain)
    failed = False
    for answer in answers:
        failed |= answer.error is not None
        doubtful = bulk.count_doubtful(answer)
        if answer.error is not None:
            say(f"error: {answer.error}")
        elif doubtful:
            say(f"{answer.name}: {doubtful} doubtful, marked ?" if not json_ else f"{answer.name}: {doubtful} doubtful")
        if json_:
            print(json.dumps(answer.to_dict()))
        elif answer.error is None:
            print(bulk.as_text(answer))
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors become one line on stderr and exit code 1."""
    try:
        app()
    except InkdigitsError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output, `head` say, has gone: nothing is left to tell it, not even at interpreter shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
