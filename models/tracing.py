"""A Keras model as a TensorFlow graph for one picture: what converters and counters read."""

from __future__ import annotations

from typing import Any


def trace(model: Any, shape: tuple[int, ...]) -> Any:
    """`model` in inference as a tf.ConcreteFunction of one float32 input, `picture`.

    Args:
        model: keras.Model with one input; TensorFlow has to be the backend.
        shape: of the input, batch of one included. With a free batch, converters put shape arithmetic around each
            block, and TensorFlow Lite has been seen to write files without weights.
    """
    import tensorflow as tf

    function = tf.function(lambda picture: model(picture, training=False), autograph=False)
    return function.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="picture"))


def frozen(traced: Any) -> Any:
    """The same with its weights as constants, for without them `lite_converter` loses those of Keras 3, without a word.

    TensorFlow Lite's `from_keras_model` keeps them by way of a SavedModel, which takes it three times as long.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(traced)


def lite_converter(graph: Any) -> Any:
    """A tf.lite.TFLiteConverter of what `frozen` gives."""
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_concrete_functions([graph])
