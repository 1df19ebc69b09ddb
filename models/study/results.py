"""What is kept of each trained arm: one file per arm and seed, whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

    @property
    def title(self) -> str:
        """The system without its seed."""
        return ", ".join(filter(None, (self.system, self.shown, self.start, "" if self.augmented else "not augmented")))


@dataclass(frozen=True)
class Wanted:
    """A result that is wanted."""

    name: str
    plan: str
    make: Callable[[], Result]
    claim: str
    """What no other process is to work on meanwhile."""


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
        self._claims = folder / "claims"

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

    @contextmanager
    def claim(self, name: str, *, wait: bool) -> Iterator[bool]:
        """Keep other processes of the study from `name` for as long as the context lasts.

        Args:
            name: what is worked on.
            wait: until no other has it; else the context is entered at once, with False when another has it.
        """
        self._claims.mkdir(parents=True, exist_ok=True)
        with (self._claims / name).open("wb") as file:
            try:
                # The system lets go of it when the process dies, however it does.
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def finish(tasks: Sequence[Wanted], store: Store) -> list[Result]:
    """The result of every task, in order: taken up when it is there, made when it is not.

    Processes that are given the same folder share the work: what one of them is making the others leave to it.
    """
    results: dict[str, Result] = {}
    for wait in (False, True):
        for task in tasks:
            if task.name in results:
                continue
            with store.claim(task.claim, wait=wait) as mine:
                result = store.get(task.name, task.plan)
                if result is None and mine:
                    result = task.make()
                    store.put(task.name, result)
            if result is not None:
                results[task.name] = result
    return [results[task.name] for task in tasks]


def plan(*parts: object) -> str:
    """SHA-256 (hexadecimal) of everything that decides an outcome."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def entries(results: Sequence[Result]) -> list[Entry]:
    """Results of the same system together, in the order in which systems first appear."""
    grouped: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        grouped.setdefault((one.group, one.title), []).append(one)
    return [Entry(tuple(group)) for group in grouped.values()]
