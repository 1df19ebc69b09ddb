"""What outcomes amount to, against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonedge.calibration.phantom.records import Regime
from bonedge.edge.records import Label
from bonedge.models.evaluation import Outcome, risk_coverage, slices, summarise, worst

NORMAL, BENIGN, MALIGNANT = Label.NORMAL, Label.BENIGN, Label.MALIGNANT


def outcome(truth: Label, verdict: Label, tumour: float = 0.5, **changes: object) -> Outcome:
    probabilities = {"normal": 1 - tumour, "benign": tumour / 2, "malignant": tumour / 2}
    made = Outcome(
        3, 1, (), 0, truth, Regime.OVERT, "knee", "plain", {"contrast": "soft"}, verdict, probabilities, None
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_missed_lesion_counts_as_no_overlap() -> None:
    """The median would be of the lesions that were found."""
    outcomes = [outcome(BENIGN, NORMAL, dice=overlap) for overlap in (0.0, 0.0, 0.9)]
    assert summarise(outcomes, 1)["segmentation"]["dice_median"]["value"] == 0.0


def test_without_both_kinds_nothing_can_be_ranked() -> None:
    """An area under no curve would be reported as 0, or 1."""
    assert summarise([outcome(BENIGN, BENIGN)] * 3, 1)["ranking"]["auc"]["value"] is None
    assert summarise([], 1)["ranking"]["calibration_error"]["value"] is None


def test_an_abstention_without_probabilities_is_left_out_of_the_ranking_only() -> None:
    """One picture of something else would end the evaluation, or flatter its accuracy."""
    outcomes = [outcome(NORMAL, NORMAL, 0.1), outcome(BENIGN, BENIGN, 0.9), outcome(BENIGN, Label.ABSTAIN)]
    outcomes[2] = replace(outcomes[2], probabilities={})
    found = summarise(outcomes, 1)
    assert found["ranking"]["auc"]["value"] == 1.0
    assert found["binary"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert risk_coverage(outcomes, 0.5)[0].answered == 2


def test_a_slice_holds_what_has_the_property() -> None:
    """A region would be blamed for another's errors."""
    outcomes = [
        outcome(NORMAL, NORMAL),
        outcome(NORMAL, BENIGN, region="ankle"),
        outcome(MALIGNANT, BENIGN, region="ankle", family="osteosarcoma", signs={"margin": "III"}, dice=0.4),
        outcome(MALIGNANT, Label.ABSTAIN, region="ankle", family="osteosarcoma", signs={}, dice=0.8),
    ]
    found = {(one.by, one.value): one for one in slices(outcomes)}
    ankle = found["region", "ankle"]
    assert (ankle.pictures, ankle.accuracy.value, ankle.class_accuracy.value) == (3, pytest.approx(1 / 3), 0.0)
    assert ankle.dice_median == pytest.approx(0.6)
    assert found["region", "knee"].dice_median is None
    assert found["margin", "III"].pictures == 1
    assert found["contrast", "soft"].pictures == 2
    assert [one.by for one in slices(outcomes)][:4] == ["region", "region", "finding", "finding"]


def test_only_what_is_worse_beyond_doubt_is_named() -> None:
    """Chance in a handful of pictures would be reported as a weakness, or a weakness would not be."""
    good = [outcome(NORMAL, NORMAL)] * 80
    bad = [outcome(NORMAL, BENIGN, region="ankle")] * 15 + [outcome(NORMAL, NORMAL, region="ankle")] * 5
    few = [outcome(NORMAL, BENIGN, region="forearm")] * 4
    named = worst(slices([*good, *bad, *few]), 0.82, 8)
    assert [(one.by, one.value) for one in named] == [("region", "ankle")]
    assert worst(slices([*good, *bad, *few]), 0.82, 0) == []


def test_the_least_sure_verdicts_are_given_up_first() -> None:
    """The curve would promise that abstaining helps where it does not."""
    sure = [outcome(NORMAL, NORMAL, 0.01)] * 5 + [outcome(BENIGN, BENIGN, 0.99)] * 4
    unsure = outcome(NORMAL, BENIGN, 0.12)
    curve = {one.answered: one.risk.value for one in risk_coverage([*sure, unsure], 0.1)}
    assert curve[10] == pytest.approx(0.1)
    assert curve[9] == 0.0
    # As far from one half, but not from the threshold.
    curve = {one.answered: one.risk.value for one in risk_coverage([*sure, replace(unsure, truth=BENIGN)], 0.1)}
    assert set(curve.values()) == {0.0}


@given(st.lists(st.tuples(st.sampled_from([NORMAL, BENIGN]), st.floats(0, 1)), min_size=1, max_size=40))
def test_coverage_falls_and_everybody_is_counted_once(cases: list[tuple[Label, float]]) -> None:
    """A picture would be counted twice, or a share would be of another number."""
    outcomes = [outcome(truth, BENIGN if tumour >= 0.3 else NORMAL, tumour) for truth, tumour in cases]
    curve = risk_coverage(outcomes, 0.3)
    assert curve[0].answered == len(cases)
    assert curve[0].risk.value == pytest.approx(sum(not one.right for one in outcomes) / len(outcomes))
    assert [one.answered for one in curve] == sorted({one.answered for one in curve}, reverse=True)
