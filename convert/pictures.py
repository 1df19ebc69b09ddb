"""Pictures with known labels, told apart into those that were trained on and those that were held out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bonedge.calibration.phantom.dicom import as_png
from bonedge.calibration.phantom.generate import LABEL_MIX, STRIDE, generate
from bonedge.calibration.phantom.records import Regime
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label
from bonedge.models.datasets import PhantomSet, held_out

INDEX = "index.jsonl"
_BLOCK = len(LABEL_MIX)
_SIMULATED = 60 * _BLOCK
"""So many indices of a seed are drawn from; a training set is larger."""


@dataclass(frozen=True)
class Picture:
    """One picture that can be fetched when it is needed."""

    name: str
    stratum: str
    """Label and regime; a calibration set holds the same number of each."""
    read: Callable[[], bytes]
    """The file's bytes."""


@dataclass(frozen=True)
class PictureSet:
    """Two lists that share no picture."""

    training: tuple[Picture, ...]
    held_out: tuple[Picture, ...]


def simulated(seeds: Sequence[int]) -> PictureSet:
    """The phantoms of a training's own seeds, simulated again when read: the bytes that training read.

    Args:
        seeds: as operation.json records them.
    """
    pictures = [(index, _phantom(seed, index)) for index in range(_SIMULATED) for seed in seeds]
    return PictureSet(
        tuple(picture for index, picture in pictures if not held_out(index)),
        tuple(picture for index, picture in pictures if held_out(index)),
    )


def from_folder(folder: Path) -> PictureSet:
    """The pictures of a folder that `bonedge phantom --format png` wrote, split as training splits them.

    Raises:
        InvalidConfiguration: the index is missing or damaged, or names a file outside the folder.
    """
    samples = PhantomSet(folder).samples
    lines = (folder / INDEX).read_text(encoding="utf-8", errors="replace").splitlines()
    training: list[Picture] = []
    others: list[Picture] = []
    for number, (sample, line) in enumerate(zip(samples, lines, strict=True), 1):
        try:
            stratum = _stratum(sample.label, Regime(json.loads(line)["regime"]))
        except (ValueError, KeyError) as error:
            raise InvalidConfiguration(
                f"{folder / INDEX}, line {number}: {error!r} is missing or wrong; write the folder again"
            ) from error
        if not sample.picture.resolve().is_relative_to(folder.resolve()):
            raise InvalidConfiguration(f"{folder / INDEX}, line {number}: {sample.picture} lies outside the folder")
        (others if sample.validation else training).append(
            Picture(sample.picture.name, stratum, sample.picture.read_bytes)
        )
    return PictureSet(tuple(training), tuple(others))


def draw(pictures: Iterable[Picture], count: int, rng: np.random.Generator) -> tuple[Picture, ...]:
    """`count` pictures (or all, when there are fewer), the same number of each stratum as far as they reach."""
    strata: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        strata[picture.stratum].append(picture)
    shuffled = [[group[i] for i in rng.permutation(len(group))] for _, group in sorted(strata.items())]
    rounds = max((len(group) for group in shuffled), default=0)
    return tuple(group[i] for i in range(rounds) for group in shuffled if i < len(group))[:count]


def _phantom(seed: int, index: int) -> Picture:
    # As `generate` decides when it is not told.
    label = LABEL_MIX[index * STRIDE % _BLOCK]
    regime = tuple(Regime)[index // _BLOCK % len(Regime)]

    def read() -> bytes:
        return as_png(generate(seed, index))

    return Picture(f"phantom {seed}/{index}", _stratum(label, regime), read)


def _stratum(label: Label, regime: Regime) -> str:
    # A normal or a non-limb picture has no lesion that could be hard to see.
    return f"{label} {regime}" if label in (Label.BENIGN, Label.MALIGNANT) else str(label)
