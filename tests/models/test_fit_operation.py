"""From validation pictures to the numbers that decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.convert.trained import Operation as ConverterOperation
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.judge import feature_distance, judge
from bonedge.edge.manifest import Abstention, Decision, Preprocessing, Training
from bonedge.edge.records import CLASSES, BoundingBox, Classification, Label, Segmentation, Source
from bonedge.models.cache import OUT_OF_SCOPE, PictureCache
from bonedge.models.fit_operation import (
    RECALL,
    Operation,
    _verdicts,
    best_fusion,
    best_malignant_threshold,
    best_temperature,
    fit_abstention,
    fit_operation,
    may_miss,
    threshold_that_misses,
)
from bonedge.models.metrics import wilson

# Anywhere, or closer together than a threshold's four digits.
SCORE = st.floats(0, 1, width=32) | st.integers(49_990, 50_010).map(lambda number: number / 100_000)
SCORES = st.lists(st.tuples(SCORE, st.booleans()), min_size=1, max_size=80).filter(
    lambda rows: any(positive for _, positive in rows)
)


@given(rows=SCORES, share=st.sampled_from([0.0, 0.03, 0.5]))
@settings(max_examples=300, deadline=None)
def test_the_operating_point_finds_as_many_tumours_as_it_says(rows: list[tuple[float, bool]], share: float) -> None:
    """If it failed, more tumours would be missed on validation pictures than the model card promises."""
    scores = np.array([score for score, _ in rows], np.float32)
    positive = np.array([flag for _, flag in rows])
    allowed = int(share * positive.sum())
    threshold = threshold_that_misses(allowed, scores, positive)
    assert 0.01 <= threshold <= 0.99
    missed = int((scores[positive] < np.float32(threshold)).sum())
    # A tumour below 0.01 is out of reach: the manifest's thresholds end there.
    lost = int((scores[positive] < 0.01).sum())
    assert missed <= max(allowed, lost)
    # Not lower than need be: at the next tumour above the one that it just reaches, more would be missed.
    above = np.unique(scores[positive & (scores > threshold + 1e-4)])
    if len(above) > 1 and threshold > 0.01:
        assert int((scores[positive] < above[1]).sum()) > allowed


@given(tumours=st.integers(1, 3000))
@settings(deadline=None)
def test_what_may_be_missed_leaves_no_doubt_of_the_recall(tumours: int) -> None:
    """If it failed, unseen tumours would be missed more often than the target, by luck with the validation set."""
    allowed = may_miss(tumours)
    assert 0 <= allowed < 0.05 * tumours
    if allowed:
        assert (wilson(tumours - allowed, tumours).low or 0) >= RECALL
    assert (wilson(tumours - allowed - 1, tumours).low or 0) < RECALL


def test_the_operating_point_lies_between_scores() -> None:
    """If it failed, a score that int8 moves by one step would change the verdict."""
    scores = np.array([0.1, 0.2, 0.6, 0.7, 0.8, 0.9], np.float32)
    positive = np.array([False, False, True, True, True, True])
    assert threshold_that_misses(0, scores, positive) == pytest.approx(0.4)
    assert threshold_that_misses(1, scores, positive) == pytest.approx(0.65)


def nll(logits: Any, truths: Any, temperature: float) -> float:
    scaled = logits.astype(np.float64) / temperature
    return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(truths)), truths]))


@given(seed=st.integers(0, 10**6), spread=st.floats(0.2, 8), bias=st.floats(0, 4))
@settings(max_examples=40, deadline=None)
def test_the_temperature_is_the_best_there_is(seed: int, spread: float, bias: float) -> None:
    """If it failed, a probability of 0.9 would not be right nine times in ten."""
    rng = np.random.default_rng(seed)
    truths = rng.integers(0, 3, 60)
    logits = (rng.normal(0, spread, (60, 3)) + bias * np.eye(3)[truths]).astype(np.float32)
    found = best_temperature(logits, truths)
    assert 0.25 <= found <= 4
    brute = min(nll(logits, truths, t) for t in np.linspace(0.25, 4, 400))
    assert nll(logits, truths, found) <= brute + 2e-3


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_overconfidence(true: float) -> None:
    """If it failed, an overconfident network would stay so."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (20_000, 3))
    shares = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    truths = (shares.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    assert best_temperature((honest * true).astype(np.float32), truths) == pytest.approx(true, rel=0.05)


def test_fusion_finds_the_weights_that_the_data_have() -> None:
    """If it failed, one of the two networks would be heard too loudly."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(1)
    own, other = rng.normal(0, 2, (2, 40_000))
    tumour = rng.random(40_000) < 1 / (1 + np.exp(-(0.7 * own + 0.4 * other - 0.5)))
    found = best_fusion(list(own), list(other), tumour)
    assert (found.classifier, found.suspicion, found.offset) == pytest.approx((0.7, 0.4, -0.5), abs=0.06)


@pytest.mark.parametrize("signs", [(1, -1), (-1, 1), (-1, -1)])
def test_fusion_hears_no_network_against_itself(signs: tuple[int, int]) -> None:
    """If it failed, more suspicion could make a tumour less likely."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(2)
    own, other = rng.normal(0, 2, (2, 5000))
    tumour = rng.random(5000) < 1 / (1 + np.exp(-(signs[0] * own + signs[1] * other)))
    found = best_fusion(list(own), list(other), tumour)
    assert (found.classifier > 0, found.suspicion > 0) == (signs[0] > 0, signs[1] > 0)


def macro(truths: Any, verdicts: Any) -> float:
    figures = []
    for label in range(3):
        right = ((truths == label) & (verdicts == label)).sum()
        both = (truths == label).sum() + (verdicts == label).sum()
        figures.append(2 * right / both if both else 0.0)
    return float(np.mean(figures))


@given(seed=st.integers(0, 10**6), strength=st.floats(0, 3), tumour=st.floats(0.2, 0.8))
@settings(max_examples=40, deadline=None)
def test_the_malignant_threshold_is_as_good_as_any_and_misses_fewest(seed: int, strength: float, tumour: float) -> None:
    """If it failed, malignant tumours would be called benign for no gain."""
    rng = np.random.default_rng(seed)
    truths = np.concatenate([np.arange(3), rng.integers(0, 3, 50)])
    powers = np.exp(rng.normal(0, 1, (53, 3)) + strength * np.eye(3)[truths])
    probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)

    def outcome(threshold: float) -> tuple[float, float]:
        share = probabilities[:, 2] / (probabilities[:, 1] + probabilities[:, 2])
        verdicts = np.where(1 - probabilities[:, 0] < tumour, 0, np.where(share >= threshold, 2, 1))
        return macro(truths, verdicts), float((verdicts[truths == 2] == 2).mean())

    found = outcome(best_malignant_threshold(probabilities, truths, tumour))
    tried = [outcome(threshold) for threshold in np.round(np.arange(0.2, 0.81, 0.01), 2)]
    best = max(score for score, _ in tried)
    assert found[0] >= best - 0.01 - 1e-6
    assert found[1] == pytest.approx(max(sensitivity for score, sensitivity in tried if score >= best - 0.01))


@given(seed=st.integers(0, 10**6), tumour=st.floats(0.02, 0.98), malignant=st.floats(0.02, 0.98))
@settings(max_examples=50, deadline=None)
def test_verdicts_are_those_of_the_judge(seed: int, tumour: float, malignant: float) -> None:
    """If it failed, thresholds would be fitted to a rule that no workstation follows."""
    decision = Decision(tumour_threshold=tumour, malignant_threshold=malignant)
    probabilities = np.random.default_rng(seed).dirichlet((0.5, 0.5, 0.5), 8).astype(np.float32)
    nothing = np.zeros((4, 4), np.float32)
    for row, verdict in zip(probabilities, _verdicts(probabilities, decision), strict=True):
        segmentation = Segmentation(nothing > 0, (), nothing, nothing, np.zeros(1, np.float32), None, 1.0)
        abstention = Abstention(feature_mean=(0.0,), feature_basis=((1.0,),), maximum_distance=1)
        said = judge(
            Source("", 640, 640), segmentation, Classification(row, BoundingBox(0, 0, 1, 1)), decision, abstention
        )
        at_the_edge = min(abs(1 - row[0] - tumour), abs(row[2] - malignant * (row[1] + row[2]))) < 1e-6
        assert at_the_edge or said.label is CLASSES[verdict]


@given(
    seed=st.integers(0, 10**6), channels=st.integers(2, 40), pictures=st.integers(3, 120), scale=st.floats(1e-3, 1e3)
)
@settings(max_examples=30, deadline=None)
def test_hardly_any_limb_is_too_far_and_strangers_are(seed: int, channels: int, pictures: int, scale: float) -> None:
    """If it failed, the model would fall silent on the very pictures it was made for, or speak about skulls."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(0, 1, (channels, channels)) * np.geomspace(1, 0.01, channels)
    training = (scale * (rng.normal(0, 1, (pictures, channels)) @ mixed + 3)).astype(np.float32)
    validation = (scale * (rng.normal(0, 1, (60, channels)) @ mixed + 3)).astype(np.float32)
    fitted = fit_abstention(training, validation, np.full(60, 0.2))
    assert np.isfinite(fitted.feature_basis).all()
    assert len(fitted.feature_basis) == min(24, channels)
    distances = np.array([feature_distance(row, fitted) for row in validation])
    assert (distances > fitted.maximum_distance).sum() <= 1
    assert fitted.maximum_distance < 1.6 * distances.max() + 0.002
    # Along the direction in which limbs vary most, ten times as far as any limb.
    spread = training.astype(np.float64) - training.mean(0, dtype=np.float64)
    along = np.linalg.svd(spread, full_matrices=False)[2][0]
    reach = np.abs((validation - training.mean(0)) @ along).max()
    if len(training) > channels:
        stranger = training.mean(0) + 10 * max(reach, np.abs(spread @ along).max()) * along
        assert feature_distance(stranger.astype(np.float32), fitted) > distances.mean()


def test_distance_is_mahalanobis() -> None:
    """If it failed, a channel with large numbers alone would decide what is a stranger."""
    rng = np.random.default_rng(3)
    factors = np.array([100.0, 1.0, 0.5])
    training = (rng.normal(0, 1, (5000, 3)) * factors + [5, 6, 7]).astype(np.float32)
    fitted = fit_abstention(training, training[:200], np.full(200, 0.3))
    # A step of one standard deviation along the leading channel; the small ones are drawn towards the mean.
    step = np.array([105, 6, 7], np.float32)
    assert feature_distance(step, fitted) == pytest.approx(1, rel=0.05)
    assert feature_distance(np.array([5, 6, 7], np.float32), fitted) < 0.1
    variances = factors**2
    drawn = 0.95 * variances + 0.05 * variances.mean()
    assert feature_distance(np.array([5, 16, 7], np.float32), fitted) == pytest.approx(10 / drawn[1] ** 0.5, rel=0.1)


@pytest.mark.parametrize(("usual", "expected"), [(0.3, 0.02), (0.03, 0.015), (0.0, 0.0)])
def test_little_bone_is_measured_by_what_is_usual(usual: float, expected: float) -> None:
    """If it failed, limbs with thin bones would never get a verdict."""
    features = np.random.default_rng(0).normal(0, 1, (50, 4)).astype(np.float32)
    assert fit_abstention(features, features, np.full(50, usual)).minimum_bone_fraction == pytest.approx(expected)


@dataclass(frozen=True)
class Answers:
    """A network by another name: `predict_on_batch` is all that is asked of one."""

    predict_on_batch: Callable[[Any], Any]


@pytest.fixture
def fitted(cache: PictureCache, p: Preprocessing, by_brightness: Callable[[Any], dict[str, Any]]) -> Operation:
    """Of a segmenter of thresholds and a classifier that looks at the brightest patch of its crop."""

    def classify(crops: Any) -> Any:
        brightest = np.percentile(crops[..., 0] * p.std + p.mean, 99.5, axis=(1, 2))
        return np.stack([(grey - brightest) ** 2 * -60 for grey in (0.53, 0.8, 0.95)], axis=1).astype(np.float32)

    training = Training(data="Painted.", phantom_seeds=(77,), command="bonedge train")
    return fit_operation(Answers(by_brightness), Answers(classify), cache, p, training)


@pytest.mark.full
def test_fits_every_number_over_the_whole_path(fitted: Operation, cache: PictureCache) -> None:
    """If it failed, a pair that tells all pictures apart would not get thresholds that let it."""
    for figure in ("tumour_accuracy", "tumour_recall", "macro_f1", "malignant_sensitivity"):
        assert fitted.report[figure] == 1.0, figure
    assert fitted.report["lesion_dice_median"] > 0.9
    assert fitted.report["abstained_limbs"] == 0
    # The validation picture without a limb has no bone to be found.
    assert (cache.validation & (cache.label == OUT_OF_SCOPE)).sum() == 1
    assert fitted.report["abstained_others"] == 1
    assert 0.01 <= fitted.decision.tumour_threshold <= 0.99
    assert len(fitted.abstention.feature_mean) == 6


@pytest.mark.full
def test_writes_what_the_converter_reads(fitted: Operation, tmp_path: Path) -> None:
    """If it failed, a trained pair could not be converted."""
    fitted.save(tmp_path)
    read = ConverterOperation.model_validate_json((tmp_path / "operation.json").read_bytes())
    for part in ("preprocessing", "decision", "abstention", "training"):
        assert getattr(read, part) == getattr(fitted, part)
    assert json.loads((tmp_path / "operation.report.json").read_text()) == fitted.report


@pytest.mark.parametrize("missing", list(CLASSES))
def test_a_class_without_validation_pictures_is_named(
    cache: PictureCache, p: Preprocessing, by_brightness: Callable[[Any], dict[str, Any]], missing: Label
) -> None:
    """If it failed, fitting on pictures of one kind would end in a Python error, or in numbers that are none."""
    validation = cache.validation & (cache.label != CLASSES.index(missing))
    without = replace(cache, validation=validation)
    networks = Answers(by_brightness), Answers(lambda crops: np.zeros((len(crops), 3), np.float32))
    with pytest.raises(InvalidConfiguration, match=missing.value):
        fit_operation(*networks, without, p, Training(data="Painted."))
