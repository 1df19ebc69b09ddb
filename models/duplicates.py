"""The same picture on both sides of a split, in another file, size or brightness: what is learned by heart is no proof.

Perceptual hashes (64 bits of the low frequencies; Zauner, Implementation and Benchmarking of Perceptual Image Hash
Functions, 2010) find candidates quickly; two radiographs of the same region may share one, so the greys decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.calibration.production import produce
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.preprocess import prepare

from .cache import PictureCache, segmenter_square
from .datasets import Sample, SampleSet, read_radiograph

_BITS_APART = 10
"""Of 64. JPEG and halving moved up to 4 (400 phantoms), a gamma of 0.6 or 1.6 up to 8 in 95 of 100."""
_CORRELATION = 0.975
"""Of the greys of small pictures. Of 1,200 phantoms, no two within those bits reached 0.97."""
_SMALL = 48
_NAMED = 3


def check_apart(samples: Sequence[Sample], cache: PictureCache) -> None:
    """Refuse a picture that is for training and for validation.

    Raises:
        InvalidConfiguration: there is one; names the files.
    """
    training, validation = (np.flatnonzero(cache.validation == side) for side in (False, True))
    _refuse(
        [
            (samples[training[a]].picture, samples[validation[b]].picture)
            for a, b in same_pictures(cache.picture[training], cache.picture[validation])
        ],
        "for training",
        "for validation",
    )


def check_sets_apart(
    training: tuple[Sequence[Sample], PictureCache], test: tuple[Sequence[Sample], PictureCache]
) -> None:
    """The same for two sets, each samples and their cache."""
    found = same_pictures(training[1].picture, test[1].picture)
    _refuse([(training[0][a].picture, test[0][b].picture) for a, b in found], "in --data", "in --test")


def check_test_apart(data: SampleSet, cache: PictureCache, p: Preprocessing) -> None:
    """Refuse a picture that is also among those which its set keeps for the test.

    Those are decoded anew each time: nothing else of a training looks at them.

    Args:
        data: what is trained on and watched.
        cache: of `data`.
        p: how the pictures in it were prepared.

    Raises:
        InvalidConfiguration: there is one, or a picture for the test cannot be read; names the files.
    """
    kept = data.kept_for_test
    squares = tuple(produce(partial(_square, kept, p), len(kept), title="comparing with test pictures"))
    if squares:
        found = same_pictures(cache.picture, np.stack(squares))
        _refuse([(data.samples[a].picture, kept[b]) for a, b in found], "for training or validation", "for the test")


def same_pictures(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """(place, other place) of each picture of `first` that is also in `second`. Both uint8 "n side side"."""
    if not len(first) or not len(second):
        return
    bits, other_bits = _hashes(first), _hashes(second)
    for place, hashed in enumerate(bits):
        near = np.flatnonzero((other_bits != hashed).sum(axis=1) <= _BITS_APART)
        for other in near:
            if np.corrcoef(_small(first[place]), _small(second[other]))[0, 1] >= _CORRELATION:
                yield place, int(other)


def _hashes(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool "n 64"."""
    import imagehash
    from PIL import Image

    return np.stack([imagehash.phash(Image.fromarray(np.asarray(one))).hash.ravel() for one in pictures])


def _small(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.resize(np.asarray(picture), (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).ravel().astype(np.float32)


def _square(pictures: Sequence[Path], p: Preprocessing, index: int) -> NDArray[np.uint8]:
    """As `PictureCache.picture` has it (in a worker process)."""
    return segmenter_square(prepare(read_radiograph(pictures[index]), p))


def _refuse(pairs: list[tuple[Path, Path]], here: str, there: str) -> None:
    if pairs:
        named = "; ".join(f"{a} ({here}) and {b} ({there})" for a, b in pairs[:_NAMED])
        raise InvalidConfiguration(
            f"{len(pairs)} pictures are on both sides of a split: {named}. Remove one of each, or name their patient"
        )
