"""Nearest-neighbour upsampling as one operation of the graph.

Keras spells it as reshapes and tiles, which TensorFlow Lite runs one by one and OpenVINO in slow reference kernels;
NNCF then leaves the convolution behind it in float.
"""

from __future__ import annotations

from typing import Any


def with_nearest(model: Any) -> Any:
    """`model`, or a copy of it in which `UpSampling2D(interpolation="nearest")` is TensorFlow's own resize.

    Args:
        model: functional keras.Model with fixed sizes, channels last.
    """
    import keras
    import tensorflow as tf

    class _Nearest(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, factors: tuple[int, int], name: str) -> None:
            super().__init__(name=name, trainable=False)
            self.factors = factors

        def call(self, values: Any) -> Any:
            size = [side * factor for side, factor in zip(values.shape[1:3], self.factors, strict=True)]
            return tf.raw_ops.ResizeNearestNeighbor(images=values, size=size)

        def compute_output_spec(self, values: Any) -> Any:
            batch, rows, columns, channels = values.shape
            shape = (batch, rows * self.factors[0], columns * self.factors[1], channels)
            return keras.KerasTensor(shape, values.dtype)

    def nearest(layer: Any) -> bool:
        return isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation == "nearest"

    if not any(map(nearest, model.layers)):
        return model

    def exchanged(layer: Any) -> Any:
        return _Nearest(layer.size, layer.name) if nearest(layer) else type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=exchanged)
    copy.set_weights(model.get_weights())
    return copy
