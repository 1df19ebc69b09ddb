"""The figures that the log shows after each epoch, on validation pictures that nothing was done to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.crop import classifier_input
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import Pixels

from .batches import replace_side, square
from .cache import OUT_OF_SCOPE, PictureCache, box_of
from .metrics import confusion, dice, macro_f1
from .regions import Regions

_BATCH = 16
_SPECK = 0.0003
"""Share of the square below which a false lesion is not counted: 20 of 65,536 pixels."""


def segmenter_figures(
    model: Any, cache: PictureCache, indices: NDArray[np.int64], p: Preprocessing, side: int
) -> dict[str, float]:
    """Median Dice of the lesions, median Dice of the bones, share of normals with a false lesion.

    Args:
        model: from `trainable_view`.
        cache: of the pictures.
        indices: the pictures to use.
        p: how they were prepared.
        side: pixels of the model's square.
    """
    lesion, bone, alarms = [], [], []
    for start in range(0, len(indices), _BATCH):
        chosen = indices[start : start + _BATCH]
        grey = np.stack([square(cache.picture[index], side) for index in chosen])
        answer = model.predict_on_batch(((grey - p.mean) / p.std).astype(np.float32)[..., None])
        found = np.asarray(answer["logits"]) >= 0
        for index, maps in zip(chosen, found, strict=True):
            truth = square(cache.lesion[index], side) >= 0.5
            if truth.any():
                lesion.append(dice(maps[..., 1], truth))
            elif cache.label[index] != OUT_OF_SCOPE:
                alarms.append(float(maps[..., 1].mean() > _SPECK))
            if cache.label[index] != OUT_OF_SCOPE and cache.knows_bone(int(index)):
                bone.append(dice(maps[..., 0], square(cache.bone[index], side) >= 0.5))
    named = {"lesion_dice": lesion, "bone_dice": bone}
    figures = {name: float(np.median(values)) for name, values in named.items() if values}
    return figures | ({"false_alarms": float(np.mean(alarms))} if alarms else {})


def classifier_logits(
    model: Any,
    cache: PictureCache,
    boxes: NDArray[np.int32],
    maps: NDArray[np.uint8],
    indices: NDArray[np.int64],
    p: Preprocessing,
    side: int,
) -> Pixels:
    """Logits float32 "k 3" of the squares `boxes` (int32 "k 4", working pixels) of pictures `indices`.

    `maps`: uint8 "k side side 2", lesion and bone as the segmenter found them, 0..255.
    """
    at_side = replace_side(p, side)
    logits = []
    for start in range(0, len(indices), _BATCH):
        rows = range(start, min(start + _BATCH, len(indices)))
        crops = []
        for row in rows:
            lesion, bone = np.moveaxis(maps[row].astype(np.float32) / np.float32(255), 2, 0)
            region = box_of(boxes[row])
            crops.append(classifier_input(cache.prepared(int(indices[row]), p), lesion, bone, region, at_side))
        answer = model.predict_on_batch(np.stack(crops))
        logits.append(np.asarray(answer["logits"] if isinstance(answer, dict) else answer, np.float32))
    return np.concatenate(logits)


def classifier_figures(
    model: Any, cache: PictureCache, regions: Regions, indices: NDArray[np.int64], p: Preprocessing, side: int
) -> dict[str, float]:
    """Negative log-likelihood, three-class macro-F1, accuracy of tumour against normal, on predicted regions."""
    logits = classifier_logits(
        model, cache, regions.predicted[indices, 0], regions.maps[indices], indices, p, side
    ).astype(np.float64)
    truths = cache.label[indices].astype(np.int64)
    logits -= logits.max(axis=1, keepdims=True)
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    verdicts = logits.argmax(axis=1)
    return {
        "validation_loss": float(-logarithms[np.arange(len(truths)), truths].mean()),
        "macro_f1": float(macro_f1(confusion(truths, verdicts))),
        "tumour_accuracy": float(np.mean((verdicts > 0) == (truths > 0))),
    }
