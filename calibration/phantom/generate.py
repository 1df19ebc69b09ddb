"""`generate(seed, index)`: one phantom, the same on every machine for the same two numbers."""

from __future__ import annotations

import numpy as np

from bonedge.edge.records import Label

from .acquisition import acquire
from .nonlimb import nonlimb_scene
from .records import Phantom, Regime, Region
from .scene import FINDINGS, limb_scene

LABEL_MIX = (
    *(Label.NORMAL,) * 7,
    *(Label.BENIGN,) * 6,
    *(Label.MALIGNANT,) * 6,
    Label.ABSTAIN,
)  # fmt: skip
"""Labels in the proportions of a training set; consecutive indices walk through a fixed shuffle of it."""
STRIDE = 7
GENERATION = 6
"""Raised when the same seed gives other pictures: sets that were kept are then not those of today."""


def generate(
    seed: int,
    index: int,
    *,
    size: int = 640,
    label: Label | None = None,
    regime: Regime | None = None,
    region: Region | None = None,
    finding: str | None = None,
) -> Phantom:
    """One simulated radiograph with its truth.

    Args:
        seed: of the set, 0 or more.
        index: of the picture within the set, 0 or more.
        size: long side of the picture, pixels.
        label: what to simulate; by default the index decides, in fixed proportions (35 % normal, 30 % benign,
            30 % malignant, 5 % non-limb).
        regime: how hard the lesion is; by default the index decides, in equal parts.
        region: what is in the field of a limb; by default one of those that the released models know best.
        finding: what the bone shows, one of `bonedge.calibration.phantom.scene.FINDINGS`, which decides the label; by
            default chance does.

    Raises:
        DoesNotOccur: the finding is not in that region.
        ValueError: the finding is called something else than `label`.
    """
    if finding:
        if label not in (None, FINDINGS[finding]):
            raise ValueError(f"{finding} is {FINDINGS[finding]}, not {label}")
        label = FINDINGS[finding]
    label = label or LABEL_MIX[index * STRIDE % len(LABEL_MIX)]
    regime = regime or tuple(Regime)[index // len(LABEL_MIX) % 3]
    rng = np.random.default_rng(np.random.SeedSequence((0xB0ED6E, seed, index)))
    if label is Label.ABSTAIN:
        return acquire(nonlimb_scene(rng, size), rng)
    return acquire(limb_scene(rng, label, regime, size, region, finding), rng)
