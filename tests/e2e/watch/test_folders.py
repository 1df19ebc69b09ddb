"""Folders of the input that are closed to the service, or that the kernel does not watch for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Watch, drop

Watching = Callable[..., Watch]
Picture = Callable[..., bytes]
FEW_WATCHES = ("unshare", "-Ur", "sh", "-c", 'echo 4 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh")


def test_closed_folders_are_said_and_named_nowhere(
    watching: Watching, radiograph: Picture, mortal: tuple[str, ...]
) -> None:
    """The studies of one modality would be skipped in silence, or their patients' names be in the log."""
    watch = watching()
    for name in ("Zzyzx^Quentin", "Zzyzx^Roberta"):
        (watch.input / name).mkdir()
        drop(watch.input / name, "a.png", radiograph(1))
        (watch.input / name).chmod(0)
    try:
        watch.start(wrapper=mortal)
        watch.wait(lambda: watch.said()["folders may not be read"] == 1)
        drop(watch.input, "b.png", radiograph(2))
        watch.wait(lambda: watch.states()["done"] == 1)
        assert [event["folders"] for event in watch.events if event["event"] == "folders may not be read"] == [2]
    finally:
        for folder in watch.input.glob("Zzyzx*"):
            folder.chmod(0o700)
    watch.wait(lambda: len(watch.seen()) == 3)
    watch.wait(lambda: watch.said()["folders may be read again"] == 1)
    assert watch.stop() == 0
    assert watch.said()["input failed"] == 0
    assert watch.said()["folders may not be read"] >= 1
    assert "bonedge_forbidden_folders 0.0" in (watch.state / "bonedge.prom").read_text()
    assert watch.complaint() == ""
    assert "zzyzx" not in json.dumps(watch.events).lower()


def test_one_run_ends_as_incomplete_where_a_folder_is_closed(
    watching: Watching, radiograph: Picture, mortal: tuple[str, ...]
) -> None:
    """A nightly script would take the pictures that nobody looked at for examined."""
    watch = watching()
    closed = watch.input / "ct"
    closed.mkdir()
    drop(watch.input, "a.png", radiograph(1))
    closed.chmod(0)
    try:
        watch.start("--once", ready=False, wrapper=mortal)
        assert watch.finish() == 3
    finally:
        closed.chmod(0o700)
    assert watch.states()["done"] == 1
    assert watch.said()["folders may not be read"] == 1


def test_folders_beyond_the_kernels_limit_are_polled(watching: Watching, radiograph: Picture) -> None:
    """Studies in the folders that inotify has no room for would wait for the next rescan, and nobody would know."""
    if subprocess.run([*FEW_WATCHES, "true"], capture_output=True).returncode:
        pytest.skip("the limit of watches cannot be set here")
    watch = watching(rescan_seconds=600, poll_seconds=0.2)
    folders: list[Path] = [watch.input / str(number) for number in range(8)]
    for folder in folders:
        folder.mkdir()
    watch.start(wrapper=FEW_WATCHES)
    watch.wait(lambda: watch.said()["polling"] == 1)
    for number, folder in enumerate(folders):
        drop(folder, "a.png", radiograph(number))
    watch.wait(lambda: watch.states()["done"] == len(folders))
    (warning,) = (event for event in watch.events if event["event"] == "no events")
    assert warning["folders"] == 5
    assert watch.stop() == 0
