"""What a quantized network leaves in float, stored in 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bonedge.convert.export import serialize
from bonedge.convert.halving import with_weights_halved, worth_halving

pytestmark = pytest.mark.full
openvino = pytest.importorskip("openvino")
CHANNELS = 32
SHAPE = (1, CHANNELS, 8, 8)


def network(weights: Any, *, quantized: bool = True) -> Any:
    """A convolution by `weights` in float, then one in eight bits."""
    from openvino import Type, opset11

    rng = np.random.default_rng(0)
    picture = opset11.parameter(SHAPE, np.float32)

    def convolved(source: Any, filters: Any) -> Any:
        return opset11.convolution(source, filters, [1, 1], [1, 1], [1, 1], [1, 1])

    found = convolved(picture, opset11.constant(weights))
    if quantized:
        steps = opset11.constant(rng.integers(-127, 128, weights.shape, dtype=np.int8))
        scales = opset11.constant(rng.uniform(0.001, 0.01, (CHANNELS, 1, 1, 1)).astype(np.float32))
        found = convolved(found, opset11.multiply(opset11.convert(steps, Type.f32), scales))
    return openvino.Model([found], [picture], "halved")


def drawn(scale: float = 1.0) -> Any:
    shape = (CHANNELS, CHANNELS, 3, 3)
    return (scale * np.random.default_rng(1).normal(size=shape)).astype(np.float32)


def stored(model: Any) -> dict[str, int]:
    """Bytes of constants, by type."""
    found: dict[str, int] = {}
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            name = node.get_element_type().get_type_name()
            found[name] = found.get(name, 0) + node.get_byte_size()
    return found


def answer(model: Any) -> Any:
    picture = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([picture])[0]


def test_halves_what_was_left_in_float() -> None:
    """If it failed, layers left in float would make the file a third of the fp32 one, or answer otherwise."""
    plain = network(drawn())
    halved = with_weights_halved(plain)
    before, after = stored(plain), stored(halved)
    assert after["f16"] == drawn().nbytes // 2
    assert after["i8"] == before["i8"]
    assert after["f32"] == before["f32"] - drawn().nbytes
    expected = answer(plain)
    assert np.abs(answer(halved) - expected).max() < 2e-3 * np.abs(expected).max()
    xml, weights = serialize(plain)
    assert len(weights) < sum(before.values()) - drawn().nbytes // 3
    np.testing.assert_array_equal(answer(openvino.Core().read_model(xml, weights)), answer(halved))


@pytest.mark.parametrize("scale", [1e-7, 1e6], ids=["too small", "too large"])
def test_leaves_weights_alone_that_16_bits_cannot_hold(scale: float) -> None:
    """If it failed, a network whose channels were rescaled would lose them, or overflow."""
    plain = network(drawn(scale))
    np.testing.assert_array_equal(answer(with_weights_halved(plain)), answer(plain))


def test_leaves_a_network_alone_in_which_nothing_is_quantized() -> None:
    """If it failed, fp32 would not be what was trained."""
    plain = network(drawn(), quantized=False)
    assert with_weights_halved(plain) is plain


def test_one_filter_that_does_not_fit_is_enough() -> None:
    """If it failed, a filter that a network's training left very small would be lost among large ones."""
    weights = drawn()
    assert worth_halving(weights)
    weights[3] *= 1e-7
    assert not worth_halving(weights)
    assert worth_halving(weights.reshape(1, -1))  # all of them one filter
    assert not worth_halving(np.moveaxis(weights, 0, 3), 3)
    assert not worth_halving(weights[:, 0, 0, 0])
