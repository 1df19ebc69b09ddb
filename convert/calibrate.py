"""The calibration set: what both networks are shown while their ranges are measured."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bonedge.edge.crop import choose_region, crop
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import Networks
from bonedge.edge.manifest import Decision, Preprocessing
from bonedge.edge.preprocess import prepare
from bonedge.edge.records import Pixels, Radiograph
from bonedge.edge.segment import read_maps

from .pictures import Picture


@dataclass(frozen=True)
class CalibrationSet:
    """Inputs of both networks, made by the code that a workstation runs, and where they came from."""

    segmenter: tuple[Pixels, ...]
    """Each float32 "1 S S 1"."""
    classifier: tuple[Pixels, ...]
    """Each float32 "1 K K 3": cropped where the fp32 segmenter says."""
    pictures: tuple[Picture, ...]
    sha256: tuple[str, ...]
    """Of the pictures' bytes, in the same order."""

    def record(self, seed: int) -> bytes:
        """The bundle's calibration.json: enough to draw the same set again and to prove that it is the same."""
        strata = Counter(picture.stratum for picture in self.pictures)
        document = {
            "split": "training",
            "seed": seed,
            "pictures": len(self.pictures),
            "strata": dict(sorted(strata.items())),
            "sha256": list(self.sha256),
        }
        return json.dumps(document, indent=1).encode()


def decoded(pictures: Sequence[Picture]) -> Iterator[Radiograph]:
    """The pictures as the runtime reads them, one by one.

    Raises:
        UnreadableImage: a picture cannot be decoded.
    """
    for picture in pictures:
        yield decode_bytes(picture.read())


def calibration_set(
    pictures: Sequence[Picture],
    radiographs: Iterator[Radiograph],
    networks: Networks,
    preprocessing: Preprocessing,
    decision: Decision,
) -> CalibrationSet:
    """Prepare, segment in fp32 and crop.

    Args:
        pictures: drawn from the training split.
        radiographs: the same pictures, decoded.
        networks: the fp32 pair.
        preprocessing: of the trained pair.
        decision: of the trained pair; decides where lesions are.
    """
    squares, crops, hashes = [], [], []
    for radiograph in radiographs:
        prepared = prepare(radiograph, preprocessing)
        maps, features = networks.segment(prepared.segmenter_input)
        segmentation = read_maps(maps, features, prepared, radiograph.source, decision)
        region = choose_region(segmentation, prepared, preprocessing)
        squares.append(prepared.segmenter_input)
        crops.append(crop(prepared.working, region, preprocessing)[None])
        hashes.append(radiograph.source.sha256)
    return CalibrationSet(tuple(squares), tuple(crops), tuple(pictures), tuple(hashes))


def fingerprint(sha256: Sequence[str]) -> str:
    """One SHA-256 for the whole set, whatever its order."""
    return hashlib.sha256("\n".join(sorted(sha256)).encode()).hexdigest()
