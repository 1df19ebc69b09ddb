"""NNCF's int8: weights of eight bits between fake quantizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bonedge.convert.activations import Estimator
from bonedge.convert.export import Exported, serialize
from bonedge.convert.openvino_int8 import quantize
from bonedge.edge.engines import openvino as openvino_engine
from bonedge.edge.engines import tflite as tflite_engine

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow, NNCF and OpenVINO deprecate parts of each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
NAMES = ("segmenter", "classifier")
Pictures = Callable[[str, int], list[Any]]


@pytest.fixture(scope="module")
def packed(exported: dict[str, Exported], pictures: Pictures) -> dict[str, tuple[bytes, bytes]]:
    return {
        name: serialize(quantize(one, pictures(name, 4), Estimator.EXTREMES).without(()))
        for name, one in exported.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_answers_like_fp32(
    exported: dict[str, Exported], packed: dict[str, tuple[bytes, bytes]], pictures: Pictures, name: str
) -> None:
    """If it failed, a quantized network would be another network."""
    wanted = tflite_engine.load("x.tflite", exported[name].tflite, 1)
    quantized = openvino_engine.load("x.xml", *packed[name], "CPU", 1)
    for picture in pictures(name, 3):
        given = {output.shape: output for output in quantized.run(picture)}
        for output in wanted.run(picture):
            error = np.abs(given[output.shape] - output).mean()
            # Random weights: what is compared is signal against rounding.
            assert error < 0.15 * max(float(np.abs(output).mean()), float(output.std()))


@pytest.mark.parametrize("name", NAMES)
def test_holds_int8_weights_between_fake_quantizers(
    exported: dict[str, Exported], packed: dict[str, tuple[bytes, bytes]], name: str
) -> None:
    """If it failed, OpenVINO would run the network in float, whatever the bundle says."""
    openvino = pytest.importorskip("openvino")
    xml, weights = packed[name]
    graph = openvino.Core().read_model(xml, weights)
    nodes = graph.get_ordered_ops()
    kinds = Counter(node.get_type_name() for node in nodes)
    layers = kinds["Convolution"] + kinds["GroupConvolution"] + kinds["MatMul"]
    assert layers > 15
    assert kinds["FakeQuantize"] > layers / 2
    stored = Counter(node.get_element_type().get_type_name() for node in nodes if node.get_type_name() == "Constant")
    assert stored["i8"] >= layers
    _, before = serialize(exported[name].openvino)
    assert len(weights) < 0.35 * len(before)


@pytest.mark.parametrize("name", NAMES)
def test_weights_leave_room_for_processors_without_vnni(packed: dict[str, tuple[bytes, bytes]], name: str) -> None:
    """If it failed, the gates would hold where they were measured, and sums would saturate on an older workstation."""
    openvino = pytest.importorskip("openvino")
    graph = openvino.Core().read_model(*packed[name])
    # A depthwise kernel (groups, 1, 1, rows, columns) multiplies one pixel at a time: nothing is added in 16 bits.
    weights = [
        node.data
        for node in graph.get_ordered_ops()
        if node.get_type_name() == "Constant"
        and node.get_element_type().get_type_name() == "i8"
        and node.data.ndim in (2, 4)
    ]
    assert len(weights) > 15
    assert max(int(np.abs(one.astype(np.int16)).max()) for one in weights) <= 64


def test_the_same_inputs_give_the_same_weights(exported: dict[str, Exported]) -> None:
    """If it failed, a bundle could not be made again from what its passport names."""
    rng = np.random.default_rng(8)
    for name, channels in (("segmenter", 1), ("classifier", 3)):
        samples = [rng.normal(size=(1, 64, 64, channels)).astype(np.float32) for _ in range(4)]
        first, second = (serialize(quantize(exported[name], samples, Estimator.MSE).without(())) for _ in range(2))
        assert first[1] == second[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_stay_in_float_with_all_between_their_layers(
    exported: dict[str, Exported], pictures: Pictures, name: str
) -> None:
    """If it failed, numbers would be rounded between two layers that are in float: slower, and no more faithful."""
    fake = quantize(exported[name], pictures(name, 4), Estimator.MSE)
    names = set(fake.ends(7))
    assert [layer for layer in fake.layers if layer in names] == [*fake.layers[:7], fake.layers[-1]]

    def rounded(model: Any) -> set[str]:
        return {
            node.get_friendly_name()
            for node in model.get_ordered_ops()
            for port in node.inputs()
            if port.get_source_output().get_node().get_type_name() == "FakeQuantize"
        } & {*fake.layers, *names}

    assert rounded(fake.without(())) & names
    assert rounded(fake.without(names)) == rounded(fake.without(())) - names
