"""Shared by all tests: MNIST where it can be had, and a small stand-in of the same format where it cannot."""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inkdigits.data.idx import idx_sha256, save_idx_folder
from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import DIGITS, Split
from inkdigits.errors import DataError

Splits = tuple[Split, Split]

HERE = Path(__file__).parent
# What `make test-fast` leaves out as a whole: TensorFlow, Ray, servers and browsers.
NOT_FAST = {HERE / name for name in ("training", "sweep", "audit", "web", "bulk/test_ray_data.py")}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="the reading half alone, as `make test-fast` runs it")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption("--fast") and collection_path in NOT_FAST else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]


@pytest.fixture(scope="session", autouse=True)
def own_finder_alone() -> Iterator[None]:
    """Pages are read without the extra `pages` unless a test asks for it, which takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inkdigits.reading.row_reader.is_installed", lambda: False)
        yield


@pytest.fixture(scope="session")
def mnist() -> Splits:
    """MNIST itself; where there is neither it nor a network, tests that ask for it are skipped, but fail in CI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cache that cannot be written is no concern of these tests
        try:
            return load_mnist()
        except DataError as error:
            if os.environ.get("CI"):
                pytest.fail(f"CI tests with MNIST: {error}", pytrace=False)
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def toy() -> Splits:
    """600 and 200 printed digits, turned and shifted: easy, balanced, in MNIST's form, made in 0.1 s."""
    rng = np.random.default_rng(0)
    return printed_digits(rng, 600, "train"), printed_digits(rng, 200, "test")


@pytest.fixture(scope="session")
def toy_folder(toy: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as four IDX files; read only, please."""
    folder = tmp_path_factory.mktemp("toy") / "digits"
    save_idx_folder(folder, *toy)
    return folder


@pytest.fixture(scope="session")
def tiny_model(toy: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear net for `toy` as an ONNX file with a card, fitted by least squares: no Keras needed."""
    path = tmp_path_factory.mktemp("tiny") / "model.onnx"
    train, _ = toy
    pixels = train.images.reshape(len(train), -1) / 255
    kernel = np.linalg.solve(pixels.T @ pixels + 3 * np.eye(784), pixels.T @ (8 * np.eye(10)[train.labels]))
    save_linear_onnx(path, kernel.astype(np.float32), np.zeros(10, np.float32), {"output": "logits"})
    return path


def save_linear_onnx(
    path: Path, kernel: np.ndarray, bias: np.ndarray, card: dict[str, object], squared: bool = False
) -> None:
    """Write pixels / 255 (or their squares) @ kernel + bias as a model; `card` says what is not usual about it."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "full"], ["scaled"]),
        helper.make_node("Pow", ["scaled", "power"], ["powered"]),
        helper.make_node("Flatten", ["powered"], ["flat"]),
        helper.make_node("Gemm", ["flat", "kernel", "bias"], ["scores"]),
    ]
    constants = {"full": np.float32(255), "power": np.float32(2 if squared else 1), "kernel": kernel, "bias": bias}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", 28, 28])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n", kernel.shape[1]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    usual = {"format": 1, "kind": "digit", "name": "tiny", "classes": list(DIGITS), "temperature": 1.0}
    helper.set_model_props(model, {"card": json.dumps(usual | {"threshold": 0.0} | card)})
    onnx.save(model, path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty INKDIGITS_HOME, and an empty home of Keras, for one test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("INKDIGITS_HOME", str(folder))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return folder


def printed_digits(rng: np.random.Generator, n: int, name: str) -> Split:
    labels = rng.permutation(np.arange(n) % 10)
    images = np.stack([printed_digit(rng, label) for label in labels])
    return Split(images, labels.astype(np.int64), name, DIGITS, "printed digits", idx_sha256(images))


def printed_digit(rng: np.random.Generator, label: int) -> np.ndarray:
    canvas = np.zeros((28, 28), np.uint8)
    cv2.putText(canvas, str(label), (5, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.85, 255, 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((14, 14), rng.uniform(-15, 15), rng.uniform(0.85, 1.1))
    turn[:, 2] = turn[:, 2] + rng.uniform(-2, 2, 2)
    return cv2.warpAffine(canvas, turn, (28, 28))
