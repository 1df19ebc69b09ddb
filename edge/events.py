"""Events of the file system, as hints: whatever is lost here is found by the rescan."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

Hint = Callable[[str, bool], None]
"""(path below the input folder, whether it was renamed into place)."""

# Closing after writing and renaming end a file; its creation says nothing yet, and the rescan sees slow writers.
_FILTER: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent]


class Events(FileSystemEventHandler):
    """An inotify watch on a folder and everything below it, until `close`."""

    def __init__(self, root: Path, hint: Hint, on_folder: Callable[[], None]) -> None:
        """Start watching.

        Args:
            root: the input folder.
            hint: called from a thread of its own for each file that was closed after writing or renamed into place.
            on_folder: called when a folder appeared, whose files may have raised no events.

        Raises:
            OSError: the folder is gone, or the kernel's limit of watches is reached.
        """
        _silence()
        self._root = os.path.realpath(root)  # watchdog does not follow links, not even the first one
        self._hint = hint
        self._on_folder = on_folder
        # Full events: a file moved in from elsewhere is told apart from one that is created.
        self._observer = InotifyObserver(generate_full_events=True)
        try:
            self._observer.schedule(self, self._root, recursive=True, event_filter=_FILTER)
            self._observer.start()
        except OSError:
            self._observer.on_thread_stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether it still watches: it stops when the folder itself goes."""
        return self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters)

    def count_folders(self) -> int | None:
        """How many folders the kernel watches for this process; None when it does not say.

        Watchdog passes over a folder that it cannot watch, such as each one beyond the kernel's limit, without a word.
        """
        count = 0
        try:
            for descriptor in os.listdir("/proc/self/fd"):
                try:
                    if os.readlink(f"/proc/self/fd/{descriptor}") != "anon_inode:inotify":
                        continue
                    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as lines:
                        count += sum(line.startswith(b"inotify wd:") for line in lines)
                except FileNotFoundError:
                    continue  # another thread's file, closed meanwhile
        except OSError:
            return None
        return count

    def close(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join(5.0)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Pass an event on; called by watchdog."""
        if event.is_directory:
            self._on_folder()
            return
        renamed = isinstance(event, FileMovedEvent)
        path = os.fsdecode(event.dest_path if renamed else event.src_path)
        if path.startswith(self._root + "/"):
            self._hint(path[len(self._root) + 1 :], renamed)


def _silence() -> None:
    """Nobody hears watchdog's messages: they quote paths, which may name patients. Rescans find what they are about."""
    logger = logging.getLogger("watchdog")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = False
    warnings.filterwarnings("ignore", module=r"watchdog(\.|$)")
