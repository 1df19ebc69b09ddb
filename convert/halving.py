"""Weights that a quantized network leaves in float, stored in 16 bits and computed with in 32.

With eight of the segmenter's layers in float, these would be half of its weights' bytes. For TensorFlow Lite its
quantizer does it; OpenVINO's own compression leaves a network alone that holds anything in eight bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_READERS = frozenset({"Convolution", "GroupConvolution"})
"""What may read them: in these, the first axis of the weights is that of the filters."""
_WORTH = 1024
"""Numbers from which a constant is halved."""
_LARGEST_ERROR = 1e-3
"""Of the largest weight of a filter. 16 bits round by half of that, unless weights are beyond their range
(6e-5..65,504)."""


def with_weights_halved(model: Any) -> Any:
    """`model`, or a copy whose float32 weights of convolutions and dense layers are float16, where they fit.

    Args:
        model: openvino.Model; not changed. One in which nothing is quantized is given back as it is.

    Returns:
        The same function but for rounding of those weights.
    """
    if not any(_type(node) in ("i8", "u8") for node in model.get_ops()):
        return model
    copy = model.clone()
    for node in [one for one in copy.get_ops() if _is_weights(one) and worth_halving(one.data)]:
        _halve(node)
    copy.validate_nodes_and_infer_types()
    return copy


def worth_halving(weights: NDArray[np.floating], axis: int = 0) -> bool:
    """Whether `weights` are many, and 16 bits hold those of every filter.

    Args:
        weights: float32 of any shape.
        axis: along which the filters lie.
    """
    if weights.size < _WORTH:
        return False
    filters = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    with np.errstate(over="ignore"):
        errors = np.abs(filters.astype(np.float16).astype(np.float32) - filters)
    return bool(np.all(errors.max(axis=1) <= _LARGEST_ERROR * np.abs(filters).max(axis=1)))


def _type(node: Any) -> str:
    return str(node.get_element_type().get_type_name()) if node.get_type_name() == "Constant" else ""


def _is_weights(node: Any) -> bool:
    readers = {port.get_node().get_type_name() for port in node.output(0).get_target_inputs()}
    return _type(node) == "f32" and bool(readers) and readers <= _READERS


def _halve(node: Any) -> None:
    from openvino import Type
    from openvino import opset11 as operations

    widened = operations.convert(operations.constant(node.data.astype(np.float16)), Type.f32)
    widened.set_friendly_name(node.get_friendly_name())
    for port in node.output(0).get_target_inputs():
        port.replace_source_output(widened.output(0))
