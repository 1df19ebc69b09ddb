"""How good probabilities are, whatever threshold is set on them. Arrays in, one number per bootstrap resample out.

`weights` are those of `bonedge.models.metrics.resample`; element 0 of what is returned is of the cases as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .metrics import Weights

SPECIFICITY = 0.9
"""At which the sensitivity to tumours is given."""
_BINS = 15
"""Of the calibration error: the number of Guo et al., 2017."""
_DRAWS = 500
"""Of truths, for the calibration error by chance."""

Figures = NDArray[np.float64]
"""float64 "resamples"."""


def roc_area(scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: Weights) -> Figures:
    """Area under the ROC curve (Mann-Whitney); equal scores count half. Scores float64 "n", positive bool "n"."""
    values, place = np.unique(scores, return_inverse=True)
    by_score = np.eye(len(values))[place]
    positives, negatives = (weights * positive) @ by_score, (weights * ~positive) @ by_score
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.asarray((positives * (below + negatives / 2)).sum(axis=1) / np.maximum(pairs, 1), np.float64)


def sensitivity_at(
    specificity: float, scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: Weights
) -> Figures:
    """Recall at the lowest threshold at which `specificity` of the negatives stay below it."""
    values, place = np.unique(-scores, return_inverse=True)
    by_score = np.eye(len(values))[place]
    positives = np.cumsum((weights * positive) @ by_score, axis=1)
    negatives = np.cumsum((weights * ~positive) @ by_score, axis=1)
    allowed = negatives <= (1 - specificity) * negatives[:, -1:] + 1e-9
    reached = np.where(allowed, positives, 0).max(axis=1)
    return np.asarray(reached / np.maximum(positives[:, -1], 1), np.float64)


def expected_calibration_error(
    probabilities: NDArray[np.float64], truths: NDArray[np.int64], weights: Weights
) -> Figures:
    """Of the most probable class, 15 bins of equal width (Guo et al., ICML 2017). Probabilities float64 "n classes"."""
    confidence, top = probabilities.max(axis=1), probabilities.argmax(axis=1)
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.eye(_BINS)[bins] * (confidence - (top == truths))[:, None]
    return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1), np.float64)


def calibration_error_by_chance(probabilities: NDArray[np.float64], seed: int) -> Figures:
    """The error that so few cases show though every probability means what it says; float64 "draws".

    Truths are drawn from the probabilities themselves (consistency resampling: Brocker and Smith, Weather and
    Forecasting 22, 2007). Bins count every gap as a loss, so that a perfect model's error is not 0 but falls with the
    number of cases.

    Args:
        probabilities: float64 "n classes".
        seed: of the draws.
    """
    rng = np.random.default_rng((0xCA1B, seed))
    reached = np.cumsum(probabilities, axis=1)[:, :-1]
    truths = (rng.random((_DRAWS, len(probabilities), 1)) > reached).sum(axis=2)
    everyone = np.ones((1, len(probabilities)))
    return np.concatenate([expected_calibration_error(probabilities, drawn, everyone) for drawn in truths])
