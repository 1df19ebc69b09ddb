"""Keras -> TensorFlow Lite and OpenVINO, in fp32, checked against Keras number by number."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonedge.edge.engines import openvino as openvino_engine
from bonedge.edge.engines import tflite as tflite_engine
from bonedge.edge.errors import GateFailed
from bonedge.edge.records import Pixels
from bonedge.models.tracing import frozen, lite_converter, trace

from .doubling import with_doubling_convolved
from .halving import with_weights_halved
from .nearest import with_nearest
from .quiet import frameworks, muffled

PARITY = 1e-3
"""No output of an fp32 artefact may differ from Keras by more: a ReLU6 network's rounding is below 1e-4."""
_BYTES_PER_PARAMETER = 4
_SMALLEST_SHARE = 0.8
"""Of the parameters' bytes; less means that weights were lost (batch normalisation is folded: a few per cent)."""
_THREADS = 2


@dataclass(frozen=True)
class Exported:
    """One network, still in fp32, in the forms from which everything else is made."""

    name: str
    """segmenter or classifier."""
    input_shape: tuple[int, ...]
    frozen: Any
    """The graph for one picture (`bonedge.models.tracing.frozen`)."""
    tflite: bytes
    openvino: Any
    """openvino.Model, fp32."""


def export(name: str, model: Any) -> Exported:
    """Trace `model` with a batch of one and write it for both runtimes.

    Args:
        name: segmenter or classifier.
        model: keras.Model with one input.

    Raises:
        GateFailed: an artefact lost weights or does not compute what Keras computes.
    """
    frameworks()
    import openvino

    shape = (1, *(int(size) for size in model.input_shape[1:]))
    with muffled():
        changed = with_nearest(model)  # by name: a traced graph does not keep the weights that it reads
        traced = trace(changed, shape)
        constant = frozen(traced)
        lite = lite_converter(constant).convert()
        # It freezes by itself, and does not take what is frozen. By default its constants are the model's own memory.
        graph = openvino.convert_model(traced, share_weights=False)
    weights = _BYTES_PER_PARAMETER * int(model.count_params())
    if len(lite) < _SMALLEST_SHARE * weights:
        raise GateFailed(
            f"the {name}'s fp32 .tflite has {len(lite)} bytes for {weights} bytes of weights: they were lost in "
            "conversion; convert with the versions in docs/architecture.md"
        )
    exported = Exported(name, shape, constant, lite, graph)
    _check_parity(exported, model)
    return exported


def serialize(model: Any, *, half: bool = False) -> tuple[bytes, bytes]:
    """An `openvino.Model` as the bytes of its .xml and .bin.

    Weights of an fp32 network are exactly as they are, unless fp16 is asked for; what a quantized one left in float is
    stored in 16 bits (`bonedge.convert.halving`). Maps are doubled by convolution (`bonedge.convert.doubling`). Both
    last of all, for neither is to be quantized.
    """
    frameworks()
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        with muffled():
            openvino.save_model(with_weights_halved(with_doubling_convolved(model)), path, compress_to_fp16=half)
        # A sixth of the .xml is indentation, and eight bits make no .xml smaller.
        return re.sub(rb">\s+<", b"><", path.read_bytes()), path.with_suffix(".bin").read_bytes()


def parity(reference: Sequence[Pixels], outputs: Sequence[Pixels]) -> float:
    """The largest difference between two networks' outputs; inf when their shapes differ.

    Outputs are paired by shape, for converters reorder them; no two outputs share one.
    """
    by_shape = {output.shape: output for output in outputs}
    if len(by_shape) != len(reference) or any(wanted.shape not in by_shape for wanted in reference):
        return float("inf")
    # Not the built-in max: it passes over a NaN that is not the first.
    return float(np.max([np.abs(wanted - by_shape[wanted.shape]).max() for wanted in reference]))


def _check_parity(exported: Exported, model: Any) -> None:
    xml, weights = serialize(exported.openvino)
    name = exported.name
    runs: dict[str, Callable[[Pixels], list[Pixels]]] = {
        "TensorFlow Lite": tflite_engine.load(f"{name}.tflite", exported.tflite, _THREADS).run,
        "OpenVINO": openvino_engine.load(f"{name}.xml", xml, weights, "CPU", _THREADS).run,
    }
    rng = np.random.default_rng(0)
    for _ in range(2):
        sample = rng.normal(size=exported.input_shape).astype(np.float32)
        with muffled():
            answer = model(sample, training=False)
        reference = [np.asarray(value) for value in (answer.values() if isinstance(answer, dict) else (answer,))]
        for runtime, run in runs.items():
            difference = parity(reference, run(sample))
            if not difference <= PARITY:
                raise GateFailed(
                    f"the {name} in {runtime} differs from Keras by {difference:.2g} (at most {PARITY:g} is rounding); "
                    "the model holds an operation that the converter gets wrong"
                )
