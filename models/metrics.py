"""How good verdicts and outlines are, each figure with a 95 % confidence interval. Arrays in, numbers out.

A verdict may be to abstain; that is never right, whatever the truth: an abstained tumour is a missed one, an abstained
normal is not recognised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import CLASSES, Label, Mask

Counts = NDArray[np.int64]
"""int64 "... 3 4": pictures by truth (order of `CLASSES`) and verdict (`CLASSES`, then abstain)."""

Weights = NDArray[np.float64]
"""float64 "resamples cases": how often each case is drawn; row 0 draws each once."""
VERDICTS = (*CLASSES, Label.ABSTAIN)
_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
RESAMPLES = 2000
_NORMAL, _BENIGN, _MALIGNANT = range(3)
_ABSTAIN = 3


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % confidence interval; None where there is nothing to measure."""

    value: float | None
    low: float | None
    high: float | None


NOTHING = Estimate(None, None, None)


def dice(found: Mask, truth: Mask) -> float:
    """Dice coefficient, 0..1, of two bool "rows columns" masks; 1 when both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((found & truth).sum()) / total


def confusion(truths: NDArray[np.int64], verdicts: NDArray[np.int64]) -> Counts:
    """Counts int64 "3 4" from class numbers: truths 0..2, verdicts 0..3 (3 is abstain)."""
    counts = np.zeros((len(CLASSES), len(VERDICTS)), np.int64)
    np.add.at(counts, (truths, verdicts), 1)
    return counts


def binary(counts: Counts, rng: np.random.Generator) -> dict[str, Estimate]:
    """Tumour (benign or malignant) against normal: accuracy, precision, recall, f1.

    Proportions get Wilson's interval, F1 a percentile bootstrap that resamples within each true class, since their
    numbers are fixed by design.
    """
    found = int(counts[_BENIGN:, _BENIGN:_ABSTAIN].sum())
    alarms = int(counts[_NORMAL, _BENIGN:_ABSTAIN].sum())
    right = found + int(counts[_NORMAL, _NORMAL])
    return {
        "accuracy": wilson(right, int(counts.sum())),
        "precision": wilson(found, found + alarms),
        "recall": wilson(found, int(counts[_BENIGN:].sum())),
        "f1": _resampled(counts, binary_f1, rng),
    }


def three_class(counts: Counts, rng: np.random.Generator) -> dict[str, Estimate]:
    """Normal, benign, malignant: macro_f1 (bootstrap) and malignant_sensitivity, malignant called so (Wilson)."""
    return {
        "macro_f1": _resampled(counts, macro_f1, rng),
        "malignant_sensitivity": wilson(int(counts[_MALIGNANT, _MALIGNANT]), int(counts[_MALIGNANT].sum())),
    }


def segmentation(dices: NDArray[np.float64], rng: np.random.Generator) -> dict[str, Estimate]:
    """Median and 10th percentile of the Dice of pictures with a lesion, percentile bootstrap over pictures."""
    if not len(dices):
        return {"dice_median": NOTHING, "dice_p10": NOTHING}
    drawn = dices[rng.integers(len(dices), size=(RESAMPLES, len(dices)))]
    return {
        "dice_median": interval(float(np.median(dices)), np.median(drawn, axis=1)),
        "dice_p10": interval(float(np.percentile(dices, 10)), np.percentile(drawn, 10, axis=1)),
    }


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with Wilson's score interval (Wilson, Probable inference, JASA 22:209, 1927)."""
    if trials == 0:
        return NOTHING
    share = successes / trials
    denominator = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / denominator
    half = _Z * np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)) / denominator
    # The interval of none begins at 0 and that of all ends at 1, exactly; rounding would leave it short of them.
    low = 0.0 if successes == 0 else float(centre - half)
    return Estimate(share, low, 1.0 if successes == trials else float(centre + half))


def binary_f1(counts: Counts) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN) of tumours, float64 "..."; 0 where nothing was or should have been found."""
    found = counts[..., _BENIGN:, _BENIGN:_ABSTAIN].sum((-2, -1))
    alarms = counts[..., _NORMAL, _BENIGN:_ABSTAIN].sum(-1)
    tumours = counts[..., _BENIGN:, :].sum((-2, -1))
    return _ratio(2 * found, found + alarms + tumours)


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean over the three classes of 2 TP / (2 TP + FP + FN), float64 "..."."""
    right = np.diagonal(counts[..., : len(CLASSES)], axis1=-2, axis2=-1)
    called, true = counts[..., : len(CLASSES)].sum(-2), counts.sum(-1)
    return np.asarray(_ratio(2 * right, called + true).mean(-1), np.float64)


def resample(truth: NDArray[np.int64], seed: int) -> Weights:
    """How often each case is drawn in each of `RESAMPLES` bootstrap samples, after a first row of ones."""
    rng = np.random.default_rng((0x6A7E5, seed))
    weights = np.ones((RESAMPLES + 1, len(truth)))
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        drawn = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=RESAMPLES)
        weights[1:, members] = drawn
    return weights


def share(of: NDArray[np.bool_], among: NDArray[np.bool_], weights: Weights) -> NDArray[np.float64]:
    """Of the cases `among` how many are `of`, float64 "resamples"; 0 where none were drawn. Both bool "cases"."""
    return np.asarray(weights[:, among] @ of[among] / np.maximum(weights[:, among].sum(1), 1), np.float64)


def weighted_confusion(truths: NDArray[np.int64], verdicts: NDArray[np.int64], weights: Weights) -> Counts:
    """`confusion` of each resample, int64 "resamples 3 4"."""
    cell = np.eye(len(CLASSES) * len(VERDICTS))[truths * len(VERDICTS) + verdicts]
    return np.asarray(np.rint(weights @ cell), np.int64).reshape(-1, len(CLASSES), len(VERDICTS))


def interval(value: float, drawn: NDArray[np.float64]) -> Estimate:
    """A figure with its percentile interval from what resampling gave, float64 "resamples"."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def reflected_interval(value: float, drawn: NDArray[np.float64]) -> Estimate:
    """The same for a figure of 0 or more that few pictures make too large, and resampled ones more so.

    The basic bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 5.2.1): as far as the
    resampled lie from the figure, so far lies the figure from the truth. The figure itself is in it in any case.
    """
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, max(0.0, float(2 * value - high)), max(value, float(2 * value - low)))


def _ratio(above: Counts, below: Counts) -> NDArray[np.float64]:
    return np.where(below > 0, above / np.maximum(below, 1), 0.0)


def _resampled(counts: Counts, figure: Callable[[Counts], NDArray[np.float64]], rng: np.random.Generator) -> Estimate:
    """Bootstrap of a figure of the counts: drawing pictures with replacement is drawing each row's multinomial."""
    if not counts.sum():
        return NOTHING
    rows = [rng.multinomial(row.sum(), row / max(row.sum(), 1), size=RESAMPLES) for row in counts]
    return interval(float(figure(counts)), figure(np.stack(rows, axis=1)))
