"""Labelled pictures on disk, whatever their layout, as one list of samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bonedge.calibration.phantom.command import INDEX
from bonedge.edge.decode import decode_bytes
from bonedge.edge.errors import InvalidConfiguration, UnreadableImage
from bonedge.edge.records import Label, Mask, Radiograph

from .outlines import MaskFile, Outline

REAL = "real radiographs"
"""How a set that was not simulated describes itself."""
TRAINING_PICTURES = "training-pictures.txt"
"""Beside a trained pair: the fingerprint of every picture that it was trained or tuned on, one a line."""
_KEPT_DIGITS = 32
"""Of a fingerprint in that file: no two pictures share 128 bits by chance, and a release carries tens of thousands."""
_EVERY = 7
"""One sample in seven is for validation: coprime to the period of the phantoms' label mix, so every label is in it."""


@dataclass(frozen=True)
class Sample:
    """One labelled picture."""

    picture: Path
    """DICOM, PNG, JPEG or TIFF."""
    label: Label
    """normal, benign or malignant; abstain for a picture outside the models' scope."""
    lesion_mask: Outline | None
    """None when there is no lesion."""
    bone_mask: Outline | None
    """Of the long bones; None when they are not annotated."""
    validation: bool
    """Held out of training: used for watching it and for fitting the operating point."""
    family: str = ""
    """What kind of lesion it is, or what healthy thing might pass for one; empty when that is not known."""
    region: str = ""
    """Part of the body; empty when that is not known."""
    regime: str = ""
    """How hard a lesion is to see; empty when that is not known."""

    def lesion(self, shape: tuple[int, ...]) -> Mask | None:
        """The lesion, bool "rows columns" on the picture's grid; None when there is none.

        Raises:
            InvalidConfiguration: its mask cannot be read, is of another grid, or shows nothing.
        """
        if self.lesion_mask is None:
            return None
        mask = self.lesion_mask.mask(shape)
        if not mask.any():
            raise InvalidConfiguration(
                f"{self.picture}: is labelled {self.label}, but its outline is empty (missing mask)"
            )
        return mask


_UNNAMED_GENERATION = 2
"""Of phantoms whose index does not say it."""
_FEW_FAMILIES = 4
"""Up to so many, a set was made of these on purpose and says so."""


class SampleSet(Protocol):
    """An adapter from one data set's layout to samples."""

    samples: Sequence[Sample]
    fingerprint: str
    """SHA-256 (hexadecimal) of what the samples were read from."""
    description: str
    """The data in a sentence, for the model card and the manifest."""
    phantom_seeds: tuple[int, ...]
    """Seeds of simulated pictures among them."""
    kept_for_test: Sequence[Path]
    """Pictures that the set has beside them, for the test."""


class PhantomSet:
    """The folder that `bonedge phantom` writes: `index.jsonl` beside pictures and masks.

    Phantoms that `held_out` names are for validation: the rule depends on nothing but the phantom itself,
    so a larger set of the same seed never moves a picture from one side to the other.
    """

    def __init__(self, folder: Path) -> None:
        """Read the index.

        Raises:
            InvalidConfiguration: the folder holds no usable index.
        """
        file = folder / INDEX
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InvalidConfiguration(
                f"{file}: cannot be read ({error.strerror}); make a data folder with "
                f"`bonedge phantom --count 4000 --seed 1 --output {folder} --format png`"
            ) from error
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self.samples: Sequence[Sample] = []
        seeds, generations = set(), set()
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            try:
                row = json.loads(line)
                self.samples.append(_sample(folder, row))
                seeds.add(int(row["seed"]))
                generations.add(int(row.get("generation", _UNNAMED_GENERATION)))
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                raise InvalidConfiguration(
                    f"{file}, line {number}: {error!r} is missing or wrong; the folder was not written by "
                    "`bonedge phantom`, or only in part: write it again"
                ) from error
        if not any(s.validation for s in self.samples) or all(s.validation for s in self.samples):
            raise InvalidConfiguration(f"{file}: {len(self.samples)} pictures are too few; there must be at least 8")
        self.phantom_seeds = tuple(sorted(seeds))
        self.kept_for_test: Sequence[Path] = ()
        regions = {sample.region for sample in self.samples} - {""}
        families = {sample.family for sample in self.samples if sample.label is not Label.ABSTAIN} - {""}
        of = f" of {listed(regions)}" if regions else ""
        narrowed = f", all with {' or '.join(sorted(families))}" if 0 < len(families) <= _FEW_FAMILIES else ""
        self.description = (
            f"{len(self.samples)} simulated radiographs{of}{narrowed} (bonedge phantoms, generation "
            f"{listed(generations)}, seed {listed(seeds)}); no real patients."
        )


@dataclass
class GatheredSet:
    """A `SampleSet` whose parts are given."""

    samples: Sequence[Sample]
    fingerprint: str
    description: str
    phantom_seeds: tuple[int, ...] = ()
    kept_for_test: Sequence[Path] = ()


def join(sets: Sequence[SampleSet]) -> SampleSet:
    """Several sets as one, each keeping what it holds out; a single one is given back as it is."""
    if len(sets) == 1:
        return sets[0]
    return GatheredSet(
        [sample for one in sets for sample in one.samples],
        hashlib.sha256("".join(one.fingerprint for one in sets).encode()).hexdigest(),
        " ".join(one.description for one in sets),
        tuple(sorted({seed for one in sets for seed in one.phantom_seeds})),
        [picture for one in sets for picture in one.kept_for_test],
    )


def all_held_out(whole: SampleSet) -> SampleSet:
    """The same pictures, none of which was trained on."""
    return GatheredSet(
        [replace(sample, validation=True) for sample in whole.samples],
        hashlib.sha256(f"held out {whole.fingerprint}".encode()).hexdigest(),
        f"To fit the operating point only: {whole.description}",
        whole.phantom_seeds,
        whole.kept_for_test,
    )


def held_out(index: int) -> bool:
    """Whether the phantom with this index is kept from training."""
    return index % _EVERY == 0


def read_radiograph(picture: Path) -> Radiograph:
    """Decode a picture of a data set.

    Raises:
        InvalidConfiguration: it cannot be read.
    """
    try:
        return decode_bytes(picture.read_bytes())
    except (OSError, UnreadableImage) as error:
        raise InvalidConfiguration(f"{picture}: {error}; remove it from the data set") from error


def picture_fingerprint(grey: NDArray[np.uint8]) -> str:
    """SHA-256 (hexadecimal) of a working picture, uint8 "h w": names a picture whatever file it came in."""
    return hashlib.sha256(str(grey.shape).encode() + np.ascontiguousarray(grey).tobytes()).hexdigest()


def training_pictures(fingerprints: Iterable[str]) -> bytes:
    """The content of `TRAINING_PICTURES`: each picture once, sorted."""
    return "".join(f"{one}\n" for one in sorted(shortened(fingerprints))).encode()


def known_pictures(folder: Path) -> frozenset[str]:
    """What `TRAINING_PICTURES` says in the folder of a pair; nothing where it is not."""
    file = folder / TRAINING_PICTURES
    return shortened(file.read_text("utf-8").split()) if file.is_file() else frozenset()


def trained_on(fingerprints: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those of the fingerprints that are among the `known` ones, cut short or whole."""
    kept = shortened(known)
    return [one for one in fingerprints if one[:_KEPT_DIGITS] in kept]


def shortened(fingerprints: Iterable[str]) -> frozenset[str]:
    """As `TRAINING_PICTURES` keeps them."""
    return frozenset(one[:_KEPT_DIGITS] for one in fingerprints)


def listed(values: Iterable[int] | Iterable[str]) -> str:
    """In order, with commas between."""
    return ", ".join(map(str, sorted(values)))


def _sample(folder: Path, row: dict[str, Any]) -> Sample:
    label = Label(row["label"])

    def mask(key: str) -> MaskFile | None:
        return MaskFile(folder / row[key]) if row.get(key) and label is not Label.ABSTAIN else None

    return Sample(
        folder / row["file"],
        label,
        mask("lesion_mask") if label in (Label.BENIGN, Label.MALIGNANT) else None,
        mask("bone_mask"),
        held_out(int(row["index"])),
        str(row.get("family", "")),
        str(row.get("region", "")),
        str(row.get("regime", "")),
    )
