"""Batches for the two networks: a pure function of (seed, epoch, number of the batch)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from time import perf_counter
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.edge.crop import crop
from bonedge.edge.geometry import resize
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import CLASSES, BoundingBox, Pixels

from .augmentation import GENTLE_CROP, WHOLE_PICTURE, Augmentation, augment
from .cache import PictureCache
from .classifier import evidence_sides
from .losses import UNKNOWN
from .regions import Regions, draw_region
from .segmenter import FAMILY

_MARGIN = 1.4
"""A crop is cut this much larger before it is turned, so that turning brings picture, not black, into the corners."""

_MISSED = 0.3
"""Share of crops in which the lesion map is wiped out."""


Draw = Callable[[int, np.random.Generator, Preprocessing], BoundingBox]
"""(number of a picture, source of chance, how it was prepared) -> a square, in working pixels."""


class Batches(Protocol):
    """What one epoch is made of."""

    @property
    def size(self) -> int:
        """Pictures in a batch."""
        ...

    def __len__(self) -> int: ...

    def batch(self, number: int) -> tuple[Pixels, Any]:
        """Inputs and targets of batch `number` of this epoch."""
        ...


@dataclass(frozen=True)
class SegmenterBatches:
    """Inputs float32 "batch side side 1" -> targets by output of `bonedge.models.segmenter.trainable_view`.

    `logits`: float32 "batch side side 2": (long bone, lesion), 0..1; a picture's bone may be `UNKNOWN` everywhere.
    `family`: as `ClassifierBatches` has it.
    """

    cache: PictureCache
    indices: NDArray[np.int64]
    p: Preprocessing
    side: int
    seed: int
    epoch: int
    size: int = 16
    augmentation: Augmentation = WHOLE_PICTURE

    def __len__(self) -> int:
        return max(1, len(self.indices) // self.size)

    def batch(self, number: int) -> tuple[Pixels, dict[str, Pixels]]:
        chosen = pictures_of_batch(self.indices, self.seed, self.epoch, self.size, number)
        inputs, targets = [], []
        for index in chosen:
            rng = np.random.default_rng((self.seed, self.epoch, int(index)))
            arrays = (self.cache.picture, self.cache.bone, self.cache.lesion)
            picture, *planes = (square(array[index], self.side) for array in arrays)
            picture, planes = augment(picture, planes, rng, self.augmentation)
            if not self.cache.knows_bone(int(index)):
                planes[0] = np.full_like(planes[0], UNKNOWN)
            inputs.append(((picture - self.p.mean) / self.p.std)[:, :, None])
            targets.append(np.stack(planes, axis=2))
        masks = np.stack(targets).astype(np.float32)
        return np.stack(inputs).astype(np.float32), {"logits": masks, **_named(self.cache, chosen)}


@dataclass(frozen=True)
class ClassifierBatches:
    """Inputs float32 "batch side side 3" -> targets by output of `bonedge.models.classifier.with_evidence`.

    `logits`: float32 "batch 3", smoothed one-hot times the class's weight. Each of `evidence`: float32
    "batch rows columns maps", share of each cell that is a lesion of each kind of `lesion_kinds`, and long bone (or
    `UNKNOWN` everywhere).
    `family`: float32 "batch families", one-hot, all 0 where it is not known; left out where none is.

    `indices` are pictures of limbs only.
    """

    cache: PictureCache
    regions: Regions
    indices: NDArray[np.int64]
    p: Preprocessing
    side: int
    seed: int
    epoch: int
    size: int = 16
    smoothing: float = 0.05
    augmentation: Augmentation = GENTLE_CROP
    evidence: Mapping[str, int] | None = None
    """Rows and columns of each map of evidence; by default those of the classifier's two."""
    draw: Draw | None = None
    """Chooses the region that is shown, anew each epoch; by default what the classifier is trained on."""
    doubted: bool = True
    """Whether the segmenter's lesion map is at times paler than it was, or empty."""

    def __len__(self) -> int:
        return max(1, len(self.indices) // self.size)

    def batch(self, number: int) -> tuple[Pixels, dict[str, Pixels]]:
        chosen = pictures_of_batch(self.indices, self.seed, self.epoch, self.size, number)
        labels = self.cache.label[chosen].astype(np.int64)
        targets = np.full((len(chosen), 3), self.smoothing / 3, np.float32)
        targets[np.arange(len(chosen)), labels] += 1 - self.smoothing
        # Weighted cross-entropy is cross-entropy against targets that do not sum to 1.
        targets *= self._class_weights()[labels][:, None]
        crops = [self._crop(int(index)) for index in chosen]
        evidence = {
            name: np.stack([np.stack([resize(plane, side, side) for plane in maps], axis=2) for _, maps in crops])
            for name, side in (self.evidence or evidence_sides(self.side)).items()
        }
        return np.stack([grey for grey, _ in crops]), {"logits": targets, **evidence, **_named(self.cache, chosen)}

    def _crop(self, index: int) -> tuple[Pixels, list[Pixels]]:
        """A crop, and what is where in it: a lesion of each of `lesion_kinds`, long bone, each float32 "side side"."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        draw = self.draw or partial(draw_region, self.cache, self.regions)
        region = _grown(draw(index, rng, self.p), _MARGIN)
        large = replace_side(self.p, round(_MARGIN * self.side))
        letterbox = self.cache.letterbox(index)
        squares = [self.cache.lesion[index], self.cache.bone[index], *np.moveaxis(self.regions.maps[index], 2, 0)]
        planes = [
            letterbox.cut(one.astype(np.float32) / np.float32(255), region, large.classifier_side_px) for one in squares
        ]
        grey = crop(self.cache.working_picture(index), region, large)[:, :, 0]
        grey = grey * np.float32(self.p.std) + np.float32(self.p.mean)
        grey, planes = augment(grey, planes, rng, self.augmentation)
        start = (grey.shape[0] - self.side) // 2
        inside = slice(start, start + self.side)
        lesion, bone, found, seen = (plane[inside, inside] for plane in planes)
        shown = [grey[inside, inside], _doubted(found, rng) if self.doubted else found, seen]
        if self.p.classifier_channels == "grey":
            shown = shown[:1] * 3
        kind = lesion_kind(self.cache, index)
        if not self.cache.knows_bone(index):
            bone = np.full_like(bone, UNKNOWN)
        truth = [lesion * np.float32(kind == one) for one in lesion_kinds(self.cache)] + [bone]
        return ((np.stack(shown, axis=2) - self.p.mean) / self.p.std).astype(np.float32), truth

    def _class_weights(self) -> Pixels:
        counts = np.bincount(self.cache.label[self.indices].astype(np.int64), minlength=3)[:3]
        return np.asarray(counts.sum() / (3 * np.maximum(counts, 1)), np.float32)


def lesion_kinds(cache: PictureCache) -> tuple[str, ...]:
    """What the maps of evidence tell apart: families where they are known, else benign and malignant."""
    return cache.lesion_families or (CLASSES[1].value, CLASSES[2].value)


def lesion_kind(cache: PictureCache, index: int) -> str:
    """The one of `lesion_kinds` that picture `index` shows; something else when it has no lesion."""
    if cache.lesion_families and cache.family[index] >= 0:
        return cache.families[int(cache.family[index])]
    return CLASSES[int(cache.label[index])].value


def replace_side(p: Preprocessing, side: int) -> Preprocessing:
    """`p` with another classifier side, for training at a smaller size."""
    return p.model_copy(update={"classifier_side_px": side})


def square(stored: NDArray[np.uint8], side: int) -> Pixels:
    """A square of the cache as float32 "side side", 0..1: smaller by averaging, for training at a smaller size."""
    return resize(stored.astype(np.float32) / np.float32(255), side, side)


def for_keras(batches: Batches, workers: int = 2) -> Any:
    """A `keras.utils.PyDataset` over `batches`; OpenCV and numpy free the interpreter lock, so threads do."""
    import keras

    # The workers are the threads: OpenCV's own cost more than they gave (8 ms of CPU per crop, not 3).
    cv2.setNumThreads(1)

    class _Dataset(keras.utils.PyDataset):  # type: ignore[misc]
        making_seconds = 0.0

        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, number: int) -> tuple[Pixels, Any]:
            begun = perf_counter()
            made = batches.batch(number)
            with lock:
                self.making_seconds += perf_counter() - begun
            return made

        def busy(self, seconds: float) -> float:
            """Share of the workers' time in `seconds` that making batches took; near 1, the trainer waits for them."""
            return self.making_seconds / (workers * seconds)

    lock = Lock()
    return _Dataset(workers=workers, use_multiprocessing=False, max_queue_size=8)


def _named(cache: PictureCache, indices: NDArray[np.int64]) -> dict[str, Pixels]:
    """The families of pictures `indices` as a target, one-hot; nothing where no family is known."""
    if not cache.families:
        return {}
    return {FAMILY: np.asarray(cache.family[indices][:, None] == np.arange(len(cache.families)), np.float32)}


def _doubted(found: Pixels, rng: np.random.Generator) -> Pixels:
    """The segmenter's lesion map as it might be on another picture: paler, or empty. Trust in it is to be learned."""
    strength = 0.0 if rng.random() < _MISSED else rng.uniform(0.5, 1.1)
    return np.asarray(np.clip(found * np.float32(strength), 0, 1), np.float32)


def pictures_of_batch(indices: NDArray[np.int64], seed: int, epoch: int, size: int, number: int) -> NDArray[np.int64]:
    """The pictures of one batch; a set smaller than a batch is gone through more than once."""
    order = np.random.default_rng((seed, epoch)).permutation(indices)
    return np.resize(order, max(len(order), size))[number * size : (number + 1) * size]


def _grown(region: BoundingBox, factor: float) -> BoundingBox:
    side = round(region.width * factor)
    left = region.left - (side - region.width) // 2
    top = region.top - (side - region.height) // 2
    return replace(region, left=left, top=top, right=left + side, bottom=top + side)
