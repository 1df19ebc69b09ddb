"""Bilinear doubling of few channels as a convolution, for OpenVINO.

OpenVINO's CPU plugin interpolates all channels of a pixel at once, and where there are two of them most of its lanes
idle: enlarging the segmenter's maps took 2.1 ms of 6.4 that the network takes in eight bits. In doubling, every pixel
becomes four by the same weights everywhere: a convolution yields them side by side as channels, and a rearrangement
puts them in their places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_FEW = 4
"""Channels up to which it is done; it was measured with two."""
_NEAREST_AND_NEXT = ((0.25, 0.75, 0.0), (0.0, 0.75, 0.25))
"""What the first and the second of the two pixels that one becomes take of (the one before, itself, the next)."""


def with_doubling_convolved(model: Any) -> Any:
    """`model`, or a copy in which every bilinear doubling of at most four channels is a convolution.

    Args:
        model: openvino.Model of fixed shapes; not changed.

    Returns:
        The same function but for rounding.
    """
    if not any(map(_doubles, model.get_ordered_ops())):
        return model
    copy = model.clone()
    for node in filter(_doubles, copy.get_ordered_ops()):
        doubled = _convolved(node)
        doubled.set_friendly_name(node.get_friendly_name())
        for port in node.output(0).get_target_inputs():
            port.replace_source_output(doubled.output(0))
    copy.validate_nodes_and_infer_types()
    return copy


def _doubles(node: Any) -> bool:
    """Whether it is a bilinear doubling of rows and columns of a "1 rows columns channels" with few channels."""
    if node.get_type_name() != "Interpolate" or node.get_input_size() != 3:
        return False
    how, before, after = node.get_attributes(), node.get_input_shape(0), node.get_output_shape(0)
    return bool(
        how["mode"] in ("linear", "linear_onnx")
        and how["coordinate_transformation_mode"] == "half_pixel"
        and not any((how["antialias"], *how["pads_begin"], *how["pads_end"]))
        and len(before) == 4
        and before[3] <= _FEW
        and list(after) == [before[0], 2 * before[1], 2 * before[2], before[3]]
    )


def _convolved(node: Any) -> Any:
    from openvino import opset11 as operations

    source = node.input_value(0)
    channels = node.get_input_shape(0)[3]
    kernel = np.zeros((2, 2, channels, channels, 3, 3), np.float32)
    for row, down in enumerate(_NEAREST_AND_NEXT):
        for column, across in enumerate(_NEAREST_AND_NEXT):
            kernel[row, column, range(channels), range(channels)] = np.outer(down, across)
    one = operations.constant(np.array([0, 0, 1, 1]))
    planes = operations.transpose(source, operations.constant(np.array([0, 3, 1, 2])))
    # Past the border, the border's pixel again, as where interpolation is cut off there.
    wider = operations.pad(planes, one, one, "edge")
    phases = operations.convolution(
        wider, operations.constant(kernel.reshape(-1, channels, 3, 3)), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    return operations.transpose(
        operations.depth_to_space(phases, "blocks_first", 2), operations.constant(np.array([0, 2, 3, 1]))
    )
