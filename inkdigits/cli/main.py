"""The command line as a whole: errors become one line."""

import os
import sys
import warnings

from inkdigits.cli import evaluation, reading, serving, sweeping, training
from inkdigits.cli.options import app, say
from inkdigits.errors import InkdigitsError, RecipeError

# Importing a module registers its commands.
COMMANDS = (reading, training, sweeping, evaluation, serving)
app.add_typer(serving.corrections, name="corrections")


def main() -> None:
    """Run the command line; errors become one line on stderr and exit code 1, or 2 where the command's words err."""
    # A warning is chatter: one line, without the place in our code that it came from.
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        app()
    except InkdigitsError as error:
        say(f"error: {error}")
        sys.exit(2 if isinstance(error, RecipeError) else 1)
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output, `head` say, has gone: nothing is left to tell it, not even at interpreter shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
