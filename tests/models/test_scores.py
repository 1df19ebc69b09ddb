"""What chance alone does to a figure."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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


def test_more_pictures_leave_less_to_chance() -> None:
    """The row says what an evaluation can show at all; four times the pictures show half of it."""
    few, many = (calibration_error_by_chance(said(count, 3), 3).mean() for count in (400, 1600))
    assert 0.4 < many / few < 0.6


def test_certainty_leaves_nothing_to_chance() -> None:
    """Probabilities of 0 and 1 cannot miss by chance."""
    assert calibration_error_by_chance(np.eye(3)[[0, 1, 2, 2]], 1).max() == 0
