"""What is kept of each trained arm: one file per arm and seed, whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.files import write_whole

_FOLDER = "results"


@dataclass(frozen=True)
class Result:
    """One system, trained with one seed, and what it says about the test pictures."""

    plan: str
    """Everything that decides the outcome; a result of another plan is not taken up."""
    group: str
    """Systems of a group stand together in the table."""
    system: str
    shown: str
    start: str
    augmented: bool
    seed: int
    probabilities: list[list[float]]
    """Of each test picture, in the order of the test set's limbs."""
    seconds: float
    """Of training."""
    pictures_per_second: float | None
    parameters: int | None
    operations: float | None
    latency_ms: float | None

    @property
    def title(self) -> str:
        """The system without its seed."""
        return ", ".join(filter(None, (self.system, self.shown, self.start, "" if self.augmented else "not augmented")))


@dataclass(frozen=True)
class Entry:
    """One line of the study: a system over all its seeds."""

    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """Whatever does not depend on the seed."""
        return self.results[0]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """float64 "seeds n 3"."""
        return np.array([one.probabilities for one in self.results], np.float64)


class Store:
    """The folder of results."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made yet."""
        self._folder = folder / _FOLDER

    def get(self, name: str, plan: str) -> Result | None:
        """The finished result `name` of exactly this plan; None when there is none, or it is damaged."""
        try:
            result = Result(**json.loads(self._file(name).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return result if result.plan == plan else None

    def put(self, name: str, result: Result) -> None:
        """Keep a result."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._file(name), (json.dumps(asdict(result)) + "\n").encode())

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def plan(*parts: object) -> str:
    """SHA-256 (hexadecimal) of everything that decides an outcome."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def entries(results: Sequence[Result]) -> list[Entry]:
    """Results of the same system together, in the order in which systems first appear."""
    grouped: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        grouped.setdefault((one.group, one.title), []).append(one)
    return [Entry(tuple(group)) for group in grouped.values()]
