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
LARGE = 40_000  # values of a kernel that is stored in 8 bits


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


def export_narrowed(model: keras.Model, path: Path, card: dict[str, Any], probe: np.ndarray, tolerance: float) -> None:
    """Write a model as ONNX, hold it equal to Keras's answers, and store its weights in few bits (`narrow`).

    Args:
        model: as for `export`.
        path: of the file; it is removed where the answers differ.
        card: as for `export`.
        probe: uint8 images on which both answer.
        tolerance: > 0, how far apart their scores may be before the weights are narrowed.

    Raises:
        ModelError: they are further apart.
        RunError: the file cannot be written.
    """
    expected = keras.ops.convert_to_numpy(model(probe))
    export(model, path, card)
    apart = float(np.abs(OnnxModel(path).scores(probe) - expected).max())
    if not apart <= tolerance:
        path.unlink()
        raise ModelError(f"{path}: ONNX and Keras disagree by {apart:.2g} (allowed: {tolerance})")
    proto = onnx.load(path)
    narrow(proto.graph)
    write_beside(path, proto.SerializeToString())


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Give a model file another card.

    Raises:
        RunError: the file cannot be written.
    """
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {"card": json.dumps(card)})
    write_beside(path, proto.SerializeToString())


def narrow(graph: onnx.GraphProto) -> None:
    """Store large constants in few bits, made float32 again when the file is opened: arithmetic stays as it is.

    Large kernels of convolutions become whole numbers of 8 bits with a scale for each channel that comes out, other
    constants float16. What is stored so already stays.
    """
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    nodes: list[onnx.NodeProto] = []
    for constant in list(graph.initializer):
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < 256:
            continue
        is_large = constant.name in kernels and values.size >= LARGE
        stored = _in_eight_bits(constant.name, values) if is_large else _halved(constant.name, values)
        graph.initializer.remove(constant)
        graph.initializer.extend(stored[0])
        nodes += stored[1]
    for i, node in enumerate(nodes):
        graph.node.insert(i, node)


Stored = tuple[list[onnx.TensorProto], list[onnx.NodeProto]]  # constants, and what makes one float32 constant of them


def _halved(name: str, values: np.ndarray) -> Stored:
    half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
    return [half], [onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT)]


def _in_eight_bits(name: str, values: np.ndarray) -> Stored:
    largest = np.abs(values).reshape(len(values), -1).max(axis=1).reshape(-1, *[1] * (values.ndim - 1))
    scale = (np.maximum(largest, 1e-12) / 127).astype(np.float32)
    whole = onnx.numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}_whole")
    scales = onnx.numpy_helper.from_array(scale, f"{name}_scale")
    cast = onnx.helper.make_node("Cast", [whole.name], [f"{name}_cast"], to=onnx.TensorProto.FLOAT)
    # ONNX's own DequantizeLinear would be computed again at every call; these two are folded into a constant.
    return [whole, scales], [cast, onnx.helper.make_node("Mul", [f"{name}_cast", scales.name], [name])]


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return a graph's constants by name, those that `narrow` stores in few bits as float32."""
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and all(name in constants for name in node.input):
            constants[node.output[0]] = constants[node.input[0]] * constants[node.input[1]]
    return constants


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
