"""Every picture decoded and prepared once, by the runtime's own code, and kept as memory-mapped arrays.

Training reads a picture some twenty times; decoding and preparing it costs more than a training step.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.calibration.production import begin_worker
from bonedge.edge.files import write_whole
from bonedge.edge.geometry import Letterbox, resize
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.preprocess import Prepared, letterboxed, prepare
from bonedge.edge.records import CLASSES, BoundingBox, Label, Pixels

from .datasets import Sample, SampleSet, picture_fingerprint, read_radiograph

OUT_OF_SCOPE = len(CLASSES)
"""The label number of pictures that the models should abstain on."""
_LAYOUT = 1
"""Raise it when the arrays change: older caches are then made anew."""
_CHUNK = 32


@dataclass(frozen=True)
class PictureCache:
    """The prepared set. `n` pictures; boxes are left, top, right, bottom in working pixels, all 0 for none."""

    working: NDArray[np.uint8]
    """uint8 "n long_side long_side": the working picture in the top left corner, grey 0..255."""
    size: NDArray[np.int32]
    """int32 "n 2": rows, columns of the working picture."""
    picture: NDArray[np.uint8]
    """uint8 "n side side": the segmenter's square, grey 0..255."""
    lesion: NDArray[np.uint8]
    """uint8 "n side side": share of each pixel that is lesion, 0..255."""
    bone: NDArray[np.uint8]
    lesion_box: NDArray[np.int32]
    bone_box: NDArray[np.int32]
    label: NDArray[np.int8]
    """int8 "n": index into CLASSES, or OUT_OF_SCOPE."""
    validation: NDArray[np.bool_]
    family: NDArray[np.int16]
    """int16 "n": index into `families`, -1 where it is not known."""
    families: tuple[str, ...] = ()
    """Of all pictures of limbs, sorted."""
    bone_known: NDArray[np.bool_] | None = None
    """bool "n": whether `bone` was annotated, or is known to be none; None where it all was."""

    @cached_property
    def lesion_families(self) -> tuple[str, ...]:
        """Those of `families` that lesions have."""
        found = np.unique(self.family[(self.label > 0) & (self.label < OUT_OF_SCOPE) & (self.family >= 0)])
        return tuple(self.families[index] for index in found)

    def knows_bone(self, index: int) -> bool:
        """Whether the bones of picture `index` are annotated; nothing is to be learned of them where they are not."""
        return self.bone_known is None or bool(self.bone_known[index])

    def working_picture(self, index: int) -> Pixels:
        """float32 "rows columns", 0..1: exactly what `prepare` made."""
        rows, columns = self.size[index]
        return self.working[index, :rows, :columns].astype(np.float32) / np.float32(255)

    def prepared(self, index: int, p: Preprocessing) -> Prepared:
        """Picture `index` as `prepare` made it."""
        return letterboxed(self.working_picture(index), p)

    def fingerprints(self) -> list[str]:
        """`picture_fingerprint` of every picture, in order."""
        return [
            picture_fingerprint(np.asarray(self.working[index, :rows, :columns]))
            for index, (rows, columns) in enumerate(self.size)
        ]

    def letterbox(self, index: int) -> Letterbox:
        """Between the working picture and the segmenter's square."""
        return Letterbox.fit(int(self.size[index, 0]), int(self.size[index, 1]), self.picture.shape[1])

    def box(self, boxes: NDArray[np.int32], index: int) -> BoundingBox | None:
        """Row `index` of `lesion_box` or `bone_box`."""
        box = box_of(boxes[index])
        return box if box.right > box.left else None


def box_of(edges: NDArray[np.int32]) -> BoundingBox:
    """The box whose left, top, right and bottom are `edges`, int32 "4"."""
    return BoundingBox(*(int(edge) for edge in edges))


def open_cache(
    data: SampleSet, folder: Path, p: Preprocessing, on_progress: Callable[[int, int], None], processes: int = 2
) -> PictureCache:
    """The cache of `data` under `folder`, made now unless it is there and complete.

    Args:
        data: what to prepare.
        folder: created; emptied first when it holds the cache of other data or of another preparation.
        p: how pictures are prepared.
        on_progress: called with (pictures done, pictures in all).
        processes: how many prepare pictures at once.

    Raises:
        InvalidConfiguration: a picture or mask of the set cannot be read, or they do not match.
    """
    marker = folder / "cache.json"
    wanted = {
        "layout": _LAYOUT,
        "data": data.fingerprint,
        "preprocessing": p.model_dump(exclude={"classifier_channels", "segmenter_turned"}),
    }
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    arrays = _kept(folder, marker, digest, p)
    if arrays is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _make(data.samples, folder, p, on_progress, processes)
        write_whole(marker, json.dumps({"digest": digest} | wanted).encode())
        arrays = _mapped(folder, p)
    families = tuple(sorted({s.family for s in data.samples if s.family and s.label is not Label.ABSTAIN}))
    family = [families.index(s.family) if s.family in families else -1 for s in data.samples]
    label = [CLASSES.index(s.label) if s.label is not Label.ABSTAIN else OUT_OF_SCOPE for s in data.samples]
    return PictureCache(
        **arrays,
        label=np.array(label, np.int8),
        validation=np.array([s.validation for s in data.samples], np.bool_),
        family=np.array(family, np.int16),
        families=families,
        bone_known=np.array([s.bone_mask is not None or s.label is Label.ABSTAIN for s in data.samples], np.bool_),
    )


def _kept(folder: Path, marker: Path, digest: str, p: Preprocessing) -> dict[str, NDArray[Any]] | None:
    """The arrays of an earlier run; None when they are others, incomplete or damaged."""
    try:
        return _mapped(folder, p) if json.loads(marker.read_text())["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(folder: Path, p: Preprocessing) -> dict[str, NDArray[Any]]:
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _arrays(1, p)}


def _arrays(count: int, p: Preprocessing) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    large, small = p.working_long_side_px, p.segmenter_side_px
    return {
        "working": ((count, large, large), np.uint8),
        "size": ((count, 2), np.int32),
        "picture": ((count, small, small), np.uint8),
        "lesion": ((count, small, small), np.uint8),
        "bone": ((count, small, small), np.uint8),
        "lesion_box": ((count, 4), np.int32),
        "bone_box": ((count, 4), np.int32),
    }


def _make(
    samples: Sequence[Sample], folder: Path, p: Preprocessing, on_progress: Callable[[int, int], None], processes: int
) -> None:
    for name, (shape, dtype) in _arrays(len(samples), p).items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape).flush()
    done = 0
    # Fresh interpreters: a fork of a process that already runs TensorFlow's threads may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
        chunks = [
            pool.submit(_fill, folder, p, start, list(samples[start : start + _CHUNK]))
            for start in range(0, len(samples), _CHUNK)
        ]
        try:
            for chunk in as_completed(chunks):
                done += chunk.result()
                on_progress(done, len(samples))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fill(folder: Path, p: Preprocessing, start: int, samples: list[Sample]) -> int:
    """Prepare `samples` into rows `start`... of the arrays (in a worker process)."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _arrays(1, p)}
    for index, sample in enumerate(samples, start):
        radiograph = read_radiograph(sample.picture)
        prepared = prepare(radiograph, p)
        rows, columns = prepared.working.shape
        arrays["working"][index, :rows, :columns] = as_bytes(prepared.working)
        arrays["size"][index] = rows, columns
        arrays["picture"][index] = segmenter_square(prepared)
        shape = radiograph.pixels.shape
        bone = None if sample.bone_mask is None else sample.bone_mask.mask(shape)
        for name, outline in (("lesion", sample.lesion(shape)), ("bone", bone)):
            if outline is None:
                continue
            mask = resize(outline.astype(np.float32), rows, columns)
            arrays[name][index] = as_bytes(prepared.letterbox.apply(mask))
            left, top, width, height = cv2.boundingRect((mask >= 0.5).astype(np.uint8))
            arrays[f"{name}_box"][index] = left, top, left + width, top + height
    for array in arrays.values():
        array.flush()
    return len(samples)


def segmenter_square(prepared: Prepared) -> NDArray[np.uint8]:
    """A row of `PictureCache.picture`, uint8 "side side"."""
    return as_bytes(prepared.letterbox.apply(prepared.working))


def as_bytes(unit: Pixels) -> NDArray[np.uint8]:
    """Greys or shares 0..1 as the arrays hold them, 0..255."""
    return np.asarray(np.rint(unit * np.float32(255)), np.uint8)
