"""One process a study: a file lock, which the system takes back when the process ends, however it ends."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from inkdigits.errors import RunError, reason


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Hold a study's lock, which stands in its folder whatever database holds its jobs.

    Two processes that share a database, but not this folder, do not see each other's lock; the first one to write to a
    job that the other took over then ends with an error (`JobStore.finish`).

    Args:
        folder: of the study, made where it is missing.

    Raises:
        RunError: another process holds the lock, or the folder cannot be written.
    """
    # Beside the lock, not in it: on Windows nobody can read a locked file.
    holder = folder / "sweep.process"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "sweep.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"this sweep is already running ({_holder(holder)}); wait for it or stop it; --ray trains on more machines"
        ) from None
    except OSError as error:
        raise RunError(f"{folder}: the sweep's lock cannot be written ({reason(error)})") from None
    try:
        holder.write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def opening_lock(root: Path) -> Iterator[None]:
    """Let one process at a time open a database: two that create its tables at once would both fail."""
    with FileLock(root / "sweeps.lock"):
        yield


def _holder(path: Path) -> str:
    """Return who holds the lock, where it has written that down already."""
    try:
        return path.read_text() or "another process"
    except OSError:
        return "another process"
