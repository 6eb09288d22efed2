"""The command line: each command parses, calls one function and prints. Imports stay inside the commands.

Results go to stdout, chatter and progress to stderr. Exit code 1: an error of the user's files; 2: of the
command's words.
"""

import os
import sys

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
