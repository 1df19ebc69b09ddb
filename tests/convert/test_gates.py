"""The clinical decision: pure arithmetic over outcomes, held against brute force and against its own promises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.mstats import hdquantiles

from bonedge.convert.gates import GATES, GateResult, Outcome, Ruling, calibration_curve, judge_gates
from bonedge.edge.records import CLASSES, Label
from bonedge.models.metrics import resample

NORMAL, BENIGN, MALIGNANT = CLASSES
_SURE = {label: np.eye(3, dtype=np.float32)[place] * 0.9 + np.float32(1 / 30) for place, label in enumerate(CLASSES)}


def outcome(truth: Label, verdict: Label | None = None, dice: float | None = None) -> Outcome:
    """A case that was read right, unless told otherwise."""
    verdict = truth if verdict is None else verdict
    lesion = None if truth is NORMAL else 0.8 if dice is None else dice
    return Outcome(truth, verdict, _SURE.get(verdict, _SURE[NORMAL]), lesion)


def balanced(count: int) -> list[Outcome]:
    return [outcome(CLASSES[index % 3]) for index in range(count)]


def ruling(results: Sequence[GateResult], name: str) -> Ruling:
    return next(one.ruling for one in results if one.name == name)


def result(results: Sequence[GateResult], name: str) -> GateResult:
    return next(one for one in results if one.name == name)


def test_nothing_changed_passes_on_six_hundred_cases() -> None:
    """A perfect conversion would be refused, and nobody could ever convert anything."""
    same = balanced(600)
    assert all(one.passed for one in judge_gates(same, same))


def test_nothing_changed_does_not_pass_on_sixty_cases() -> None:
    """A model that loses one malignant tumour in fifty would pass because the set is too small to show it."""
    same = balanced(60)
    found = judge_gates(same, same)
    assert ruling(found, "malignant_sensitivity") is Ruling.UNDECIDED
    assert result(found, "malignant_sensitivity").cases_needed == 200
    assert ruling(found, "flips") is Ruling.UNDECIDED
    assert result(found, "flips").cases_needed == 100


def test_two_lost_malignant_tumours_in_two_hundred_fail() -> None:
    """A conversion that loses cancers would be shipped."""
    before = balanced(600)
    after = list(before)
    malignant = [index for index, one in enumerate(before) if one.truth is MALIGNANT]
    for index in malignant[:2]:
        after[index] = outcome(MALIGNANT, BENIGN)
    found = judge_gates(before, after)
    assert ruling(found, "malignant_sensitivity") is Ruling.FAILED
    assert result(found, "malignant_sensitivity").loss == pytest.approx(0.01)


def test_one_lost_in_two_hundred_is_too_close_to_call() -> None:
    """The measured loss would be taken at face value although chance alone could hide twice as much."""
    before = balanced(600)
    after = list(before)
    after[2] = outcome(MALIGNANT, BENIGN)
    found = result(judge_gates(before, after), "malignant_sensitivity")
    assert found.ruling is Ruling.UNDECIDED
    assert found.high is not None
    assert found.high > found.limit


def test_gained_cases_do_not_hide_flips() -> None:
    """A model that swaps its errors for others would look like the same model."""
    before = balanced(600)
    after = list(before)
    for place, index in enumerate(range(2, 600, 3)):
        if place < 20:
            before[index], after[index] = outcome(MALIGNANT, BENIGN), outcome(MALIGNANT)
        elif place < 40:
            after[index] = outcome(MALIGNANT, BENIGN)
    found = judge_gates(before, after)
    assert result(found, "malignant_sensitivity").loss == pytest.approx(0)
    assert ruling(found, "flips") is Ruling.FAILED


def test_abstaining_is_a_flip_and_a_miss() -> None:
    """A converted model could pass by saying nothing."""
    before = balanced(600)
    after = [outcome(one.truth, Label.ABSTAIN) if place < 30 else one for place, one in enumerate(before)]
    found = judge_gates(before, after)
    for name in ("flips", "tumour_recall", "macro_f1"):
        assert ruling(found, name) is Ruling.FAILED


def test_a_set_without_tumours_cannot_pass() -> None:
    """Gates about tumours would pass for want of a tumour."""
    only_normal = [outcome(NORMAL)] * 600
    found = judge_gates(only_normal, only_normal)
    for name in ("malignant_sensitivity", "tumour_recall", "dice_median", "dice_p10"):
        assert ruling(found, name) is Ruling.NOT_MEASURABLE
        assert not result(found, name).passed


def test_outlines_that_shrink_fail() -> None:
    """Lesions would be measured too small after conversion."""
    before = balanced(600)
    after = [one if one.dice is None else Outcome(one.truth, one.verdict, one.probabilities, 0.77) for one in before]
    assert ruling(judge_gates(before, after), "dice_median") is Ruling.FAILED


def test_sure_and_wrong_fails_calibration() -> None:
    """Probabilities that no longer mean what they say would go unnoticed while verdicts stay."""
    before = balanced(600)
    sharp = [Outcome(one.truth, one.verdict, _sharpened(one), one.dice) for one in before]
    assert ruling(judge_gates(sharp, before), "calibration_error") is Ruling.FAILED


def test_probabilities_that_move_by_a_rounding_error_stay_calibrated() -> None:
    """An honest conversion would be refused because cases at the edge of a bin moved to the next."""
    rng = np.random.default_rng(3)
    before, after = [], []
    for place in range(600):
        # Too sure at the edge of a bin, too modest within it: in one bin they cancel out, in two they do not.
        confidence, right = (0.7001, 0.6) if place % 2 else (0.72, 0.82)
        truth = CLASSES[place % 3] if rng.random() < right else CLASSES[(place + 1) % 3]
        for outcomes, top in ((before, confidence), (after, confidence - 2e-4)):
            probabilities = np.full(3, (1 - top) / 2, np.float32)
            probabilities[place % 3] = top
            outcomes.append(Outcome(truth, CLASSES[place % 3], probabilities, None))
    found = result(judge_gates(before, after), "calibration_error")
    assert found.passed
    assert found.high is not None
    assert found.high < 0.001


@pytest.mark.parametrize(("confidence", "right", "error"), [(0.9, 60, 0.3), (0.5, 100, 0.5), (0.8, 80, 0.0)])
def test_the_calibration_error_is_the_gap_where_all_are_equally_sure(
    confidence: float, right: int, error: float
) -> None:
    """The figure in the report would not mean what its name says."""
    probabilities = np.array([confidence, (1 - confidence) / 2, (1 - confidence) / 2], np.float32)
    outcomes = [Outcome(NORMAL if n < right else BENIGN, NORMAL, probabilities, None) for n in range(100)]
    found = result(judge_gates(outcomes, outcomes), "calibration_error")
    assert found.reference == pytest.approx(error, abs=1e-6)


def test_limits_can_be_given() -> None:
    """`--max-drop` would be ignored."""
    before = balanced(600)
    after = [outcome(one.truth, BENIGN) if place < 30 else one for place, one in enumerate(before)]
    strict = result(judge_gates(before, after), "flips")
    loose = result(judge_gates(before, after, {"flips": 0.2}), "flips")
    assert (strict.ruling, loose.ruling) == (Ruling.FAILED, Ruling.PASSED)


def test_outcomes_of_other_cases_are_refused() -> None:
    """Two different sets would be compared, and anything could come out."""
    with pytest.raises(ValueError, match="same cases"):
        judge_gates(balanced(6), balanced(9))
    with pytest.raises(ValueError, match="same cases"):
        judge_gates([], [])


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[Outcome], list[Outcome]]:
    truths = draw(st.lists(st.sampled_from(CLASSES), min_size=3, max_size=60))
    verdicts = st.sampled_from((*CLASSES, Label.ABSTAIN))
    dice = st.floats(0, 1)
    return tuple(  # type: ignore[return-value]
        [outcome(truth, draw(verdicts), draw(dice)) for truth in truths] for _ in range(2)
    )


@settings(max_examples=60, deadline=None)
@given(sides())
def test_the_interval_holds_and_the_same_seed_rules_the_same(both: tuple[list[Outcome], list[Outcome]]) -> None:
    """A ruling would depend on luck, or its figures would contradict each other."""
    before, after = both
    first, again = judge_gates(before, after, seed=3), judge_gates(before, after, seed=3)
    assert first == again
    for one in first:
        if one.loss is None or one.low is None or one.high is None:
            continue
        assert one.low <= one.high
        if one.passed:
            assert one.high <= one.limit + 1e-9
            assert one.loss <= one.limit + 1e-9


@settings(max_examples=60, deadline=None)
@given(sides())
def test_figures_are_those_of_plain_counting(both: tuple[list[Outcome], list[Outcome]]) -> None:
    """Weighted sums are easy to get wrong; plain loops are not."""
    before, after = both
    found = {one.name: one for one in judge_gates(before, after)}
    malignant = [one for one in after if one.truth is MALIGNANT]
    if malignant:
        share = sum(one.verdict is MALIGNANT for one in malignant) / len(malignant)
        assert found["malignant_sensitivity"].candidate == pytest.approx(share)
    flips = sum(a.verdict is not b.verdict for a, b in zip(before, after, strict=True)) / len(after)
    assert found["flips"].loss == pytest.approx(flips)
    dices = [one.dice for one in after if one.dice is not None]
    if len(dices) > 1:
        wanted = hdquantiles(dices, prob=[0.1, 0.5])
        assert (found["dice_p10"].candidate, found["dice_median"].candidate) == pytest.approx(tuple(wanted))


def test_a_rounding_error_where_few_outlines_lie_is_no_loss() -> None:
    """One case that changes places with the next, far away, would refuse a candidate that lost nothing."""
    dices = [*np.linspace(0, 0.2, 40), *np.linspace(0.26, 0.95, 361)]
    before = [outcome(MALIGNANT, MALIGNANT, one) for one in dices]
    rng = np.random.default_rng(7)
    after = [outcome(MALIGNANT, MALIGNANT, float(np.clip(one + rng.normal(0, 0.01), 0, 1))) for one in dices]
    (found,) = judge_gates(before, after, only=["dice_p10"])
    assert found.passed
    worse = [outcome(MALIGNANT, MALIGNANT, 0.0 if one < 0.3 and rng.random() < 0.3 else one) for one in dices]
    (found,) = judge_gates(before, worse, only=["dice_p10"])
    assert not found.passed, "three in ten of the worst outlines are gone"


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=50), st.integers(0, 9))
def test_resampling_keeps_the_number_of_each_class(truths: list[int], seed: int) -> None:
    """An interval would include sets without a single tumour, which the design of the set excludes."""
    truth = np.array(truths)
    weights = resample(truth, seed)
    assert (weights[0] == 1).all()
    for label in set(truths):
        assert (weights[:, truth == label].sum(axis=1) == truths.count(label)).all()


def test_the_calibration_curve_counts_each_case_once() -> None:
    """The report's curve would show other cases than were judged."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet((1, 1, 1), 200)
    curve = calibration_curve(rng.integers(0, 3, 200), probabilities)
    assert sum(count for _, _, count in curve) == 200
    assert all(0 <= share <= 1 and 1 / 3 <= said <= 1 for said, share, _ in curve)


def test_every_gate_has_a_title_of_its_own() -> None:
    """A report would call two gates by one name."""
    assert len({gate.title for gate in GATES}) == len({gate.name for gate in GATES}) == len(GATES)


def _sharpened(one: Outcome) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(one.probabilities**8 / (one.probabilities**8).sum(), np.float32)
