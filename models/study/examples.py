"""What each arm of the study is shown: of the same pictures the whole, what the U-Net found, or what is truly there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.crop import bone_region, lesion_region
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import BoundingBox, Pixels
from bonedge.models.augmentation import GENTLE_CROP, UNCHANGED, WHOLE_PICTURE, augment
from bonedge.models.batches import ClassifierBatches, Draw, lesion_kinds, pictures_of_batch, square
from bonedge.models.cache import OUT_OF_SCOPE, PictureCache, box_of
from bonedge.models.regions import Regions, draw_region, jittered, piece_of_bone
from bonedge.models.watching import classifier_logits

from .protocol import Shown
from .rivals import EVIDENCE

_PIECE = 0x51EC
"""Stirs the choice of a normal picture's piece of bone, so that it is no other generator's."""


@dataclass(frozen=True)
class Examples:
    """A prepared set and what the U-Net found in it."""

    cache: PictureCache
    found: Regions
    region: NDArray[np.int64]
    """int64 "n": part of the body, index into `regions`."""
    regions: tuple[str, ...]

    @property
    def limbs(self) -> NDArray[np.int64]:
        """Numbers of the pictures that have a verdict."""
        return np.flatnonzero(self.cache.label != OUT_OF_SCOPE)

    def truths(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class numbers 0..2 of pictures `indices`."""
        return self.cache.label[indices].astype(np.int64)

    def maps(self) -> int:
        """Channels of the map of evidence: kinds of lesion, and long bone."""
        return len(lesion_kinds(self.cache)) + 1

    def shown(self, index: int, shown: Shown, p: Preprocessing) -> BoundingBox:
        """The square of picture `index` that a network is tested on, working pixels.

        The true region of a picture without a lesion is a piece of bone of a lesion's size, always the same: if it
        were the whole bone, a network would tell tumours by how close the picture is.
        """
        rows, columns = (int(v) for v in self.cache.size[index])
        if shown is Shown.SEGMENTED:
            return box_of(self.found.predicted[index, 0])
        if shown is Shown.WHOLE:
            return bone_region(BoundingBox(0, 0, columns, rows), rows, columns, p)
        return self._true(index, np.random.default_rng((_PIECE, index)), p)

    def batches(
        self,
        shown: Shown,
        augmented: bool,
        indices: NDArray[np.int64],
        p: Preprocessing,
        *,
        side: int,
        seed: int,
        epoch: int,
        size: int,
        evidence_side: int,
    ) -> ClassifierBatches:
        """One epoch of training for an arm. See `bonedge.models.batches.ClassifierBatches`."""
        varied = WHOLE_PICTURE if shown is Shown.WHOLE else GENTLE_CROP
        return ClassifierBatches(
            self.cache,
            self.found,
            indices,
            channels(p, shown),
            side,
            seed,
            epoch,
            size,
            augmentation=varied if augmented else UNCHANGED,
            evidence={EVIDENCE: evidence_side},
            draw=self._draw(shown, augmented),
            doubted=augmented,
        )

    def logits(self, model: Any, shown: Shown, indices: NDArray[np.int64], p: Preprocessing, side: int) -> Pixels:
        """What a network says about pictures `indices`, float32 "k 3"."""
        boxes = np.array(
            [(b.left, b.top, b.right, b.bottom) for b in (self.shown(int(i), shown, p) for i in indices)], np.int32
        )
        return classifier_logits(model, self.cache, boxes, self.found.maps[indices], indices, channels(p, shown), side)

    def _draw(self, shown: Shown, augmented: bool) -> Draw:
        if not augmented:
            return lambda index, rng, p: self.shown(index, shown, p)
        if shown is Shown.SEGMENTED:
            return lambda index, rng, p: draw_region(self.cache, self.found, index, rng, p)
        if shown is Shown.WHOLE:
            return lambda index, rng, p: jittered(self.shown(index, shown, p), rng)
        return lambda index, rng, p: jittered(self._true(index, rng, p), rng)

    def _true(self, index: int, rng: np.random.Generator, p: Preprocessing) -> BoundingBox:
        rows, columns = (int(v) for v in self.cache.size[index])
        lesion = self.cache.box(self.cache.lesion_box, index)
        if lesion is None:
            bone = self.cache.box(self.cache.bone_box, index) or BoundingBox(0, 0, columns, rows)
            lesion = piece_of_bone(bone, rng, rows, columns)
        return lesion_region(lesion, rows, columns, p)


def channels(p: Preprocessing, shown: Shown) -> Preprocessing:
    """`p` with the channels of an arm: the U-Net's maps go with what it found, grey alone with everything else."""
    return p if shown is Shown.SEGMENTED else p.model_copy(update={"classifier_channels": "grey"})


@dataclass(frozen=True)
class RegionBatches:
    """The related task: whole pictures float32 "batch side side 3" -> part of the body, one-hot "batch regions"."""

    examples: Examples
    indices: NDArray[np.int64]
    p: Preprocessing
    side: int
    seed: int
    epoch: int
    size: int

    def __len__(self) -> int:
        return max(1, len(self.indices) // self.size)

    def batch(self, number: int) -> tuple[Pixels, dict[str, Pixels]]:
        """Inputs and targets of batch `number` of this epoch."""
        chosen = pictures_of_batch(self.indices, self.seed, self.epoch, self.size, number)
        pictures = []
        for index in chosen:
            rng = np.random.default_rng((self.seed, self.epoch, int(index)))
            grey, _ = augment(square(self.examples.cache.picture[index], self.side), [], rng, WHOLE_PICTURE)
            pictures.append(np.repeat(((grey - self.p.mean) / self.p.std)[:, :, None], 3, axis=2))
        targets = self.examples.region[chosen][:, None] == np.arange(len(self.examples.regions))
        return np.stack(pictures).astype(np.float32), {"region": targets.astype(np.float32)}
