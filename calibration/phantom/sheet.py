"""A contact sheet: many phantoms on one picture, to be looked at critically."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Label, Mask

from .records import Phantom

Canvas = NDArray[np.uint8]
"""uint8 "rows columns 3", blue, green, red."""

_BACKGROUND = 40
_LESION, _BONE = (60, 60, 255), (200, 160, 60)
_CAPTION_PX = 18
_INKS = {
    Label.NORMAL: (140, 220, 140),
    Label.BENIGN: (80, 210, 240),
    Label.MALIGNANT: (110, 110, 255),
    Label.ABSTAIN: (230, 200, 120),
}


def tile(phantom: Phantom, side: int = 240) -> Canvas:
    """The picture with its caption, and below it once more with lesion (red) and long bones (blue) outlined.

    Args:
        phantom: to show.
        side: of the square that the picture is fitted into, pixels.
    """
    rows, columns = phantom.pixels.shape
    scale = side / max(rows, columns)
    shape = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    grey = cv2.resize(phantom.pixels, shape, interpolation=cv2.INTER_AREA)
    plain = np.repeat(np.rint(grey * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    outlined = plain.copy()
    _outline(outlined, phantom.bone_mask, _BONE)
    _outline(outlined, phantom.lesion_mask, _LESION)
    detail = " ".join([phantom.region.value, phantom.regime.value, *_margin(phantom)])
    captions = ((f"{phantom.label.value}: {phantom.family}", _INKS[phantom.label]), (detail, (190, 190, 190)))
    return np.vstack([_framed(plain, side, *captions[0]), _framed(outlined, side, *captions[1])])


def contact_sheet(tiles: Sequence[Canvas], columns: int = 8) -> Canvas:
    """Tiles of one size in rows of `columns`."""
    count = math.ceil(len(tiles) / columns)
    return np.vstack([_row(tiles[row * columns : (row + 1) * columns], columns) for row in range(count)])


def _row(tiles: Sequence[Canvas], columns: int) -> Canvas:
    blank = np.full_like(tiles[0], _BACKGROUND)
    return np.hstack([*tiles, *[blank] * (columns - len(tiles))])


def _outline(picture: Canvas, mask: Mask, colour: tuple[int, int, int]) -> None:
    small = cv2.resize(mask.astype(np.uint8), (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_AREA)
    outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, colour, 1, cv2.LINE_AA)


def _margin(phantom: Phantom) -> list[str]:
    margin = phantom.semiology.get("margin")
    return [margin] if margin else []


def _framed(picture: Canvas, side: int, text: str, ink: tuple[int, int, int]) -> Canvas:
    """The picture centred on a square with a line of text below."""
    frame = np.full((side + _CAPTION_PX, side, 3), _BACKGROUND, np.uint8)
    top, left = (side - picture.shape[0]) // 2, (side - picture.shape[1]) // 2
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    cv2.putText(frame, text, (4, side + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
    return frame
