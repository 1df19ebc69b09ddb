"""Which parts of a training picture the classifier is shown.

At run time it sees what the segmenter found: boxes that are off, boxes where nothing is, and whole bones where
something was missed. It is trained on the same, cut by the same code.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.crop import bone_region, choose_region, lesion_region
from bonedge.edge.engines.networks import look_twice
from bonedge.edge.files import write_whole
from bonedge.edge.geometry import clip_box
from bonedge.edge.manifest import Decision, Preprocessing
from bonedge.edge.preprocess import Prepared
from bonedge.edge.records import CLASSES, BoundingBox, Label, Pixels, Segmentation, Source
from bonedge.edge.segment import read_maps

from .cache import PictureCache, box_of

THRESHOLDS = (0.5, 0.2, 0.75)
"""Lesion thresholds at which predicted regions are kept: the likely operating point first."""
_FAINTEST = 0.02
"""Half of a peak below this is noise, and the long bones are taken as a whole."""
_NORMAL = CLASSES.index(Label.NORMAL)


@dataclass(frozen=True)
class Regions:
    """Where the trained segmenter sends the classifier, per picture and threshold."""

    predicted: NDArray[np.int32]
    """int32 "n thresholds 4": left, top, right, bottom of the square, working pixels."""
    suspect: NDArray[np.int32]
    """int32 "n 4": the square around the most suspicious place, however little it is suspected."""
    maps: NDArray[np.uint8]
    """uint8 "n side side 2": lesion and long bone, probability 0..255 on the segmenter's square."""


def read_segmentation(
    cache: PictureCache, index: int, maps: Pixels, features: Pixels, p: Preprocessing, decision: Decision
) -> tuple[Segmentation, Prepared]:
    """The runtime's reading of the maps of one picture, on the working picture's grid.

    Args:
        cache: of the pictures.
        index: which.
        maps: float32 "side side 2".
        features: float32 "channels".
        p: how the picture was prepared.
        decision: thresholds.
    """
    prepared = cache.prepared(index, p)
    source = Source(sha256="", rows=prepared.working.shape[0], columns=prepared.working.shape[1])
    return read_maps(maps[None], features[None], prepared, source, decision), prepared


def segment_all(
    segmenter: Callable[[Pixels], dict[str, Pixels]], cache: PictureCache, indices: NDArray[np.int64], p: Preprocessing
) -> tuple[Pixels, Pixels]:
    """Maps (float32 "k side side 2") and features (float32 "k channels") of pictures that nothing was done to."""

    def segment(pixels: Pixels) -> tuple[Pixels, Pixels]:
        answer = segmenter(pixels)
        return np.asarray(answer["maps"], np.float32), np.asarray(answer["features"], np.float32)

    look = look_twice(segment) if p.segmenter_turned else segment
    # Filled in place: put together from parts, the maps would for a moment take twice the memory.
    maps = np.empty((len(indices), p.segmenter_side_px, p.segmenter_side_px, 2), np.float32)
    features = []
    for start in range(0, len(indices), 32):
        grey = cache.picture[indices[start : start + 32]].astype(np.float32) / np.float32(255)
        pixels = ((grey - np.float32(p.mean)) / np.float32(p.std))[:, :, :, None]
        maps[start : start + 32], of_these = look(pixels)
        features.append(of_these)
    return maps, np.concatenate(features)


def open_regions(
    folder: Path,
    file: Path,
    segmenter: Callable[[Pixels], dict[str, Pixels]],
    cache: PictureCache,
    p: Preprocessing,
    on_progress: Callable[[int, int], None],
    *,
    bfloat16: bool = False,
) -> Regions:
    """What `predict_regions` gives, kept in `folder`: training that is taken up again does not wait for it.

    Args:
        folder: where `cache` is; a cache of other pictures replaces it as a whole.
        file: the segmenter's, by whose content it is known.
        segmenter: the network in `file`.
        cache: of the pictures.
        p: how they were prepared.
        on_progress: called with (pictures done, pictures in all).
        bfloat16: whether `segmenter` convolves in it, which gives other maps.
    """
    kept = folder / "regions.npz"
    made_by = hashlib.sha256(file.read_bytes() + p.model_dump_json().encode() + bytes([bfloat16])).hexdigest()
    try:
        with kept.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            if str(arrays["made_by"]) == made_by:
                return Regions(arrays["predicted"], arrays["suspect"], arrays["maps"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        pass  # there are none, or they are damaged
    regions = predict_regions(segmenter, cache, p, on_progress)
    content = io.BytesIO()
    np.savez_compressed(
        content, made_by=np.array(made_by), predicted=regions.predicted, suspect=regions.suspect, maps=regions.maps
    )
    write_whole(kept, content.getvalue())
    return regions


def predict_regions(
    segmenter: Callable[[Pixels], dict[str, Pixels]],
    cache: PictureCache,
    p: Preprocessing,
    on_progress: Callable[[int, int], None],
) -> Regions:
    """Run the segmenter over every picture and keep where it would send the classifier."""
    count = len(cache.label)
    predicted = np.zeros((count, len(THRESHOLDS), 4), np.int32)
    suspect = np.zeros((count, 4), np.int32)
    kept = np.zeros((*cache.picture.shape, 2), np.uint8)
    for start in range(0, count, 64):
        indices = np.arange(start, min(start + 64, count))
        maps, features = segment_all(segmenter, cache, indices, p)
        for index, picture_maps, picture_features in zip(indices, maps, features, strict=True):
            half_the_peak = float(np.clip(picture_maps[:, :, 1].max() / 2, _FAINTEST, THRESHOLDS[0]))
            places = (*predicted[index], suspect[index])
            for threshold, place in zip((*THRESHOLDS, half_the_peak), places, strict=True):
                decision = Decision(lesion_threshold=threshold)
                found = read_segmentation(cache, int(index), picture_maps, picture_features, p, decision)
                region = choose_region(*found, p)
                place[:] = region.left, region.top, region.right, region.bottom
            kept[index] = np.rint(255 * np.stack([found[0].lesion_map, found[0].bone_map], axis=2))
        on_progress(int(indices[-1]) + 1, count)
    return Regions(predicted, suspect, kept)


def draw_region(
    cache: PictureCache, regions: Regions, index: int, rng: np.random.Generator, p: Preprocessing
) -> BoundingBox:
    """One square of picture `index` to learn from, in working pixels.

    Tumours: mostly what the segmenter found, else the true lesion, now and then the whole bone as if it was missed.
    Normals: what the segmenter would show, the whole bone, the most suspicious place, or a lesion-sized piece of bone,
    so that a tight crop is no proof of a tumour, and what looks like one is seen often.
    """
    rows, columns = int(cache.size[index, 0]), int(cache.size[index, 1])
    lesion = cache.box(cache.lesion_box, index)
    bone = cache.box(cache.bone_box, index) or BoundingBox(0, 0, columns, rows)
    kind = rng.random()
    if kind < 0.55:
        number = 0 if rng.random() < 0.6 else int(rng.integers(1, len(THRESHOLDS)))
        region = box_of(regions.predicted[index, number])
    elif kind < 0.85 and lesion is not None:
        region = lesion_region(lesion, rows, columns, p)
    elif kind < 0.7 and cache.label[index] == _NORMAL:
        region = box_of(regions.suspect[index])
    elif kind < 0.8 and cache.label[index] == _NORMAL:
        region = lesion_region(piece_of_bone(bone, rng, rows, columns), rows, columns, p)
    else:
        region = bone_region(bone, rows, columns, p)
    return jittered(region, rng)


def piece_of_bone(bone: BoundingBox, rng: np.random.Generator, rows: int, columns: int) -> BoundingBox:
    """A box of a lesion's size somewhere on the bones' box."""
    side = rng.uniform(0.08, 0.35) * max(rows, columns)
    x, y = rng.uniform(bone.left, bone.right), rng.uniform(bone.top, bone.bottom)
    box = BoundingBox(round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2))
    return clip_box(box, rows, columns)


def jittered(region: BoundingBox, rng: np.random.Generator) -> BoundingBox:
    """Shift and scale a square as an imperfect segmentation would."""
    side = max(8, round(region.width * float(np.exp(rng.normal(0, 0.12)))))
    x = (region.left + region.right) / 2 + rng.normal(0, 0.05) * region.width
    y = (region.top + region.bottom) / 2 + rng.normal(0, 0.05) * region.width
    left, top = round(x - side / 2), round(y - side / 2)
    return BoundingBox(left, top, left + side, top + side)
