"""Labelled pictures to calibrate with and to be judged on: prepared once, compact in memory, known by their content."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.calibration.phantom.command import INDEX, Order, make
from bonedge.calibration.phantom.generate import GENERATION
from bonedge.calibration.phantom.records import Regime
from bonedge.calibration.production import produce
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.preprocess import Prepared, letterboxed, prepare
from bonedge.edge.records import CLASSES, Label, Mask, Source
from bonedge.models.cache import as_bytes
from bonedge.models.datasets import Sample, picture_fingerprint, read_radiograph, trained_on
from bonedge.models.duplicates import same_pictures
from bonedge.models.layouts import Part, layout_of, open_samples

T = TypeVar("T")

PHANTOMS = "phantoms:"
"""`phantoms:SEED` instead of a folder: simulated pictures, kept in the user's cache."""
_SIMULATED_SIZE = 640
_COMPARED = 256
"""Side at which pictures are looked at for the same one in disguise, pixels."""


@dataclass(frozen=True)
class Case:
    """One picture as both networks are shown it, and what is true of it."""

    name: str
    """Of its file within the set; never a patient's."""
    stratum: str
    """Label and regime: a drawn set holds the same number of each."""
    truth: Label
    """normal, benign, malignant, or abstain for a picture of something else."""
    source: Source
    grey: NDArray[np.uint8]
    """uint8 "h w": the working picture, exactly (it has 256 greys)."""
    lesion: Mask | None
    """bool "rows columns" on the original grid; None when there is no lesion."""
    fingerprint: str
    """SHA-256 of the working picture: the same for the same picture in another file format."""

    def prepared(self, p: Preprocessing) -> Prepared:
        """What `bonedge.edge.preprocess.prepare` made of it."""
        return letterboxed(self.grey.astype(np.float32) / np.float32(255), p)


@dataclass(frozen=True)
class CaseSet:
    """A set for one purpose."""

    where: str
    """As the user gave it."""
    cases: tuple[Case, ...]
    phantom_seeds: tuple[int, ...]
    """Seeds of the simulated pictures among them."""

    @property
    def digest(self) -> str:
        """One SHA-256 for the whole set, whatever its order."""
        return hashlib.sha256("\n".join(sorted(case.fingerprint for case in self.cases)).encode()).hexdigest()

    @property
    def real(self) -> bool:
        """Whether they are of patients."""
        return not self.phantom_seeds

    @property
    def strata(self) -> dict[str, int]:
        """How many of each."""
        return dict(sorted(Counter(case.stratum for case in self.cases).items()))


class Purpose(StrEnum):
    """What a set is for."""

    CALIBRATION = "calibration"
    VALIDATION = "validation"
    REPAIR = "repair"


def check_findable(where: str) -> None:
    """Refuse what names no set, before anything takes minutes; what is in it, `open_set` says.

    Raises:
        InvalidConfiguration: there is no such folder, it has no known layout, or no seed follows `phantoms:`.
    """
    if where.startswith(PHANTOMS):
        _seed(where)
    else:
        layout_of(Path(where))


def open_set(where: str, count: int, purpose: Purpose, p: Preprocessing, *, cache: Path, seed: int) -> CaseSet:
    """Read, or simulate, `count` cases; stratified by label and regime when the set holds more.

    Args:
        where: a data folder (see `bonedge.models.layouts.open_samples`), or `phantoms:SEED`.
        count: at most so many.
        purpose: validation takes what a set holds back for testing, if it does; only calibration wants pictures of
            something else, too, which have no right verdict but to abstain.
        p: how pictures are prepared.
        cache: folder for simulated sets.
        seed: of the draw.

    Raises:
        InvalidConfiguration: the set cannot be read or is empty.
    """
    folder = _simulated(where, count, cache) if where.startswith(PHANTOMS) else Path(where)
    found = open_samples(folder, Part.TEST if purpose is Purpose.VALIDATION else Part.TRAINING)
    strangers = purpose is Purpose.CALIBRATION
    samples = [one for one in found.samples if strangers or one.label is not Label.ABSTAIN]
    chosen = draw(samples, _stratum, count, np.random.default_rng((0xCA5E, seed)))
    if not chosen:
        raise InvalidConfiguration(f"{where}: the {purpose} set holds no picture of a limb; give another folder")
    load = partial(_load, chosen, p)
    cases = tuple(produce(load, len(chosen), title=f"Preparing {purpose} pictures"))
    return CaseSet(where, cases, found.phantom_seeds)


def draw(items: Iterable[T], stratum: Callable[[T], str], count: int, rng: np.random.Generator) -> tuple[T, ...]:
    """`count` items (or all, when there are fewer), the same number of each stratum as far as they reach."""
    strata: dict[str, list[T]] = defaultdict(list)
    for item in items:
        strata[stratum(item)].append(item)
    shuffled = [[group[i] for i in rng.permutation(len(group))] for _, group in sorted(strata.items())]
    rounds = max((len(group) for group in shuffled), default=0)
    return tuple(group[i] for i in range(rounds) for group in shuffled if i < len(group))[:count]


def check_disjoint(
    validation: CaseSet, fitted: Mapping[Purpose, CaseSet], seeds: Collection[int], known: Collection[str]
) -> None:
    """Refuse to judge on what was calibrated, repaired or trained with.

    A real radiograph is known again in another file, size or brightness where it was calibrated or repaired with; one
    that was trained on, by its exact content.

    Args:
        validation: verdicts on it decide.
        fitted: sets that candidates are made from.
        seeds: phantom seeds of the training.
        known: fingerprints of training pictures, as the training kept them.

    Raises:
        InvalidConfiguration: a picture is in two of the sets.
    """
    fingerprints = {case.fingerprint for case in validation.cases}
    for purpose, cases in fitted.items():
        shared = fingerprints & {case.fingerprint for case in cases.cases} or _disguised(validation, cases)
        if shared:
            raise InvalidConfiguration(
                f"{len(shared)} of {len(validation.cases)} validation pictures are also in the {purpose} set "
                f"({cases.where}): the gates would be judged on what candidates were fitted to; give other pictures"
            )
        common = sorted(set(validation.phantom_seeds) & set(cases.phantom_seeds))
        if common:
            raise InvalidConfiguration(
                f"the validation set ({validation.where}) and the {purpose} set ({cases.where}) hold phantoms of seed "
                f"{common[0]}, which are the same in whatever format; simulate one of them with another --seed"
            )
    trained = trained_on(fingerprints, known)
    if trained:
        raise InvalidConfiguration(
            f"{len(trained)} of {len(validation.cases)} validation pictures ({validation.where}) were trained on; "
            "losses would be hidden by memory: give pictures that were held out"
        )
    used = sorted(set(validation.phantom_seeds) & set(seeds))
    if used:
        raise InvalidConfiguration(
            f"the validation set ({validation.where}) holds phantoms of seed {used[0]}, which the models were trained "
            "or tuned on; simulate it with another --seed"
        )


def without_copies(cases: CaseSet) -> tuple[CaseSet, int]:
    """The set with each picture once, and how many went: a case that is counted twice proves half as much as it says.

    Real ones are known again in another file, size or brightness.
    """
    seen: set[str] = set()
    copies: set[int] = set()
    for place, case in enumerate(cases.cases):
        if case.fingerprint in seen:
            copies.add(place)
        seen.add(case.fingerprint)
    if cases.real:
        squares = _squares(cases)
        copies |= {other for place, other in same_pictures(squares, squares) if other > place}
    kept = tuple(case for place, case in enumerate(cases.cases) if place not in copies)
    return replace(cases, cases=kept), len(copies)


def _disguised(validation: CaseSet, fitted: CaseSet) -> set[str]:
    """Names of validation pictures that the other set holds in another form; phantoms are known by their seeds."""
    if not (validation.real and fitted.real):
        return set()
    pairs = same_pictures(_squares(validation), _squares(fitted))
    return {validation.cases[mine].name for mine, _ in pairs}


def _squares(cases: CaseSet) -> NDArray[np.uint8]:
    """uint8 "n side side"."""
    return np.stack(
        [cv2.resize(case.grey, (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA) for case in cases.cases]
    )


def free_seed(wanted: int, seeds: Collection[int]) -> int:
    """`wanted`, or the next number after it that no training used."""
    while wanted in seeds:
        wanted += 1
    return wanted


def _simulated(where: str, count: int, cache: Path) -> Path:
    seed = _seed(where)
    folder = cache / f"phantoms-{GENERATION}-{seed}-{count}"
    if not (folder / INDEX).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        make(Order(folder, seed, _SIMULATED_SIZE, "png", CLASSES, tuple(Regime), sheet=False), count)
    return folder


def _seed(where: str) -> int:
    text = where.removeprefix(PHANTOMS)
    if not text.isdecimal():
        raise InvalidConfiguration(f"{where}: after {PHANTOMS} comes a seed, a number from 0 on")
    return int(text)


def _stratum(sample: Sample) -> str:
    # A normal or a non-limb picture has no lesion that could be hard to see.
    tumour = sample.label in (Label.BENIGN, Label.MALIGNANT)
    return f"{sample.label} {sample.regime}".strip() if tumour else str(sample.label)


def _load(samples: Sequence[Sample], p: Preprocessing, index: int) -> Case:
    sample = samples[index]
    radiograph = read_radiograph(sample.picture)
    working = prepare(radiograph, p).working
    grey = as_bytes(working)
    return Case(
        sample.picture.name,
        _stratum(sample),
        sample.label,
        radiograph.source,
        grey,
        sample.lesion(radiograph.pixels.shape),
        picture_fingerprint(grey),
    )
