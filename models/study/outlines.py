"""How well the U-Net's outlines follow the true lesions, each figure with a 95 % confidence interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from bonedge.edge.records import Mask
from bonedge.models.metrics import NOTHING, RESAMPLES, Estimate, dice, interval

from .examples import Examples

THRESHOLD = 128
"""Of the lesion map, 0..255."""
_FARTHEST = 95


def outlines(examples: Examples) -> dict[str, Estimate]:
    """Medians over the pictures that have a lesion, on the U-Net's square.

    `Dice`, `IoU`, `95 % Hausdorff distance where anything was outlined` (in per cent of the square's side) and
    `lesions missed altogether`, a share.
    """
    rng = np.random.default_rng(0x0D1CE)
    dices, overlaps, distances, missed = [], [], [], []
    for index in examples.limbs:
        truth = examples.cache.lesion[index] >= THRESHOLD
        if not truth.any():
            continue
        found = examples.found.maps[index, :, :, 0] >= THRESHOLD
        dices.append(dice(found, truth))
        overlaps.append(int((found & truth).sum()) / int((found | truth).sum()))
        missed.append(float(not (found & truth).any()))
        if found.any():
            distances.append(100 * hausdorff(found, truth) / truth.shape[0])
    return {
        "Dice": _estimate(dices, np.median, rng),
        "IoU": _estimate(overlaps, np.median, rng),
        "95 % Hausdorff distance where anything was outlined": _estimate(distances, np.median, rng),
        "lesions missed altogether": _estimate(missed, np.mean, rng),
    }


def hausdorff(found: Mask, truth: Mask) -> float:
    """95 % Hausdorff distance between the borders of two bool masks that are not empty, pixels.

    The larger of the two 95th percentiles of the distances from one border to the other (Huttenlocher et al., IEEE
    PAMI 15:850, 1993, with a percentile for the maximum).
    """
    borders = [mask & ~binary_erosion(mask) for mask in (found, truth)]
    ways = [
        distance_transform_edt(~there)[here] for here, there in ((borders[0], borders[1]), (borders[1], borders[0]))
    ]
    return float(max(np.percentile(way, _FARTHEST) for way in ways))


def _estimate(values: list[float], middle: Callable[..., Any], rng: np.random.Generator) -> Estimate:
    if not values:
        return NOTHING
    columns: NDArray[np.float64] = np.array(values)
    drawn = middle(columns[rng.integers(len(columns), size=(RESAMPLES, len(columns)))], axis=1)
    return interval(float(middle(columns)), drawn)
