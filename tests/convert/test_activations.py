"""What a tensor held, as a histogram and as a range."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bonedge.convert.activations import BINS, _widened, least_error, quantile


@given(low=st.floats(-1e6, 1e6, width=32), apart=st.one_of(st.just(0.0), st.floats(1e-40, 1e3)))
def test_every_range_has_a_histogram_and_a_range_within_it(low: float, apart: float) -> None:
    """If it failed, one tensor that hardly varies would end the conversion of a whole network."""
    values = np.array([low, low + apart], np.float32)
    extremes = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, BINS, _widened(extremes))
    assert counts.sum() == 2
    for find in (least_error, quantile):
        lower, upper = find(counts, extremes)
        assert lower <= 0 <= upper
