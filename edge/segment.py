"""From the segmenter's maps to lesions in the pixels, and the millimetres, of the picture as it came."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import clip_box, resize, scale_box
from .manifest import Decision
from .preprocess import Prepared
from .records import BoundingBox, Lesion, Mask, Pixels, Segmentation, Source, Spacing

_BONE_SPECK = 0.002
"""Bone regions below this share of the picture do not stretch the bone box."""


def read_maps(maps: Pixels, features: Pixels, prepared: Prepared, source: Source, decision: Decision) -> Segmentation:
    """Threshold the maps and describe what is found.

    Args:
        maps: float32 "1 side side 2", 0..1; channel 0 is long bone, channel 1 is lesion.
        features: float32 "1 channels", the segmenter's pooled bottleneck.
        prepared: the picture that the maps belong to.
        source: its original size and spacing; lesions are reported on that grid.
        decision: thresholds and the smallest lesion.

    Returns:
        Lesions sorted by evidence (the sum of their probabilities), strongest first. Outside the picture
        (letterbox padding) both maps are zero.
    """
    bone_map, lesion_map = _inside(maps[0, :, :, 0], prepared), _inside(maps[0, :, :, 1], prepared)
    probability = resize(prepared.letterbox.inner(lesion_map), source.rows, source.columns)
    lesions, mask = _lesions(probability, source.spacing, decision)
    bone = prepared.letterbox.inner(bone_map) >= decision.bone_threshold
    return Segmentation(
        mask=mask,
        lesions=lesions,
        lesion_map=lesion_map,
        bone_map=bone_map,
        features=np.asarray(features[0], np.float32),
        bone_box=_bone_box(bone, source),
        bone_fraction=float(bone.mean()),
    )


def longest_diameter_mm(region: NDArray[np.uint8], spacing: Spacing) -> float:
    """Maximum Feret diameter of the pixels of `region` that are not 0, in mm.

    The longest distance between two pixel corners of its outline; a single pixel measures its own diagonal.
    """
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    centres = np.concatenate([outline[:, 0, :] for outline in outlines])
    centres = cv2.convexHull(centres)[:, 0, :].astype(np.float64)
    halves = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)])
    corners = (centres[:, None, :] + halves).reshape(-1, 2) * (spacing.column_mm, spacing.row_mm)
    hull = cv2.convexHull(corners.astype(np.float32))[:, 0, :]
    apart = hull[:, None, :] - hull[None, :, :]
    return float(np.sqrt((apart**2).sum(axis=2).max()))


def _inside(square: Pixels, prepared: Prepared) -> Pixels:
    """The map, clipped to 0..1, with zeros in the padding and where the network gave no number."""
    inside = np.zeros(square.shape, np.float32)
    prepared.letterbox.inner(inside)[:] = np.clip(np.nan_to_num(prepared.letterbox.inner(square), nan=0.0), 0, 1)
    return inside


def _lesions(probability: Pixels, spacing: Spacing | None, decision: Decision) -> tuple[tuple[Lesion, ...], Mask]:
    """Connected regions (8-neighbours) of the probability map that are large enough, and their union."""
    mask = np.zeros(probability.shape, np.bool_)
    marked = (probability >= decision.lesion_threshold).view(np.uint8)
    left, top, width, height = cv2.boundingRect(marked)
    if width == 0:
        return (), mask
    # Everything below happens inside the marked rectangle only: most lesions are a small part of the picture.
    window = (slice(top, top + height), slice(left, left + width))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(marked[window]))
    evidence = np.bincount(labels.ravel(), weights=probability[window].ravel(), minlength=count)
    smallest = max(1.0, decision.lesion_minimum_fraction * probability.size)
    kept = [index for index in range(1, count) if statistics[index, cv2.CC_STAT_AREA] >= smallest]
    kept.sort(key=lambda index: -float(evidence[index]))
    mask[window] = _members(labels, kept, count)
    lesions = []
    for index in kept:
        x, y, w, h, area = (int(value) for value in statistics[index])
        region = (labels[y : y + h, x : x + w] == index).view(np.uint8)
        lesions.append(
            Lesion(
                box=BoundingBox(left + x, top + y, left + x + w, top + y + h),
                area_px=area,
                mean_probability=float(evidence[index]) / area,
                area_mm2=None if spacing is None else area * spacing.row_mm * spacing.column_mm,
                longest_diameter_mm=None if spacing is None else longest_diameter_mm(region, spacing),
            )
        )
    return tuple(lesions), mask


def _bone_box(bone: Mask, source: Source) -> BoundingBox | None:
    """Around the bone regions that are more than specks, in original pixels. `bone`: on the letterbox's inner grid."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(bone.astype(np.uint8))
    kept = [index for index in range(1, count) if statistics[index, cv2.CC_STAT_AREA] >= _BONE_SPECK * bone.size]
    if not kept:
        return None
    left, top, width, height = cv2.boundingRect(_members(labels, kept, count).view(np.uint8))
    box = BoundingBox(left, top, left + width, top + height)
    box = scale_box(box, source.columns / bone.shape[1], source.rows / bone.shape[0])
    return clip_box(box, source.rows, source.columns)


def _members(labels: NDArray[np.integer[Any] | np.floating[Any]], kept: list[int], count: int) -> Mask:
    """Where `labels` (0..count - 1) is one of `kept`; by table, for np.isin takes ten times as long."""
    table = np.zeros(count, np.bool_)
    table[kept] = True
    return np.asarray(table[np.asarray(labels, np.int32)])
