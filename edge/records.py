"""The records that stages hand to each other.

Shapes are written `dtype "axis axis"`. Pixels are always bone-bright (as MONOCHROME2 shows them).
Points and boxes are in pixels of the original image unless a name says otherwise, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

NOTICE = "Research use only: a second look by software, not a medical device and not a diagnosis."

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]
LONGEST_VIEW_PX = 1280
"""Long side of the radiograph in an overlay, at most."""


class Label(StrEnum):
    """What a verdict can say. The first three are the classifier's classes, in its output order."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"
    ABSTAIN = "abstain"


CLASSES: tuple[Label, Label, Label] = (Label.NORMAL, Label.BENIGN, Label.MALIGNANT)


@dataclass(frozen=True)
class Spacing:
    """Distance between pixel centres, in mm, on the plane that the file's spacing attribute refers to."""

    row_mm: float
    """Between the centres of two rows (vertical)."""
    column_mm: float
    """Between the centres of two columns (horizontal)."""

    @classmethod
    def plausible(cls, row_mm: float, column_mm: float) -> Spacing | None:
        """The spacing; None when no radiograph has it, so that nothing is measured by it.

        Detectors and film scanners have 0.02 to 0.5 mm, and pixels that are about square.
        """
        low, high = sorted((row_mm, column_mm))
        # Written so that what is not a number is not plausible.
        return cls(row_mm, column_mm) if low >= 0.001 and high <= 10 and high <= 4 * low else None


@dataclass(frozen=True)
class Source:
    """What the picture is, without anything that names a person."""

    sha256: str
    """Of the file's bytes, lower-case hexadecimal."""
    rows: int
    columns: int
    spacing: Spacing | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    modality: str | None = None
    """DICOM Modality (0008,0060), upper case, None for PNG, JPEG and TIFF."""
    body_part: str | None = None
    """DICOM Body Part Examined (0018,0015), upper case."""


@dataclass(frozen=True)
class Radiograph:
    """A decoded single-frame greyscale picture."""

    pixels: Pixels
    """float32 "h w", 0..1, bone bright; 0 and 1 are the ends of the window that was shown.

    The source's rows and columns, or, decoded for the networks' eyes, shrunk evenly to no less than anything looks at.
    """
    source: Source


@dataclass(frozen=True)
class BoundingBox:
    """Half-open box: columns left..right-1, rows top..bottom-1, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True)
class Lesion:
    """One connected region that the segmenter marked, largest evidence first in a result."""

    box: BoundingBox
    area_px: int
    mean_probability: float
    """Mean of the lesion map inside the region, 0..1."""
    area_mm2: float | None = None
    longest_diameter_mm: float | None = None
    """Maximum Feret diameter; None without pixel spacing."""


@dataclass(frozen=True)
class Segmentation:
    """The segmenter's answer, on the original pixel grid."""

    mask: Mask
    """bool "rows columns": union of the lesions kept."""
    lesions: tuple[Lesion, ...]
    lesion_map: Pixels
    """float32 "side side" (the segmenter's own grid), lesion probability 0..1."""
    bone_map: Pixels
    """float32 "side side", long-bone probability 0..1."""
    features: Pixels
    """float32 "channels": pooled bottleneck, for the distance to the training images."""
    bone_box: BoundingBox | None
    """Around the long bones found; None when there are none."""
    bone_fraction: float
    """Share of the picture (padding excluded) that is long bone, 0..1."""


@dataclass(frozen=True)
class Classification:
    """Calibrated class probabilities of one region."""

    probabilities: Pixels
    """float32 "3", in the order of `CLASSES`, sums to 1."""
    region: BoundingBox


@dataclass(frozen=True)
class Verdict:
    """What bonedge says about a picture."""

    label: Label
    probabilities: dict[Label, float]
    """Of normal, benign and malignant; kept when abstaining, for the record."""
    reasons: tuple[str, ...] = ()
    """Why it abstained, or what it rests on; whole sentences."""


@dataclass(frozen=True)
class Timings:
    """Wall-clock milliseconds per stage of one picture."""

    decode: float = 0.0
    preprocess: float = 0.0
    segment: float = 0.0
    classify: float = 0.0
    write: float = 0.0

    @property
    def total(self) -> float:
        return self.decode + self.preprocess + self.segment + self.classify + self.write


@dataclass(frozen=True)
class EngineDescription:
    """Which runtime gave the answer."""

    name: str
    """tflite or openvino."""
    device: str
    """CPU, GPU or AUTO."""
    precision: str
    """int8 or fp32: of the model's weights and activations."""


@dataclass(frozen=True)
class Examination:
    """Everything that the pipeline found in one picture, before anything is written."""

    radiograph: Radiograph
    segmentation: Segmentation
    classification: Classification
    verdict: Verdict
    timings_ms: Timings = field(default_factory=Timings)
