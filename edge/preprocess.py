"""From a radiograph to the picture that both networks look at.

The steps follow the usual preparation of plain films (grey window, median filter against noise,
contrast-limited adaptive histogram equalization: Zuiderveld, Graphics Gems IV, 1994) and run in this order in
training and on the workstation alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import Letterbox, resize
from .manifest import Preprocessing
from .records import Mask, Pixels, Radiograph

_END = 0.01
"""Greys this close to either end of the picture's own range are air, shutters, markers or burnt out."""
_MINIMUM_SHARE = 0.05
"""A grey window drawn from fewer pixels than this share of the picture would be luck."""
_FLAT = 1e-4
"""A window narrower than this (in 0..1) holds no picture."""
_CORNER_TOLERANCE = 0.016
"""How far a collimated corner may wander from its own grey, as a share of the span of nearly all greys."""
_BRIGHT_CORNER = 0.9
"""A flat corner at least this bright, in the picture's own range, is a white shutter and not anatomy."""
_RIM_PX = 7
"""Working pixels over which a shutter's edge may be smeared."""


@dataclass(frozen=True)
class Prepared:
    """A picture ready for the networks, with the way back to its pixels."""

    working: Pixels
    """float32 "h w", 0..1, long side at most `working_long_side_px`: windowed, filtered, equalized."""
    letterbox: Letterbox
    """Maps `working` to and from the segmenter's square."""
    segmenter_input: Pixels
    """float32 "1 side side 1": (letterboxed grey - mean) / std; the padding is grey 0."""


def prepare(radiograph: Radiograph, p: Preprocessing) -> Prepared:
    """Window, filter, equalize and letterbox one radiograph.

    Never fails and never yields a NaN: a flat picture becomes an even black one. The result does not change
    when all greys of the input are scaled or shifted alike.
    """
    return letterboxed(_equalize(_window(_shrink(radiograph.pixels, p.working_long_side_px), p), p), p)


def letterboxed(working: Pixels, p: Preprocessing) -> Prepared:
    """A working picture (float32 "h w", 0..1) with the segmenter's input: the last step of `prepare`, by itself."""
    letterbox = Letterbox.fit(working.shape[0], working.shape[1], p.segmenter_side_px)
    square = (letterbox.apply(working) - np.float32(p.mean)) / np.float32(p.std)
    return Prepared(working, letterbox, square[None, :, :, None])


def _shrink(pixels: Pixels, long_side_px: int) -> Pixels:
    """Area-average down so that the longer side is `long_side_px`; smaller pictures stay as they are."""
    rows, columns = pixels.shape
    scale = long_side_px / max(rows, columns)
    if scale < 1:
        pixels = resize(pixels, max(1, round(rows * scale)), max(1, round(columns * scale)))
    return np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)


def _window(pixels: Pixels, p: Preprocessing) -> NDArray[np.uint8]:
    """Stretch the anatomy's greys over 0..255, with shutters black whichever way they were burnt in.

    Eight bits are enough after the window, and OpenCV's CLAHE clips per grey level: with 65,536 levels a tile
    holds fewer pixels than levels and the clip limit would clip nothing.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if high - low < _FLAT:
        return np.zeros(pixels.shape, np.uint8)
    own = (pixels - np.float32(low)) * np.float32(1 / (high - low))
    shutter, white = _shutters(own)
    low, high = _grey_ends(own, shutter, p)
    if high - low < _FLAT:
        return np.zeros(pixels.shape, np.uint8)
    own[white] = 0
    gain = 255 / (high - low)
    return np.asarray(cv2.convertScaleAbs(np.maximum(own, np.float32(low)), alpha=gain, beta=-low * gain), np.uint8)


def _grey_ends(own: Pixels, shutter: Mask, p: Preprocessing) -> tuple[float, float]:
    """The window's ends, from the first selection of pixels that is large enough to trust."""
    # Every second pixel of every second row: percentiles of 100,000 pixels are as good and four times quicker.
    greys, shut = own[::2, ::2], shutter[::2, ::2]
    enough = max(1.0, _MINIMUM_SHARE * greys.size)
    inside = (greys > _END) & (greys < 1 - _END)
    for chosen in (inside & ~shut, inside, (greys > 0) & (greys < 1)):
        if np.count_nonzero(chosen) >= enough:
            greys = greys[chosen]
            break
    low, high = np.percentile(greys, (p.low_percentile, p.high_percentile))
    if high - low < _FLAT:
        return float(greys.min()), float(greys.max())
    return float(low), float(high)


def _shutters(own: Pixels) -> tuple[Mask, Mask]:
    """Even areas that reach a corner: (all of them, the white ones).

    Collimation of any shape and turn covers corners; anatomy that reaches a corner is seldom even.
    """
    rows, columns = own.shape
    smooth = np.asarray(cv2.blur(own, (5, 5)), np.float32)
    # Of nearly all greys: a lead marker must not decide what counts as even.
    dark, light = np.percentile(smooth[::4, ::4], (2, 98))
    tolerance = float(_CORNER_TOLERANCE * (light - dark))
    found = np.zeros((rows + 2, columns + 2), np.uint8)
    white = np.zeros((rows, columns), np.bool_)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
    for row, column in ((0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)):
        if found[row + 1, column + 1]:
            continue
        before = found.copy()
        cv2.floodFill(smooth, found, (column, row), 0, tolerance, tolerance, flags)
        if smooth[row, column] >= _BRIGHT_CORNER:
            area = found[1:-1, 1:-1] > before[1:-1, 1:-1]
            white |= area
    # The blur above left a soft rim between shutter and field; take it along where it is still bright.
    rim = np.ones((_RIM_PX, _RIM_PX), np.uint8)
    shutter = cv2.dilate(found[1:-1, 1:-1], rim).astype(np.bool_)
    if white.any():
        white &= ~_field(~white)
        white = cv2.dilate(white.astype(np.uint8), rim).astype(np.bool_) & (own >= _BRIGHT_CORNER - 0.1)
    return shutter, white


def _field(unshuttered: Mask) -> Mask:
    """The convex hull of the largest piece: blades are straight, so what is inside is burnt-out bone, not shutter."""
    inside = cv2.erode(unshuttered.astype(np.uint8), np.ones((_RIM_PX, _RIM_PX), np.uint8))
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    field = np.zeros(unshuttered.shape, np.uint8)
    if outlines:
        cv2.fillConvexPoly(field, cv2.convexHull(max(outlines, key=cv2.contourArea)), 1)
    return field.astype(np.bool_)


def _equalize(grey: NDArray[np.uint8], p: Preprocessing) -> Pixels:
    """Median filter, then CLAHE; an even picture is left alone, for CLAHE would lift it off black."""
    if grey.any():
        if p.median_px:
            grey = np.asarray(cv2.medianBlur(grey, p.median_px), np.uint8)
        if p.clahe_clip > 0:
            clahe = cv2.createCLAHE(clipLimit=p.clahe_clip, tileGridSize=(p.clahe_tiles, p.clahe_tiles))
            grey = np.asarray(clahe.apply(grey), np.uint8)
    return grey.astype(np.float32) / np.float32(255)
