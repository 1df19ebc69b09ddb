"""Compiled models, kept from one start to the next: reading a pair back takes a quarter of compiling it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..files import write_whole

_ENDING = ".compiled"
_KEPT = 8
"""Files: two networks each of a few bundles and thread counts."""
_DIGEST_BYTES = hashlib.sha256().digest_size


class CompiledModels:
    """A folder of what a runtime compiled, each behind its SHA-256.

    A runtime parses these bytes unseen, so they are taken from a folder only that belongs to this user and that nobody
    else may write to. Whatever cannot be read, or kept, is compiled again: there are no errors.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the folder's name; it is made when there is something to keep."""
        self._folder = folder

    def find(self, grounds: Iterable[bytes]) -> bytes | None:
        """What was kept under the same grounds, whole; else None.

        Args:
            grounds: everything that decides what compiling gives: the model, the runtime, the processor, settings.
        """
        if not self._private():
            return None
        try:
            content = self._file(grounds).read_bytes()
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if digest == hashlib.sha256(compiled).digest() else None

    def keep(self, grounds: Iterable[bytes], compiled: bytes) -> None:
        """Keep it for the next start, and no more than a few of them."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._private():
                return
            write_whole(self._file(grounds), hashlib.sha256(compiled).digest() + compiled)
            files = sorted(self._folder.glob(f"*{_ENDING}"), key=lambda path: path.stat().st_mtime_ns)
            for old in files[:-_KEPT]:
                old.unlink(missing_ok=True)

    def _private(self) -> bool:
        try:
            status = self._folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def _file(self, grounds: Iterable[bytes]) -> Path:
        # Digests of a fixed length: no two lists of grounds run together to the same bytes.
        joined = b"".join(hashlib.sha256(one).digest() for one in grounds)
        return self._folder / f"{hashlib.sha256(joined).hexdigest()[:32]}{_ENDING}"
