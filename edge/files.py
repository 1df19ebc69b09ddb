"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_POOL = ThreadPoolExecutor(2 * (os.cpu_count() or 1), thread_name_prefix="writing")
"""Threads that stay: OpenCV keeps 0.8 KB for each that it ever resized in, and there was one for each result."""


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
    temporary = _prepare(content, prepare_in or path.parent)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_together(files: Mapping[Path, Callable[[], bytes]]) -> None:
    """Make and write several files of one folder at the same time, each as `write_whole` does.

    The disk is asked to keep them all at once, which takes it about as long as one. What is left to the caller is the
    folder: until `sync_folder`, or the next `write_whole` into it, a power cut may take the new names away again.

    Args:
        files: destination -> what makes its content, in another thread.

    Raises:
        OSError: one cannot be written; no temporary file is left behind.
    """
    futures = [_POOL.submit(_made, make, path.parent) for path, make in files.items()]
    prepared = [future.result() for future in futures if future.exception() is None]
    try:
        for path, future in zip(files, futures, strict=True):
            os.replace(future.result(), path)
    except BaseException:
        for temporary in prepared:
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _made(make: Callable[[], bytes], folder: Path) -> Path:
    return _prepare(make(), folder)


def _prepare(content: bytes, folder: Path) -> Path:
    """A durable temporary file in `folder`; nothing is left behind when it cannot be written."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Path(temporary)
