"""From labelled pictures, as an adapter read them, to samples: what fits together, and who is held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import CLASSES, Label
from bonedge.models.datasets import REAL, GatheredSet, Sample
from bonedge.models.outlines import Outline

SUFFIXES = frozenset({".dcm", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
_HELD_OUT = 7
"""One group in so many is for validation."""
_FEWEST = 8


class Part(StrEnum):
    """Which pictures of a set are wanted."""

    TRAINING = "training"
    """For training and validation."""
    TEST = "test"


class Split(StrEnum):
    """What a set itself says about a picture."""

    UNSAID = ""
    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Labelled:
    """One picture and what its set says about it."""

    picture: Path
    label: Label
    lesion: Outline | None
    bone: Outline | None = None
    group: str = ""
    """Pictures of one group, mostly a patient, never part; empty where nothing is known of that."""
    split: Split = Split.UNSAID
    family: str = ""
    region: str = ""


def as_samples(pictures: Sequence[Labelled], folder: Path, kind: str, part: Part) -> GatheredSet:
    """The pictures of `part` as samples; checked first.

    Where the set names nothing for validation, a group is held out by the hash of its name: more pictures never move
    one to the other side.

    Args:
        pictures: all of the set.
        folder: of the set, for messages and for names that do not depend on where it lies.
        kind: the layout, in a few words, for the model card.
        part: what is wanted.

    Raises:
        InvalidConfiguration: a picture is missing or there twice, label and outline contradict each other, a group is
            on both sides, or there are too few pictures or classes.
    """
    seen: set[Path] = set()
    for one in pictures:
        _check(one)
        if one.picture in seen:
            raise InvalidConfiguration(f"{one.picture}: is in the labels twice; leave one of them (label clash)")
        seen.add(one.picture)
    named = {one.split for one in pictures}
    if part is Part.TEST and Split.TRAINING in named and Split.TEST not in named:
        raise InvalidConfiguration(f"{folder}: names pictures for training and none for the test; give another folder")
    pictures = _settled(pictures)
    tested = [one for one in pictures if one.split is Split.TEST]
    rest = [one for one in pictures if one.split is not Split.TEST]
    chosen = (tested or rest) if part is Part.TEST else rest
    samples = [
        Sample(
            picture=one.picture,
            label=one.label,
            lesion_mask=one.lesion,
            bone_mask=one.bone,
            validation=_validation(one, folder),
            family=one.family,
            region=one.region,
        )
        for one in chosen
    ]
    counts = Counter(one.label for one in chosen)
    absent = [label for label in CLASSES if not counts[label]]
    if len(chosen) < _FEWEST or absent:
        short = f"none of them is {absent[0]}" if absent else f"at least {_FEWEST} are needed"
        raise InvalidConfiguration(f"{folder}: {len(chosen)} {part} pictures are not enough: {short}")
    if part is Part.TRAINING and len({sample.validation for sample in samples}) < 2:
        why = "there are too few patients"
        if len(patients := {one.group for one in chosen}) == 1 and "" not in patients:
            why = "all carry the same patient's name, such as one put there to hide it"
        elif all(one.split is Split.VALIDATION for one in chosen):
            why = "the set names all of them for validation"
        raise InvalidConfiguration(f"{folder}: all pictures fell on one side of training and validation; {why}")
    told = ", ".join(f"{counts[label]} {label}" for label in (*CLASSES, Label.ABSTAIN) if counts[label])
    return GatheredSet(
        samples,
        _fingerprint(chosen, folder),
        f"{len(chosen)} {REAL} ({kind}): {told}.",
        kept_for_test=[one.picture for one in tested] if part is Part.TRAINING else [],
    )


def _check(one: Labelled) -> None:
    if not one.picture.is_file():
        raise InvalidConfiguration(f"{one.picture}: is in the labels, but there is no such picture")
    tumour = one.label in (Label.BENIGN, Label.MALIGNANT)
    if tumour and one.lesion is None:
        raise InvalidConfiguration(f"{one.picture}: is labelled {one.label}, but no lesion is outlined (missing mask)")
    if not tumour and one.lesion is not None:
        raise InvalidConfiguration(f"{one.picture}: is labelled {one.label}, but a lesion is outlined (label clash)")


def _settled(pictures: Sequence[Labelled]) -> list[Labelled]:
    """The pictures, with what is said of one of a group said of all.

    "For training" says nothing where nothing is named for validation.
    """
    sides: dict[str, Labelled] = {}
    for one in pictures:
        if one.group and one.split is not Split.UNSAID:
            other = sides.setdefault(one.group, one)
            if other.split is not one.split:
                raise InvalidConfiguration(
                    f"{one.picture} is for {one.split} and {other.picture} for {other.split}, but both are of one "
                    "patient: what is learned of a patient would be tested on the same patient"
                )
    settled = [replace(one, split=sides[one.group].split) if one.group in sides else one for one in pictures]
    if any(one.split is Split.VALIDATION for one in settled):
        return settled
    return [replace(one, split=Split.UNSAID) if one.split is Split.TRAINING else one for one in settled]


def _validation(one: Labelled, folder: Path) -> bool:
    if one.split in (Split.TRAINING, Split.VALIDATION):
        return one.split is Split.VALIDATION
    named = one.group or one.picture.relative_to(folder).as_posix()
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:4]) % _HELD_OUT == 0


def _fingerprint(pictures: Sequence[Labelled], folder: Path) -> str:
    """Of names, sizes and all that was said, masks included; the pictures' own bytes are many gigabytes."""
    found = hashlib.sha256()
    for one in pictures:
        name = one.picture.relative_to(folder).as_posix()
        said = (name, one.picture.stat().st_size, one.label, one.lesion, one.bone, one.group, one.split, one.family)
        found.update(repr(said).replace(str(folder), "").encode())
    # Once each: a segmentation object may be of many pictures.
    outlines = [outline for one in pictures for outline in (one.lesion, one.bone) if outline is not None]
    for file in dict.fromkeys(file for outline in outlines for file in outline.files()):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
