import json
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from inkdigits.errors import ModelError
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.reader import Reader
from inkdigits.training import export, networks
from inkdigits.training.recipes import resolve

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
CARD = {"format": 1, "kind": "digit", "output": "softmax", "classes": list("0123456789"), "name": "x"}


@pytest.fixture
def model() -> keras.Model:
    return networks.build(resolve("linear", output="softmax"), seed=0)


@pytest.mark.parametrize(("name", "changes"), [("hidden", {}), ("cnn", {}), ("hidden", {"activation": "gelu"})])
def test_onnx_gives_what_keras_gives(name: str, changes: dict, tmp_path: Path) -> None:
    trained = networks.in_float32(networks.build(resolve(name, **changes), seed=0))
    path = tmp_path / "model.onnx"
    export.export(trained, path, CARD)
    scores = export.agree(trained, path, IMAGES)
    np.testing.assert_allclose(scores, trained.predict(IMAGES, verbose=0), atol=1e-5)
    proto = onnx.load(path)
    assert [i.name for i in proto.graph.input] == ["images"]
    assert [o.name for o in proto.graph.output] == ["scores", "embeddings"]
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert proto.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_the_reader_reads_with_it_and_its_card(model: keras.Model, tmp_path: Path) -> None:
    export.export(model, tmp_path / "model.onnx", CARD)
    reader = Reader(tmp_path)
    assert reader.card == CARD
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(reader.classify(IMAGES).probabilities, expected, atol=1e-5)
    assert len(reader.classify(IMAGES[:1])) == 1


def test_only_the_file_is_left(model: keras.Model, tmp_path: Path) -> None:
    export.export(model, tmp_path / "model.onnx", CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_file_that_disagrees_is_refused(model: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export.export(model, path, CARD)
    kernel, bias = model.get_weights()
    model.set_weights([kernel + 0.01 * np.eye(784, 10), bias])
    with pytest.raises(ModelError, match="disagree on 50 images: scores by up to"):
        export.agree(model, path, IMAGES)


def test_equal_scores_are_not_enough_where_labels_differ(tmp_path: Path) -> None:
    """Two classes within the tolerance of each other, in another order."""
    model = networks.build(resolve("linear"), seed=0)
    path = tmp_path / "model.onnx"
    model.set_weights([np.zeros((784, 10)), np.array([1e-5] + [0.0] * 9)])
    export.export(model, path, CARD)
    model.set_weights([np.zeros((784, 10)), np.array([0.0] * 9 + [1e-5])])
    with pytest.raises(ModelError, match="50 labels"):
        export.agree(model, path, IMAGES)


def test_a_model_of_nan_is_refused(model: keras.Model, tmp_path: Path) -> None:
    model.set_weights([np.full((784, 10), np.nan), np.zeros(10)])
    export.export(model, tmp_path / "model.onnx", CARD)
    with pytest.raises(ModelError, match="disagree"):
        export.agree(model, tmp_path / "model.onnx", IMAGES)


def test_the_card_lies_in_the_metadata_as_json(model: keras.Model, tmp_path: Path) -> None:
    export.export(model, tmp_path / "model.onnx", CARD)
    assert json.loads(OnnxModel(tmp_path / "model.onnx").session.get_modelmeta().custom_metadata_map["card"]) == CARD


def test_large_kernels_are_stored_in_eight_bits_and_open_as_float32(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    large, small = (
        (rng.normal(0, 1, shape) * np.exp(rng.normal(0, 1, (shape[0], 1, 1, 1)))).astype(np.float32)
        for shape in ((72, 64, 3, 3), (64, 1, 3, 3))
    )
    helper, tensor = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["x"], to=tensor.FLOAT),
            helper.make_node("Unsqueeze", ["x", "axis"], ["y"]),
            helper.make_node("Conv", ["y", "small"], ["z"]),
            helper.make_node("Conv", ["z", "large"], ["scores"]),
        ],
        "narrowed",
        [helper.make_tensor_value_info("images", tensor.UINT8, ["N", 8, 8])],
        [helper.make_tensor_value_info("scores", tensor.FLOAT, ["N", 72, 4, 4])],
        [
            onnx.numpy_helper.from_array(values, name)
            for name, values in (("large", large), ("small", small), ("axis", np.array([1])))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)], ir_version=8)
    helper.set_model_props(model, {"card": "{}"})
    (tmp_path / "whole.onnx").write_bytes(model.SerializeToString())
    export.narrow(model.graph)
    once = model.SerializeToString()
    (tmp_path / "narrow.onnx").write_bytes(once)
    assert len(once) < 1.1 * (large.size + 2 * small.size) + 2_000
    opened = export.constants_of(model.graph)
    assert opened["large"].dtype == opened["small"].dtype == np.float32
    steps = np.abs(large).max(axis=(1, 2, 3), keepdims=True) / 127
    assert (np.abs(opened["large"] - large) <= 0.5001 * steps).all()
    np.testing.assert_allclose(opened["small"], small, rtol=1e-3)
    images = IMAGES[:3, :8, :8]
    exact, narrowed = (OnnxModel(tmp_path / f"{name}.onnx").scores(images) for name in ("whole", "narrow"))
    assert np.corrcoef(exact.ravel(), narrowed.ravel())[0, 1] > 0.999
    export.narrow(model.graph)
    assert model.SerializeToString() == once
