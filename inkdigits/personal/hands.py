"""Where hands are kept: INKDIGITS_HOME/hands/NAME/0001, 0002, ...; the last version is read with.

A version is a folder that appears whole or not at all: after a kill the one before it is still there.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from inkdigits.data.home import inkdigits_home
from inkdigits.errors import ModelError, reason
from inkdigits.files.storage import cannot_write, whole_folder
from inkdigits.reading.adapted import newest, versions

LOCK = ".lock"
# What --model means already: the networks that ship, and `evaluate`'s word for all of them.
TAKEN = ("reader", "digit", "line", "finder")


def hand_path(name: str) -> Path:
    """Return the folder of a hand.

    Raises:
        ModelError: the name is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise ModelError(
            f"{name[:64]!r}: a hand's name begins with a letter or digit, then - _ and . may follow, too, 64 at most"
        )
    if name.lower() in TAKEN or name.lower().endswith((".onnx", ".npz")):
        raise ModelError(f"{name}: --model means a network by this name; name the hand otherwise")
    return inkdigits_home() / "hands" / name


def hands() -> list[Path]:
    """Return the folders of all hands that have a version, by name.

    Raises:
        ModelError: their folder cannot be read.
    """
    folder = inkdigits_home() / "hands"
    try:
        return sorted(each for each in folder.iterdir() if newest(each)) if folder.is_dir() else []
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read ({reason(error)})") from None


def known_hand(name: str) -> Path:
    """Return the folder of a hand that has a version.

    Raises:
        ModelError: there is no such hand.
    """
    path = hand_path(name)
    if newest(path) is None:
        others = ", ".join(each.name for each in hands())
        known = f"there are: {others}" if others else "`inkdigits adapt` learns one"
        raise ModelError(f"{name}: no such hand; {known}")
    return path


@contextmanager
def one_at_a_time(hand: Path) -> Iterator[None]:
    """Let no other process adapt the same hand meanwhile; leave no folder of a hand that has no version.

    Raises:
        ModelError: one does.
        OutputError: the folder cannot be written.
    """
    try:
        hand.mkdir(parents=True, exist_ok=True)
        with FileLock(hand / LOCK, timeout=0):
            _sweep(hand)
            try:
                yield
            finally:
                if newest(hand) is None:
                    with suppress(OSError):
                        (hand / LOCK).unlink()
                        hand.rmdir()
    except Timeout:
        raise ModelError(f"{hand.name}: another process adapts this hand; wait for it to end") from None
    except OSError as error:
        raise cannot_write(hand, error) from None


def _sweep(hand: Path) -> None:
    """Remove what a kill left of a version that was being written or forgotten: it holds the hand's digits."""
    for each in hand.glob(".*"):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)


def add_version(hand: Path, fill: Callable[[Path], None]) -> Path:
    """Make the next version of a hand and return its folder.

    Raises:
        OutputError: it cannot be written.
    """
    found = versions(hand)
    path = hand / f"{int(found[-1].name) + 1 if found else 1:04d}"
    try:
        with whole_folder(path) as new:
            fill(new)
    except OSError as error:
        raise cannot_write(path, error) from None
    return path


def undo(name: str) -> Path | None:
    """Forget the last version of a hand; return the one before it, None where there was none.

    Raises:
        ModelError: there is no such hand, or it is being adapted.
        OutputError: it cannot be removed.
    """
    hand = known_hand(name)
    with one_at_a_time(hand):
        last = newest(hand)
        assert last is not None
        gone = last.with_name(f".{last.name}.gone")  # a name that is no version, at once
        last.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    return newest(hand)
