"""From logits to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonedge.edge.classify import fuse, log_odds, read_logits, suspicion
from bonedge.edge.manifest import Fusion
from bonedge.edge.records import BoundingBox, Classification, Pixels

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


def lesion_map(pixels: int, probability: float) -> Pixels:
    """float32 "256 256" with so many pixels of one probability."""
    found = np.zeros((256, 256), np.float32)
    found.ravel()[:pixels] = probability
    return found


def test_suspicion_is_that_of_the_hundred_highest_pixels() -> None:
    """If it failed, one bright pixel would count as much as a lesion, or a small lesion as nothing."""
    # 0.0015 of the square is 98 pixels.
    assert suspicion(lesion_map(98, 0.8)) == pytest.approx(np.log(4), rel=1e-5)
    assert suspicion(lesion_map(5000, 0.8)) == pytest.approx(np.log(4), rel=1e-5)
    assert suspicion(lesion_map(1, 1.0)) < log_odds(0.02)
    assert np.isfinite([suspicion(lesion_map(0, 0.0)), suspicion(lesion_map(65536, 1.0))]).all()


@given(
    st.lists(st.floats(1e-6, 1), min_size=3, max_size=3),
    st.floats(0, 1),
    st.floats(0, 3),
    st.floats(0, 3),
    st.floats(-4, 4),
)
def test_fusion_weighs_log_odds_and_keeps_the_kind(
    shares: list[float], found: float, classifier: float, doubt: float, offset: float
) -> None:
    """If it failed, the probability of a tumour would mean nothing, or the segmenter decide what kind it is."""
    given_ = Classification(np.asarray(np.array(shares) / sum(shares), np.float32), REGION)
    fusion = Fusion(classifier=classifier, suspicion=doubt, offset=offset)
    fused = fuse(given_, lesion_map(98, found), fusion)
    before, after = given_.probabilities.astype(float), fused.probabilities.astype(float)
    assert after.sum() == pytest.approx(1, abs=1e-6)
    if fusion == Fusion():
        assert fused is given_
        return
    wanted = classifier * log_odds(1 - before[0]) + doubt * log_odds(found) + offset
    assert 1 - after[0] == pytest.approx(1 / (1 + np.exp(-wanted)), abs=1e-5)
    assert after[1] * before[2] == pytest.approx(after[2] * before[1], abs=1e-5)


def test_by_itself_fusion_changes_nothing() -> None:
    """If it failed, older bundles would give other verdicts."""
    classification = read_logits(np.array([[0.0, 1.0, 2.0]], np.float32), 1, REGION)
    assert fuse(classification, lesion_map(98, 0.9), Fusion()) is classification
