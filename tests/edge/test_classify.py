"""From logits to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonedge.edge.classify import read_logits
from bonedge.edge.records import BoundingBox

REGION = BoundingBox(1, 2, 3, 4)


@given(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), st.floats(0.05, 20))
def test_any_logits_become_probabilities(logits: list[float], temperature: float) -> None:
    """If it failed, an extreme picture would get NaN or probabilities that do not sum to 1."""
    found = read_logits(np.array([logits], np.float32), temperature, REGION)
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert found.probabilities.min() >= 0
    assert found.region == REGION


def test_temperature_divides_the_logits() -> None:
    """If it failed, the calibration stored in the bundle would have no or the opposite effect."""
    logits = np.array([[0.0, np.log(2.0), np.log(4.0)]], np.float32)
    np.testing.assert_allclose(read_logits(logits, 1, REGION).probabilities, [1 / 7, 2 / 7, 4 / 7], atol=1e-6)
    np.testing.assert_allclose(read_logits(2 * logits, 2, REGION).probabilities, [1 / 7, 2 / 7, 4 / 7], atol=1e-6)
