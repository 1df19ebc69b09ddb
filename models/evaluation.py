"""What outcomes on pictures of known truth amount to: figures, slices, and what abstaining more would bring. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.calibration.phantom.records import Regime
from bonedge.edge.classify import log_odds
from bonedge.edge.manifest import Manifest
from bonedge.edge.records import CLASSES, Label

from .metrics import (
    NOTHING,
    VERDICTS,
    Estimate,
    binary,
    confusion,
    interval,
    reflected_interval,
    resample,
    segmentation,
    three_class,
    wilson,
)
from .scores import SPECIFICITY, calibration_error_by_chance, expected_calibration_error, roc_area, sensitivity_at

_RESAMPLING_ENTROPY = 0xE7A1
_SENSITIVITY = f"sensitivity_at_{100 * SPECIFICITY:.0f}_specificity"
_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
FEWEST = 10
"""Pictures of a slice that is worth a word."""


@dataclass(frozen=True)
class Outcome:
    """One picture's verdict: a line of the file that `--verdicts` writes."""

    generation: int
    """Of the simulator."""
    seed: int
    regions: tuple[str, ...]
    """The parts of the body that were asked for; none: chance decided. With the three numbers, which picture it is."""
    index: int
    truth: Label
    regime: Regime
    region: str
    family: str
    signs: dict[str, str]
    """Semiology of the lesion and rendering of the picture, such as margin and contrast."""
    verdict: Label
    probabilities: dict[str, float]
    dice: float | None
    """Of the outline on the original grid; 0 for a missed lesion, None where there is no lesion to find."""

    @property
    def is_tumour(self) -> bool:
        return self.truth is not Label.NORMAL

    @property
    def properties(self) -> dict[str, str]:
        """What it may have in common with others."""
        return {"region": self.region, "finding": self.family, "regime": self.regime.value, **self.signs}

    @property
    def right(self) -> bool:
        """Whether tumour or not was told rightly; to abstain is not."""
        return self.verdict is not Label.ABSTAIN and (self.verdict is not Label.NORMAL) == self.is_tumour


@dataclass(frozen=True)
class Slice:
    """Pictures that have something in common."""

    by: str
    """region, finding, regime, or a sign such as margin or contrast."""
    value: str
    pictures: int
    accuracy: Estimate
    """Tumour or not."""
    class_accuracy: Estimate
    """Normal, benign or malignant."""
    dice_median: float | None


@dataclass(frozen=True)
class Coverage:
    """What would be left when the least sure verdicts are given up."""

    coverage: float
    """Share of pictures with a verdict, of all."""
    answered: int
    risk: Estimate
    """Share of them where tumour or not is wrong."""


def summarise(outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    """binary, three_class, ranking, segmentation, abstained and confusion; `seed` fixes the resampling."""
    rng = np.random.default_rng((_RESAMPLING_ENTROPY, seed))
    counts = confusion(
        np.array([CLASSES.index(outcome.truth) for outcome in outcomes], np.int64),
        np.array([VERDICTS.index(outcome.verdict) for outcome in outcomes], np.int64),
    )
    dices = np.array([outcome.dice for outcome in outcomes if outcome.dice is not None], np.float64)
    figures = {
        "binary": binary(counts, rng),
        "three_class": three_class(counts, rng),
        "ranking": _ranking([outcome for outcome in outcomes if outcome.probabilities], seed),
        "segmentation": segmentation(dices, rng),
    }
    return {
        **{part: {name: asdict(figure) for name, figure in group.items()} for part, group in figures.items()},
        "abstained": asdict(wilson(int(counts[:, -1].sum()), int(counts.sum()))),
        "confusion": {
            truth.value: {verdict.value: int(count) for verdict, count in zip(VERDICTS, row, strict=True)}
            for truth, row in zip(CLASSES, counts, strict=True)
        },
    }


def behaviour(manifest: Manifest) -> str:
    """SHA-256 (hexadecimal) of all that decides a bundle's verdicts: networks, preprocessing, decision, abstention."""
    names = sorted(name for one in manifest.networks for name in (*one.segmenter, *one.classifier))
    parts = (manifest.preprocessing, manifest.decision, manifest.abstention)
    grounds = [[name, manifest.files[name]] for name in names], [part.model_dump(mode="json") for part in parts]
    return hashlib.sha256(json.dumps(grounds).encode()).hexdigest()


def slices(outcomes: Sequence[Outcome]) -> list[Slice]:
    """By region, finding (family of the lesion, or what a normal limb shows), regime, and every sign."""
    grouped: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        for common in outcome.properties.items():
            grouped.setdefault(common, []).append(outcome)
    order = {by: place for place, by in enumerate(dict.fromkeys(by for by, _ in grouped))}
    return [
        _slice(by, value, members)
        for (by, value), members in sorted(grouped.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    ]


def slices_of(document: Mapping[str, Any]) -> list[Slice]:
    """The slices in the document of `bonedge evaluate --json`."""
    return [
        Slice(**{**one, **{name: Estimate(**one[name]) for name in ("accuracy", "class_accuracy")}})
        for one in document["slices"]
    ]


def worst(found: Sequence[Slice], overall: float, count: int) -> list[Slice]:
    """Up to `count` slices, worst first, whose whole interval lies below `overall`, an accuracy."""
    worse = [
        one for one in found if one.pictures >= FEWEST and one.accuracy.high is not None and one.accuracy.high < overall
    ]
    return sorted(worse, key=lambda one: one.accuracy.value or 0.0)[:count]


def risk_coverage(outcomes: Sequence[Outcome], threshold: float) -> list[Coverage]:
    """How many verdicts would be wrong if those nearest to the threshold were left to people.

    The risk-coverage curve of a selective classifier (El-Yaniv and Wiener, JMLR 11, 2010). How sure a verdict is, is
    how far its log odds of a tumour are from the threshold's.

    Args:
        outcomes: those without probabilities were abstained on and are never answered.
        threshold: probability from which on a tumour is called.
    """
    answered = [outcome for outcome in outcomes if outcome.verdict is not Label.ABSTAIN]
    limit = log_odds(threshold)
    sureness = [abs(log_odds(1 - outcome.probabilities[Label.NORMAL.value]) - limit) for outcome in answered]
    wrong = np.array([not answered[place].right for place in np.argsort(sureness, kind="stable")[::-1]], np.int64)
    counts = [min(round(share * len(outcomes)), len(answered)) for share in _COVERAGES]
    return [
        Coverage(count / len(outcomes), count, wilson(int(wrong[:count].sum()), count))
        for count in dict.fromkeys(counts)
        if count
    ]


def _ranking(outcomes: Sequence[Outcome], seed: int) -> dict[str, Estimate]:
    """Area under the ROC curve of tumour against normal, recall at a set specificity, expected calibration error.

    The latter also as so few pictures would show it if the probabilities were right.
    """
    truths = np.array([CLASSES.index(outcome.truth) for outcome in outcomes], np.int64)
    tumour = truths > 0
    if not tumour.any() or tumour.all():
        return dict.fromkeys(("auc", _SENSITIVITY, "calibration_error", "calibration_error_by_chance"), NOTHING)
    probabilities = np.array([[outcome.probabilities[label] for label in CLASSES] for outcome in outcomes], np.float64)
    scores, weights = 1 - probabilities[:, 0], resample(truths, seed)
    by_chance = calibration_error_by_chance(probabilities, seed)
    errors = expected_calibration_error(probabilities, truths, weights)
    return {
        "auc": _estimate(roc_area(scores, tumour, weights)),
        _SENSITIVITY: _estimate(sensitivity_at(SPECIFICITY, scores, tumour, weights)),
        "calibration_error": reflected_interval(float(errors[0]), errors[1:]),
        "calibration_error_by_chance": interval(float(by_chance.mean()), by_chance),
    }


def _estimate(drawn: NDArray[np.float64]) -> Estimate:
    return interval(float(drawn[0]), drawn[1:])


def _slice(by: str, value: str, members: Sequence[Outcome]) -> Slice:
    dices = [outcome.dice for outcome in members if outcome.dice is not None]
    return Slice(
        by,
        value,
        len(members),
        wilson(sum(outcome.right for outcome in members), len(members)),
        wilson(sum(outcome.verdict is outcome.truth for outcome in members), len(members)),
        float(np.median(dices)) if dices else None,
    )
