import gzip
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigits.data.idx import read_idx, write_idx
from inkdigits.data.loading import load_data
from inkdigits.data.splits import MNIST_SHA256, Split
from inkdigits.errors import DataError

Splits = tuple[Split, Split]
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def fails(path: Path) -> str:
    """Return the message, on one line, of the error."""
    with pytest.raises(DataError) as caught:
        load_data(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    assert "'one' is there twice" in fails(folder)


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
        (b"neither", "wrong magic number"),
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
