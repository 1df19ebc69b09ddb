"""fp32 -> int8, weights and activations, with ranges from calibration pictures (post-training quantization).

TensorFlow Lite: per-channel symmetric weights, per-tensor asymmetric activations (Jacob et al., CVPR 2018).
OpenVINO: NNCF's post-training quantization with fast bias correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from bonedge.edge.errors import GateFailed
from bonedge.edge.records import Pixels

from .export import Exported
from .quiet import frameworks, muffled

_LARGEST_SHARE = 0.45
"""Of the fp32 file; int8 is a quarter, and EfficientNetB0's graph itself weighs a few per cent."""


class Ranges(StrEnum):
    """How NNCF finds the range of an activation."""

    MINMAX = "minmax"
    """NNCF's default: extremes of each picture, averaged or taken over the pictures."""
    HISTOGRAM = "histogram"
    """The range with the least squared rounding error: gives up rare extremes for finer steps."""


def quantize_tflite(exported: Exported, samples: Sequence[Pixels]) -> bytes:
    """A .tflite whose every operation is int8, with float32 at both ends (converted inside the graph).

    Args:
        exported: the fp32 network.
        samples: calibration inputs, each float32 of the network's input shape.

    Raises:
        GateFailed: the file did not shrink: something stayed in float.
    """
    frameworks()
    import tensorflow as tf

    def representative() -> Iterator[list[Pixels]]:
        return ([np.ascontiguousarray(sample)] for sample in samples)

    with muffled():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(exported.saved_model))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        # int8 kernels only: an operation without one fails the conversion instead of staying in float.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converted: bytes = converter.convert()
    _check_size(f"{exported.name}.tflite", len(converted), len(exported.tflite))
    return converted


def quantize_openvino(exported: Exported, samples: Sequence[Pixels], ranges: Ranges) -> Any:
    """An `openvino.Model` with int8 weights and fake-quantized activations, which the plugins run in int8.

    Fast bias correction only: the full one runs the network once per layer and picture, and crashes in the CPU plugin
    on some layers of a U-Net.

    Args:
        exported: the fp32 network; not changed.
        samples: calibration inputs, each float32 of the network's input shape.
        ranges: how activations' ranges are found.
    """
    frameworks()
    with muffled():
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        parameters = nncf.AdvancedQuantizationParameters()
        if ranges is Ranges.HISTOGRAM:
            parameters.activations_range_estimator_params = RangeEstimatorParametersSet.HISTOGRAM
        return nncf.quantize(
            exported.openvino,
            nncf.Dataset(list(samples)),
            # Asymmetric where activations go below zero, for they seldom do so evenly.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            fast_bias_correction=True,
            advanced_parameters=parameters,
        )


def _check_size(name: str, size: int, original: int) -> None:
    if size > _LARGEST_SHARE * original:
        raise GateFailed(f"the int8 {name} has {size} bytes, its fp32 original {original}: part of it stayed in float")
