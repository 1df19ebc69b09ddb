"""int8 for OpenVINO: NNCF puts fake quantization around each layer; the plugins then run these layers in int8.

NNCF's own default takes the mean over pictures of what each picture reaches, and so clips what matters most: a lesion
is where activations are highest. On a trained pair it moved the lesion map by 0.039 inside lesions, the true extremes
by 0.003. Bias correction is one candidate and not the rule: it made a good U-Net worse. It is the fast one, for the
full one runs the network once per layer and picture, and crashes in the CPU plugin on some layers of a U-Net.

Weights keep to half of their range. A processor without VNNI adds two products of eight bits in sixteen, and two large
ones do not fit: they saturate, without a word. NNCF guards the first layer only; a random EfficientNetB0 on AVX2 was
three to twelve times as far from fp32 so. Which processor the workstation has is not known where models are converted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

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
        names, weighted = tuple(node.get_friendly_name() for node in self.model.get_ordered_ops()), self.layers
        return names[: names.index(weighted[count])] + names[names.index(weighted[-1]) :]

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
        return FakeQuantized(
            nncf.quantize(
                exported.openvino,
                nncf.Dataset(list(samples)),
                # Asymmetric where activations go below zero, for they seldom do so evenly.
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(samples),
                fast_bias_correction=True,
                advanced_parameters=parameters,
            )
        )


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
