"""The study's figures against plain counting and against scikit-learn, and its paired tests against their books."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonedge.models.metrics import resample
from bonedge.models.study.figures import MEASURES, Said, auc, calibration_error, figure, sensitivity
from bonedge.models.study.outlines import hausdorff
from bonedge.models.study.paired import adjusted, difference

pytestmark = pytest.mark.full


def made(seed: int, count: int = 90, skill: float = 1.5) -> tuple[Any, Any]:
    """Truths of each class in turn, and probabilities that know something of them, float64 "n 3"."""
    rng = np.random.default_rng(seed)
    truths = np.arange(count) % 3
    logits = rng.normal(size=(count, 3)) + skill * np.eye(3)[truths]
    raised = np.exp(logits)
    return truths, raised / raised.sum(axis=1, keepdims=True)


@given(st.integers(0, 10_000), st.floats(0, 4))
def test_figures_are_those_of_scikit_learn(seed: int, skill: float) -> None:
    """If it failed, the study's table would hold other figures than its headings say."""
    from sklearn import metrics

    truths, probabilities = made(seed, skill=skill)
    tumour, called = truths > 0, probabilities[:, 0] <= 0.5
    verdicts = np.where(called, 1 + probabilities[:, 1:].argmax(axis=1), 0)
    wanted = {
        "accuracy": metrics.accuracy_score(tumour, called),
        "precision": metrics.precision_score(tumour, called, zero_division=0),
        "recall": metrics.recall_score(tumour, called),
        "F1": metrics.f1_score(tumour, called),
        "AUC": metrics.roc_auc_score(tumour, 1 - probabilities[:, 0]),
        "macro-F1": metrics.f1_score(truths, verdicts, average="macro"),
        "malignant sensitivity": metrics.recall_score(truths == 2, verdicts == 2),
    }
    ones = np.ones((1, len(truths)))
    for name, value in wanted.items():
        assert MEASURES[name](Said(truths, probabilities), ones)[0] == pytest.approx(value), name


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_case_that_is_drawn_twice_counts_twice(seed: int, levels: int) -> None:
    """If it failed, the intervals would be those of other figures. Few levels: equal scores must be right, too."""
    truths, probabilities = made(seed, 30)
    probabilities = np.round(probabilities * levels) / levels
    probabilities[:, 0] = 1 - probabilities[:, 1:].sum(axis=1)
    weights = resample(truths, seed)[:4]
    for name, measure in MEASURES.items():
        found = measure(Said(truths, probabilities), weights)
        for row, drawn in enumerate(weights.astype(int)):
            again = np.repeat(np.arange(len(truths)), drawn)
            repeated = Said(truths[again], probabilities[again])
            assert found[row] == pytest.approx(measure(repeated, np.ones((1, len(again))))[0]), name


def test_equal_scores_are_worth_half() -> None:
    """If it failed, a network that says the same of everything would look better than chance, or worse."""
    truths = np.array([0, 0, 1, 2])
    same = np.full((4, 3), 1 / 3)
    ones = np.ones((1, 4))
    assert auc(Said(truths, same), ones)[0] == 0.5
    assert sensitivity(Said(truths, same), ones)[0] == 0


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not() -> None:
    """If it failed, the calibration error would not measure what it is named after."""
    truths = np.array([0, 1, 2, 1])
    sure = np.eye(3)[truths]
    assert calibration_error(Said(truths, sure), np.ones((1, 4)))[0] == 0
    assert calibration_error(Said((truths + 1) % 3, sure), np.ones((1, 4)))[0] == 1


def test_a_figure_holds_its_interval_and_the_spread_of_its_seeds() -> None:
    """If it failed, a lucky seed would look like a sure result."""
    truths, first = made(1)
    _, second = made(2)
    weights = resample(truths, 3)
    both = figure(auc, truths, np.stack([first, second]), weights)
    alone = [figure(auc, truths, one[None], weights) for one in (first, second)]
    assert both.low < both.value < both.high
    assert both.value == pytest.approx(np.mean([one.value for one in alone]))
    assert both.spread == pytest.approx(np.std([one.value for one in alone], ddof=1))
    assert alone[0].spread == 0


def test_a_better_system_is_found_better_and_a_copy_is_not() -> None:
    """If it failed, the study would claim differences that are not there, or miss those that are."""
    truths, good = made(1, 300, skill=4)
    _, poor = made(2, 300, skill=0.5)
    weights = resample(truths, 3)
    better, same = (difference("rival", good[None], other[None], truths, weights) for other in (poor, good))
    assert better.accuracy_low > 0
    assert better.auc_low > 0
    assert better.p < 0.001
    assert (same.accuracy, same.auc, same.only_reference, same.only_rival, same.p) == (0, 0, 0, 0, 1)
    worse = difference("rival", poor[None], good[None], truths, weights)
    assert (worse.only_reference, worse.only_rival, worse.p) == (better.only_rival, better.only_reference, better.p)
    assert [one.verdict for one in (better, same, worse)] == [
        "right more often",
        "no difference shown",
        "right less often",
    ]


def test_mcnemar_is_the_binomial_of_the_discordant() -> None:
    """The book's example: 1 against 9 of ten discordant pairs has p = 2 * 11 / 1024."""
    truths = np.zeros(10, np.int64)
    right, wrong = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    first = np.stack([right] * 9 + [wrong])
    second = np.stack([wrong] * 9 + [right])
    found = difference("rival", first[None], second[None], truths, np.ones((2, 10)))
    assert (found.only_reference, found.only_rival) == (9, 1)
    assert found.p == pytest.approx(2 * 11 / 1024)


def test_many_comparisons_are_corrected_as_holm_does() -> None:
    """If it failed, among twenty rivals one would come out worse by chance alone."""
    truths, good = made(1)
    one = difference("rival", good[None], good[None], truths, resample(truths, 1))
    from dataclasses import replace

    corrected = adjusted([replace(one, p=p) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [round(each.adjusted, 4) for each in corrected] == [0.03, 0.06, 0.06, 0.02]


def test_the_distance_of_borders_is_the_shift_of_a_square() -> None:
    """If it failed, outlines would be measured with a bent ruler."""
    square = np.zeros((60, 60), bool)
    square[20:40, 20:40] = True
    assert hausdorff(square, square) == 0
    assert hausdorff(square, np.roll(square, 5, axis=1)) == 5
    assert hausdorff(np.roll(square, 5, axis=1), square) == 5
    spike = square.copy()
    spike[30, 40:58] = True
    assert hausdorff(spike, square) < 18, "a spike of a few pixels is not the whole border"
