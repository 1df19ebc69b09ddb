"""What int8 changed: the same pictures through the fp32 bundle and through a candidate. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bonedge.edge.records import Examination, Label, Mask, Pixels


@dataclass(frozen=True)
class Finding:
    """What is compared of one picture."""

    label: Label
    probabilities: Pixels
    """float32 "3", in the order of `bonedge.edge.records.CLASSES`."""
    mask: Mask
    """bool "rows columns": the lesions, in the picture's own pixels."""

    @classmethod
    def of(cls, examination: Examination) -> Finding:
        """The part of an examination that is compared."""
        return cls(examination.verdict.label, examination.classification.probabilities, examination.segmentation.mask)


@dataclass(frozen=True)
class Agreement:
    """How alike two answers to the same pictures are."""

    pictures: int
    verdicts: float
    """Share of pictures with the same verdict (abstaining is a verdict), 0..1."""
    mean_probability_difference: float
    """Mean over pictures and classes of the absolute difference, 0..1."""
    largest_probability_difference: float
    masks: int
    """Pictures in which at least one side outlined something: what the two Dice figures are about."""
    dice_median: float
    """Of the two lesion masks of a picture, 0..1; 1 when nobody outlined anything."""
    dice_p10: float
    """A tenth of those pictures lie below it."""


def compare(reference: Sequence[Finding], candidate: Sequence[Finding]) -> Agreement:
    """Compare answers picture by picture.

    Args:
        reference: of the fp32 networks.
        candidate: of the same pictures, in the same order.

    Raises:
        ValueError: there are no pictures, or not as many on both sides.
    """
    if not reference or len(reference) != len(candidate):
        raise ValueError(f"{len(reference)} reference and {len(candidate)} candidate findings cannot be compared")
    pairs = list(zip(reference, candidate, strict=True))
    differences = np.array([np.abs(a.probabilities - b.probabilities) for a, b in pairs], np.float64)
    overlaps = [dice(a.mask, b.mask) for a, b in pairs if a.mask.any() or b.mask.any()]
    return Agreement(
        pictures=len(pairs),
        verdicts=float(np.mean([a.label is b.label for a, b in pairs])),
        mean_probability_difference=float(differences.mean()),
        largest_probability_difference=float(differences.max()),
        masks=len(overlaps),
        dice_median=float(np.median(overlaps)) if overlaps else 1.0,
        dice_p10=float(np.percentile(overlaps, 10)) if overlaps else 1.0,
    )


def dice(first: Mask, second: Mask) -> float:
    """2 |A and B| / (|A| + |B|) (Dice, Ecology 1945), 0..1; 1 for two empty masks."""
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total
