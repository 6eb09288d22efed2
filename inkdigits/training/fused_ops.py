"""TensorFlow's fused operations in place of what Keras composes of many small ones: same function, half the time.

On a CPU a small convolutional network spends more time on batch normalisation (in eight operations, in float32) and on
Adam (twelve operations a variable) than on its convolutions. TensorFlow has each as one kernel.
"""

from collections.abc import Callable
from typing import Any

import keras

from inkdigits.training import keras_internals, networks


def fuse(model: keras.Model) -> None:
    """Let the model's batch normalisations and its Adam use TensorFlow's kernels; whatever else it has stays as it is.

    Weights, optimizer state and results are Keras's own (up to the order of float additions); saving and loading know
    nothing of it.

    Args:
        model: compiled, its optimizer built; TensorFlow is Keras's backend.
    """
    for layer in networks.layers_of(model):
        if type(layer) is keras.layers.BatchNormalization and layer.axis == -1 and layer.scale and layer.center:
            keras_internals.replace_call(layer, _normaliser(layer))
    optimizer = model.optimizer
    if type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad:
        keras_internals.replace_update_step(optimizer, _adam(optimizer))


def _normaliser(layer: keras.layers.BatchNormalization) -> Callable[..., Any]:
    """Return what does as `BatchNormalization.call` does."""
    import tensorflow as tf

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None:
            raise NotImplementedError("batch normalisation with a mask")
        x = tf.cast(inputs, layer.compute_dtype)
        shape = tf.shape(x)
        n_channels = x.shape[-1]
        in_training = bool(training) and layer.trainable
        scale, offset, mean, variance = (
            tf.cast(weight.value, tf.float32)
            for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        )
        y, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x if x.shape.rank == 4 else tf.reshape(x, [-1, 1, 1, n_channels]),
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=layer.epsilon,
            is_training=in_training,
        )
        if in_training:
            n = tf.cast(tf.size(x), tf.float32) / n_channels
            # The kernel's variance is that of a sample, n / (n - 1) times Keras's.
            for moving, value in (
                (layer.moving_mean, batch_mean),
                (layer.moving_variance, batch_variance * (n - 1) / n),
            ):
                moving.assign(moving * layer.momentum + value * (1.0 - layer.momentum))
        return tf.reshape(y, shape)

    return call


def _adam(optimizer: Any) -> Callable[..., None]:
    """Return what does as `Adam.update_step` does."""
    import tensorflow as tf

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        step = tf.cast(optimizer.iterations.value + 1, tf.float32)
        first, second = keras_internals.adam_moments(optimizer, variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.value.handle,
            v=second.value.handle,
            beta1_power=tf.pow(optimizer.beta_1, step),
            beta2_power=tf.pow(optimizer.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )

    return update_step


def ctc_loss(blank: int) -> Callable[[Any, Any], Any]:
    """Return the CTC loss as one operation: Keras makes a loop of some thousand small ones of it.

    The function takes int targets (N, longest), padded with -1, and logits (N, columns, classes), and returns (N,);
    the class `blank` is the last.
    """
    import tensorflow as tf

    def loss(targets: Any, logits: Any) -> Any:
        targets = tf.cast(targets, tf.int32)  # Keras hands them over as floats
        places = tf.where(targets >= 0)
        sparse = tf.SparseTensor(places, tf.gather_nd(targets, places), tf.shape(targets, out_type=tf.int64))
        columns = tf.fill([tf.shape(logits)[0]], tf.shape(logits)[1])
        return tf.nn.ctc_loss(sparse, logits, None, columns, logits_time_major=False, blank_index=blank)

    return loss
