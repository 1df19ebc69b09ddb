"""Proof 3: disks that are full, fail or go away: nothing is acknowledged, nothing crashes, it recovers by itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Watch, drop

Watching = Callable[..., Watch]
Picture = Callable[..., bytes]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs the superuser")


@pytest.fixture
def mounted() -> Iterator[Callable[..., Path]]:
    """`mounted(path, *arguments)` runs mount; unmounted at the end."""
    points: list[Path] = []

    def mount(point: Path, *arguments: str) -> Path:
        point.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, point], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", "-l", point], capture_output=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def check_stopped(watch: Watch, pid: int) -> None:
    assert watch.alive
    assert watch.pid == pid
    assert watch.said()["stopped"] == 1  # said once, however often it was tried


@needs_root
@pytest.mark.parametrize("which", ["output", "state"])
def test_a_full_disk(
    watching: Watching, radiograph: Picture, mounted: Callable[..., Path], tmp_path: Path, which: str
) -> None:
    """A full disk would turn into a crash loop, or into results that are acknowledged and empty."""
    small = mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=8m", "bonedge-test")
    watch = watching(**{which: str(small / which)}).start()
    pid = watch.pid
    drop(watch.input, "before.png", radiograph(0))
    watch.wait(lambda: watch.said()["done"] == 1)
    fill(small / "filler")
    for number in range(1, 6):
        drop(watch.input, f"{number}.png", radiograph(number))
    watch.wait(lambda: watch.said()["stopped"] == 1)
    blocked = watch.said()["done"]
    assert watch.rows("SELECT count(*) FROM outcome WHERE state = 'done'")[0][0] == blocked
    check_stopped(watch, pid)
    (small / "filler").unlink()
    watch.wait(lambda: watch.states()["done"] == 6)
    watch.wait(lambda: watch.said()["works again"] == 1)
    check_stopped(watch, pid)
    assert watch.stop() == 0
    assert watch.said()["done"] == len(watch.results()) == 6
    assert watch.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("which", ["output", "state", "input"])
def test_a_disk_that_fails(watching: Watching, radiograph: Picture, disk: Path, tmp_path: Path, which: str) -> None:
    """An input/output error would quarantine good pictures, or acknowledge what was not written."""
    flag = tmp_path / "fails"
    watch = watching().start(LD_PRELOAD=str(disk), DISK_FAILS=str(flag))
    pid = watch.pid
    drop(watch.input, "before.png", radiograph(0))
    watch.wait(lambda: watch.said()["done"] == 1)
    (tmp_path / "part").write_text(str(getattr(watch, which)))
    (tmp_path / "part").rename(flag)
    for number in range(1, 4):
        drop(watch.input, f"{number}.png", radiograph(number))
    sign = "unreachable" if which == "input" else "stopped"
    watch.wait(lambda: watch.said()[sign] >= 1)
    assert watch.states()["done"] == watch.said()["done"]
    assert watch.states()["quarantined"] == 0
    flag.unlink()
    watch.wait(lambda: watch.states()["done"] == 4)
    assert watch.alive
    assert watch.pid == pid
    assert watch.stop() == 0
    # One acknowledgement may have reached the disk although its sync failed: then it is not repeated.
    assert watch.said()["done"] + watch.said()["known"] == len(watch.results()) == 4


def test_an_output_folder_that_goes_and_comes_back(watching: Watching, radiograph: Picture) -> None:
    """A share that is mounted again would find its verdicts on the workstation's own disk, or nowhere."""
    watch = watching().start()
    pid = watch.pid
    drop(watch.input, "0.png", radiograph(0))
    watch.wait(lambda: watch.said()["done"] == 1)
    away = watch.folder / "away"
    watch.output.rename(away)
    drop(watch.input, "1.png", radiograph(1))
    watch.wait(lambda: watch.said()["stopped"] == 1)
    assert not watch.output.exists()
    assert watch.states()["done"] == 1
    away.rename(watch.output)
    watch.wait(lambda: watch.said()["done"] == 2)
    check_stopped(watch, pid)
    shutil.rmtree(watch.output)
    watch.output.mkdir()
    drop(watch.input, "2.png", radiograph(2))
    watch.wait(lambda: watch.said()["done"] == 3)
    assert watch.stop() == 0
    assert watch.said()["known"] == 0  # what was done is not done again because its result was taken away
    assert len(watch.results()) == 1


@needs_root
def test_an_input_mount_that_goes_and_comes_back(
    watching: Watching, radiograph: Picture, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """After a reboot of the PACS, everything on the share would be examined again, or nothing any more."""
    share = tmp_path / "share"
    share.mkdir()
    for number in range(20):
        (share / f"{number}.png").write_bytes(radiograph(number))
    watch = watching()
    mounted(watch.input, "--bind", str(share))
    watch.start()
    pid = watch.pid
    watch.wait(lambda: watch.said()["done"] == 20)
    subprocess.run(["umount", "-l", watch.input], check=True)
    drop(share, "while-away.png", radiograph(20))
    rescans = watch.said()
    mounted(watch.input, "--bind", str(share))
    watch.wait(lambda: watch.said()["done"] == 21)
    watch.input.joinpath("again.png").write_bytes(radiograph(21))
    watch.wait(lambda: watch.said()["done"] == 22)
    assert watch.alive
    assert watch.pid == pid
    assert watch.said()["known"] == rescans["known"] == 0
    assert watch.stop() == 0


@needs_root
def test_a_fuse_mount_is_polled_and_may_vanish(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """On an SMB or NFS share nothing would ever be noticed, because another machine's writing raises no events."""
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("there is no bindfs")
    share = tmp_path / "share"
    share.mkdir()
    watch = watching(poll_seconds=0.2)
    subprocess.run(["bindfs", share, watch.input], check=True)
    try:
        watch.start()
        watch.wait(lambda: watch.said()["polling"] == 1)
        drop(share, "0.png", radiograph(0))
        watch.wait(lambda: watch.said()["done"] == 1)
        server = [
            int(pid) for pid in os.listdir("/proc")
            if pid.isdigit() and str(share).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]  # fmt: skip
        for pid in server:
            os.kill(pid, 9)  # "transport endpoint is not connected"
        watch.wait(lambda: watch.said()["input failed"] >= 1)
        drop(share, "1.png", radiograph(1))
        subprocess.run(["umount", "-l", watch.input], check=True)
        subprocess.run(["bindfs", share, watch.input], check=True)
        watch.wait(lambda: watch.said()["done"] == 2)
        assert watch.said()["quarantined"] == 0
        assert watch.alive
        assert watch.stop() == 0
    finally:
        subprocess.run(["umount", "-l", watch.input], capture_output=True)


@needs_root
def test_a_start_on_a_full_disk(
    watching: Watching, radiograph: Picture, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """After a power cut on a full disk the service would give up, and stay down when there is room again."""
    small = mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=8m", "bonedge-test")
    watch = watching(state=str(small / "state"))
    fill(small / "filler")
    watch.start(ready=False)
    watch.wait(lambda: watch.said()["stopped"] == 1)
    (small / "filler").unlink()
    drop(watch.input, "a.png", radiograph(1))
    watch.wait(lambda: watch.said()["done"] == 1)
    assert watch.said()["stopped"] == 1
    assert watch.stop() == 0
