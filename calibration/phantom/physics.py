"""From path lengths to what the detector counts.

Two photon energies stand for a filtered 55-70 kV beam; attenuation coefficients are mass attenuation coefficients
of NIST (Hubbell & Seltzer, NISTIR 5632) at 40 and 60 keV times density.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import Field

ENERGY_WEIGHTS = (0.55, 0.45)
"""Share of the detected open-beam energy at 40 and 60 keV."""
SOFT_PER_MM = (0.0268, 0.0206)
"""Water-like lean tissue, 1.04 g/cm3."""
FAT_PER_MM = (0.0217, 0.0181)
"""Adipose tissue, 0.95 g/cm3."""
MINERAL_PER_MM = (0.1278, 0.0604)
"""Cortical bone, 1.92 g/cm3."""
METAL_PER_MM = (4.0, 2.0)
"""Steel, in effect opaque within a millimetre or two."""


@dataclass
class Paths:
    """Millimetres of each material along each ray: float32 "rows columns". Mineral displaces lean tissue."""

    soft: Field
    fat: Field
    mineral: Field
    metal: Field


@dataclass(frozen=True)
class Exposure:
    """How the picture was taken."""

    photons: float
    """Detected per pixel in the open beam."""
    scatter: float
    """Scatter-to-primary ratio behind the thick parts (a grid lowers it)."""
    scatter_mm: float
    """Spread of the scattered light."""
    blur_mm: float
    """Standard deviation of focus and detector blur together."""


def random_exposure(rng: np.random.Generator) -> Exposure:
    """An exposure as a radiographer might choose it, from a low-dose child's film to a good one."""
    return Exposure(
        photons=float(np.exp(rng.uniform(np.log(1800), np.log(20000)))),
        scatter=float(rng.uniform(0.05, 0.5)),
        scatter_mm=float(rng.uniform(14, 30)),
        blur_mm=float(rng.uniform(0.12, 0.32)),
    )


def expose(passed: Field, exposure: Exposure, spacing_mm: float, rng: np.random.Generator) -> Field:
    """Detected energy relative to the open beam, 0..1, float32 "rows columns", from `primary` of the paths.

    Scatter as a wide blur of what was absorbed, quantum noise with Poisson variance
    (its Gaussian limit: tens of photons and more), part of it after the optical blur.
    """
    scattered = _wide_blur(passed * (1 - passed), exposure.scatter_mm / spacing_mm)
    signal: Field = np.asarray(passed + scattered * np.float32(exposure.scatter), np.float32)
    sigma = exposure.blur_mm / spacing_mm
    if sigma > 0.2:
        signal = np.asarray(cv2.GaussianBlur(signal, (0, 0), sigma), np.float32)
    grain = np.asarray(rng.standard_normal(signal.shape, dtype=np.float32))
    softened = cv2.GaussianBlur(grain, (0, 0), 0.6)
    noise = np.sqrt(np.maximum(signal, 1e-4) / np.float32(exposure.photons)) * (0.6 * grain + 0.9 * softened)
    return np.asarray(np.clip(signal + noise, 1e-4, 1.0), np.float32)


def primary(paths: Paths) -> Field:
    """Energy that passes without being scattered, relative to the open beam, 0..1: Beer and Lambert, per energy."""
    passed: Field = np.zeros_like(paths.soft)
    for weight, soft, fat, mineral, metal in zip(
        ENERGY_WEIGHTS, SOFT_PER_MM, FAT_PER_MM, MINERAL_PER_MM, METAL_PER_MM, strict=True
    ):
        depth = paths.soft * np.float32(soft) + paths.fat * np.float32(fat)
        depth += paths.mineral * np.float32(mineral - soft) + paths.metal * np.float32(metal)
        passed += np.float32(weight) * np.exp(-depth)
    return passed


def _wide_blur(field: Field, sigma_px: float) -> Field:
    rows, columns = field.shape
    step = max(1, int(sigma_px / 3))
    small = cv2.resize(field, (max(2, columns // step), max(2, rows // step)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma_px / step, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(blurred, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
