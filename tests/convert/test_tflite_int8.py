"""int8 that is int8, a quarter of the size, and the same each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bonedge.convert.activations import Estimator, observe
from bonedge.convert.export import Exported
from bonedge.convert.tflite_int8 import ends, layers, post_training, with_ranges
from bonedge.edge.engines import tflite as tflite_engine
from bonedge.edge.errors import GateFailed

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow, NNCF and OpenVINO deprecate parts of each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
NAMES = ("segmenter", "classifier")
Pictures = Callable[[str, int], list[Any]]


@pytest.fixture(scope="module")
def lite(exported: dict[str, Exported], pictures: Pictures) -> dict[str, bytes]:
    return {name: post_training(one, pictures(name, 4)) for name, one in exported.items()}


def tensors(model: bytes) -> tuple[list[tuple[str, set[str]]], int]:
    """(kind of operation, types of what goes in and out of it) in order, and the largest share of a float constant."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    types = {number: name for name, number in vars(schema.TensorType).items() if not name.startswith("_")}
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = parsed.subgraphs
    steps = []
    for operator in graph.operators:
        ends = [*operator.inputs, *operator.outputs]
        code = parsed.operatorCodes[operator.opcodeIndex]
        kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        steps.append((kind, {types[graph.tensors[end].type] for end in ends if end >= 0}))
    floats = [
        len(parsed.buffers[tensor.buffer].data)
        for tensor in graph.tensors
        if types[tensor.type] == "FLOAT32" and parsed.buffers[tensor.buffer].data is not None
    ]
    return steps, max(floats, default=0)


@pytest.mark.parametrize("name", NAMES)
def test_tflite_is_int8_throughout(lite: dict[str, bytes], name: str) -> None:
    """If it failed, part of the network would still run in float, at the speed of float."""
    steps, largest_float = tensors(lite[name])
    inside = [(kind, types) for kind, types in steps if "FLOAT32" in types]
    # Float only where pictures come in and answers go out.
    assert {kind for kind, _ in inside} == {"QUANTIZE", "DEQUANTIZE"}
    assert len(inside) == {"segmenter": 3, "classifier": 2}[name]
    assert len([1 for kind, _ in steps if kind == "CONV_2D"]) > 15
    assert largest_float == 0


@pytest.mark.parametrize("name", NAMES)
def test_tflite_is_a_quarter_of_the_size(exported: dict[str, Exported], lite: dict[str, bytes], name: str) -> None:
    """If it failed, weights would have stayed in float."""
    assert 0.2 < len(lite[name]) / len(exported[name].tflite) < 0.35


def test_the_same_pictures_give_the_same_bytes(
    exported: dict[str, Exported], lite: dict[str, bytes], pictures: Pictures
) -> None:
    """If it failed, nobody could prove that a bundle was made from what its passport says."""
    assert post_training(exported["segmenter"], pictures("segmenter", 4)) == lite["segmenter"]


@pytest.mark.parametrize("name", NAMES)
def test_answers_like_fp32(
    exported: dict[str, Exported], lite: dict[str, bytes], pictures: Pictures, name: str
) -> None:
    """If it failed, a quantized network would be another network."""
    wanted = tflite_engine.load("x.tflite", exported[name].tflite, 1)
    quantized = tflite_engine.load("x.tflite", lite[name], 1)
    for picture in pictures(name, 3):
        given = {output.shape: output for output in quantized.run(picture)}
        for output in wanted.run(picture):
            error = np.abs(given[output.shape] - output).mean()
            # Random weights: what is compared is signal against rounding.
            assert error < 0.15 * max(float(np.abs(output).mean()), float(output.std()))


def test_a_file_that_did_not_shrink_fails_the_gate(exported: dict[str, Exported], pictures: Pictures) -> None:
    """If it failed, a network that stayed in float would be sold as int8."""
    one = exported["segmenter"]
    pretended = replace(one, tflite=one.tflite[: len(one.tflite) // 2])
    with pytest.raises(GateFailed, match=r"segmenter\.tflite.*stayed in float"):
        post_training(pretended, pictures("segmenter", 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_stay_in_float_with_all_between_their_layers(
    exported: dict[str, Exported], pictures: Pictures, name: str
) -> None:
    """If it failed, numbers would be rounded between two layers that are in float: slower, and no more faithful."""
    seen = observe(exported[name].tflite, pictures(name, 4))
    made = with_ranges(exported[name], seen.ranges(Estimator.MSE), ends(seen, 7))
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    steps, _ = tensors(made)  # the first of them takes in the picture: it must not be rounded either
    ordinals = np.cumsum([kind in weighted for kind, _ in steps])
    inner = range(7, ordinals[-1])
    assert all("INT8" not in types for (_, types), ordinal in zip(steps, ordinals, strict=True) if ordinal not in inner)
    inputs = [types for kind, types in steps if kind in weighted]
    assert [("FLOAT32" in types) for types in inputs] == [True] * 7 + [False] * (len(inputs) - 8) + [True]


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_in_float_is_stored_in_16_bits(
    exported: dict[str, Exported], pictures: Pictures, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, layers left in float would take four times the bytes of the others, or answer otherwise."""
    seen = observe(exported[name].tflite, pictures(name, 4))
    ranges, in_float = seen.ranges(Estimator.MSE), layers(seen)
    halved = with_ranges(exported[name], ranges, in_float)
    monkeypatch.setattr("bonedge.convert.tflite_int8.worth_halving", lambda weights, axis: False)
    whole = with_ranges(exported[name], ranges, in_float)
    assert len(halved) < 0.6 * len(whole)
    run, plain = (tflite_engine.load("x.tflite", model, 1).run for model in (halved, whole))
    for picture in pictures(name, 2):
        for given, wanted in zip(run(picture), plain(picture), strict=True):
            np.testing.assert_allclose(given, wanted, atol=5e-3 * max(float(np.abs(wanted).max()), 1))


def test_weights_that_16_bits_cannot_hold_keep_32(
    exported: dict[str, Exported], pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a network whose channels were rescaled would lose the small ones or overflow."""
    asked = []

    def told(weights: Any, axis: int) -> bool:
        asked.append(weights.shape[axis])
        return False

    monkeypatch.setattr("bonedge.convert.tflite_int8.worth_halving", told)
    one = exported["classifier"]
    seen = observe(one.tflite, pictures("classifier", 2))
    made = with_ranges(one, seen.ranges(Estimator.MSE), layers(seen))
    assert len(made) > 0.95 * len(one.tflite)
    assert min(asked) == 3  # classes of the last layer: the filters, also of those that are depthwise
