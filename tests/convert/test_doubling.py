"""Bilinear doubling as a convolution."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.convert.doubling import with_doubling_convolved
from bonedge.convert.export import Exported, serialize

pytestmark = pytest.mark.full
openvino = pytest.importorskip("openvino")


def enlarging(shape: tuple[int, int, int, int], size: tuple[int, int], **how: Any) -> Any:
    """A model that does nothing else."""
    from openvino import opset11

    picture = opset11.parameter(shape, np.float32)
    enlarged = opset11.interpolate(
        picture,
        opset11.constant(np.array(size)),
        shape_calculation_mode="sizes",
        axes=np.array([1, 2]),
        **{"mode": "linear_onnx", "coordinate_transformation_mode": "half_pixel", **how},
    )
    return openvino.Model([enlarged], [picture], "enlarging")


def kinds(model: Any) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ordered_ops())


def answer(model: Any, picture: Any) -> Any:
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([picture])[0]


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    channels=st.integers(1, 4),
    mode=st.sampled_from(["linear", "linear_onnx"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_is_the_same_function(rows: int, columns: int, channels: int, mode: str, seed: int) -> None:
    """If it failed, outlines on OpenVINO would lie elsewhere than on TensorFlow Lite."""
    picture = np.random.default_rng(seed).normal(size=(1, rows, columns, channels)).astype(np.float32)
    plain = enlarging(picture.shape, (2 * rows, 2 * columns), mode=mode)
    convolved = with_doubling_convolved(plain)
    assert kinds(plain)["Interpolate"] == 1
    assert kinds(convolved)["Interpolate"] == 0
    np.testing.assert_allclose(answer(convolved, picture), answer(plain, picture), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size", "how"),
    [
        ((1, 8, 8, 2), (24, 24), {}),
        ((1, 8, 8, 2), (16, 8), {}),
        ((1, 8, 8, 2), (4, 4), {}),
        ((1, 8, 8, 5), (16, 16), {}),
        ((1, 8, 8, 2), (16, 16), {"mode": "nearest"}),
        ((1, 8, 8, 2), (16, 16), {"mode": "cubic"}),
        ((1, 8, 8, 2), (16, 16), {"coordinate_transformation_mode": "align_corners"}),
        ((1, 8, 8, 2), (16, 16), {"antialias": True}),
        ((1, 7, 8, 2), (16, 16), {"pads_begin": [0, 1, 0, 0]}),
    ],
)
def test_leaves_every_other_enlargement_alone(shape: Any, size: Any, how: Any) -> None:
    """If it failed, a network that enlarges otherwise would become another network."""
    model = enlarging(shape, size, **how)
    assert with_doubling_convolved(model) is model


def test_what_is_written_has_it_and_what_is_quantized_has_not(exported: dict[str, Exported]) -> None:
    """If it failed, the maps would take a third of the segmenter's time, or be rounded to eight bits."""
    graph = exported["segmenter"].openvino
    assert kinds(graph)["DepthToSpace"] == 0
    written = openvino.Core().read_model(*serialize(graph))
    assert kinds(written)["DepthToSpace"] == 1
    assert kinds(written)["Interpolate"] == kinds(graph)["Interpolate"] - 1
