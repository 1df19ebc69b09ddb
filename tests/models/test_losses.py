"""The losses, against plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.models.losses import UNKNOWN, classification_loss, evidence_loss, segmentation_loss

pytestmark = pytest.mark.full
SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def _keras() -> None:
    pytest.importorskip("keras")


def segmentation(targets: Any, logits: Any) -> float:
    return float(segmentation_loss(np.asarray(targets, np.float32), np.asarray(logits, np.float32)))


@pytest.mark.parametrize("alarm", [0.0, 1.0])
def test_nothing_is_learned_of_bones_that_nobody_drew(alarm: float) -> None:
    """A network would unlearn bones on sets that outline lesions only."""
    rng = np.random.default_rng(3)
    targets, logits = (rng.random((4, SIDE, SIDE, 2)).round(), rng.normal(size=(4, SIDE, SIDE, 2)))
    targets[..., 0] = UNKNOWN
    other = logits.copy()
    other[..., 0] = rng.normal(size=(4, SIDE, SIDE))
    first, second = (
        float(segmentation_loss(np.float32(targets), np.float32(one), alarm=alarm)) for one in (logits, other)
    )
    assert first == second
    assert first > 0
    maps = np.concatenate([targets[..., 1:], targets[..., :1]], axis=-1)
    said = [np.concatenate([one[..., 1:], one[..., :1]], axis=-1) for one in (logits, other)]
    assert float(evidence_loss(np.float32(maps), np.float32(said[0]))) == float(
        evidence_loss(np.float32(maps), np.float32(said[1]))
    )


def entropy(targets: Any, logits: Any) -> Any:
    """Mean cross-entropy per map, by its definition."""
    probability = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    return -(targets * np.log(probability) + (1 - targets) * np.log(1 - probability)).mean((0, 1, 2))


def missed(targets: Any, logits: Any) -> float:
    """Sum of 1 - Dice over the pictures with a lesion, over one more than their number."""
    losses = []
    for truth, given_ in zip(targets[..., 1], logits[..., 1], strict=True):
        found = 1 / (1 + np.exp(-np.float64(given_)))
        if truth.sum() > 1:
            losses.append(1 - (2 * (truth * found).sum() + 4) / (truth.sum() + found.sum() + 4))
    return float(sum(losses) / (len(losses) + 1))


def pictures(*areas: int) -> Any:
    """Targets "n 32 32 2" with lesions of so many pixels on a bone."""
    targets = np.zeros((len(areas), SIDE, SIDE, 2), np.float32)
    targets[:, :, 8:24, 0] = 1
    for target, area in zip(targets, areas, strict=True):
        target[..., 1].reshape(-1)[200 : 200 + area] = 1
    return targets


@given(
    areas=st.lists(st.integers(0, 300), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    spread=st.floats(0.1, 6),
)
@settings(max_examples=25, deadline=None)
def test_segmentation_by_definition(areas: list[int], seed: int, spread: float) -> None:
    """If it failed, the segmenter would be trained to something else than the decision record says."""
    targets = pictures(*areas)
    logits = np.random.default_rng(seed).normal(0, spread, targets.shape).astype(np.float32)
    bone, lesion = entropy(targets, logits)
    wanted = 0.4 * bone + 6.0 * lesion + missed(targets, logits)
    assert segmentation(targets, logits) == pytest.approx(wanted, rel=1e-3, abs=1e-5)


def test_a_small_lesion_counts_as_much_as_a_large_one() -> None:
    """If it failed, the network would do best by leaving small lesions out, as it once did."""
    targets = pictures(40, 400)
    right = np.where(targets > 0, 6.0, -6.0)

    def price(which: int) -> float:
        """Of missing one lesion, beyond what cross-entropy over pixels asks for it."""
        wrong = right.copy()
        wrong[which, ..., 1] = -6.0
        beyond = [segmentation(targets, x) - 6.0 * entropy(targets, x)[1] for x in (wrong, right)]
        return beyond[0] - beyond[1]

    assert price(0) == pytest.approx(price(1), rel=0.15)
    assert price(0) > 0.25


def test_the_worst_logits_are_finite() -> None:
    """If it failed, training would end with a loss that is not a number."""
    targets = pictures(0, 50)
    for extreme in (1e4, -1e4):
        assert np.isfinite(segmentation(targets, np.full(targets.shape, extreme)))
    assert segmentation(targets, np.where(targets > 0, 1e4, -1e4)) == pytest.approx(0, abs=1e-6)
    assert segmentation(pictures(0, 0), np.full((2, SIDE, SIDE, 2), -1e4)) > 0, "a bone that is not found costs"


def test_false_alarms_cost() -> None:
    """If it failed, a network that marks everything would be as good as one that marks nothing in a normal."""
    targets = pictures(0)
    right = np.where(targets > 0, 6.0, -6.0)
    alarm = right.copy()
    alarm[0, :8, :8, 1] = 6.0
    assert segmentation(targets, alarm) > segmentation(targets, right) + 0.5


@given(seed=st.integers(0, 1000), spread=st.floats(0, 50))
@settings(max_examples=25, deadline=None)
def test_classification_by_definition(seed: int, spread: float) -> None:
    """If it failed, class weights and smoothing would not do what they are for."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (5, 3)).astype(np.float32)
    weights = rng.uniform(0.3, 3, 5)
    targets = (rng.dirichlet((1, 1, 1), 5) * weights[:, None]).astype(np.float32)
    exact = logits.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    logarithms = exact - np.log(np.exp(exact).sum(1, keepdims=True))
    wanted = -(targets * logarithms).sum(1).mean()
    assert float(classification_loss(targets, logits)) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_the_alarm_is_the_cross_entropy_of_the_most_suspicious_places() -> None:
    """If it failed, a small false lesion in a normal bone would cost the segmenter next to nothing."""
    side = 128
    targets = np.zeros((2, side, side, 2), np.float32)
    targets[1, 40:48, 40:48, 1] = 1
    logits = np.full((2, side, side, 2), -3.0, np.float32)
    logits[0, 10:14, 10:18, 1] = 5.0  # a false lesion of exactly the eight cells that are asked
    quiet = float(segmentation_loss(targets, logits))
    loud = float(segmentation_loss(targets, logits, alarm=2.0))
    false_alarm, missed_lesion = np.log1p(np.exp(5.0)), np.log1p(np.exp(-3.0)) + 3.0
    assert loud - quiet == pytest.approx(2.0 * (false_alarm + missed_lesion) / 2, rel=1e-4)
