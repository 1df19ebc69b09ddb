"""Table 1 of the project's source paper, and where its figures cannot all be true of one set of pictures."""

from __future__ import annotations

from dataclasses import dataclass

_ROUNDING = 0.5
"""Percentage points by which printed figures may miss each other."""


@dataclass(frozen=True)
class Row:
    """One network's figures as printed, per cent."""

    network: str
    accuracy: float
    precision: float
    recall: float
    f1: float


TABLE = (
    Row("EfficientNetB0", 95.2, 92.5, 100.0, 96.15),
    Row("ResNet-50", 85.06, 84.2, 87.7, 83.6),
    Row("VGG16", 69.53, 92.3, 93.45, 92.88),
    Row("10-layer CNN", 75.31, 89.98, 90.52, 89.7),
)


def contradictions(row: Row) -> list[str]:
    """Sentences, one for each relation between the figures of `row` that does not hold; none where all do.

    F1 is the harmonic mean of precision and recall. With a share s of positives, recall r and precision p, the missed
    are s (1 - r) and the false alarms s r (1 / p - 1); the accuracy is 1 less both, and least when s is 1 or when
    every negative is a false alarm, whichever is reached first.
    """
    found = []
    p, r = row.precision / 100, row.recall / 100
    f1 = 200 * p * r / (p + r)
    if abs(f1 - row.f1) > _ROUNDING:
        found.append(
            f"a precision of {row.precision:g} and a recall of {row.recall:g} make an F1 of {f1:.1f}, not {row.f1:g}"
        )
    alarms = r * (1 / p - 1)
    # False alarms cannot be more than there are negatives: s * alarms <= 1 - s.
    largest = 1 / (1 + alarms)
    least = 100 * (1 - largest * ((1 - r) + alarms))
    if row.accuracy < least - _ROUNDING:
        found.append(
            f"with a precision of {row.precision:g} and a recall of {row.recall:g} the accuracy is at least "
            f"{least:.1f} whatever the share of tumours, not {row.accuracy:g}"
        )
    return found
