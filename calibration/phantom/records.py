"""What a phantom is, and the record that describes it on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Label, Mask, Pixels


class Regime(StrEnum):
    """How hard a lesion is to see."""

    OVERT = "overt"
    TYPICAL = "typical"
    SUBTLE = "subtle"


class Region(StrEnum):
    """What is in the field."""

    KNEE = "knee"
    LEG = "leg"
    ANKLE = "ankle"
    FOREARM = "forearm"
    SHOULDER = "shoulder"
    HIP = "hip"
    HAND = "hand"
    NON_LIMB = "non-limb"


@dataclass(frozen=True)
class Phantom:
    """One simulated radiograph and everything that is known about it."""

    pixels: Pixels
    """float32 "rows columns", 0..1, bone bright: as displayed, after collimation, markers and processing."""
    lesion_mask: Mask
    """bool "rows columns": projection of the lesion's support inside the collimated field; empty for normals."""
    bone_mask: Mask
    """bool "rows columns": projection of the long bones, inside the collimated field."""
    spacing_mm: float
    """Pixel spacing on the detector, square pixels."""
    label: Label
    """normal, benign or malignant; abstain for a non-limb picture."""
    region: Region
    family: str
    """Lesion family (osteosarcoma, ...), confusable (healed fracture, ...), kind of non-limb picture, or plain."""
    regime: Regime
    semiology: dict[str, str] = field(default_factory=dict)
    """Margin, matrix, periosteal reaction, soft tissue, as radiologists name them."""
    rendering: dict[str, str] = field(default_factory=dict)
    """What the console made of it: processing, contrast, edge enhancement, border."""


@dataclass(frozen=True)
class Scene:
    """What reaches the detector, before the console touches it: the physics' answer to an anatomy."""

    signal: NDArray[np.float32]
    """float32 "rows columns", 0..1: detected energy over the open beam's, with scatter, noise and blur."""
    lesion_mask: Mask
    bone_mask: Mask
    spacing_mm: float
    label: Label
    region: Region
    family: str
    regime: Regime
    semiology: dict[str, str] = field(default_factory=dict)
