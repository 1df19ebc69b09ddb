"""The same layers on quicker kernels, for training with TensorFlow: the same numbers up to rounding, in less time.

Two things cost more on a CPU than they need:

- Keras composes batch normalisation of elementwise steps, which read and write the activations a dozen times;
  TensorFlow has it, and its gradient, in one kernel each;
- TensorFlow has a quick gradient for depthwise filters of 3 x 3 and a slow one for the rest. A filter of 5 x 5 is
  covered by four of 3 x 3, and so is its gradient.

And, where it is asked for, convolutions of bfloat16 numbers (`convolve_in_bfloat16`), which are not the same numbers.
"""

from __future__ import annotations

from typing import Any

from bonedge.edge.errors import InvalidConfiguration


def on_quick_kernels(model: Any) -> Any:
    """A twin of `model` with the same weights that trains faster; on other backends than TensorFlow `model` itself."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return model
    normalization, depthwise = _batch_normalization(), _depthwise_5x5()

    def twin(layer: Any) -> Any:
        config = layer.get_config()
        if type(layer) is keras.layers.BatchNormalization:
            # The object itself: a function has no configuration.
            return normalization.from_config(config | {"gamma_regularizer": layer.gamma_regularizer})
        if type(layer) is keras.layers.DepthwiseConv2D and _coverable(layer):
            return depthwise.from_config(config)
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=twin)
    copy.set_weights(model.get_weights())
    return copy


def convolve_in_bfloat16() -> None:
    """Let TensorFlow convolve in bfloat16 from here on; weights and the optimizer stay in float32.

    On two cores with AMX a bare step of the segmenter (16 pictures of 320 pixels) learned from 25 pictures a second
    where it had learned from 12.5; in whole epochs, 17 to 21 where it was 13 to 16. EfficientNetB0 took twice as long
    as before: its depthwise filters gain nothing and pay for the conversion.

    Raises:
        InvalidConfiguration: Keras runs on another backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InvalidConfiguration("--bfloat16: only TensorFlow does this; set KERAS_BACKEND=tensorflow")
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})


def _batch_normalization() -> Any:
    import keras
    import tensorflow as tf

    class QuickNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        """Over channels-last pictures, without a mask."""

        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            if not training or not self.trainable:
                return super().call(inputs, training=training, mask=mask)
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
            )
            # The kernel's variance is that of a sample, n / (n - 1) times the batch's own, which Keras averages.
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
            kept = 1.0 - self.momentum
            self.moving_mean.assign(self.moving_mean * self.momentum + mean * kept)
            self.moving_variance.assign(self.moving_variance * self.momentum + variance * (kept * (count - 1) / count))
            return outputs

    return QuickNormalization


def _coverable(layer: Any) -> bool:
    plain = layer.activation.__name__ == "linear" and not layer.use_bias and layer.depth_multiplier == 1
    same = layer.padding == "same" and layer.data_format == "channels_last"
    square = (layer.kernel_size, layer.strides, layer.dilation_rate) == ((5, 5), (1, 1), (1, 1))
    return bool(plain and same and square)


def _depthwise_5x5() -> Any:
    import keras
    import tensorflow as tf

    strides = [1, 1, 1, 1]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: Any, kernel: Any) -> tuple[Any, Any]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            of_x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, strides=strides, padding="SAME"
            )
            padded = tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]])
            high, wide = tf.shape(x)[1] + 2, tf.shape(x)[2] + 2

            def of_corner(row: int, column: int) -> Any:
                return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                    input=padded[:, row : row + high, column : column + wide],
                    filter_sizes=[3, 3, x.shape[-1], 1],
                    out_backprop=upstream,
                    strides=strides,
                    padding="VALID",
                )

            # The corners share the middle row and column.
            upper, lower = (tf.concat([of_corner(row, 0), of_corner(row, 2)[:, 1:]], 1) for row in (0, 2))
            return of_x, tf.concat([upper, lower[1:]], 0)

        return tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), gradients

    class QuickDepthwise(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
        """5 x 5, one channel to one, stride 1, without bias or activation."""

        def call(self, inputs: Any) -> Any:
            return convolve(inputs, tf.convert_to_tensor(self.kernel))

    return QuickDepthwise
