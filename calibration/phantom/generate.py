"""`generate(seed, index)`: one phantom, the same on every machine for the same two numbers."""

from __future__ import annotations

import numpy as np

from bonedge.edge.records import Label

from .acquisition import acquire
from .nonlimb import nonlimb_scene
from .records import Phantom, Regime, Region
from .scene import limb_scene

LABEL_MIX = (
    *(Label.NORMAL,) * 7,
    *(Label.BENIGN,) * 6,
    *(Label.MALIGNANT,) * 6,
    Label.ABSTAIN,
)  # fmt: skip
"""Labels in the proportions of a training set; consecutive indices walk through a fixed shuffle of it."""
STRIDE = 7
GENERATION = 5
"""Raised when the same seed gives other pictures: sets that were kept are then not those of today."""


def generate(
    seed: int,
    index: int,
    *,
    size: int = 640,
    label: Label | None = None,
    regime: Regime | None = None,
    region: Region | None = None,
) -> Phantom:
    """One simulated radiograph with its truth.

    Args:
        seed: of the set, 0 or more.
        index: of the picture within the set, 0 or more.
        size: long side of the picture, pixels.
        label: what to simulate; by default the index decides, in fixed proportions (35 % normal, 30 % benign,
            30 % malignant, 5 % non-limb).
        regime: how hard the lesion is; by default the index decides, in equal parts.
        region: what is in the field of a limb; by default one of those that the released models know.
    """
    label = label or LABEL_MIX[index * STRIDE % len(LABEL_MIX)]
    regime = regime or tuple(Regime)[index // len(LABEL_MIX) % 3]
    rng = np.random.default_rng(np.random.SeedSequence((0xB0ED6E, seed, index)))
    scene = nonlimb_scene(rng, size) if label is Label.ABSTAIN else limb_scene(rng, label, regime, size, region)
    return acquire(scene, rng)
