"""What several commands share: options, chatter, how a model is named."""

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from inkdigits.errors import ModelError, RunError

RAY_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+")


def say(text: str) -> None:
    """Print chatter to stderr, where it does not mix with results."""
    print(text, file=sys.stderr)


def named_model(model: Path | None, must_exist: bool = True) -> Path | None:
    """Return what --model means: a path, or by its name a run in runs/ or a hand that `inkdigits adapt` learned.

    Args:
        model: as it was given.
        must_exist: whether a name of nothing is an error; else it is returned as it is.

    Raises:
        ModelError: there is nothing of that name.
    """
    from inkdigits.personal.hands import hands

    if model is None or len(model.parts) > 1 or model.is_file() or (model / "model.onnx").is_file():
        return model
    if (Path("runs") / model).is_dir():
        return Path("runs") / model
    known = {hand.name: hand for hand in hands()}
    if model.name in known:
        return known[model.name]
    if must_exist and not model.exists():
        raise ModelError(f"{model}: no such model file, run or hand; {_choices(known)}")
    return model


def _choices(hands: Collection[str]) -> str:
    return f"the hands there are: {', '.join(hands)}" if hands else "no hand was learned yet"


DataOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="A folder or .npz in MNIST's format. Default: MNIST.")
]
RunsOption = Annotated[Path, typer.Option(metavar="FOLDER", help="The folder of all runs.")]
MlflowOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="Keep a record in MLflow: local for a database in the folder of runs, or a tracking URI."
    ),
]
TensorboardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Keep a record for TensorBoard, in the folder of runs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")]
SecondOpinionOption = Annotated[
    bool,
    typer.Option("--second-opinion", help="Numbers are read by PP-OCR's network too (extra `pages`): better, slower."),
]
ReportOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report, pictures included.")]


HostOption = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Address to bind to; by default only this machine can connect.")
]
PortOption = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 for any that is free.")]
TokenOption = Annotated[
    str | None, typer.Option(envvar="INKDIGITS_TOKEN", metavar="TOKEN", help="Require this bearer token.")
]


class Framed(StrEnum):
    """Are the pictures in MNIST's form?"""

    yes = "yes"
    no = "no"
    auto = "auto"


FramedOption = Annotated[
    Framed, typer.Option(help="yes: pictures are in MNIST's form; no: frame them first; auto: detect.")
]


def with_ray_address(words: Sequence[str]) -> list[str]:
    """Return the command's words with an address after each `--ray`: "local" where it stands alone.

    Typer has no option whose value may be left out (it ignores Click's `flag_value`). What follows `--ray` is its value
    only if it looks like one: auto, local, HOST:PORT or ray://HOST:PORT.
    """
    end = words.index("--") if "--" in words else len(words)
    found = list(words)
    for i in range(end):
        if words[i] == "--ray" and not (i + 1 < end and RAY_ADDRESS.fullmatch(words[i + 1])):
            found[i] = "--ray=local"
    return found


def with_settings(options: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each of `options` in place of its parameter `settings`.

    Args:
        options: the options' names -> their annotations; the command gets those that were given, as a dict.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in inspect.signature(command).parameters.values() if each.name != "settings"]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.items()
        ]

        def with_options(**values: Any) -> None:
            settings = {name: values.pop(name) for name in options}
            command(**values, settings={name: value for name, value in settings.items() if value is not None})

        with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
        with_options.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        with_options.__annotations__ = {each.name: each.annotation for each in (*own, *added)}
        return with_options

    return decorate


@contextmanager
def resumable() -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        say("stopped; the same command with --resume continues")
        raise typer.Exit(130) from None


def model_and_data(name: str, runs: Path) -> tuple[Path | None, str | None]:
    """Return what a Reader opens for a run's name, an ONNX file or "reader", and the path of the run's own data."""
    if name == "reader" or name.endswith(".onnx"):
        return (None if name == "reader" else Path(name)), None
    from inkdigits.reading.adapted import newest

    hand = named_model(Path(name), must_exist=False)
    if hand is not None and newest(hand) is not None:
        return hand, None
    from inkdigits.personal.hands import hands
    from inkdigits.training.runs import read

    try:
        run = read(name, runs)
    except RunError as error:
        raise RunError(f"{error}; {_choices([each.name for each in hands()])}") from None
    if not run.finished:
        raise RunError(f"{run.name}: is not finished; `inkdigits train --resume {run.name}` continues it")
    return run.path, run.info.get("data", {}).get("path")
