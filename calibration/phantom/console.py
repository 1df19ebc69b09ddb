"""The console: from the logarithm of the exposure to the grey that is shown, as four kinds of processing do it.

Vendors differ more in this step than in any other, and a network that knows one of them stumbles over the next. The
kinds are drawn after what has been published of them:

- film: the characteristic curve alone (Hurter and Driffield, 1890), seen through the scanner that digitised it;
- unsharp: a gradation curve and the boost of edges at some scales, as computed radiography began (Ishida, Fuji
  Computed Radiography Technical Review 1, 1993);
- multiscale: every band of a pyramid is amplified, the faint structures more than the strong ones (Vuylsteke and
  Schoeters, Multiscale image contrast amplification, SPIE 2167, 1994);
- compressed: the broad differences are taken back and the fine ones left, so that skin and dense bone are shown at
  once (Van Metter and Foos, Enhanced latitude for digital projection radiography, SPIE 3658, 1999).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np

from bonedge.edge.records import Mask, Pixels

_FLOOR = 1e-4
"""Smallest relative exposure that a plate tells from nothing: four decades of latitude."""
_SOFT, _HARD = 4.6, 6.1
"""Gradients that part the drawn ones in three."""
_STRONG = 0.5
"""Boost of any structure from which on edges look drawn."""
_NARROWEST = 0.25
"""Smallest range of attenuation that is spread over the grey scale, decades."""
_FAINT = 0.05
"""Below this contrast, of the displayed range, amplification grows no further, or grain would be all there is."""
_COARSEST_PX = 12
"""Shorter side of the pyramid's last level."""


class Chain(StrEnum):
    """A vendor's way of processing."""

    FILM = "film"
    UNSHARP = "unsharp"
    MULTISCALE = "multiscale"
    COMPRESSED = "compressed"


_SHARES = {Chain.FILM: 0.15, Chain.UNSHARP: 0.4, Chain.MULTISCALE: 0.25, Chain.COMPRESSED: 0.2}
"""How often each is drawn."""


@dataclass(frozen=True)
class Console:
    """What the console does to the logarithm of the exposure."""

    chain: Chain
    low_quantile: float
    """Of the anatomy's attenuation: where the displayed range begins, 0..1."""
    high_quantile: float
    low_margin: float
    """Factor on the low end; below 1 the range reaches into the open beam."""
    high_margin: float
    gradient: float
    """Slope of the sigmoid over the ranged attenuation: the film's gamma (Hurter and Driffield, 1890)."""
    centre: float
    """Ranged attenuation that is shown as middle grey."""
    black: float
    white: float
    """Grey levels of the toe and the shoulder, 0..1."""
    detail: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Boost of structures of about 0.4, 1.2 and 5 % of the picture's long side."""
    exponent: float = 1.0
    """To which contrast is raised in every band of the pyramid, 0..1; 1 leaves it as it is."""
    fine_gain: float = 1.0
    """Factor on the pyramid's finest band, where the grain is, 0..1."""
    compression: float = 0.0
    """Share of the broad differences that is taken back, 0..1."""
    breadth: float = 0.05
    """Standard deviation of what counts as broad, as a share of the picture's long side."""
    scanner_px: float = 0.0
    """Standard deviation of the film scanner's blur."""

    @classmethod
    def plain(cls) -> Console:
        """The middle of everything, no edge enhancement."""
        return cls(Chain.FILM, 0.05, 0.995, 0.8, 1.03, 5.0, 0.48, 0.0, 1.0)

    @property
    def manner(self) -> dict[str, str]:
        """Processing, contrast and edge enhancement in words; contrast in three parts of the range that is drawn."""
        contrast = "soft" if self.gradient < _SOFT else "hard" if self.gradient > _HARD else "medium"
        enhanced = "none" if not any(self.detail) else "strong" if max(self.detail) > _STRONG else "mild"
        return {"processing": self.chain.value, "contrast": contrast, "edge enhancement": enhanced}

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Console:
        """One vendor's and one technician's taste."""
        chain = Chain(str(rng.choice([*_SHARES], p=[*_SHARES.values()])))
        console = cls(
            chain=chain,
            low_quantile=rng.uniform(0.01, 0.15),
            high_quantile=rng.uniform(0.985, 0.999),
            low_margin=rng.uniform(0.35, 1.0),
            high_margin=rng.uniform(0.97, 1.15),
            gradient=rng.uniform(3.2, 7.5),
            centre=rng.uniform(0.36, 0.62),
            black=rng.choice([0.0, rng.uniform(0.0, 0.08)]),
            white=rng.uniform(0.86, 1.0),
        )
        return _VENDORS[chain](console, rng)


def develop(signal: Pixels, seen: Mask, console: Console) -> Pixels:
    """Logarithm, automatic range over the anatomy, the vendor's processing, sigmoid.

    The range follows the histogram, so the picture does not depend on the exposure (as the exposure data recognizer
    of a CR reader does; DICOM PS3.3 C.8.7 calls the result For Presentation).

    Args:
        signal: float32 "rows columns", open beam 1.
        seen: bool "rows columns", what lies in the field and under no letter.
        console: what it does.

    Returns:
        float32 "rows columns" 0..1, bone bright.
    """
    attenuation = -np.log10(np.maximum(signal, _FLOOR))
    ranged = _ranged(attenuation.astype(np.float32), seen, console)
    if console.exponent < 1:
        ranged = _ranged(_amplified(ranged, console), seen, console)
    if console.compression > 0:
        ranged = _ranged(_compressed(ranged, console), seen, console)
    shown = _sigmoid(_boost(ranged, console.detail), console)
    if console.scanner_px > 0:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), console.scanner_px), np.float32)
    return shown


def _film(console: Console, rng: np.random.Generator) -> Console:
    return replace(
        console,
        gradient=rng.uniform(4.2, 7.5),
        black=rng.uniform(0.0, 0.12),
        scanner_px=rng.choice([0.0, rng.uniform(0.4, 0.9)]),
    )


def _unsharp(console: Console, rng: np.random.Generator) -> Console:
    strength = rng.choice([0.0, 0.5, 1.0, 1.8], p=[0.1, 0.35, 0.35, 0.2])
    return replace(
        console,
        detail=(
            strength * rng.uniform(0.0, 0.9),
            strength * rng.uniform(0.0, 0.6),
            strength * rng.uniform(0.0, 0.35),
        ),
    )


def _multiscale(console: Console, rng: np.random.Generator) -> Console:
    """The amplified picture is rich in contrast already, so its curve is a gentler one."""
    return replace(
        console,
        exponent=rng.uniform(0.6, 0.85),
        fine_gain=rng.uniform(0.4, 0.9),
        gradient=rng.uniform(2.6, 5.0),
    )


def _compressing(console: Console, rng: np.random.Generator) -> Console:
    strength = rng.choice([0.0, 0.4, 0.8])
    return replace(
        console,
        compression=rng.uniform(0.25, 0.6),
        breadth=rng.uniform(0.025, 0.08),
        detail=(strength * rng.uniform(0.0, 0.9), strength * rng.uniform(0.0, 0.6), 0.0),
    )


_VENDORS: dict[Chain, Callable[[Console, np.random.Generator], Console]] = {
    Chain.FILM: _film,
    Chain.UNSHARP: _unsharp,
    Chain.MULTISCALE: _multiscale,
    Chain.COMPRESSED: _compressing,
}


def _ranged(values: Pixels, seen: Mask, console: Console) -> Pixels:
    """`values` so that the anatomy's range is 0..1; a little beyond both ends is kept."""
    inside = values[seen] if seen.any() else values.ravel()
    anatomy = inside[inside > float(np.quantile(inside, 0.005)) + 0.12]
    if anatomy.size < 0.05 * inside.size:
        anatomy = inside
    low, high = np.quantile(anatomy, [console.low_quantile, console.high_quantile])
    low, high = float(low) * console.low_margin, float(high) * console.high_margin
    high = max(high, low + _NARROWEST)
    return np.asarray(np.clip((values - low) / (high - low), -0.6, 1.6), np.float32)


def _amplified(ranged: Pixels, console: Console) -> Pixels:
    """A Laplacian pyramid (Burt and Adelson, 1983) with each band's contrast raised to a power, put together again."""
    levels = [ranged]
    while min(levels[-1].shape) > 2 * _COARSEST_PX:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    amplified = levels[-1]
    for number in range(len(levels) - 2, -1, -1):
        finer = levels[number]
        rows, columns = finer.shape
        band = finer - cv2.pyrUp(levels[number + 1], dstsize=(columns, rows))
        gain = np.maximum(np.abs(band), np.float32(_FAINT)) ** np.float32(console.exponent - 1)
        if number == 0:
            gain *= np.float32(console.fine_gain)
        amplified = cv2.pyrUp(amplified, dstsize=(columns, rows)) + band * gain
    return np.asarray(amplified, np.float32)


def _compressed(ranged: Pixels, console: Console) -> Pixels:
    """`ranged` less a share of its own broad differences, which are blurred at an eighth of the size."""
    rows, columns = ranged.shape
    small = cv2.resize(np.clip(ranged, 0, 1), (max(1, columns // 8), max(1, rows // 8)), interpolation=cv2.INTER_AREA)
    broad = cv2.GaussianBlur(small, (0, 0), max(0.6, console.breadth * max(rows, columns) / 8))
    broad = cv2.resize(broad, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(ranged - np.float32(console.compression) * (broad - np.float32(0.5)), np.float32)


def _boost(ranged: Pixels, detail: tuple[float, float, float]) -> Pixels:
    """Unsharp masking at three scales."""
    boosted = ranged
    side = max(ranged.shape)
    for strength, scale in zip(detail, (0.002, 0.006, 0.025), strict=True):
        if strength > 0:
            band = ranged - cv2.GaussianBlur(ranged, (0, 0), max(0.6, scale * side))
            # The response saturates, or lead edges would ring over the whole picture.
            boosted = boosted + np.float32(strength) * np.tanh(band / 0.12) * np.float32(0.12)
    return np.asarray(boosted, np.float32)


def _sigmoid(ranged: Pixels, console: Console) -> Pixels:
    """The characteristic curve, rescaled so that its ends at 0 and 1 are black and white."""
    ends = 1 / (1 + np.exp(-console.gradient * (np.array([0.0, 1.0]) - console.centre)))
    curve = 1 / (1 + np.exp(-console.gradient * (ranged - np.float32(console.centre))))
    grey = np.clip((curve - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return np.asarray(console.black + (console.white - console.black) * grey, np.float32)
