"""Keras model -> `model.onnx` with its card, checked against Keras's own answers."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from inkdigits.errors import ModelError
from inkdigits.files import storage
from inkdigits.reading.model import OnnxModel
from inkdigits.training.runs import write_beside
from inkdigits.training.tensorflow_logs import filtered_stderr

TOLERANCE = 1e-4
TIE = 1e-6
OPSET = 17


def export(model: keras.Model, path: Path, card: dict[str, Any]) -> None:
    """Write the model as ONNX: input `images` uint8 (N, 28, 28), output `scores` float32 (N, classes), card inside.

    A network whose last layer is dense has a second output, `embeddings` float32 (N, features): what goes into it.

    Args:
        model: takes uint8 (N, 28, 28); in float32 arithmetic (`models.in_float32`).
        path: of the file; it appears whole or not at all.
        card: goes to the metadata entry "card" as JSON.

    Raises:
        ModelError: the model has a layer which ONNX cannot express.
        OutputError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="inkdigits-export-") as folder:
        raw = Path(folder) / "raw.onnx"
        if keras.backend.backend() == "tensorflow":
            with filtered_stderr():
                _convert(model, raw)
        else:
            _convert_in_tensorflow(model, raw)
        proto = onnx.load(raw)
    _rename(proto.graph.input[0], "images", proto.graph)
    _rename(proto.graph.output[0], "scores", proto.graph)
    _spell_out_erfc(proto.graph)
    add_embeddings(proto.graph)
    onnx.helper.set_model_props(proto, {"card": json.dumps(card)})
    onnx.checker.check_model(proto)
    storage.write_bytes(path, proto.SerializeToString())


def agree(model: keras.Model, path: Path, images: np.ndarray) -> np.ndarray:
    """Return ONNX Runtime's scores float32 (N, classes) after holding them against Keras's.

    Args:
        model: the model that was exported to `path`.
        path: the ONNX file.
        images: uint8 (N, 28, 28).

    Raises:
        ModelError: a score differs by more than 1e-4, or a label differs where Keras sees no tie.
    """
    ours = OnnxModel(path).scores(images)
    keras_scores = model.predict(images, batch_size=1000, verbose=0)
    apart = float(np.abs(ours - keras_scores).max())
    highest = keras_scores.max(axis=1)
    # Sigmoids of two classes may both be 1 but for the last bit: either label is Keras's.
    n_labels = int((highest - keras_scores[np.arange(len(ours)), ours.argmax(axis=1)] > TIE).sum())
    if not apart <= TOLERANCE or n_labels:
        raise ModelError(
            f"{path}: ONNX and Keras disagree on {len(images)} images: scores by up to {apart:.2g} "
            f"(allowed: {TOLERANCE}), {n_labels} labels"
        )
    return ours


def export_halved(model: keras.Model, path: Path, card: dict[str, Any], probe: np.ndarray, tolerance: float) -> None:
    """Write a model as ONNX with weights in float16 (arithmetic stays in float32), held equal to Keras's answers.

    Args:
        model: as for `export`.
        path: of the file; it is removed where the answers differ.
        card: as for `export`.
        probe: uint8 images on which both answer.
        tolerance: > 0, how far apart their scores may be.

    Raises:
        ModelError: they are further apart.
        RunError: the file cannot be written.
    """
    expected = keras.ops.convert_to_numpy(model(probe))
    export(model, path, card)
    proto = onnx.load(path)
    _halve(proto.graph)
    write_beside(path, proto.SerializeToString())
    apart = float(np.abs(OnnxModel(path).scores(probe) - expected).max())
    if not apart <= tolerance:
        path.unlink()
        raise ModelError(f"{path}: ONNX and Keras disagree by {apart:.2g} (allowed: {tolerance})")


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Give a model file another card.

    Raises:
        RunError: the file cannot be written.
    """
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {"card": json.dumps(card)})
    write_beside(path, proto.SerializeToString())


def _halve(graph: onnx.GraphProto) -> None:
    """Store large float32 constants as float16, cast back when the file is opened: half the bytes, same arithmetic."""
    casts = []
    for constant in list(graph.initializer):
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < 256:
            continue
        half = onnx.numpy_helper.from_array(values.astype(np.float16), constant.name + "_half")
        casts.append(onnx.helper.make_node("Cast", [half.name], [constant.name], to=onnx.TensorProto.FLOAT))
        graph.initializer.remove(constant)
        graph.initializer.append(half)
    for i, cast in enumerate(casts):
        graph.node.insert(i, cast)


def _convert(model: keras.Model, path: Path) -> None:
    model(
        np.zeros((1, *(side or 64 for side in model.input_shape[1:])), np.uint8)
    )  # Keras exports no model that was only loaded
    try:
        # tf2onnx takes Erfc for an error; `_spell_out_erfc` replaces it, and the checker checks the rest.
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tf2onnx's, about its own use of NumPy and protobuf
            model.export(path, format="onnx", verbose=False, opset_version=OPSET)
    except (ValueError, NotImplementedError, RuntimeError, KeyError) as error:
        raise ModelError(f"{model.name}: cannot be written as ONNX ({error})") from None


def _convert_in_tensorflow(model: keras.Model, path: Path) -> None:
    """Convert through a file in a process of its own: Keras's way to ONNX from JAX needs further packages."""
    if find_spec("tensorflow") is None:
        raise ModelError(
            f"{model.name}: ONNX files are written by TensorFlow, which is not installed here; take the run to where "
            "it is, and `inkdigits train --resume RUN` finishes it without training again"
        )
    stored = path.with_suffix(".keras")
    model.save(stored)
    code = (
        "import sys, keras; from pathlib import Path; from inkdigits.training.export import _convert; "
        "_convert(keras.models.load_model(sys.argv[1]), Path(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, stored, path],
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ModelError(f"{model.name}: cannot be written as ONNX ({done.stderr.strip().splitlines()[-1]})")


def _spell_out_erfc(graph: Any) -> None:
    """Write TensorFlow's Erfc, of which gelu is made and which ONNX does not know, as 1 - Erf."""
    nodes = []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        erf, one = f"{node.output[0]}:erf", f"{node.output[0]}:one"
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), one))
        nodes.append(onnx.helper.make_node("Erf", node.input, [erf]))
        nodes.append(onnx.helper.make_node("Sub", [one, erf], node.output))
    del graph.node[:]
    graph.node.extend(nodes)


def add_embeddings(graph: onnx.GraphProto) -> None:
    """Give a graph the output `embeddings`, what its last dense layer takes in; one without such a layer stays."""
    constants = {constant.name: constant for constant in graph.initializer}
    dense = [node for node in graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in constants]
    if not dense:
        return
    features = constants[dense[-1].input[1]].dims[0]
    graph.node.append(onnx.helper.make_node("Identity", [dense[-1].input[0]], ["embeddings"]))
    graph.output.append(onnx.helper.make_tensor_value_info("embeddings", onnx.TensorProto.FLOAT, ["N", features]))


def _rename(value: Any, name: str, graph: Any) -> None:
    """Give a graph's input or output another name, wherever nodes speak of it."""
    old, value.name = value.name, name
    for node in graph.node:
        node.input[:] = [name if each == old else each for each in node.input]
        node.output[:] = [name if each == old else each for each in node.output]
