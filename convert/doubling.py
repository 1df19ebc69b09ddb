"""Putting back together what Keras takes apart: nearest-neighbour upsampling in an OpenVINO graph."""

from __future__ import annotations

from typing import Any

import numpy as np

_STEPS = ("Reshape", "Squeeze", "Tile", "Transpose", "Unsqueeze")


def use_nearest_interpolation(model: Any) -> Any:
    """Replace each chain of reshapes, tiles and transposes that enlarges a concatenation's input by one `Interpolate`.

    Keras spells nearest-neighbour upsampling as such a chain; OpenVINO runs it with slow reference kernels in f32, and
    NNCF leaves the convolution behind it unquantized. Whether the chain really was a nearest-neighbour enlargement is
    not proven here: the export compares the result with Keras.

    Args:
        model: openvino.Model; changed in place.

    Returns:
        The same model.
    """
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat":
            continue
        for port in node.inputs():
            source, tiles = _walk_up(port.get_source_output())
            wanted, given = port.get_shape(), source.get_shape()
            if tiles == 0 or len(wanted) != len(given) or not _enlarges(given, wanted):
                continue
            axes = [axis for axis in range(len(wanted)) if wanted[axis] != given[axis]]
            enlarged = ops.interpolate(
                source,
                ops.constant(np.array([wanted[axis] for axis in axes], np.int64)),
                "nearest",
                "sizes",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
                axes=ops.constant(np.array(axes, np.int64)),
            )
            port.replace_source_output(enlarged.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _walk_up(output: Any) -> tuple[Any, int]:
    """Where the chain that ends in `output` begins, and how many tiles it has. Other readers end the chain."""
    tiles = 0
    while output.get_node().get_type_name() in _STEPS and len(output.get_target_inputs()) == 1:
        tiles += output.get_node().get_type_name() == "Tile"
        output = output.get_node().input_value(0)
    return output, tiles


def _enlarges(given: Any, wanted: Any) -> bool:
    """Whether exactly the spatial axes of "1 channels rows columns" grow, by whole factors."""
    return (
        len(given) == 4
        and list(given)[:2] == list(wanted)[:2]
        and all(w >= g and w % g == 0 for g, w in zip(given, wanted, strict=True))
    )
