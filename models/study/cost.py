"""What a network costs, whatever it was trained to."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from bonedge.edge.engines import tflite
from bonedge.models.quiet import muffled

_WARM_UP, _RUNS = 5, 30


@dataclass(frozen=True)
class Cost:
    """Of one picture through one network."""

    parameters: int
    operations: float | None
    """Floating-point operations of one picture, as TensorFlow's profiler counts them (a multiplication and an addition
    are two); None where another backend runs."""
    latency_ms: float | None
    """Median of 30 runs in fp32 on one thread of TensorFlow Lite, warm; None as above."""


def cost(model: Any) -> Cost:
    """Count and time `model`, a keras.Model with one square input."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return Cost(model.count_params(), None, None)
    import tensorflow as tf

    shape = (1, *(int(size) for size in model.input_shape[1:]))
    traced = tf.function(lambda picture: model(picture, training=False), autograph=False).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )
    with muffled():
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        frozen = convert_variables_to_constants_v2(traced)
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        counted = tf.compat.v1.profiler.profile(frozen.graph, cmd="scope", options=options)
        content = tf.lite.TFLiteConverter.from_concrete_functions([traced], model).convert()
    network = tflite.load("study.tflite", content, 1)
    picture = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    seconds = []
    for _ in range(_WARM_UP + _RUNS):
        begun = perf_counter()
        network.run(picture)
        seconds.append(perf_counter() - begun)
    return Cost(model.count_params(), float(counted.total_float_ops), 1000 * median(seconds[_WARM_UP:]))
