"""MNIST from its public mirrors, through pooch."""

import contextlib
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from inkdigits.data.idx import read_idx_file
from inkdigits.data.splits import MNIST_SHA256, Arrays
from inkdigits.errors import DataError, reason

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
# A firewall that swallows packets must not cost minutes: the first and smallest file comes in this time or never.
FIRST_ANSWER_S = 8.0
CONNECT_S = 3.0
STALL_S = 10.0
FILE_S = 300.0
LARGEST_BYTES = 64_000_000

logger = logging.getLogger(__name__)


def fetch(mirror: str) -> Arrays:
    """Return the four arrays that a mirror gives for MNIST's; the caller compares their checksums.

    Raises:
        DataError: a file is missing, damaged or too large, or the mirror does not answer in time.
    """
    arrays: Arrays = {}
    with tempfile.TemporaryDirectory(prefix="inkdigits-", ignore_cleanup_errors=True) as folder, _quiet_pooch():
        for name in MNIST_SHA256:
            limit_s = FILE_S if arrays else FIRST_ANSWER_S
            path = _within(limit_s, partial(_retrieve, f"{mirror}/{name}.gz", folder))
            if not arrays:
                logger.info("fetching MNIST (11 MB) from %s", mirror)
            arrays[name] = read_idx_file(path, f"{mirror}/{name}.gz")
    return arrays


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch from logging two lines for each file."""
    import pooch

    level = pooch.get_logger().level
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        yield
    finally:
        pooch.get_logger().setLevel(level)


def _retrieve(url: str, folder: str) -> Path:
    import pooch

    downloader = pooch.HTTPDownloader(_SizeLimit(), chunk_size=1 << 16, timeout=(CONNECT_S, STALL_S))
    # Without a checksum of the file: MNIST's are of the content, which servers compress differently.
    return Path(pooch.retrieve(url, None, path=folder, downloader=downloader))


class _SizeLimit:
    """Stops a download that is too large. To pooch it is a progress bar, to which each block is reported."""

    total = n_bytes = 0

    def update(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes
        if self.n_bytes > LARGEST_BYTES:
            raise DataError(f"sends more than {LARGEST_BYTES:,} bytes")

    def reset(self) -> None:
        self.n_bytes = 0

    def close(self) -> None:
        """End; there is nothing to do."""


def _within(limit_s: float, call: Callable[[], Path]) -> Path:
    """Return what `call` returns, or give up after `limit_s`.

    Own code, for the timeouts of pooch and requests bound neither look-ups of names, nor names with many addresses,
    nor data that trickles in; a thread can be left behind.
    """
    future: Future[Path] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # raised again by the future
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(limit_s)
    except TimeoutError:
        raise DataError(f"no answer within {limit_s:g} s") from None
    except DataError:
        raise
    except Exception as error:
        raise DataError(_cause(error)) from error


def _cause(error: Exception) -> str:
    """Return why a download failed; the HTTP library's texts name pools and objects, only status codes are useful."""
    if (response := getattr(error, "response", None)) is not None:
        response.close()  # pooch leaves the connection of a 404 open
        return reason(error).partition(" for url")[0]
    kind = type(error).__name__
    return "no connection" if kind == "ConnectionError" else f"no connection ({kind})"
