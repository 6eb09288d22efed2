"""What this package uses of Keras beyond its documented interface: named here alone, to be checked with a new Keras.

Tested with Keras 3.15.1 and TensorFlow 2.21.0; pyproject.toml allows no Keras minor version beyond the tested one.

| used                                              | for                                                     |
|---------------------------------------------------|---------------------------------------------------------|
| `Optimizer._get_variable_index`                   | Adam's moments of a variable (fused_ops)                |
| `Adam._momentums`, `Adam._velocities`             | the same                                                |
| `Optimizer.update_step` replaced in one object    | TensorFlow's Adam kernel (fused_ops)                    |
| `Layer.call` replaced in one object               | TensorFlow's kernel of batch normalisation (fused_ops)  |
| `Optimizer.finalize_variable_values` replaced     | `fit` called epoch by epoch keeps averaging (loop)      |
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


def adam_moments(optimizer: keras.optimizers.Optimizer, variable: Any) -> tuple[Any, Any]:
    """Return the variables in which Adam keeps the first and the second moment of a variable's gradients."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def replace_update_step(optimizer: keras.optimizers.Optimizer, update_step: Callable[[Any, Any, Any], None]) -> None:
    """Let the optimizer update each variable by `update_step(gradient, variable, learning_rate)`."""
    optimizer.update_step = update_step


def replace_call(layer: keras.layers.Layer, call: Callable[..., Any]) -> None:
    """Let the layer compute by `call`."""
    layer.call = call


@contextmanager
def unfinished(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Keep `fit`, which is called once an epoch, from taking its end for the end of training.

    It would put the averaged weights in the place of those being learned.
    """
    optimizer.finalize_variable_values = lambda _: None  # in this object alone
    try:
        yield
    finally:
        del optimizer.finalize_variable_values
