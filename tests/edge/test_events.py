"""Events of a real folder, and what watchdog may say about it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bonedge.edge.events import Events


@pytest.fixture
def watch() -> Iterator[Callable[[Path], Events]]:
    """`watch(folder)` until the end of the test."""
    started: list[Events] = []

    def start(folder: Path) -> Events:
        started.append(Events(folder, lambda path, renamed: None, lambda: None))
        return started[-1]

    yield start
    for events in started:
        events.close()


def test_watchdog_prints_nothing(
    watch: Callable[[Path], Events], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its warnings quote the folders that it cannot watch, which name patients, and the log would show them."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        watch(tmp_path)
        for name in ("watchdog.observers.inotify", "watchdog"):
            warnings.warn_explicit("b'/input/Zzyzx^Quentin'", RuntimeWarning, "inotify.py", 1, name)
        logging.getLogger("watchdog.observers.inotify_c").warning("/input/Zzyzx^Quentin")
        warnings.warn_explicit("ours", RuntimeWarning, "watchdogs.py", 1, "watchdogs.of.others")
    assert [str(warning.message) for warning in heard] == ["ours"]
    assert capfd.readouterr() == ("", "")


def test_folders_that_are_watched_can_be_counted(watch: Callable[[Path], Events], tmp_path: Path) -> None:
    """Where the kernel's limit leaves folders out, their files would wait for the next rescan and nobody would know."""
    for name in ("a", "b/c", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    events = watch(tmp_path)
    assert events.count_folders() == 5
    events.close()
    assert events.count_folders() == 0
