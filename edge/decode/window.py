"""From stored values to the grey values that a viewer shows: DICOM's greyscale pipeline as one table.

Modality LUT, VOI LUT, presentation (PS3.3 C.11.1, C.11.2, C.11.6; PS3.4 N.2) are functions of the stored value alone,
so they are evaluated once per possible value, in float64, and the picture is one table look-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Pixels

Values = NDArray[np.float64]
Stored = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16 "rows columns"."""

_CHUNK_PIXELS = 1 << 18
_SAMPLE_PIXELS = 1 << 16
_FLAT = 1 / 255


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True)
class SampleFormat:
    """How a stored value sits in its container (PS3.5 section 8.1.1)."""

    bits: int
    """Bits Stored, 2..16; what lies above them (old overlays) is not picture."""
    signed: bool
    """Two's complement."""
    shift: int = 0
    """Bits below the value: High Bit + 1 - Bits Stored."""


@dataclass(frozen=True)
class Lut:
    """A look-up table of a Modality LUT or VOI LUT Sequence item (PS3.3 C.11.1.1.1, C.11.2.1.1)."""

    first: int
    """Input value that the first entry maps; smaller ones map to the first entry, larger ones to the last."""
    entries: NDArray[np.uint16]
    bits: int
    """Of the output: it spans 0 .. 2**bits - 1."""


@dataclass(frozen=True)
class Window:
    """The first Window Center and Width, in units of the modality LUT's output."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR


@dataclass(frozen=True)
class Presentation:
    """Everything that turns stored values into grey."""

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    """Replaces slope and intercept."""
    voi_lut: Lut | None = None
    """Takes precedence over the window (PS3.3 C.11.2.1 leaves the choice to the viewer)."""
    window: Window | None = None
    inverted: bool = False
    """The lowest output is shown white: MONOCHROME1, or Presentation LUT Shape INVERSE, or both."""
    padding: tuple[int, int] | None = None
    """Lowest and highest stored value that are not picture (Pixel Padding Value, Range Limit); shown black."""


def render(stored: Stored, samples: SampleFormat, presentation: Presentation) -> Pixels:
    """The picture as a viewer shows it.

    Without a usable VOI, or where it leaves the picture flat, the grey scale runs over the picture's own values, from
    the 0.1th to the 99.9th percentile (or from the lowest to the highest where those coincide).

    Args:
        stored: "rows columns", as in the file; bits that are not part of the value may be anything.
        samples: where the value is.
        presentation: how it is shown.

    Returns:
        float32 "rows columns", 0..1; all zero when every pixel has the same value.
    """
    values = stored_values(samples, stored.dtype.itemsize * 8)
    padded = np.zeros(values.shape, np.bool_)
    if presentation.padding is not None:
        padded = (values >= presentation.padding[0]) & (values <= presentation.padding[1])
    modality = modality_values(values, presentation)
    shown = voi_values(modality, presentation)
    if shown is None or _flat(stored, shown, padded):
        shown = _stretch(stored, modality, padded)
    if shown is None:
        return np.zeros(stored.shape, np.float32)
    if presentation.inverted:
        shown = 1.0 - shown
    shown[padded] = 0.0
    return _look_up(stored, shown.astype(np.float32))


def stored_values(samples: SampleFormat, container_bits: int) -> Values:
    """The value of each bit pattern of the container. Returns float64 "2**container_bits"."""
    patterns = np.arange(1 << container_bits, dtype=np.int64)
    values = (patterns >> samples.shift) & ((1 << samples.bits) - 1)
    if samples.signed:
        values = np.where(values >> (samples.bits - 1), values - (1 << samples.bits), values)
    return values.astype(np.float64)


def modality_values(values: Values, presentation: Presentation) -> Values:
    """Modality LUT Sequence, or else slope and intercept (PS3.3 C.11.1); identity where neither is usable."""
    if presentation.modality_lut is not None:
        return _through(values, presentation.modality_lut)
    slope, intercept = presentation.slope, presentation.intercept
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled = values * slope + intercept
    if slope == 0 or not np.isfinite(rescaled).all():
        return values
    return rescaled


def voi_values(modality: Values, presentation: Presentation) -> Values | None:
    """VOI LUT, or else window (PS3.3 C.11.2): float64, 0..1. None when there is none, or none with a meaning."""
    if presentation.voi_lut is not None:
        lut = presentation.voi_lut
        return _through(modality, lut) / _white(lut)
    if presentation.window is None:
        return None
    return window_values(modality, presentation.window)


def _white(lut: Lut) -> int:
    """The entry that is shown white: by its descriptor, unless that says 16 bits over entries of 14 or fewer.

    Modalities that write so mean the entries' own bits; the picture would be shown all but black.
    """
    highest = int(lut.entries.max())
    bits = highest.bit_length() if lut.bits == 16 and highest.bit_length() <= 14 else lut.bits
    return max((1 << bits) - 1, highest, 1)


def window_values(modality: Values, window: Window) -> Values | None:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2 (LINEAR_EXACT), with output 0..1."""
    center, width = window.center, window.width
    if not (np.isfinite(center) and np.isfinite(width)) or width <= 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if window.function is VoiFunction.SIGMOID:
            shown = 1.0 / (1.0 + np.exp(-4.0 * (modality - center) / width))
        elif window.function is VoiFunction.LINEAR_EXACT:
            shown = (modality - center) / width + 0.5
        elif width < 1:
            return None
        elif width == 1:
            shown = np.where(modality <= center - 0.5, 0.0, 1.0)
        else:
            shown = (modality - (center - 0.5)) / (width - 1.0) + 0.5
    return np.clip(np.nan_to_num(shown, nan=0.0), 0.0, 1.0)


def _through(values: Values, lut: Lut) -> Values:
    first = lut.first
    if first > 0x7FFF and values.min() < 0:
        first -= 0x10000  # written as US where the values are signed (the attribute is US or SS)
    index = np.clip(np.rint(values - first), 0, len(lut.entries) - 1).astype(np.int64)
    return lut.entries[index].astype(np.float64)


def _flat(stored: Stored, shown: Values, padded: NDArray[np.bool_]) -> bool:
    """Whether next to nothing of the picture can be told apart."""
    sample = _sample(stored, padded)
    if sample.size == 0:
        return True
    low, high = np.percentile(shown[sample], (0.1, 99.9))
    return bool(high - low < _FLAT)


def _stretch(stored: Stored, modality: Values, padded: NDArray[np.bool_]) -> Values | None:
    """Grey over the picture's own range; None when it has a single value."""
    sample = _sample(stored, padded)
    low, high = np.percentile(modality[sample], (0.1, 99.9)) if sample.size else (0.0, 0.0)
    if low == high:
        present = (np.bincount(stored.ravel(), minlength=len(modality)) > 0) & ~padded
        if not present.any():
            return None
        low, high = modality[present].min(), modality[present].max()
    if low == high:
        return None
    return np.clip((modality - low) / (high - low), 0.0, 1.0)


def _sample(stored: Stored, padded: NDArray[np.bool_]) -> NDArray[Any]:
    """About 65,000 stored patterns on a regular grid, padding left out."""
    step = max(1, int((stored.size / _SAMPLE_PIXELS) ** 0.5))
    sample = stored[::step, ::step].ravel()
    return sample[~padded[sample]]


def _look_up(stored: Stored, table: Pixels) -> Pixels:
    """`table[stored]` without numpy's whole-picture copy of the indices as 64-bit integers."""
    pixels = np.empty(stored.shape, np.float32)
    rows = max(1, _CHUNK_PIXELS // max(1, stored.shape[1]))
    for top in range(0, stored.shape[0], rows):
        np.take(table, stored[top : top + rows], out=pixels[top : top + rows], mode="clip")
    return pixels
