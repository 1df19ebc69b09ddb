"""What is said of a latency must follow from what was measured, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.edge.latency import MINIMUM_QUERIES, change, early_stopping_p90, latency, steadiness

times = st.lists(st.floats(0.01, 1e5), min_size=1, max_size=300)


@given(times)
@settings(max_examples=50)
def test_quantiles_are_in_order_and_within_what_was_measured(values: list[float]) -> None:
    """If it failed, a report would promise less than was ever seen."""
    found = latency(values)
    quantiles = (found.p50, found.p90, found.p95, found.p99, found.maximum)
    assert list(quantiles) == sorted(quantiles)
    assert min(values) <= found.p50
    assert found.maximum == max(values)
    assert found.count == len(values)
    if found.early_stopping_p90 is not None:
        assert found.p90 <= found.early_stopping_p90 <= found.maximum


def test_nothing_cannot_be_summarised() -> None:
    """If it failed, an empty run would print zeros."""
    with pytest.raises(ValueError, match="at least one"):
        latency([])


def test_early_stopping_takes_64_queries_and_sets_the_slowest_aside() -> None:
    """MLPerf's single-stream minimum of 64 queries must follow from the binomial tail, not be written down."""
    assert early_stopping_p90(range(MINIMUM_QUERIES - 1)) is None
    assert early_stopping_p90(range(MINIMUM_QUERIES)) == MINIMUM_QUERIES - 2
    assert early_stopping_p90(range(80)) == 80 - 2
    # P(Binomial(81, 0.1) <= 2) is the first below 1 %.
    assert early_stopping_p90(range(81)) == 81 - 3


def test_the_estimate_is_hardly_ever_below_the_true_percentile() -> None:
    """If it failed, "with 99 % confidence" would be a lie."""
    rng = np.random.default_rng(1)
    true = np.log(10)  # the 90th percentile of the exponential distribution
    bounds = [early_stopping_p90(list(rng.exponential(size=150))) for _ in range(4000)]
    assert np.mean([bound is not None and bound < true for bound in bounds]) <= 0.013


def test_a_machine_that_changed_between_rounds_is_not_steady() -> None:
    """If it failed, a number from a busy minute would be printed with confidence."""
    assert steadiness([[10, 11], [10, 10], [10.5, 10]], 0.0).steady
    assert "apart" in steadiness([[10, 11], [15, 14]], 0.0).reasons[0]
    assert "other machines" in steadiness([[10, 11], [10, 10]], 0.1).reasons[0]
    assert "one round" in steadiness([[10, 11]], 0.0).reasons[0]


def test_a_real_change_is_told_from_noise() -> None:
    """If it failed, --compare would cry wolf, or sleep."""
    rng = np.random.default_rng(2)

    def rounds(middle: float, drift: float) -> list[list[float]]:
        return [list(middle * np.exp(rng.normal(0, drift)) * rng.lognormal(0, 0.1, 50)) for _ in range(6)]

    same = change(rounds(10, 0.01), rounds(10, 0.01))
    assert same.low < 1 < same.high
    slower = change(rounds(10, 0.01), rounds(13, 0.01))
    assert slower.low > 1.15
    assert slower.ratio == pytest.approx(1.3, abs=0.1)
    # The same change, but the machine itself moved as much from round to round: hundreds of queries do not help.
    restless = change(rounds(10, 0.3), rounds(13, 0.3))
    assert restless.high - restless.low > 3 * (slower.high - slower.low)
