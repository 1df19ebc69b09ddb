"""The input folder, looked at and opened without ever following a link, blocking on a pipe or leaving the folder.

Every name below the root is opened from its parent's descriptor, one component at a time and with O_NOFOLLOW, so that
swapping a folder for a link between looking and opening leads nowhere. Paths are relative to the root, as
`os.fsdecode` gives them: names need not be UTF-8 and may be as long as the file system allows.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .stability import Signature, is_candidate

MAXIMUM_DEPTH = 64
"""Folders below the root; deeper ones are a loop of mounts or a mistake."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""How a name that is no longer there, or is a link now, answers."""
FORBIDDEN = (errno.EACCES, errno.EPERM)
"""How a name answers that this user may not reach."""


@dataclass
class Walk:
    """One look at everything below the root; iterate it, then read what it noticed."""

    tree: InputTree
    errors: list[OSError] = field(default_factory=list)
    """Of folders and files that the file system did not give: what they hold was not seen."""
    folders: int = 0
    """That could be listed, the root included."""
    forbidden: int = 0
    """Folders that this user may not read."""

    def __iter__(self) -> Iterator[tuple[str, Signature]]:
        """Every regular file that is meant to be read, and how it looks.

        Raises:
            OSError: the root itself cannot be read.
        """
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                yield from self._folder(folder, waiting)
            except OSError as error:
                if not folder:
                    raise
                self._note(error)

    def _folder(self, folder: str, waiting: list[str]) -> Iterator[tuple[str, Signature]]:
        descriptor = self.tree.open_folder(folder)
        closed = False
        try:
            with os.scandir(descriptor) as entries:
                self.folders += 1
                for entry in entries:
                    if not is_candidate(entry.name):
                        continue
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            if path.count("/") < MAXIMUM_DEPTH:
                                waiting.append(path)
                        elif entry.is_file(follow_symlinks=False):
                            yield path, signature_of(entry.stat(follow_symlinks=False))
                    except OSError as error:
                        if error.errno not in FORBIDDEN:
                            self._note(error)
                        elif folder:
                            closed = True  # it can be listed, but not entered: counted once, not for each name in it
                        else:
                            raise
        finally:
            os.close(descriptor)
        self.forbidden += closed

    def _note(self, error: OSError) -> None:
        if error.errno in FORBIDDEN:
            self.forbidden += 1
        elif error.errno not in GONE and len(self.errors) < 10:
            self.errors.append(error)


@dataclass(frozen=True)
class InputTree:
    """The folder that files arrive in."""

    root: Path

    def identity(self) -> tuple[int, int]:
        """Device and inode of the root: another mount or a new folder has another. Raises OSError."""
        status = os.stat(self.root)
        return status.st_dev, status.st_ino

    def is_readable(self) -> bool:
        """Whether this user may list the root and reach what is in it."""
        try:
            descriptor = self.open_folder("")
            try:
                os.stat(".", dir_fd=descriptor)  # fails in a folder that can be listed, but not entered
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True

    def look(self, path: str) -> Signature | None:
        """How the regular file at `path` looks; None when there is none (any more).

        Raises:
            OSError: the file system does not answer as it should.
        """
        folder, _, name = path.rpartition("/")
        try:
            descriptor = self.open_folder(folder)
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in GONE and self.root.is_dir():
                return None
            raise
        return signature_of(status) if stat.S_ISREG(status.st_mode) else None

    def open(self, path: str) -> int:
        """A descriptor of the file at `path` for reading. It may be anything but a link: check before reading.

        Raises:
            OSError: it is gone, is a link, or may not be read.
        """
        folder, _, name = path.rpartition("/")
        descriptor = self.open_folder(folder)
        try:
            return os.open(name, _FILE, dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def open_folder(self, path: str) -> int:
        """A descriptor of the folder at `path`; the root itself may be reached through links. Raises OSError."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in path.split("/") if path else ():
            try:
                below = os.open(part, _FOLDER, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor


def signature_of(status: os.stat_result) -> Signature:
    """The part of a status that tells one state of a file from another."""
    return Signature(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
