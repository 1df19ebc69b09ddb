"""Is this file complete? Decided from what looking at it showed, and when: no file system, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

UNFINISHED_SUFFIXES = (".part", ".tmp", ".partial", ".filepart", ".crdownload")
"""Names under which copying programs write until they rename."""
ZERO_TAIL_BYTES = 4096
"""A file that ends in so many zero bytes may have been given its size before its content (SMB does)."""


class Signature(NamedTuple):
    """What tells one state of a file from another without reading it."""

    inode: int
    size: int
    """Bytes."""
    mtime_ns: int
    ctime_ns: int
    """Besides the three that everybody compares: it betrays a rewrite that puts the old mtime back (cp -p, rsync)."""


@dataclass(frozen=True)
class Look:
    """What is known of a file after looking at it at least once."""

    signature: Signature
    since: float
    """Monotonic seconds at the first look that showed this signature."""
    looks: int
    """How many looks in a row showed it."""
    renamed: bool = False
    """The file got its name by a rename: whoever wrote it says that it is whole."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a file to become whole."""

    settle_seconds: float = 0.5
    """Between two looks that must show the same; > 0."""
    zero_tail_seconds: float = 30.0
    """A file that ends in zeros must have been left alone for so long."""
    incomplete_seconds: float = 600.0
    """A file that does not parse to its end is taken for unfinished until it was left alone for so long."""


def is_candidate(name: str) -> bool:
    """Whether a file of this name (without its folder) is meant to be read at all."""
    return not name.startswith(".") and not name.lower().endswith(UNFINISHED_SUFFIXES)


def look_again(previous: Look | None, signature: Signature, now: float, *, renamed: bool = False) -> Look:
    """What is known after one more look.

    Args:
        previous: what was known before; None at the first look.
        signature: what this look showed.
        now: monotonic seconds. The file's own times are only compared with each other, never with a clock, so that
            neither a clock that is set nor a date in the future matters.
        renamed: the look follows an event that says that the file got its name just now.
    """
    if previous is None or previous.signature != signature or (renamed and not previous.renamed):
        return Look(signature, now, 1, renamed)
    return Look(signature, previous.since, previous.looks + 1, previous.renamed)


def is_complete(look: Look, now: float, patience: Patience) -> bool:
    """Whether the file is worth opening: renamed into place, or the same at two looks far enough apart."""
    return look.renamed or (look.looks >= 2 and now - look.since >= patience.settle_seconds)


def seconds_to_wait(look_since: float, now: float, seconds: float) -> float:
    """How much longer a file must be left alone, 0 when it was left alone for `seconds` already."""
    return max(0.0, look_since + seconds - now)


def ends_in_zeros(content: bytes) -> bool:
    """Whether the last `ZERO_TAIL_BYTES` (of a file that has more) are all zero."""
    return len(content) > ZERO_TAIL_BYTES and not any(memoryview(content)[-ZERO_TAIL_BYTES:])
