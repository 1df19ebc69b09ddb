"""int8 for OpenVINO: NNCF puts fake quantization around each layer; the plugins then run these layers in int8.

NNCF's own default takes the mean over pictures of what each picture reaches, and so clips what matters most: a lesion
is where activations are highest. On a trained pair it moved the lesion map by 0.039 inside lesions, the true extremes
by 0.003. Bias correction is one candidate and not the rule: it made a good U-Net worse. It is the fast one, for the
full one runs the network once per layer and picture, and crashes in the CPU plugin on some layers of a U-Net.

A processor without VNNI adds two products of eight bits in sixteen, and two large ones do not fit: they saturate,
without a word. NNCF guards the first layer only, or every layer by giving weights half of their range; a random
EfficientNetB0 on AVX2 was three to twelve times as far from fp32 without. Which processor the workstation has is not
known where models are converted. But half is more than is needed: the products that are added are those of two
neighbouring input channels at one place of the kernel, and seldom are both of them a channel's largest weights.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Pixels

from .activations import OUTERMOST, Estimator
from .export import Exported
from .quiet import frameworks, muffled

_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData")


@dataclass(frozen=True)
class FakeQuantized:
    """An NNCF result before its weights are packed: layers can still be put back into float."""

    model: Any
    """openvino.Model."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that have weights, from the input on."""
        return tuple(
            node.get_friendly_name() for node in self.model.get_ordered_ops() if node.get_type_name() in _WEIGHTED
        )

    def ends(self, count: int) -> tuple[str, ...]:
        """Names of everything before the layer with weights that `count` others precede, and from the last one on."""
        nodes, weighted = self.model.get_ordered_ops(), self.layers
        names = [node.get_friendly_name() for node in nodes]
        # NNCF rounds before pooling what the layer behind it reads: that pooling is the next layer's.
        pool = nodes[names.index(weighted[count])].input_value(0).get_node()
        before = names[: names.index(weighted[count])]
        if pool.get_type_name() == "MaxPool":
            before.remove(pool.get_friendly_name())
        return (*before, *names[names.index(weighted[-1]) :])

    def without(self, in_float: Collection[str]) -> Any:
        """A packed copy in which these layers read what they read in fp32: no quantizer on their inputs or weights.

        Args:
            in_float: names from `layers` or `ends`.
        """
        model = self.model.clone()
        for node in model.get_ordered_ops():
            if node.get_friendly_name() in in_float and node.get_type_name() != "FakeQuantize":
                for port in node.inputs():
                    _bypass(port)
        model.validate_nodes_and_infer_types()
        with muffled():
            from openvino._offline_transformations import compress_quantize_weights_transformation

            compress_quantize_weights_transformation(model)
        return model


def quantize(
    exported: Exported, samples: Sequence[Pixels], estimator: Estimator, *, corrected: bool = False
) -> FakeQuantized:
    """fp32 -> fake-quantized.

    Args:
        exported: the fp32 network; not changed.
        samples: calibration inputs, each float32 of the network's input shape.
        estimator: how activations' ranges are found.
        corrected: move each layer's bias by the mean error that rounding makes there (fast bias correction).
    """
    frameworks()
    with muffled():
        import nncf

        # Packed weights could not be put back into float; `FakeQuantized.without` packs them, as NNCF would.
        parameters = nncf.AdvancedQuantizationParameters(
            backend_params={"compress_weights": False},
            disable_bias_correction=not corrected,
            overflow_fix=nncf.OverflowFix.ENABLE,
            activations_range_estimator_params=_range_estimator(estimator),
        )
        model = nncf.quantize(
            exported.openvino,
            nncf.Dataset(list(samples)),
            # Asymmetric where activations go below zero, for they seldom do so evenly.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            fast_bias_correction=True,
            advanced_parameters=parameters,
        )
    if not corrected:  # biases were corrected for what half of the range rounds away
        _widen(model)
    return FakeQuantized(model)


def largest_pairs(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each output channel, the largest magnitude that two weights whose products are added in 16 bits sum up to.

    Rounded to 127 steps of this, two such weights are at most 128 steps, and 255 * 128 fits into 16 bits. Weights of
    opposite signs do not count together: activations have no sign there, and cannot make both products large on one
    side.

    Args:
        weights: float32 "outputs inputs rows columns".

    Returns:
        float32 "outputs".
    """
    outputs, inputs = weights.shape[:2]
    even = np.pad(weights.reshape(outputs, inputs, -1), ((0, 0), (0, inputs % 2), (0, 0)))
    pairs = even.reshape(outputs, (inputs + 1) // 2, 2, -1)
    sums = [np.maximum(sign * pairs, 0).sum(axis=2) for sign in (1, -1)]
    return np.asarray(np.maximum(*sums).reshape(outputs, -1).max(axis=1), np.float32)


def _widen(model: Any) -> None:
    """Give the weights of ordinary convolutions as much of their range as no pair of products can overflow."""
    import openvino

    for node in model.get_ordered_ops():
        quantizer = node.input_value(1).get_node() if node.get_type_name() == "Convolution" else None
        if quantizer is None or quantizer.get_type_name() != "FakeQuantize":
            continue
        reach = largest_pairs(quantizer.input_value(0).get_node().get_data())
        for place in range(1, 5):  # lowest and highest, as read and as written
            port = quantizer.input(place)
            half = port.get_source_output().get_node().get_data()
            narrowed = np.sign(half) * np.clip(reach.reshape(half.shape), np.abs(half) / 2, np.abs(half))
            port.replace_source_output(openvino.op.Constant(narrowed.astype(np.float32)).output(0))


def _range_estimator(estimator: Estimator) -> Any:
    from nncf.quantization import range_estimator as nncf_ranges

    if estimator is Estimator.MSE:
        return nncf_ranges.RangeEstimatorParametersSet.HISTOGRAM
    if estimator is Estimator.EXTREMES:
        return nncf_ranges.RangeEstimatorParametersSet.MINMAX

    def end(aggregator: Any) -> Any:
        return nncf_ranges.StatisticsCollectorParameters(
            statistics_type=nncf_ranges.StatisticsType.QUANTILE,
            aggregator_type=aggregator,
            quantile_outlier_prob=OUTERMOST,
        )

    return nncf_ranges.RangeEstimatorParameters(
        min=end(nncf_ranges.AggregatorType.MIN), max=end(nncf_ranges.AggregatorType.MAX)
    )


def _bypass(port: Any) -> None:
    """Let `port` read from before a fake quantizer, whether it holds an activation or a weight."""
    source = port.get_source_output()
    if source.get_node().get_type_name() == "FakeQuantize":
        port.replace_source_output(source.get_node().input_value(0))
