"""Which part of the picture the classifier looks at, and how it is cut out."""

from __future__ import annotations

import math

import numpy as np

from .geometry import clip_box, resize, scale_box
from .manifest import Preprocessing
from .preprocess import Prepared
from .records import BoundingBox, Pixels, Segmentation

_BONE_MARGIN = 1.05
_SIDES_PER_OCTAVE = 4
"""Sides that squares are snapped to: 19 % apart."""


def choose_region(segmentation: Segmentation, prepared: Prepared, p: Preprocessing) -> BoundingBox:
    """The lesion with the most evidence, else the long bones, else the whole picture.

    Returns:
        A square in pixels of `prepared.working`; it may overhang the picture.
    """
    rows, columns = prepared.working.shape
    original_rows, original_columns = segmentation.mask.shape
    factors = columns / original_columns, rows / original_rows
    if segmentation.lesions:
        box = clip_box(scale_box(segmentation.lesions[0].box, *factors), rows, columns)
        return lesion_region(box, rows, columns, p)
    if segmentation.bone_box is not None:
        return bone_region(clip_box(scale_box(segmentation.bone_box, *factors), rows, columns), rows, columns, p)
    return bone_region(BoundingBox(0, 0, columns, rows), rows, columns, p)


def lesion_region(box: BoundingBox, rows: int, columns: int, p: Preprocessing) -> BoundingBox:
    """A square centred on a lesion's box, with the context, and on the grid, that the manifest asks for.

    Args:
        box: of the lesion, in working pixels.
        rows: of the working picture.
        columns: of the working picture.
        p: `crop_context`, `crop_minimum_fraction` and `crop_grid`.
    """
    side = max(p.crop_context * max(box.width, box.height), p.crop_minimum_fraction * max(rows, columns))
    return _square(box, side, p.crop_grid)


def bone_region(box: BoundingBox, rows: int, columns: int, p: Preprocessing) -> BoundingBox:
    """A square centred on the long bones' box, with a small margin. Arguments as for `lesion_region`."""
    side = max(_BONE_MARGIN * max(box.width, box.height), p.crop_minimum_fraction * max(rows, columns))
    return _square(box, side, p.crop_grid)


def crop(working: Pixels, region: BoundingBox, p: Preprocessing) -> Pixels:
    """Cut `region` out of the working picture for the classifier.

    Args:
        working: float32 "h w", 0..1.
        region: in working pixels; what lies outside the picture is grey 0.
        p: side, mean and std.

    Returns:
        float32 "side side 3": three equal channels of (grey - mean) / std.
    """
    rows, columns = working.shape
    cut = np.zeros((region.height, region.width), np.float32)
    top, bottom = max(region.top, 0), min(region.bottom, rows)
    left, right = max(region.left, 0), min(region.right, columns)
    if top < bottom and left < right:
        cut[top - region.top : bottom - region.top, left - region.left : right - region.left] = working[
            top:bottom, left:right
        ]
    grey = (resize(cut, p.classifier_side_px, p.classifier_side_px) - np.float32(p.mean)) / np.float32(p.std)
    return np.repeat(grey[:, :, None], 3, axis=2)


def classifier_input(
    prepared: Prepared, lesion_map: Pixels, bone_map: Pixels, region: BoundingBox, p: Preprocessing
) -> Pixels:
    """What the classifier is shown of `region`: float32 "side side 3".

    Args:
        prepared: the picture.
        lesion_map: float32 "S S", the segmenter's, 0..1 on its own square.
        bone_map: likewise.
        region: in pixels of `prepared.working`.
        p: `classifier_channels` says what the channels hold; each is (value - mean) / std, value 0..1.
    """
    picture = crop(prepared.working, region, p)
    if p.classifier_channels == "grey":
        return picture
    maps = [prepared.letterbox.cut(one, region, p.classifier_side_px) for one in (lesion_map, bone_map)]
    return np.stack([picture[:, :, 0], *((one - np.float32(p.mean)) / np.float32(p.std) for one in maps)], axis=2)


def _square(box: BoundingBox, side: float, grid: int) -> BoundingBox:
    """Around the box's centre; snapped, unless `grid` is 0.

    An outline's box moves by a pixel when the segmenter is rounded to eight bits, or another engine runs it, and a
    classifier that is shown its lesion half a pixel further left says something else. Snapped, it is shown the same.
    """
    if grid:
        side = 2 ** (round(_SIDES_PER_OCTAVE * math.log2(side)) / _SIDES_PER_OCTAVE)
    whole = max(1, round(side))
    step = max(1, round(whole / grid)) if grid else 0
    left = round(_snapped((box.left + box.right) / 2, step) - whole / 2)
    top = round(_snapped((box.top + box.bottom) / 2, step) - whole / 2)
    return BoundingBox(left, top, left + whole, top + whole)


def _snapped(middle: float, step: int) -> float:
    return step * round(middle / step) if step else middle
