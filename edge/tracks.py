"""What is known of the files that are not settled, and when to look at which next. No file system, no clock."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import Enum, auto

from .stability import Look

_SLACK = 64
"""Appointments that no longer hold are swept out when there are so many more of them than of those that do."""


class Phase(Enum):
    """Where a file is on its way to being settled."""

    WATCHED = auto()
    """Until it looks complete."""
    OFFERED = auto()
    """Waiting or in hand elsewhere."""
    RESTING = auto()
    """To be offered again later."""


@dataclass
class Track:
    """A file that is not settled."""

    look: Look
    phase: Phase
    new: bool
    first: float
    """Monotonic seconds when it was first seen."""
    wake: float = 0.0
    """Monotonic seconds before which a resting file is not offered again, unless it changes."""
    stirred: bool = False
    """An event came while it was offered: it may have changed since it was read."""
    unreadable: bool = False
    """It rests because it could not be decoded as it is."""
    unreachable: int = 0
    """How often in a row the file system failed."""
    forbidden: bool = False
    """Its folder may not be read."""

    @property
    def stuck(self) -> bool:
        """Whether looking again will not help unless somebody does something about it."""
        return self.phase is not Phase.OFFERED and (self.forbidden or (self.phase is Phase.RESTING and self.unreadable))


class Agenda:
    """At most one appointment per path; a new one replaces the old."""

    def __init__(self) -> None:
        """Nothing is planned."""
        self._times: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        """Every appointment, and replaced ones that are not swept out yet."""

    def __len__(self) -> int:
        """Entries in memory, those that no longer hold included."""
        return len(self._heap)

    def put(self, path: str, when: float) -> None:
        """Look at `path` at `when` and at no other time."""
        if self._times.get(path) == when:
            return
        self._times[path] = when
        heapq.heappush(self._heap, (when, path))
        if len(self._heap) > 2 * len(self._times) + _SLACK:
            self._heap = [(time, of) for of, time in self._times.items()]
            heapq.heapify(self._heap)

    def drop(self, path: str) -> None:
        """Do not look at `path`."""
        self._times.pop(path, None)

    def soonest(self) -> float | None:
        """When there is something to look at; None when nothing is planned."""
        while self._heap:
            when, path = self._heap[0]
            if self._times.get(path) == when:
                return when
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> str | None:
        """A path that is due, which is planned no longer; None when none is."""
        when = self.soonest()
        if when is None or when > now:
            return None
        _, path = heapq.heappop(self._heap)
        del self._times[path]
        return path
