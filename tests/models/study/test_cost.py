"""What the study says that a network costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bonedge.models.study.cost import cost, in_tflite
from bonedge.models.study.rivals import deployed, with_heads

pytestmark = pytest.mark.full
SIDE = 32


@pytest.fixture(scope="module")
def model() -> Any:
    return deployed(with_heads("10-layer CNN", SIDE, 0, 2))


def test_what_is_timed_is_the_network(model: Any) -> None:
    """If it failed, the study would give the latency of a file without weights."""
    shape = (1, SIDE, SIDE, 3)
    picture = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    (answer,) = in_tflite(model, shape).run(picture)
    np.testing.assert_allclose(answer, np.asarray(model(picture, training=False)), atol=1e-4)
    assert np.ptp(answer) > 0


def test_counts_what_a_network_multiplies_and_adds(model: Any) -> None:
    """If it failed, networks would stand in the wrong order of size."""
    found = cost(model)
    convolutions = ((3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256))
    sides = [SIDE >> (number // 2) for number in range(len(convolutions))]
    least = sum(2 * 9 * a * b * side**2 for (a, b), side in zip(convolutions, sides, strict=True))
    assert found.operations is not None
    assert least <= found.operations <= 1.1 * least
    assert found.parameters >= sum(9 * a * b for a, b in convolutions)
    assert found.latency_ms is not None
    assert found.latency_ms > 0
