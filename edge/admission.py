"""Who goes next: newest first, with a guaranteed share for the backlog. No clock, no files.

The policy:

- What arrives while the daemon runs is *new*; what it finds at its start, or had no room for, is *backlog*.
- Of every `SHARE` turns, one goes to the oldest of the backlog, all others to the newest of the new. A turn that one
  side cannot use goes to the other.
- A new file that was overtaken for `PATIENCE` turns joins the end of the backlog. So every file is served: one with
  k files before it in the backlog waits for at most SHARE * (k + 1) turns.
- A *suspect*, in hand when the daemon died, is served alone, so that it cannot drag others along, and after the
  others, but at the latest every `SUSPECT_TURNS` turns; fewest deaths first.
- No more than `capacity` files wait here. What is refused is found again by a later rescan.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SHARE = 4
PATIENCE = 1000
SUSPECT_TURNS = 64
CAPACITY = 20_000

Item = TypeVar("Item")


@dataclass
class Admission(Generic[Item]):
    """The waiting files, in the order in which they will be served."""

    capacity: int = CAPACITY
    _new: deque[tuple[int, Item]] = field(default_factory=deque)
    """(turn of its arrival, item), newest last."""
    _backlog: deque[Item] = field(default_factory=deque)
    """Oldest first."""
    _suspects: list[tuple[int, int, Item]] = field(default_factory=list)
    """(deaths, turn of its arrival, item)."""
    _turn: int = 0
    _served_suspect: int = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._backlog) + len(self._suspects)

    @property
    def backlog(self) -> int:
        """How many of the waiting are not new."""
        return len(self._backlog) + len(self._suspects)

    def add(self, item: Item, *, new: bool, deaths: int = 0) -> bool:
        """Let `item` wait. False when there is no room, which can happen to the backlog only.

        A new arrival always gets in; when there is no room, the last in the backlog is not worth more than it, but
        is known to be waiting, so the capacity is exceeded by at most a tenth, and then the new are refused too.

        Args:
            item: what is handed out again by `take`.
            new: it arrived while the daemon ran.
            deaths: how often the daemon died with it in hand; more than 0 makes it a suspect.
        """
        if len(self) >= self.capacity + (self.capacity // 10 if new else 0):
            return False
        if deaths:
            self._suspects.append((deaths, self._turn, item))
            self._suspects.sort(key=lambda suspect: suspect[:2])
        elif new:
            self._new.append((self._turn, item))
        else:
            self._backlog.append(item)
        return True

    def put_back(self, item: Item, *, deaths: int = 0) -> None:
        """Return what `take` gave and nobody could work on: it is the next of the backlog."""
        if deaths:
            self._suspects.insert(0, (deaths, self._turn, item))
        else:
            self._backlog.appendleft(item)

    def take(self, busy: int) -> tuple[Item, bool] | None:
        """The next item and whether it must be worked on alone; None when nothing can be handed out now.

        Args:
            busy: how many items are being worked on. While one is worked on alone, `take` must not be called.
        """
        if self._suspects and (not (self._new or self._backlog) or self._turn - self._served_suspect >= SUSPECT_TURNS):
            # Nothing else is handed out until the hands are empty, or the suspect would never be alone.
            if busy:
                return None
            self._turn += 1
            self._served_suspect = self._turn
            return self._suspects.pop(0)[2], True
        if not self._new and not self._backlog:
            return None
        self._turn += 1
        while self._new and self._new[0][0] < self._turn - PATIENCE:
            self._backlog.append(self._new.popleft()[1])
        for_backlog = self._turn % SHARE == 0
        if self._backlog and (for_backlog or not self._new):
            return self._backlog.popleft(), False
        if for_backlog:
            return self._new.popleft()[1], False
        return self._new.pop()[1], False
