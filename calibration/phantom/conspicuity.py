"""How well a lesion can be seen on its film: what a regime promises is measured, not hoped for.

A lesion drawn from its family may lie behind a thick cortex, or fade so slowly that no reader could point at it. A
label without evidence in the picture teaches nothing and tests nothing, so such a film is not taken. The measure is
the Rose model's signal-to-noise ratio (Rose, J Opt Soc Am 38:196, 1948) in the band of sizes that a reader uses:
coarser changes are indistinguishable from the shape of a limb (Burgess, Jacobson and Judy, Med Phys 28:419, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bonedge.edge.records import Mask

from .geometry import Field
from .physics import Exposure, Paths, primary
from .records import Regime

LEAST_CONSPICUITY = {Regime.OVERT: 3.0, Regime.TYPICAL: 2.4, Regime.SUBTLE: 1.8}
"""What a lesion of the regime has at least."""
_FINE_MM, _COARSE_MM = 0.5, 8.0
"""Standard deviations of the band: detail below is noise, and above is the limb's own shape."""
_TRABECULAE = 0.03
"""Standard deviation of healthy cancellous bone in that band, of the logarithm of the exposure."""


@dataclass(frozen=True)
class Change:
    """What a lesion adds along each ray (less than 0: takes away), mm: float32 "rows columns"."""

    mineral: Field
    soft: Field
    host: Mask
    """Where its bone was: bool "rows columns"."""


def conspicuity(
    paths: Paths, passed: Field, change: Change, lesion: Mask, exposure: Exposure, spacing_mm: float
) -> float:
    """Root mean square, over the lesion, of the change of the log exposure that it makes, over the noise there.

    Args:
        paths: with the lesion.
        passed: `primary` of them.
        change: what the lesion adds.
        lesion: bool "rows columns".
        exposure: of the film.
        spacing_mm: of the pixels.

    Returns:
        0 or more; 0 when nothing of the lesion is in the field.
    """
    if not lesion.any():
        return 0.0
    healthy = Paths(paths.soft - change.soft, paths.fat, paths.mineral - change.mineral, paths.metal)
    without = primary(healthy)
    step = np.log(np.maximum(passed, 1e-4)) - np.log(np.maximum(without, 1e-4))
    fine = max(_FINE_MM, exposure.blur_mm) / spacing_mm
    coarse = _COARSE_MM / spacing_mm
    # Inside the bone, against the bone alone: one that has changed as a whole looks like a healthy thinner one.
    band = np.where(
        change.host,
        _mean_over(change.host, step, fine) - _mean_over(change.host, step, coarse),
        cv2.GaussianBlur(step, (0, 0), fine) - cv2.GaussianBlur(step, (0, 0), coarse),
    )
    contrast = float(np.sqrt(np.mean(np.square(band[lesion]))))
    # Averaging white noise with a Gaussian leaves 1 / (4 pi sigma^2) of its variance.
    quanta = exposure.photons * float(np.median(without[lesion])) * 4 * np.pi * fine**2
    return contrast / float(np.hypot(_TRABECULAE, 1 / np.sqrt(quanta)))


def _mean_over(mask: Mask, field: Field, sigma_px: float) -> Field:
    """Gaussian means that leave out what is outside `mask` (normalized convolution: Knutsson and Westin, 1993)."""
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(field * weight, (0, 0), sigma_px)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), 1e-3), np.float32)
