"""Whether two systems differ on the same test pictures, or only by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bonedge.models.metrics import Weights

from .figures import Measure, Said, accuracy, auc

_LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """A reference less a rival."""

    rival: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    auc: float
    auc_low: float
    auc_high: float
    """Means over seeds, ends of 95 % bootstrap intervals over pictures; both systems on the same pictures."""
    only_reference: int
    """Pictures that only the reference has right, by the mean of each system's seeds."""
    only_rival: int
    p: float
    """McNemar's exact test on these two (McNemar, Psychometrika 12:153, 1947)."""
    adjusted: float
    """The same after Holm's correction for the number of rivals (Holm, Scand. J. Statist. 6:65, 1979)."""

    @property
    def verdict(self) -> str:
        """What may be said of the reference's verdicts at the level of 5 %."""
        if self.adjusted >= _LEVEL:
            return "no difference shown"
        return f"right {'more' if self.only_reference > self.only_rival else 'less'} often"


def difference(
    rival: str,
    reference: NDArray[np.float64],
    other: NDArray[np.float64],
    truths: NDArray[np.int64],
    weights: Weights,
) -> Difference:
    """How a reference differs from a rival. Both float64 "seeds n 3", the numbers of seeds may differ."""
    right = [(Said(truths, side.mean(axis=0)).verdicts > 0) == (truths > 0) for side in (reference, other)]
    first, second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    p = float(binomtest(first, first + second).pvalue) if first + second else 1.0
    gaps = [_gap(measure, reference, other, truths, weights) for measure in (accuracy, auc)]
    return Difference(rival, *gaps[0], *gaps[1], first, second, p, p)


def adjusted(differences: Sequence[Difference]) -> list[Difference]:
    """The same, with Holm's correction over all of them."""
    order = np.argsort([one.p for one in differences], kind="stable")
    corrected, highest = list(differences), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * differences[place].p))
        corrected[place] = replace(differences[place], adjusted=highest)
    return corrected


def _gap(
    measure: Measure,
    reference: NDArray[np.float64],
    other: NDArray[np.float64],
    truths: NDArray[np.int64],
    weights: Weights,
) -> tuple[float, float, float]:
    drawn = [np.stack([measure(Said(truths, one), weights) for one in side]).mean(0) for side in (reference, other)]
    gap = drawn[0] - drawn[1]
    low, high = np.percentile(gap[1:], [2.5, 97.5])
    return float(gap[0]), float(low), float(high)
