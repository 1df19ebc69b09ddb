"""The study's figures of a system over its seeds, each with a 95 % confidence interval over test pictures.

A figure is the mean over seeds. Its interval resamples pictures, within each true class, and keeps the networks:
percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13), reflected for the
calibration error. How far seeds lie apart is given beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonedge.models.metrics import (
    Counts,
    Weights,
    binary_f1,
    interval,
    macro_f1,
    reflected_interval,
    share,
    weighted_confusion,
)
from bonedge.models.scores import SPECIFICITY, expected_calibration_error, roc_area, sensitivity_at

_MALIGNANT = 2
Figures = NDArray[np.float64]
"""float64 "resamples": of one network; element 0 is of the test pictures as they are."""


@dataclass(frozen=True)
class Figure:
    """One figure of one system; shares 0..1."""

    value: float
    low: float
    high: float
    """Ends of the interval over test pictures."""
    spread: float
    """Standard deviation over seeds; 0 for one seed."""


@dataclass(frozen=True)
class Said:
    """What one network says of the test pictures, as columns of `n` cases."""

    truths: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    """float64 "n 3"."""

    @property
    def verdicts(self) -> NDArray[np.int64]:
        """Class numbers int64 "n"."""
        return verdicts(self.probabilities)

    @property
    def tumour(self) -> NDArray[np.float64]:
        """Probability that there is one."""
        return 1 - self.probabilities[:, 0]


def verdicts(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """A tumour where that is at least as probable as none, and of the more probable kind: the same rule for all.

    Args:
        probabilities: float64 "n 3": normal, benign, malignant.
    """
    kind = np.where(probabilities[:, _MALIGNANT] > probabilities[:, 1], _MALIGNANT, 1)
    return np.where(probabilities[:, 0] > 0.5, 0, kind).astype(np.int64)


Measure = Callable[[Said, Weights], Figures]


def figure(measure: Measure, truths: NDArray[np.int64], probabilities: NDArray[np.float64], weights: Weights) -> Figure:
    """A figure over seeds.

    Args:
        measure: one of `MEASURES`.
        truths: int64 "n", class numbers.
        probabilities: float64 "seeds n 3".
        weights: from `bonedge.models.metrics.resample`.
    """
    drawn = np.stack([measure(Said(truths, one), weights) for one in probabilities])
    mean = drawn.mean(axis=0)
    bounded = reflected_interval if measure is calibration_error else interval
    found = bounded(float(mean[0]), mean[1:])
    assert found.low is not None
    assert found.high is not None
    return Figure(float(mean[0]), found.low, found.high, float(drawn[:, 0].std(ddof=1)) if len(drawn) > 1 else 0.0)


def accuracy(said: Said, weights: Weights) -> Figures:
    """Tumour or not, right."""
    return share((said.verdicts > 0) == (said.truths > 0), np.ones(len(said.truths), np.bool_), weights)


def precision(said: Said, weights: Weights) -> Figures:
    """Of what is called a tumour, how much is one; 0 where nothing is."""
    return share(said.truths > 0, said.verdicts > 0, weights)


def recall(said: Said, weights: Weights) -> Figures:
    """Of the tumours, how many are called so."""
    return share(said.verdicts > 0, said.truths > 0, weights)


def malignant_sensitivity(said: Said, weights: Weights) -> Figures:
    """Of the malignant tumours, how many are called malignant."""
    return share(said.verdicts == _MALIGNANT, said.truths == _MALIGNANT, weights)


def auc(said: Said, weights: Weights) -> Figures:
    """Area under the ROC curve of tumour against normal."""
    return roc_area(said.tumour, said.truths > 0, weights)


def sensitivity(said: Said, weights: Weights) -> Figures:
    """Recall where `SPECIFICITY` of the normals are not called tumours."""
    return sensitivity_at(SPECIFICITY, said.tumour, said.truths > 0, weights)


def calibration_error(said: Said, weights: Weights) -> Figures:
    """Of the most probable class."""
    return expected_calibration_error(said.probabilities, said.truths, weights)


def _of_counts(of: Callable[[Counts], NDArray[np.float64]]) -> Measure:
    def measure(said: Said, weights: Weights) -> Figures:
        return of(weighted_confusion(said.truths, said.verdicts, weights))

    return measure


MEASURES: dict[str, Measure] = {
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "F1": _of_counts(binary_f1),
    "AUC": auc,
    f"sensitivity at {100 * SPECIFICITY:.0f} % specificity": sensitivity,
    "macro-F1": _of_counts(macro_f1),
    "malignant sensitivity": malignant_sensitivity,
    "calibration error": calibration_error,
}
"""By the name that people read; the first six are of tumour against normal."""
