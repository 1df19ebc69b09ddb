"""NNCF's int8: weights of eight bits between fake quantizers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from bonedge.convert.activations import Estimator
from bonedge.convert.export import Exported, serialize
from bonedge.convert.openvino_int8 import largest_pairs, quantize
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
    # The convolution that doubles the maps is none of the network's layers.
    layers = kinds["Convolution"] + kinds["GroupConvolution"] + kinds["MatMul"] - kinds["DepthToSpace"]
    assert layers > 15
    assert kinds["FakeQuantize"] > layers / 2
    stored = Counter(node.get_element_type().get_type_name() for node in nodes if node.get_type_name() == "Constant")
    assert stored["i8"] >= layers
    _, before = serialize(exported[name].openvino)
    assert len(weights) < 0.35 * len(before)


def packed_weights(packed: tuple[bytes, bytes]) -> list[NDArray[np.int8]]:
    """Those of eight bits that are added up in pairs.

    A depthwise kernel (groups, 1, 1, rows, columns) multiplies one pixel at a time: nothing is added in 16 bits.
    """
    openvino = pytest.importorskip("openvino")
    return [
        node.data
        for node in openvino.Core().read_model(*packed).get_ordered_ops()
        if node.get_type_name() == "Constant"
        and node.get_element_type().get_type_name() == "i8"
        and node.data.ndim in (2, 4)
    ]


def largest_sum(steps: NDArray[np.int64]) -> int:
    """Of two weights of one sign in neighbouring input channels: 0 and 1, 2 and 3, and so on."""
    padded = np.pad(steps, ((0, 0), (0, steps.shape[1] % 2), (0, 0), (0, 0)))
    both = [np.maximum(sign * padded, 0) for sign in (1, -1)]
    return max(int((same[:, 0::2] + same[:, 1::2]).max(initial=0)) for same in both)


@pytest.mark.parametrize("name", NAMES)
def test_weights_leave_room_for_processors_without_vnni(packed: dict[str, tuple[bytes, bytes]], name: str) -> None:
    """If it failed, the gates would hold where they were measured, and sums would saturate on an older workstation."""
    weights = packed_weights(packed[name])
    assert len(weights) > 15
    for one in weights:
        steps = one.astype(np.int64)
        if steps.ndim == 2:  # fully connected: NNCF's half of the range
            assert np.abs(steps).max() <= 64
            continue
        assert 255 * largest_sum(steps) <= np.iinfo(np.int16).max


def convolutions(kernels: list[NDArray[np.float32]]) -> Exported:
    """One after the other over a picture of 16 x 16, each with a ReLU behind it."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    shape = (1, kernels[0].shape[1], 16, 16)
    entrance = answer = ops.parameter(shape, np.float32)
    for kernel in kernels:
        answer = ops.relu(ops.convolution(answer, ops.constant(kernel), [1, 1], [0, 0], [0, 0], [1, 1]))
    return Exported("segmenter", shape, None, b"", openvino.Model([answer], [entrance]))


def test_weights_use_more_than_half_of_their_range() -> None:
    """If it failed, weights would be rounded twice as coarsely as need be, and the segmenter would stay in float."""
    rng = np.random.default_rng(3)
    # Most of a trained kernel is small, and its largest weights seldom lie side by side.
    network = convolutions([rng.laplace(0, 0.1, (32, 32, 3, 3)).astype(np.float32) for _ in range(3)])
    inputs = [rng.uniform(0, 1, network.input_shape).astype(np.float32) for _ in range(4)]
    packed = serialize(quantize(network, inputs, Estimator.EXTREMES).without(()))
    weights = packed_weights(packed)
    assert len(weights) == 3
    for one in weights:
        assert np.median(np.abs(one.astype(np.int64)).reshape(len(one), -1).max(axis=1)) > 90


@settings(max_examples=200, deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=4, max_dims=4, max_side=5),
        elements=st.floats(-8, 8, width=32),
    )
)
def test_no_two_neighbours_overflow_however_the_weights_lie(weights: NDArray[np.float32]) -> None:
    """If it failed, one odd channel of somebody else's network would saturate on an older workstation."""
    reach = np.maximum(largest_pairs(weights), 1e-6)
    assert (reach >= np.abs(weights).max(axis=(1, 2, 3))).all()
    steps = np.rint(weights * (127 / reach[:, None, None, None])).astype(np.int64)
    assert 255 * largest_sum(steps) <= np.iinfo(np.int16).max


ANSWERS = """
import sys
import numpy as np
import openvino
from pathlib import Path
core = openvino.Core()
for folder in sys.argv[1:]:
    xml, weights = ((Path(folder) / name).read_bytes() for name in ("x.xml", "x.bin"))
    compiled = core.compile_model(core.read_model(xml, weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given = np.load(Path(folder) / "inputs.npy")
    np.save(Path(folder) / "answers.npy", np.stack([compiled(one)[0] for one in given]))
"""


def answers_without_vnni(networks: dict[str, tuple[bytes, bytes]], inputs: Any, tmp_path: Path) -> dict[str, Any]:
    """What OpenVINO computes when it may use nothing later than AVX2: another process, since it looks only once."""
    folders = {name: tmp_path / name for name in networks}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "x.xml").write_bytes(networks[name][0])
        (folder / "x.bin").write_bytes(networks[name][1])
        np.save(folder / "inputs.npy", inputs)
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, *map(str, folders.values())],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name: np.load(folder / "answers.npy") for name, folder in folders.items()}


def test_sums_do_not_saturate_without_vnni(tmp_path: Path) -> None:
    """If it failed, an older workstation would add up something else, without a word, and say normal or malignant."""
    nncf = pytest.importorskip("nncf")
    rng = np.random.default_rng(4)
    network = convolutions([rng.uniform(0.9, 1, (32, 32, 3, 3)).astype(np.float32) / 288 for _ in range(2)])
    inputs = rng.uniform(0.9, 1, (4, *network.input_shape)).astype(np.float32)
    unguarded = nncf.quantize(
        network.openvino,
        nncf.Dataset(list(inputs)),
        subset_size=4,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE),
    )
    found = answers_without_vnni(
        {
            "fp32": serialize(network.openvino),
            "ours": serialize(quantize(network, list(inputs), Estimator.EXTREMES).without(())),
            "unguarded": serialize(unguarded),
        },
        inputs,
        tmp_path,
    )
    error = {name: float(np.abs(found[name] / found["fp32"] - 1).max()) for name in ("ours", "unguarded")}
    assert error["ours"] < 0.02
    assert error["unguarded"] > 0.1  # else this processor shows nothing


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


@pytest.mark.parametrize("count", [2, 4])
def test_the_first_layer_in_eight_bits_is_so_behind_a_pooling_too(
    exported: dict[str, Exported], pictures: Pictures, count: int
) -> None:
    """If it failed, one more layer than said would stay in float, at the time that float takes."""
    fake = quantize(exported["segmenter"], pictures("segmenter", 4), Estimator.MSE)
    model = fake.without(fake.ends(count))
    layer = next(node for node in model.get_ordered_ops() if node.get_friendly_name() == fake.layers[count])
    pool = layer.input_value(0).get_node()
    assert pool.get_type_name() == "MaxPool"
    assert pool.input_value(0).get_node().get_type_name() == "FakeQuantize"
