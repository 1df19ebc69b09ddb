"""What a network costs, whatever it was trained to."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from bonedge.edge.engines import tflite
from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.models.quiet import muffled
from bonedge.models.tracing import frozen, lite_converter, trace

_WARM_UP, _RUNS = 5, 30


@dataclass(frozen=True)
class Cost:
    """Of one picture through one network."""

    parameters: int | None
    """None where nothing is a network."""
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
    shape = (1, *(int(size) for size in model.input_shape[1:]))
    graph = frozen(trace(model, shape))
    network = _loaded(graph)
    picture = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    seconds = []
    for _ in range(_WARM_UP + _RUNS):
        begun = perf_counter()
        network.run(picture)
        seconds.append(perf_counter() - begun)
    return Cost(model.count_params(), _operations(graph), 1000 * median(seconds[_WARM_UP:]))


def in_tflite(model: Any, shape: tuple[int, ...]) -> LoadedNetwork:
    """`model` in fp32 on one thread of TensorFlow Lite, for a single picture of `shape` "1 rows columns 3"."""
    return _loaded(frozen(trace(model, shape)))


def _loaded(graph: Any) -> LoadedNetwork:
    with muffled():
        content = lite_converter(graph).convert()
    return tflite.load("study.tflite", content, 1)


def _operations(graph: Any) -> float:
    import tensorflow as tf

    with muffled():
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        counted = tf.compat.v1.profiler.profile(graph.graph, cmd="scope", options=options)
    return float(counted.total_float_ops)
