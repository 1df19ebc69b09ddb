"""From two trained networks to numbers that decide: thresholds, temperature, and how far is too far.

Everything is fitted on validation pictures, over the whole path that a picture takes at run time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.classify import fuse, log_odds, read_logits, suspicion
from bonedge.edge.crop import choose_region
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.judge import feature_distance
from bonedge.edge.manifest import Abstention, Decision, Fusion, Preprocessing, Training
from bonedge.edge.records import CLASSES, BoundingBox, Label, Pixels

from .cache import OUT_OF_SCOPE, PictureCache
from .metrics import confusion, dice, macro_f1, wilson
from .regions import read_segmentation, segment_all
from .watching import classifier_logits

RECALL = 0.96
"""Share of unseen tumours that the operating point should find: the low end of the interval on validation tumours.

Why not 0.95: docs/decisions/0021."""
_MALIGNANT = CLASSES.index(Label.MALIGNANT)
_LESION_THRESHOLDS = np.round(np.arange(0.2, 0.81, 0.05), 2)
_MALIGNANT_THRESHOLDS = np.round(np.arange(0.2, 0.81, 0.01), 2)
_AS_GOOD = 0.01
"""Macro-F1 within this of the best is as good: then the threshold that misses fewest malignant ones is taken."""
_DIRECTIONS = 24
"""Of the feature space that the distance looks at: the further ones hold more rounding noise than anatomy."""
_AT_ONCE = 512
"""Pictures whose maps are held at a time, where only their features are wanted."""
_SLACK = 1.1
"""The int8 features are not quite those that were fitted."""


@dataclass(frozen=True)
class Operation:
    """What `operation.json` holds."""

    preprocessing: Preprocessing
    decision: Decision
    abstention: Abstention
    training: Training
    report: dict[str, float]
    """Validation figures at this operating point; for people, not in the file."""

    def save(self, folder: Path) -> None:
        """Write `operation.json` and, beside it, `operation.report.json`."""
        parts = ("preprocessing", "decision", "abstention", "training")
        document = {name: getattr(self, name).model_dump() for name in parts}
        write_whole(folder / "operation.json", (json.dumps(document, indent=1) + "\n").encode())
        write_whole(folder / "operation.report.json", (json.dumps(self.report, indent=1) + "\n").encode())


def fit_operation(
    segmenter: Any, classifier: Any, cache: PictureCache, p: Preprocessing, training: Training
) -> Operation:
    """Fit every number of the decision.

    Args:
        segmenter: `keras.Model` with outputs maps and features.
        classifier: `keras.Model` to logits.
        cache: the prepared set; its validation part decides, its training part describes the usual features.
        p: how pictures were prepared.
        training: where the networks come from.

    Raises:
        InvalidConfiguration: no validation picture has one of the classes.
    """
    limb = cache.label != OUT_OF_SCOPE
    validation = np.flatnonzero(limb & cache.validation)
    truths = cache.label[validation].astype(np.int64)
    absent = [label for number, label in enumerate(CLASSES) if number not in truths]
    if absent:
        raise InvalidConfiguration(
            f"the data hold no validation picture that is {absent[0]}; thresholds need pictures of every class"
        )
    maps, features = segment_all(segmenter.predict_on_batch, cache, validation, p)
    lesion_threshold, lesion_dice = _best_lesion_threshold(maps, cache, validation)
    decision = Decision(lesion_threshold=lesion_threshold)

    boxes, shown, fractions = _run_time_regions(cache, validation, maps, features, p, decision)
    logits = classifier_logits(classifier, cache, boxes, shown, validation, p, p.classifier_side_px)
    temperature = best_temperature(logits, truths)
    region = BoundingBox(0, 0, 1, 1)
    heard = [read_logits(row[None], temperature, region) for row in logits]
    lesion_maps = shown[..., 0].astype(np.float32) / np.float32(255)
    fusion = best_fusion(
        [log_odds(1 - float(one.probabilities[0])) for one in heard],
        [suspicion(one) for one in lesion_maps],
        truths > 0,
    )
    probabilities = np.stack(
        [fuse(one, lesion_map, fusion).probabilities for one, lesion_map in zip(heard, lesion_maps, strict=True)]
    )
    tumour_threshold = threshold_that_misses(
        may_miss(int(np.count_nonzero(truths > 0))), 1 - probabilities[:, 0], truths > 0
    )
    malignant_threshold = best_malignant_threshold(probabilities, truths, tumour_threshold)
    decision = decision.model_copy(
        update={
            "temperature": temperature,
            "fusion": fusion,
            "tumour_threshold": tumour_threshold,
            "malignant_threshold": malignant_threshold,
        }
    )

    training_features = _features(segmenter, cache, np.flatnonzero(limb & ~cache.validation), p)
    abstention = fit_abstention(training_features, features, fractions)
    verdicts = _verdicts(probabilities, decision)
    report = {
        "lesion_dice_median": lesion_dice,
        "tumour_accuracy": float(np.mean((verdicts > 0) == (truths > 0))),
        "tumour_recall": float(np.mean(verdicts[truths > 0] > 0)),
        "macro_f1": float(macro_f1(confusion(truths, verdicts))),
        "malignant_sensitivity": float(np.mean(verdicts[truths == _MALIGNANT] == _MALIGNANT)),
        "abstained_limbs": float(np.mean(_abstained(features, fractions, abstention))),
    }
    strangers = np.flatnonzero(~limb & cache.validation)
    if len(strangers):
        maps, features = segment_all(segmenter.predict_on_batch, cache, strangers, p)
        _, _, fractions = _run_time_regions(cache, strangers, maps, features, p, decision)
        report["abstained_others"] = float(np.mean(_abstained(features, fractions, abstention)))
        far = [feature_distance(row, abstention) > abstention.maximum_distance for row in features]
        report["others_too_far"] = float(np.mean(far))
    return Operation(p, decision, abstention, training, report)


def _features(segmenter: Any, cache: PictureCache, indices: NDArray[np.int64], p: Preprocessing) -> Pixels:
    """float32 "k channels", without keeping the maps: of 10,000 pictures they take 16 GB."""
    parts = np.array_split(indices, max(1, len(indices) // _AT_ONCE))
    return np.concatenate([segment_all(segmenter.predict_on_batch, cache, part, p)[1] for part in parts])


def best_temperature(logits: Pixels, truths: NDArray[np.int64]) -> float:
    """The temperature with the smallest negative log-likelihood (Guo et al., 2017), 0.25..4, two digits."""
    candidates = np.exp(np.linspace(np.log(0.25), np.log(4), 200))

    def likelihood(temperature: float) -> float:
        scaled = logits.astype(np.float64) / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        normalised = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return float(normalised[np.arange(len(truths)), truths].mean())

    return round(float(max(candidates, key=likelihood)), 3)


def best_fusion(classifier: Sequence[float], suspicions: Sequence[float], tumour: NDArray[np.bool_]) -> Fusion:
    """Weights of both networks' log odds of a tumour, by logistic regression; none is heard against itself."""
    from sklearn.linear_model import LogisticRegression

    def fitted(columns: list[Sequence[float]]) -> list[float]:
        model = LogisticRegression().fit(np.stack(columns, axis=1), tumour)
        return [round(float(value), 4) for value in (*model.coef_[0], *model.intercept_)]

    both = fitted([classifier, suspicions])
    if min(both[:2]) >= 0:
        return Fusion(classifier=both[0], suspicion=both[1], offset=both[2])
    if both[0] < 0:
        weight, offset = fitted([suspicions])
        return Fusion(classifier=0, suspicion=max(weight, 0), offset=offset)
    weight, offset = fitted([classifier])
    return Fusion(classifier=max(weight, 0), offset=offset)


def threshold_that_misses(missed: int, scores: Pixels, positive: NDArray[np.bool_]) -> float:
    """The highest threshold below which no more than `missed` positives lie, half way to the next score, 0.01..0.99.

    Half way: a score that moves by a quantization step should not fall to the other side.
    """
    reached = float(np.sort(scores[positive])[missed])
    below = scores[scores < reached]
    lower = float(below.max()) if len(below) else 0.0
    # Scores may lie closer together than the four digits: rounding must not lift the threshold above the one to reach.
    rounded = min(round((reached + lower) / 2, 4), np.floor(1e4 * reached) / 1e4)
    return float(np.clip(rounded, 0.01, 0.99))


def may_miss(tumours: int) -> int:
    """How many of so many tumours may be missed with Wilson's 95 % interval still above `RECALL`.

    The more there are to judge by, the less is held in reserve: 5 of 300, 55 of 1,800, none of 137.
    """
    return max((m for m in range(tumours) if (wilson(tumours - m, tumours).low or 0) >= RECALL), default=0)


def best_malignant_threshold(probabilities: Pixels, truths: NDArray[np.int64], tumour_threshold: float) -> float:
    """The threshold with the best macro-F1; among those as good, the one that misses fewest malignant tumours."""
    tried = []
    for threshold in _MALIGNANT_THRESHOLDS:
        decision = Decision(tumour_threshold=tumour_threshold, malignant_threshold=float(threshold))
        verdicts = _verdicts(probabilities, decision)
        sensitivity = float(np.mean(verdicts[truths == _MALIGNANT] == _MALIGNANT))
        tried.append((float(macro_f1(confusion(truths, verdicts))), sensitivity, float(threshold)))
    best = max(score for score, _, _ in tried)
    return max((row for row in tried if row[0] >= best - _AS_GOOD), key=lambda row: (row[1], row[0]))[2]


def fit_abstention(training: Pixels, validation: Pixels, bone_fractions: NDArray[np.float64]) -> Abstention:
    """Where the usual pictures' features lie, and how far from them is too far.

    Args:
        training: float32 "n channels", features of training limbs.
        validation: float32 "k channels", of validation limbs.
        bone_fractions: "k", share of bone in the latter.

    Returns:
        A whitening basis from the principal directions of the training covariance, each variance drawn a little
        towards their mean (Ledoit and Wolf's shrinkage with a fixed weight), and a distance that 99.5 % of
        validation limbs keep, with slack.
    """
    mean = training.astype(np.float64).mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(training.astype(np.float64) - mean, rowvar=False))
    order = np.argsort(variances)[::-1][:_DIRECTIONS]
    kept = 0.95 * variances[order] + 0.05 * variances[order].mean()
    basis = directions[:, order].T / np.sqrt(np.maximum(kept, 1e-12))[:, None]
    fitted = Abstention(
        minimum_bone_fraction=round(min(0.02, 0.5 * float(np.percentile(bone_fractions, 0.5))), 4),
        feature_mean=tuple(_short(mean)),
        feature_basis=tuple(tuple(_short(row)) for row in basis),
        maximum_distance=1.0,
    )
    distances = [feature_distance(row, fitted) for row in validation]
    limit = round(float(np.percentile(distances, 99.5)) * _SLACK, 3)
    return fitted.model_copy(update={"maximum_distance": max(limit, 0.001)})


def _short(values: NDArray[np.float64]) -> list[float]:
    """Six digits: more would be noise in a file that people read."""
    return [float(f"{value:.6g}") for value in values]


def _best_lesion_threshold(maps: Pixels, cache: PictureCache, indices: NDArray[np.int64]) -> tuple[float, float]:
    """(threshold, median Dice) over the pictures that have a lesion, on the segmenter's grid."""
    rows = [row for row, index in enumerate(indices) if (cache.lesion[index] >= 128).any()]
    truths = [cache.lesion[indices[row]] >= 128 for row in rows]
    medians = [
        float(np.median([dice(maps[row, :, :, 1] >= t, truth) for row, truth in zip(rows, truths, strict=True)]))
        for t in _LESION_THRESHOLDS
    ]
    best = int(np.argmax(medians))
    return float(_LESION_THRESHOLDS[best]), medians[best]


def _run_time_regions(
    cache: PictureCache,
    indices: NDArray[np.int64],
    maps: Pixels,
    features: Pixels,
    p: Preprocessing,
    decision: Decision,
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.float64]]:
    """The square that the classifier is shown of each picture (int32 "k 4"), the maps in it, and the share of bone."""
    boxes, fractions = np.zeros((len(indices), 4), np.int32), np.zeros(len(indices))
    shown = np.zeros(maps.shape, np.uint8)
    for row, index in enumerate(indices):
        segmentation, prepared = read_segmentation(cache, int(index), maps[row], features[row], p, decision)
        region = choose_region(segmentation, prepared, p)
        boxes[row] = region.left, region.top, region.right, region.bottom
        shown[row] = np.rint(255 * np.stack([segmentation.lesion_map, segmentation.bone_map], axis=2))
        fractions[row] = segmentation.bone_fraction
    return boxes, shown, fractions


def _verdicts(probabilities: Pixels, decision: Decision) -> NDArray[np.int64]:
    """Class numbers, by the rule of `bonedge.edge.judge` for a picture on which it does not abstain."""
    tumour = 1 - probabilities[:, 0] >= decision.tumour_threshold
    share = probabilities[:, 2] / np.maximum(probabilities[:, 1] + probabilities[:, 2], 1e-30)
    return np.where(tumour, np.where(share >= decision.malignant_threshold, 2, 1), 0).astype(np.int64)


def _abstained(features: Pixels, fractions: NDArray[np.float64], abstention: Abstention) -> NDArray[np.bool_]:
    distances = np.array([feature_distance(row, abstention) for row in features])
    return (distances > abstention.maximum_distance) | (fractions < abstention.minimum_bone_fraction)
