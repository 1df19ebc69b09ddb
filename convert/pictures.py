"""Pictures with known labels, told apart into those that were trained on and those that were held out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bonedge.calibration.phantom.generate import LABEL_MIX, STRIDE, generate
from bonedge.calibration.phantom.records import Regime
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label

INDEX = "index.jsonl"
_BLOCK = len(LABEL_MIX)
_HELD_OUT_EVERY = 10
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
    """The phantoms of a training's own seeds, simulated again when read.

    Args:
        seeds: as operation.json records them: the first is the training set's, the others were validated on. With
            one seed, every tenth block of indices is held out (see `held_out`).
    """
    training, validation = seeds[0], seeds[1] if len(seeds) > 1 else None
    indices = range(_SIMULATED)
    if validation is not None:
        return PictureSet(
            tuple(_phantom(training, index) for index in indices),
            tuple(_phantom(validation, index) for index in indices),
        )
    return PictureSet(
        tuple(_phantom(training, index) for index in indices if not held_out(index)),
        tuple(_phantom(training, index) for index in indices if held_out(index)),
    )


def from_folder(folder: Path, seeds: Sequence[int]) -> PictureSet:
    """The pictures of a folder that `bonedge phantom --format png` wrote, split as `simulated` does.

    Args:
        folder: with `index.jsonl` and the files that it names.
        seeds: as operation.json records them; pictures of other seeds count as held out, and with no seeds recorded
            the split goes by the index alone.

    Raises:
        InvalidConfiguration: the index is missing or damaged, or names a file outside the folder.
    """
    file = folder / INDEX
    training: list[Picture] = []
    others: list[Picture] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(
            f"{file} cannot be read ({error}); give the folder that 'bonedge phantom --format png' wrote"
        ) from error
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            name, seed, index = str(entry["file"]), int(entry["seed"]), int(entry["index"])
            stratum = _stratum(Label(entry["label"]), Regime(entry["regime"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidConfiguration(
                f"{file}, line {number}: {type(error).__name__}: {error}; write the folder again"
            ) from error
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidConfiguration(f"{file}, line {number}: {name} lies outside the folder")
        several = len(seeds) > 1
        trained_on = seed == seeds[0] if several else seed in (seeds or (seed,)) and not held_out(index)
        (training if trained_on else others).append(Picture(name, stratum, path.read_bytes))
    return PictureSet(tuple(training), tuple(others))


def held_out(index: int) -> bool:
    """Whether a picture of the only seed was kept from training.

    Every tenth run through the mix of labels is, which keeps labels and regimes in proportion.
    """
    return index // _BLOCK % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1


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
        grey = np.round(generate(seed, index).pixels * np.float32(65535)).astype(np.uint16)
        return cv2.imencode(".png", grey)[1].tobytes()

    return Picture(f"phantom {seed}/{index}", _stratum(label, regime), read)


def _stratum(label: Label, regime: Regime) -> str:
    # A normal or a non-limb picture has no lesion that could be hard to see.
    return f"{label} {regime}" if label in (Label.BENIGN, Label.MALIGNANT) else str(label)
