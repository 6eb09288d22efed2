"""The command line as a whole: its commands, and how errors, warnings and log records are shown."""

import errno
import logging
import os
import sys
import traceback
import warnings
from typing import Annotated

import typer

from inkdigits import __version__
from inkdigits.cli import evaluation, forms, personal, reading, serving, sweeping, training
from inkdigits.cli.options import say, with_ray_address
from inkdigits.errors import InkdigitsError, RecipeError, naming_missing_extra

# Plain help: Rich's boxes leave the text less than half of 80 columns, and importing it doubles the time of a start.
app = typer.Typer(
    name="inkdigits",
    help="Read handwritten digits and numbers; train, evaluate and explain the models that do so.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order of the help text.
for command in (
    *(reading.read, training.train, sweeping.sweep, training.runs, evaluation.evaluate, evaluation.compare),
    *(evaluation.data, evaluation.doctor, training.ensemble, training.tutorial, serving.serve, personal.adapt),
):
    app.command()(command)
app.add_typer(forms.form, name="form")
app.add_typer(serving.corrections, name="corrections")

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _version(asked: bool) -> None:
    if asked:
        print(f"inkdigits {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


class _Chatter(logging.Handler):
    """Shows each log record as one line on stderr; below it, what went wrong inside a server."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        say(prefix + record.getMessage())
        if record.exc_info:
            say("".join(traceback.format_exception(*record.exc_info)).rstrip())


def _show_chatter() -> None:
    """Show what the library logs and warns of, one line each, without the place in our code that it came from."""
    logger = logging.getLogger("inkdigits")
    if not logger.handlers:
        logger.addHandler(_Chatter())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"


def main() -> None:
    """Run the command line; errors become one line on stderr and exit code 1, or 2 where the command's words err."""
    _show_chatter()
    try:
        with naming_missing_extra():
            try:
                app(with_ray_address(sys.argv[1:]))
            finally:
                sys.stdout.flush()  # what cannot be written is an error here, not a traceback at the interpreter's end
    except InkdigitsError as error:
        say(f"error: {error}")
        sys.exit(2 if isinstance(error, RecipeError) else 1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        _discard_stdout()  # its reader, `head` say, has gone: nobody is left to be told
        sys.exit(1)
    except OSError as error:
        # HDF5, which Keras writes models with, has the cause in its message alone.
        if error.errno not in DISK_IS_FULL and os.strerror(errno.ENOSPC) not in str(error):
            raise
        _discard_stdout()
        place = f"{error.filename}: " if error.filename else ""
        say(f"error: {place}cannot write ({os.strerror(error.errno or errno.ENOSPC)})")
        sys.exit(1)


def _discard_stdout() -> None:
    """Send what is still to be written to stdout nowhere, or the interpreter would fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
