import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inkdigits.cli import main as cli_main
from inkdigits.data.loading import load_arrays, load_mnist
from inkdigits.data.splits import MNIST_SHA256
from inkdigits.errors import DataError


def test_what_is_not_mnist_is_not_called_so(toy_folder: Path) -> None:
    with pytest.raises(DataError, match="is not MNIST's: SHA-256"):
        load_mnist(toy_folder)


def test_a_pickle_inside_an_npz_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", x=np.array([{}], object))
    with pytest.raises(DataError, match="plain arrays"):
        load_arrays(tmp_path / "evil.npz")


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
