"""A flat folder that is read through one descriptor, so that swapping it meanwhile changes nothing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import BundleRefused

AGAIN = "copy or convert the bundle again"
"""What to do about a file that is not as it was written."""


@dataclass(frozen=True)
class HeldFolder:
    """An open folder and what it held when it was opened."""

    path: Path
    """As the caller wrote it, for messages."""
    names: frozenset[str]
    """Of every entry, whatever it is."""
    descriptor: int

    def read(self, name: str, limit_bytes: int) -> bytes:
        """All bytes of a regular file that is no link and no larger than `limit_bytes`.

        Raises:
            BundleRefused: it is anything else, or cannot be read.
        """
        path = self.path / name
        try:
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=self.descriptor), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise BundleRefused(f"{path} is not a regular file; {AGAIN}")
                content = file.read(limit_bytes + 1)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise BundleRefused(f"{path} is a symbolic link; replace it by the file itself") from error
            raise BundleRefused(f"{path} cannot be read: {_reason(error)}; {AGAIN}") from error
        if len(content) > limit_bytes:
            raise BundleRefused(f"{path} makes the bundle larger than bonedge loads ({limit_bytes} bytes were left)")
        return content


@contextmanager
def held(path: Path) -> Iterator[HeldFolder]:
    """Open the folder `path` (a symbolic link to it is followed) and list it.

    Raises:
        BundleRefused: it is no folder, or cannot be opened or listed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BundleRefused(f"bundle {path} cannot be opened: {_reason(error)}; give the bundle's folder") from error
    try:
        try:
            names = frozenset(os.listdir(descriptor))
        except OSError as error:
            raise BundleRefused(f"bundle {path} cannot be listed: {_reason(error)}; check its permissions") from error
        yield HeldFolder(path, names, descriptor)
    finally:
        os.close(descriptor)


def some(names: list[str]) -> str:
    """The first name, quoted so that it stays on one line, and how many more there are."""
    return ascii(names[0]) + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
