"""The study's findings as one document: everything that the page, the tables and a program read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import NOTICE
from bonedge.models.metrics import Estimate, resample

from .cost import Cost
from .figures import MEASURES, Figure, figure
from .paired import Difference, adjusted, difference
from .paper import TABLE, contradictions
from .paper import Row as Printed
from .protocol import Protocol, Shown, Start
from .results import Entry

SCHEMA_VERSION = 1
REFERENCE = ("EfficientNetB0", Shown.SEGMENTED.value, Start.SCRATCH.value)
"""The system that bonedge ships, with augmentation: what the others are compared with."""
_RESAMPLING = 0x57D


@dataclass(frozen=True)
class Line:
    """One system."""

    group: str
    title: str
    system: str
    shown: str
    start: str
    augmented: bool
    seeds: tuple[int, ...]
    figures: dict[str, Figure]
    """By the names of `bonedge.models.study.figures.MEASURES`."""
    seconds: float
    """Of training, mean over seeds."""
    pictures_per_second: float | None
    parameters: int | None
    operations: float | None
    latency_ms: float | None


@dataclass(frozen=True)
class Document:
    """The study."""

    schema_version: int
    notice: str
    command: str
    created: str
    machine: str
    training: str
    """The data in a sentence."""
    test: str
    protocol: Protocol
    test_pictures: dict[str, int]
    """How many of each class."""
    lines: tuple[Line, ...]
    outlines: dict[str, Estimate]
    """Of the U-Net that found the regions."""
    differences: tuple[Difference, ...]
    """Of `REFERENCE` from each other network on what the U-Net found, and from each classical system."""
    printed: tuple[Printed, ...]
    """The source paper's table."""
    contradictions: dict[str, tuple[str, ...]]
    """Its figures that cannot be true together, by network."""


def document(
    entries: Sequence[Entry],
    truths: NDArray[np.int64],
    costs: Mapping[str, Cost],
    outlines: dict[str, Estimate],
    *,
    protocol: Protocol,
    training: str,
    test: str,
    test_pictures: dict[str, int],
    command: str,
    created: str,
    machine: str,
) -> Document:
    """Measure every system of `entries` on the test pictures whose classes are `truths` (int64 "n").

    `costs`: by system.
    """
    weights = resample(truths, _RESAMPLING)
    lines = tuple(
        Line(
            group=entry.first.group,
            title=entry.first.title,
            system=entry.first.system,
            shown=entry.first.shown,
            start=entry.first.start,
            augmented=entry.first.augmented,
            seeds=tuple(one.seed for one in entry.results),
            figures={name: figure(measure, truths, entry.probabilities, weights) for name, measure in MEASURES.items()},
            seconds=float(np.mean([one.seconds for one in entry.results])),
            pictures_per_second=entry.first.pictures_per_second,
            parameters=costs[entry.first.system].parameters,
            operations=costs[entry.first.system].operations,
            latency_ms=costs[entry.first.system].latency_ms,
        )
        for entry in entries
    )
    reference = next((one for one in entries if _is_reference(one)), None)
    rivals = [one for one in entries if reference is not None and one is not reference and _is_rival(one)]
    differences = [
        difference(one.first.title, reference.probabilities, one.probabilities, truths, weights)
        for one in rivals
        if reference is not None
    ]
    return Document(
        schema_version=SCHEMA_VERSION,
        notice=NOTICE,
        command=command,
        created=created,
        machine=machine,
        training=training,
        test=test,
        protocol=protocol,
        test_pictures=test_pictures,
        lines=lines,
        outlines=outlines,
        differences=tuple(adjusted(differences)),
        printed=TABLE,
        contradictions={row.network: tuple(found) for row in TABLE if (found := contradictions(row))},
    )


def _is_reference(entry: Entry) -> bool:
    one = entry.first
    return (one.system, one.shown, one.start) == REFERENCE and one.augmented


def _is_rival(entry: Entry) -> bool:
    """Whatever else might be shipped: another system, or EfficientNetB0 without the U-Net."""
    one = entry.first
    return one.group == "classical" or (
        one.start == Start.SCRATCH and one.augmented and one.shown in (Shown.SEGMENTED, Shown.WHOLE)
    )
