"""Whether files may be taken in hand while output, ledger or engine does not work. No clock, no files.

The gate shuts when a file cannot be finished for a reason that is not its own. After a pause that doubles, one file
is admitted to see whether it works again. Shutting and opening are reported once each, however often it is tried.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


@dataclass
class Gate:
    """Open at first. Times are monotonic seconds."""

    reason: str = ""
    """Why it is shut; empty when it is open."""
    since: float = 0.0
    """When it was shut."""
    _pause: float = FIRST_PAUSE_SECONDS
    _until: float = 0.0
    _trying: bool = False

    def admits(self, now: float) -> bool:
        """Whether a file may be taken now: any when open; when shut, one, after the pause."""
        return not self.reason or (not self._trying and now >= self._until)

    def taken(self) -> None:
        """A file was taken."""
        self._trying = bool(self.reason)

    def shut(self, reason: str, now: float) -> bool:
        """A file could not be finished. True when the gate was open before."""
        first = not self.reason
        if first:
            self.since, self._pause = now, FIRST_PAUSE_SECONDS
        elif self._trying:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self.reason, self._until, self._trying = reason, now + self._pause, False
        return first

    def open(self) -> bool:
        """A file was settled. True when the gate was shut before."""
        was, self.reason, self._trying = bool(self.reason), "", False
        return was

    def undecided(self) -> None:
        """The file that was tried ended in a way that shows nothing."""
        self._trying = False
