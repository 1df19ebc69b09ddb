"""int8 for TensorFlow Lite: weights symmetric per channel, activations asymmetric per tensor (Jacob et al., CVPR 2018).

Two libraries do the work. TensorFlow's own converter makes the plain candidate; ai-edge-quantizer takes the ranges of
activations from its caller, and leaves single layers in float, which is what tuning and repairing need.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from bonedge.edge.errors import GateFailed
from bonedge.edge.records import Pixels
from bonedge.models.tracing import lite_converter

from .activations import Activations, Range, keeping
from .export import Exported
from .halving import worth_halving
from .quiet import frameworks, muffled

_LARGEST_SHARE = 0.45
"""Of the fp32 file; int8 is a quarter, and EfficientNetB0's graph itself weighs a few per cent."""


def post_training(exported: Exported, samples: Sequence[Pixels]) -> bytes:
    """TensorFlow's own int8: a .tflite whose every operation is int8, with float32 at both ends.

    Args:
        exported: the fp32 network.
        samples: calibration inputs, each float32 of the network's input shape.

    Raises:
        GateFailed: an operation has no int8 form, or the file did not shrink.
    """
    frameworks()
    import tensorflow as tf

    def representative() -> Iterator[list[Pixels]]:
        return ([np.ascontiguousarray(sample)] for sample in samples)

    with muffled():
        converter = lite_converter(exported.frozen)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        # int8 kernels only: an operation without one fails the conversion instead of staying in float.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converted: bytes = converter.convert()
    if len(converted) > _LARGEST_SHARE * len(exported.tflite):
        raise GateFailed(
            f"the int8 {exported.name}.tflite has {len(converted)} bytes, its fp32 original {len(exported.tflite)}: "
            "part of it stayed in float"
        )
    return converted


def half(exported: Exported) -> bytes:
    """A .tflite with weights of 16 bits, which runtimes widen to fp32 when they load it."""
    frameworks()
    import tensorflow as tf

    with muffled():
        converter = lite_converter(exported.frozen)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        converted: bytes = converter.convert()
    return converted


def with_ranges(exported: Exported, ranges: Mapping[str, Range], in_float: Collection[str] = ()) -> bytes:
    """int8 with given activation ranges; the layers `in_float` compute in fp32, from weights stored in 16 bits.

    Runtimes widen those when they load the file. Weights that 16 bits do not hold keep 32 (`halving.worth_halving`).

    Args:
        exported: the fp32 network.
        ranges: of every activation tensor of `exported.tflite`, by name.
        in_float: names of layers (`layers`, `ends`).
    """
    frameworks()
    with muffled():
        from ai_edge_quantizer import qtyping, quantizer, recipe

        maker = quantizer.Quantizer(bytearray(exported.tflite))
        maker.load_quantization_recipe(recipe.static_wi8_ai8())
        # float32 at both ends: a first layer in float would be shown a rounded picture.
        for end in ("INPUT", "OUTPUT"):
            maker.update_quantization_recipe(".*", end, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
        halvable = _halvable(exported.tflite) if in_float else {}
        for layer in in_float:
            only = f"^{re.escape(layer)};?$"
            maker.update_quantization_recipe(only, "*", algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
            if layer in halvable:
                maker.add_weight_only_config(
                    only,
                    qtyping.TFLOperationName(halvable[layer]),
                    num_bits=16,
                    algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
                )
        statistics = {name: {"min": np.array(low), "max": np.array(high)} for name, (low, high) in ranges.items()}
        made = maker.quantize(statistics, enable_progress_bar=False, enable_progress_report=False).quantized_model
    return bytes(made)


def layers(activations: Activations) -> tuple[str, ...]:
    """Names of the layers that have weights, from the input on: those that can be left in float."""
    return tuple(step.output for step in activations.steps if step.kind in _WEIGHTED)


def ends(activations: Activations, count: int) -> tuple[str, ...]:
    """Names of everything before the layer with weights that `count` others precede, and from the last one on."""
    names, weighted = tuple(step.output for step in activations.steps), layers(activations)
    return names[: names.index(weighted[count])] + names[names.index(weighted[-1]) :]


def _halvable(model: bytes) -> dict[str, str]:
    """Layers whose weights 16 bits hold, by the names of their outputs, and what ai-edge-quantizer calls their kind."""
    interpreter = keeping(model)
    names = {one["index"]: one["name"] for one in interpreter.get_tensor_details()}
    found = {}
    for step in interpreter._get_ops_details():
        kind = step["op_name"]
        if kind in _WEIGHTED and worth_halving(interpreter.get_tensor(int(step["inputs"][1])), _FILTERS.get(kind, 0)):
            found[names[int(step["outputs"][0])]] = _RENAMED.get(kind, kind)
    return found


_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_FILTERS = {"DEPTHWISE_CONV_2D": 3}
"""Axis of the weights along which filters lie, where it is not the first."""
_RENAMED = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
"""ai-edge-quantizer's name, where it has one of its own."""
