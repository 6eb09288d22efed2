"""The digit network that ships, as a Keras model: what Keras's `predict` is timed with beside our Reader.

The recipe's layers get the weights of the ONNX file, in which batch normalisation is folded into the convolutions.
"""

import keras
import numpy as np
import onnx
from onnx import numpy_helper

from inkdigits.reading.model import model_path
from inkdigits.training import digit_net, networks
from inkdigits.training.recipes import change, resolve


def shipped_in_keras() -> keras.Model:
    """Return a Keras model with the shipped digit network's scores for uint8 (N, 28, 28); see `assert_same`."""
    graph = onnx.load(model_path(None)).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    recipe = change(resolve("reader"), batch_norm=False, precision="float32")
    model = networks.build(recipe, seed=0)
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    for layer, node in zip(layers, nodes, strict=True):
        kernel, bias = (weights[name] for name in node.input[1:])
        layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])
    last = next(node for node in graph.node if node.op_type == "MatMul")
    add = next(node for node in graph.node if node.op_type == "Add" and last.output[0] in node.input)
    model.get_layer("scores").set_weights([weights[last.input[1]], weights[add.input[1]]])
    return digit_net.relative(model)


def assert_same(scores: np.ndarray, others: np.ndarray) -> None:
    """Raise SystemExit unless both networks' scores agree to 1e-4 of their size."""
    most = float(np.abs(scores - others).max() / np.abs(others).max())
    if most > 1e-4:
        raise SystemExit(f"error: the network in Keras is not the one that ships: scores differ by {most:.1e}")
