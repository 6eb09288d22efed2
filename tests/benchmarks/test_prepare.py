"""Evaluation sets from downloads: small made-up files of the same formats become the arrays that benchmarks read."""

import gzip
import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from inkdigits.errors import DataError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "data" / "prepare.py"


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_paper(height: int, width: int) -> np.ndarray:
    """Return a black bar on white, uint8."""
    image = np.full((height, width), 255, np.uint8)
    image[height // 4 : -height // 4, width // 2 - 1 : width // 2 + 2] = 0
    return image


def written(prepare: ModuleType, name: str, source: Path, output: Path) -> dict[str, np.ndarray]:
    path = prepare.prepare(name, source, output)
    with np.load(path) as stored:
        arrays = dict(stored)
    assert arrays["x"].dtype == np.uint8
    assert arrays["x"].ndim == 3
    # Light ink on dark, and there is some.
    assert np.median(arrays["x"]) == 0
    assert (arrays["x"].max(axis=(1, 2)) > 200).all()
    return arrays


def test_hwd1000(prepare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    for name in ("0-001", "7-002"):
        cv2.imwrite(str(tmp_path / "img" / f"{name}.png"), on_paper(28, 28))
    (tmp_path / "dataset.csv").write_text("image,label\nimg/0-001.png,0\nimg/7-002.png,7\n")
    found = written(prepare, "hwd1000", tmp_path, tmp_path / "out")
    assert found["y"].tolist() == [0, 7]
    np.testing.assert_array_equal(found["x"][0], 255 - on_paper(28, 28))


def test_optdigits(prepare: ModuleType, tmp_path: Path) -> None:
    row = "0" * 15 + "11" + "0" * 15
    (tmp_path / "optdigits-orig.tra").write_text("entries\n\n" + f"{row}\n" * 32 + " 4\n" + f"{row}\n" * 32 + " 9\n")
    (tmp_path / "optdigits-orig.tes").write_text(f"{row}\n" * 32 + " 1\n")
    found = written(prepare, "optdigits32", tmp_path, tmp_path / "out")
    assert sorted(found["y"].tolist()) == [1, 4, 9]
    assert found["x"].shape == (3, 32, 32)
    assert found["x"][0, 0, 15] == 255


def test_semeion(prepare: ModuleType, tmp_path: Path) -> None:
    pixels, label = np.zeros((2, 256)), np.eye(10)[[3, 8]]
    pixels[:, 100] = 1
    np.savetxt(tmp_path / "semeion.data", np.hstack([pixels, label]), fmt="%.4f")
    assert written(prepare, "semeion", tmp_path, tmp_path / "out")["y"].tolist() == [3, 8]


@pytest.mark.parametrize("scale", [1, 255])
def test_nsysu(prepare: ModuleType, tmp_path: Path, scale: int) -> None:
    np.savetxt(tmp_path / "X.csv", np.stack([on_paper(20, 20).ravel() / 255 * scale] * 3), delimiter=",", fmt="%.3f")
    np.savetxt(tmp_path / "y.csv", [5, 6, 7], fmt="%d")
    found = written(prepare, "nsysu", tmp_path, tmp_path / "out")
    assert found["x"].shape == (3, 20, 20)
    assert found["y"].tolist() == [5, 6, 7]


def test_ardis(prepare: ModuleType, tmp_path: Path) -> None:
    for part, digits in (("train", [1, 2]), ("test", [3])):
        np.savetxt(
            tmp_path / f"ARDIS_{part}_2828.csv", np.stack([255 - on_paper(28, 28).ravel()] * len(digits)), fmt="%d"
        )
        np.savetxt(tmp_path / f"ARDIS_{part}_labels.csv", np.eye(10)[digits], fmt="%d")
    assert written(prepare, "ardis", tmp_path, tmp_path / "out")["y"].tolist() == [1, 2, 3]


def test_herc(prepare: ModuleType, tmp_path: Path) -> None:
    for name, size in (("four", (60, 40)), ("nine", (500, 300))):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.jpg"), on_paper(*size))
        (tmp_path / name / "Thumbs.db").write_bytes(b"not a picture")
    (tmp_path / "minus").mkdir()
    found = written(prepare, "herc", tmp_path, tmp_path / "out")
    assert found["y"].tolist() == [4, 9]
    assert found["x"].shape == (2, 240, 240)


@pytest.fixture
def grids(tmp_path: Path) -> Path:
    """A folder with a page of a hundred bars, and a strip of three."""
    page, strip = np.full((1000, 1000), 255, np.uint8), np.full((100, 300), 255, np.uint8)
    for y in range(20, 1000, 100):
        for x in range(20, 1000, 100):
            page[y : y + 50, x : x + 10] = 0
    page[5, 5] = 0  # a speck
    for x in range(20, 300, 100):
        strip[20:70, x : x + 10] = 0
    cv2.imwrite(str(tmp_path / "6 (2).JPG"), page)
    cv2.imwrite(str(tmp_path / "7 (1).jpg"), strip)
    (tmp_path / "Thumbs.db").write_bytes(b"not a picture")
    return tmp_path


def test_gridpage(prepare: ModuleType, grids: Path) -> None:
    found = written(prepare, "gridpage64", grids, grids / "out")
    assert found["y"].tolist() == [6] * 100
    assert found["x"].shape == (100, 64, 64)


def test_pages(prepare: ModuleType, grids: Path) -> None:
    folder = prepare.prepare("pages", grids, grids / "out")
    truth = {"10x10_grids_6_2.jpg": {"lines": ["6666666666"] * 10}}
    assert json.loads((folder / "truth.json").read_text()) == truth
    assert (folder / "10x10_grids_6_2.jpg").read_bytes() == (grids / "6 (2).JPG").read_bytes()


def test_omniglot(prepare: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "images_background_small1" / "Greek" / "character01"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "1.png"), on_paper(105, 105))
    found = written(prepare, "omniglot105", tmp_path, tmp_path / "out")
    assert found.keys() == {"x"}
    assert found["x"].shape == (1, 105, 105)


def test_fashion(prepare: ModuleType, tmp_path: Path) -> None:
    images = np.stack([255 - on_paper(28, 28)] * 3)
    header = struct.pack(">4B3I", 0, 0, 8, 3, 3, 28, 28)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    np.testing.assert_array_equal(written(prepare, "fashion28", tmp_path, tmp_path / "out")["x"], images)


def test_cells(prepare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "training_set").mkdir()
    for name in ("1.jpg", "2.jpg"):
        cv2.imwrite(str(tmp_path / "training_set" / name), on_paper(30, 60))
    (tmp_path / "training_set_values.txt").write_text("filename;value\n1.jpg;97\n2.jpg;10,200\n3.jpg;5\n")
    folder = prepare.prepare("cells", tmp_path, tmp_path / "out")
    assert json.loads((folder / "truth.json").read_text()) == {"1.jpg": "97", "2.jpg": "10,200"}
    assert (folder / "2.jpg").read_bytes() == (tmp_path / "training_set" / "2.jpg").read_bytes()


@pytest.mark.parametrize("name", ["hwd1000", "herc", "gridpage64", "omniglot105", "fashion28", "cells", "pages"])
def test_an_empty_download_is_an_error(prepare: ModuleType, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        prepare.prepare(name, tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_errors_are_one_line(tmp_path: Path) -> None:
    words = [sys.executable, SCRIPT, "herc", "--source", tmp_path / "none", "--output", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == f"error: {tmp_path / 'none'}: no such file or folder; docs/data.md says where herc comes from\n"
    )
