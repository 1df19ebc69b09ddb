"""How much of a large radiograph is decoded: as much as anything looks at, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import LONGEST_VIEW_PX, Pixels

from .window import Lut, Presentation, SampleFormat, Stored, render

_FINER = 1.5
"""A codec's own smaller picture is at least this many times as large as the working picture: each of its levels is a
little blurred, and what is shrunk again by half as much shows nothing of that."""


def codec_levels(long_side: int, working_px: int, available: int) -> int:
    """How often a wavelet codec may leave out its finest level.

    Args:
        long_side: of the whole picture.
        working_px: long side of the picture that the networks are shown.
        available: levels that the codestream has.
    """
    levels = 0
    while levels < available and long_side >> (levels + 1) >= _FINER * working_px:
        levels += 1
    return levels


def shrink_factor(long_side: int, working_px: int) -> int:
    """By how much a decoded picture can be shrunk so that people and networks still see all that they look at."""
    return max(1, long_side // max(LONGEST_VIEW_PX, 2 * working_px))


def render_shrunk(stored: Stored, samples: SampleFormat, presentation: Presentation, factor: int) -> Pixels:
    """`render`, and the mean of each square of `factor` x `factor` pixels.

    Stored values are averaged first where that comes to the same but for the curvature of the grey scale: it leaves
    a quarter of the table look-ups, or fewer. Where a side is no multiple of `factor`, squares are a little larger or
    smaller, so that the whole picture is in them.

    Args:
        stored: as `render` takes it.
        samples: likewise.
        presentation: likewise.
        factor: 1 or more.

    Returns:
        float32 "rows/factor columns/factor", 0..1.
    """
    if factor > 1 and _can_be_averaged(stored, samples, presentation):
        return render(_means(stored, factor), samples, presentation)
    pixels = render(stored, samples, presentation)
    return _means(pixels, factor) if factor > 1 else pixels


def keeps_order(samples: SampleFormat, presentation: Presentation) -> bool:
    """Whether a mean of stored values stands for a picture element between those that it was made of.

    Not with padding (its value is a sign, not a grey), two's complement, bits beside the value, or a table that goes up
    and down.
    """
    tables = (presentation.modality_lut, presentation.voi_lut)
    return (
        presentation.padding is None
        and not samples.signed
        and samples.shift == 0
        and all(table is None or _one_way(table) for table in tables)
    )


def _can_be_averaged(stored: Stored, samples: SampleFormat, presentation: Presentation) -> bool:
    return keeps_order(samples, presentation) and int(stored.max()) >> samples.bits == 0


def _one_way(table: Lut) -> bool:
    steps = np.diff(table.entries.astype(np.int32))
    return bool((steps >= 0).all() or (steps <= 0).all())


def _means(picture: NDArray[Any], factor: int) -> NDArray[Any]:
    import cv2  # a decoding process is ready before it is loaded

    rows, columns = (max(1, round(side / factor)) for side in picture.shape)
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA))
