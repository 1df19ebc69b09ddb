"""Which results to remove, by age and by the share of the disk that they take; inputs are never touched.

Only files that are named as results are ever removed, the JSON of a set first, so that nobody finds a result whose
pictures are gone. Removing by age trusts the clock, so it waits for an hour after the start, in which time servers are
asked, and for a day after the clock was set by more than an hour: a clock set wrong deletes nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_RESULT = re.compile(r"([0-9a-f]{32})\.(json|overlay\.png|mask\.png)")
_LEFTOVER = re.compile(r"\.[A-Za-z0-9_]{8}\.part")
"""What `files.write_whole` leaves behind when it is killed."""
_ORDER = ("json", "overlay.png", "mask.png")
_LEFTOVER_SECONDS = 600.0
CLOCK_STEP_SECONDS = 3600.0
MISTRUST_SECONDS = 86_400.0
START_SECONDS = 3600.0


@dataclass(frozen=True)
class Rules:
    """When a result has been kept for long enough."""

    days: float | None = None
    """Older ones go; None keeps them whatever their age."""
    disk_share: float | None = None
    """The oldest go until all together take no more than this share of the disk, 0..1; None sets no limit. Not the
    share that is free: something else that fills the disk must not cost the results."""


@dataclass
class Clock:
    """The wall clock, and whether it can be trusted."""

    wall: Callable[[], float]
    """Seconds since 1970."""
    steady: Callable[[], float]
    """Seconds from any origin that nobody can set."""
    _started: float | None = None
    _offset: float | None = None
    _stepped: float | None = None

    def step_seconds(self) -> float:
        """By how much the wall clock was set since this was last asked; positive is forward."""
        if self._started is None:
            self._started = self.steady()
        offset = self.wall() - self.steady()
        step = 0.0 if self._offset is None else offset - self._offset
        self._offset = offset
        if abs(step) > CLOCK_STEP_SECONDS:
            self._stepped = self.steady()
        return step

    def trusted(self) -> bool:
        """Whether an hour has passed since this was first used, and a day since the clock was set by over an hour."""
        now = self.steady()
        if self._started is None or now - self._started < START_SECONDS:
            return False
        return self._stepped is None or now - self._stepped > MISTRUST_SECONDS


def expired(ages_seconds: Mapping[str, float], days: float | None) -> list[str]:
    """The result names older than `days`, oldest first."""
    if days is None:
        return []
    old = [name for name, age in ages_seconds.items() if age > days * 86_400]
    return sorted(old, key=lambda name: -ages_seconds[name])


def sweep(output: Path, rules: Rules, clock: Clock) -> int:
    """Remove what the rules say; how many result sets went.

    Raises:
        OSError: the folder cannot be read, or a file not removed.
    """
    times: dict[str, float] = {}
    sizes: dict[str, int] = {}
    now = clock.wall()
    with os.scandir(output) as entries:
        for entry in entries:
            match = _RESULT.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                times[match[1]] = max(status.st_mtime, times.get(match[1], status.st_mtime))
                sizes[match[1]] = sizes.get(match[1], 0) + status.st_size
            elif (
                clock.trusted()
                and _LEFTOVER.fullmatch(entry.name)
                and entry.is_file(follow_symlinks=False)
                and now - entry.stat(follow_symlinks=False).st_mtime > _LEFTOVER_SECONDS
            ):
                os.unlink(entry.path)
    gone: list[str] = []
    if clock.trusted():
        gone = expired({name: now - time for name, time in times.items()}, rules.days)
    if rules.disk_share is not None:
        excess = sum(sizes.values()) - sum(sizes[name] for name in gone)
        excess -= int(rules.disk_share * shutil.disk_usage(output).total)
        kept = sorted(times.keys() - set(gone), key=lambda name: times[name])
        gone += oldest_to_free(kept, sizes, excess)
    for name in gone:
        for ending in _ORDER:
            (output / f"{name}.{ending}").unlink(missing_ok=True)
    return len(gone)


def oldest_to_free(names: list[str], sizes_bytes: Mapping[str, int], excess_bytes: int) -> list[str]:
    """The first of `names`, as many as it takes to free `excess_bytes`; none when that is not positive."""
    chosen = []
    for name in names:
        if excess_bytes <= 0:
            break
        chosen.append(name)
        excess_bytes -= sizes_bytes[name]
    return chosen
