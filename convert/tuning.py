"""Quantization-aware fine-tuning: a network learns to say the same with its numbers rounded to eight bits.

The teacher is the fp32 network itself (knowledge distillation: Hinton, Vinyals and Dean, 2015), so no labels are
needed and nothing new is learnt: what is made small is the difference that int8 makes. Activations pass through fake
quantization on the way forward, kernels are rounded for each step and the gradient is applied to what they were
rounded from (the straight-through estimator: Bengio et al., 2013; Jacob et al., CVPR 2018). Batch normalisation is
frozen. The tuned network goes through post-training quantization like any other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Pixels

from .finished import Finished
from .quiet import frameworks, muffled

STEPS = 300
BATCH = 8
LEARNING_RATE = 5e-5
_RECORDED = 32
"""Inputs that the ranges of activations are taken from."""
_QUANTIZED_AFTER = frozenset(
    {"Activation", "Add", "BatchNormalization", "Concatenate", "Conv2D", "Dense", "Multiply", "ReLU"}
)
"""Layers whose output an int8 runtime stores; batch normalisation only where no activation follows it."""


def tune(model: Any, samples: Sequence[Pixels], *, seed: int, steps: int = STEPS) -> Any:
    """A copy of `model` that has been fine-tuned to survive int8.

    Args:
        model: functional keras.Model, fp32; not changed.
        samples: training inputs, each float32 "1 ...".
        seed: of the order and the flips.
        steps: of `BATCH` inputs.
    """
    frameworks()
    import keras
    import tensorflow as tf

    with muffled():
        student = keras.models.clone_model(model)
        student.set_weights(model.get_weights())
        rounded, fakes = _with_fake_quantization(student)
    for layer in student.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    for sample in samples[:_RECORDED]:
        rounded(sample, training=False)
    for fake in fakes:
        fake.recording = False
    kernels = [
        layer.kernel
        for layer in student.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense))
    ]
    variables = student.trainable_variables
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps))
    optimizer.build(variables)
    spreads = _spreads(model, samples[:_RECORDED])

    @tf.function  # type: ignore[untyped-decorator]
    def gradients(pictures: Any) -> Any:
        wanted = keras.tree.flatten(model(pictures, training=False))
        with tf.GradientTape() as tape:
            found = keras.tree.flatten(rounded(pictures, training=False))
            terms = [tf.reduce_mean(tf.square(a - b)) / s for a, b, s in zip(wanted, found, spreads, strict=True)]
            loss = tf.add_n(terms)
        return tape.gradient(loss, variables)

    rng = np.random.default_rng((0x7E4, seed))
    for _ in range(steps):
        batch = np.concatenate([samples[i] for i in rng.integers(len(samples), size=BATCH)])
        batch = batch[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        exact = [np.array(kernel) for kernel in kernels]
        for kernel, values in zip(kernels, exact, strict=True):
            kernel.assign(round_kernel(values))
        found = gradients(np.ascontiguousarray(batch))
        for kernel, values in zip(kernels, exact, strict=True):
            kernel.assign(values)
        optimizer.apply(found, variables)
    return student


def tuned_once(model: Any, samples: Callable[[], Sequence[Pixels]], finished: Finished, name: str, *, seed: int) -> Any:
    """What `tune` makes of `model`, kept under `name`: a conversion that is taken up again does not wait for it."""

    def weights() -> tuple[bytes, ...]:
        content = io.BytesIO()
        np.savez(content, *tune(model, samples(), seed=seed).get_weights())
        return (content.getvalue(),)

    (content,) = finished.get(name, weights)
    frameworks()
    import keras

    student = keras.models.clone_model(model)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        student.set_weights([arrays[f"arr_{number}"] for number in range(len(arrays.files))])
    return student


def round_kernel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A kernel on 255 symmetric steps per output channel.

    Convolutions keep output channels last; depthwise kernels, "rows columns channels 1", in the last two axes. Batch
    normalisation multiplies whole output channels, so rounding before or after it is folded in is the same.
    """
    axes = (0, 1) if kernel.ndim == 4 and kernel.shape[3] == 1 else tuple(range(kernel.ndim - 1))
    step = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True), 1e-30) / 127
    return np.asarray(np.rint(kernel / step) * step, np.float32)


def _with_fake_quantization(student: Any) -> tuple[Any, list[Any]]:
    """A model over the same layers whose stored activations are rounded, and the layers that round them."""
    import keras
    import tensorflow as tf

    class _Fake(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.low = self.add_weight(shape=(), initializer="zeros", trainable=False)
            self.high = self.add_weight(shape=(), initializer="zeros", trainable=False)
            self.recording = True

        def call(self, values: Any) -> Any:
            if self.recording:
                self.low.assign(tf.minimum(self.low, tf.reduce_min(values)))
                self.high.assign(tf.maximum(self.high, tf.reduce_max(values)))
                return values
            return tf.quantization.fake_quant_with_min_max_vars(values, self.low, self.high)

        def compute_output_spec(self, values: Any) -> Any:
            return keras.KerasTensor(values.shape, values.dtype)

    fakes: list[Any] = []

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        output = layer(*arguments, **options)
        if type(layer).__name__ in _QUANTIZED_AFTER and not _continues(layer):
            fakes.append(_Fake())
            output = fakes[-1](output)
        return output

    rounded = keras.models.clone_model(student, clone_function=lambda layer: layer, call_function=call)
    return rounded, fakes


def _continues(layer: Any) -> bool:
    """Whether what follows is fused into the layer, so that its own output is never stored."""
    followers = [type(node.operation).__name__ for node in layer._outbound_nodes if node.operation is not layer]
    return bool(followers) and set(followers) <= {"Activation", "BatchNormalization", "ReLU"}


def _spreads(model: Any, samples: Sequence[Pixels]) -> list[float]:
    """Variance of each output over the samples: what its error is measured in."""
    import keras

    answers = [keras.tree.flatten(model(sample, training=False)) for sample in samples]
    return [float(np.var(np.stack([np.asarray(a) for a in one]))) + 1e-12 for one in zip(*answers, strict=True)]
