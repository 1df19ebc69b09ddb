"""What chance alone does to a figure."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bonedge.models.metrics import reflected_interval, resample
from bonedge.models.scores import calibration_error_by_chance, expected_calibration_error


def said(count: int, seed: int) -> np.ndarray:
    """Probabilities of three classes, from unsure to sure, float64 "count 3"."""
    return np.random.default_rng(seed).dirichlet((0.5, 0.5, 0.5), size=count)


@given(st.integers(0, 1000))
def test_a_model_that_means_what_it_says_errs_as_chance_does(seed: int) -> None:
    """A good model would be blamed for being shown few pictures, or a bad one excused by it."""
    probabilities = said(600, seed)
    truths = (np.random.default_rng((1, seed)).random((600, 1)) > probabilities.cumsum(axis=1)[:, :2]).sum(axis=1)
    by_chance = calibration_error_by_chance(probabilities, seed)
    measured = expected_calibration_error(probabilities, truths, np.ones((1, 600)))[0]
    assert by_chance.min() / 2 < measured < 2 * by_chance.max()
    always_wrong = expected_calibration_error(probabilities, probabilities.argmin(axis=1), np.ones((1, 600)))[0]
    assert always_wrong > 3 * by_chance.max()


def test_the_interval_of_a_calibration_error_holds_the_truth() -> None:
    """A figure that few pictures make too large would come with an interval that lies above the truth as a whole."""

    def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """What is said, and true classes of a model that is surer than it may be."""
        probabilities = said(count, seed)
        honest = 0.94 * probabilities + 0.02
        truths = (np.random.default_rng((7, seed)).random((count, 1)) > honest.cumsum(axis=1)[:, :2]).sum(axis=1)
        return probabilities, truths

    probabilities, truths = drawn(200_000, 999)
    true = expected_calibration_error(probabilities, truths, np.ones((1, len(truths))))[0]
    held = []
    for seed in range(40):
        probabilities, truths = drawn(600, seed)
        errors = expected_calibration_error(probabilities, truths, resample(truths, seed)[:401])
        found = reflected_interval(float(errors[0]), errors[1:])
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= errors[0] <= found.high
        held.append(found.low <= true <= found.high)
    assert np.mean(held) > 0.8


def test_more_pictures_leave_less_to_chance() -> None:
    """The row says what an evaluation can show at all; four times the pictures show half of it."""
    few, many = (calibration_error_by_chance(said(count, 3), 3).mean() for count in (400, 1600))
    assert 0.4 < many / few < 0.6


def test_certainty_leaves_nothing_to_chance() -> None:
    """Probabilities of 0 and 1 cannot miss by chance."""
    assert calibration_error_by_chance(np.eye(3)[[0, 1, 2, 2]], 1).max() == 0
