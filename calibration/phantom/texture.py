"""Seeded random fields: trabeculae, clouds, lobules."""

from __future__ import annotations

import cv2
import numpy as np

from .geometry import Field


def noise(rng: np.random.Generator, shape: tuple[int, int], across_px: float, along_px: float | None = None) -> Field:
    """Gaussian random field with unit variance.

    Args:
        rng: source of randomness.
        shape: rows, columns.
        across_px: correlation length over columns, pixels.
        along_px: correlation length over rows; the same by default.
    """
    along_px = across_px if along_px is None else along_px
    coarse = max(1, int(min(across_px, along_px) / 2))
    rows, columns = -(-shape[0] // coarse) + 2, -(-shape[1] // coarse) + 2
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), sigmaX=max(across_px / coarse, 0.3), sigmaY=max(along_px / coarse, 0.3))
    if coarse > 1:
        smooth = cv2.resize(smooth, (columns * coarse, rows * coarse), interpolation=cv2.INTER_CUBIC)
    smooth = smooth[coarse : coarse + shape[0], coarse : coarse + shape[1]]
    return np.asarray((smooth - smooth.mean()) / (smooth.std() + 1e-6), np.float32)


def trabeculae(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float) -> Field:
    """Projected cancellous texture: mostly along the limb (the lines of load), some across; unit variance."""
    fine = 0.45 / spacing_mm
    along = noise(rng, shape, fine, 3.2 / spacing_mm)
    across = noise(rng, shape, 2.4 / spacing_mm, fine)
    grain = noise(rng, shape, fine)
    patches = noise(rng, shape, 6.0 / spacing_mm)
    mixed = 0.62 * along + 0.35 * across + 0.4 * grain + 0.55 * patches
    return np.asarray(mixed / (mixed.std() + 1e-6), np.float32)


def smoothstep(value: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, a cubic between; `low` may exceed `high` to fall instead of rise."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
