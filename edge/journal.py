"""One event, one line: JSON for journald and programs. Files appear as keyed hashes, never by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol


class Level(StrEnum):
    """How much an event matters to whoever reads the log."""

    INFO = "info"
    WARNING = "warning"
    """Something for an administrator, once; work goes on or will."""
    ERROR = "error"


class Journal(Protocol):
    """Told of everything that happens."""

    def say(self, event: str, level: Level = Level.INFO, **fields: Any) -> None:
        """Record `event` (a verb or two, lower case). Fields carry units in their names and nobody's name."""

    def refresh(self, status: dict[str, Any]) -> None:
        """How things stand, about once a second."""

    def close(self) -> None:
        """Nothing follows."""


class JsonJournal:
    """JSON lines on a descriptor, ASCII only, control characters escaped: what a file is called cannot forge a line."""

    def __init__(self, descriptor: int, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Write to `descriptor`, which stays the caller's."""
        self._descriptor = descriptor
        self._now = now

    def say(self, event: str, level: Level = Level.INFO, **fields: Any) -> None:
        """Write the line. A reader that is gone costs the line and nothing else."""
        time = self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, "level": level.value, "event": event, **fields}, default=str)
        try:
            # One write, so that lines of several threads do not mix. JSON itself lets DEL through.
            os.write(self._descriptor, line.replace("\x7f", "\\u007f").encode("ascii") + b"\n")
        except OSError:
            return

    def refresh(self, status: dict[str, Any]) -> None:
        """Not an event."""

    def close(self) -> None:
        """Nothing is buffered."""
