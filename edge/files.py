"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, *, prepare_in: Path | None = None) -> None:
    """Write `content` to `path` so that a reader sees the old file or the whole new one, even after a power cut.

    Temporary file, fsync, rename, fsync of the folder.

    Args:
        path: destination.
        content: all of it.
        prepare_in: folder for the temporary file, on the same file system; by default the destination's own.

    Raises:
        OSError: the folder is missing, full or not writable; nothing is left behind.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=prepare_in or path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
