"""Proof 4: more files at once than events, queue or memory can hold: none is missed, none is done twice."""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bonedge.edge.bundle import Bundle
from bonedge.edge.write import result_id

from .conftest import Watch, drop

Watching = Callable[..., Watch]
Picture = Callable[..., bytes]
KERNEL_QUEUE = 16_384
"""Default of fs.inotify.max_queued_events."""


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(pid)


def test_a_burst_of_renames(watching: Watching, radiograph: Picture, scale: Callable[[Any, Any], Any]) -> None:
    """A migration of the PACS would lose one picture in twelve, as events alone did in a trial."""
    count = scale(1500, 60_000)
    watch = watching(rescan_seconds=1.0)
    aside = watch.folder / "aside"
    aside.mkdir()
    for number in range(count):
        (aside / f"{number}.png").write_bytes(radiograph(number % 20))
    watch.start()
    watch.wait(lambda: watch.said()["events"] == 1)
    began = time.monotonic()
    for number in range(count):
        (aside / f"{number}.png").rename(watch.input / f"{number}.png")
    burst_seconds = time.monotonic() - began
    watch.wait(lambda: watch.rows("SELECT count(*) FROM seen") == [(count,)], scale(120, 3600))
    seconds = time.monotonic() - began
    assert watch.stop() == 0
    assert len(watch.results()) == watch.said()["done"] == 20
    print(f"\n{count} files renamed in within {burst_seconds:.1f} s: 0 missed, all settled after {seconds:.0f} s")


def test_events_that_the_kernel_dropped(watching: Watching, radiograph: Picture) -> None:
    """While the workstation is busy, the kernel drops events, and the files would wait until somebody restarts it."""
    watch = watching(rescan_seconds=1.0).start()
    watch.wait(lambda: watch.said()["events"] == 1)
    watch.signal(signal.SIGSTOP)
    names = [watch.input / ".a", watch.input / ".b"]
    names[0].touch()
    for turn in range(KERNEL_QUEUE):  # two events each
        names[turn % 2].rename(names[1 - turn % 2])
    for number in range(50):
        drop(watch.input, f"{number}.png", radiograph(number))
    watch.signal(signal.SIGCONT)
    watch.wait(lambda: watch.states()["done"] == 50)
    assert watch.stop() == 0


def test_new_files_overtake_a_backlog(
    watching: Watching, radiograph: Picture, scale: Callable[[Any, Any], Any], tiny_bundle: Path
) -> None:
    """After a weekend without power, today's patients would wait for the weekend's, or the weekend's for ever."""
    backlog, live = scale((150, 10), (10_000, 300))
    watch = watching(rescan_seconds=5.0)
    for number in range(backlog):
        (watch.input / f"old-{number}.png").write_bytes(radiograph(number))
    digest = Bundle.open(tiny_bundle).digest
    watch.start()
    watch.wait(lambda: watch.said()["done"] >= 5 and watch.said()["events"] == 1)
    before = memory_mb(watch.pid)
    peak = before
    latencies = []
    pause = scale(0.1, 1.0)
    for number in range(live):
        content = radiograph(1_000_000 + number)
        name = f"{result_id(hashlib.sha256(content).hexdigest(), digest)}.json"
        dropped = time.monotonic()
        drop(watch.input, f"new-{number}.png", content)
        watch.wait(lambda name=name: (watch.output / name).exists())
        latencies.append(time.monotonic() - dropped)
        peak = max(peak, memory_mb(watch.pid))
        threading.Event().wait(pause)
    left = backlog - watch.states()["done"] + live
    assert left > 0, "the backlog was gone before the test was"
    while watch.rows("SELECT count(*) FROM seen") != [(backlog + live,)]:
        peak = max(peak, memory_mb(watch.pid))
        watch.wait(lambda: True)
        threading.Event().wait(0.2)
        assert watch.alive
    assert watch.stop() == 0
    done = watch.said()["done"]
    assert done == watch.states()["done"] == len(list(watch.output.glob("*.json"))) == backlog + live
    p95 = statistics.quantiles(latencies, n=20)[-1]
    print(
        f"\n{backlog} waiting, {live} live: each done once; live latency p50 {statistics.median(latencies):.2f} s, "
        f"p95 {p95:.2f} s; memory {before:.0f} -> {peak:.0f} MB at most; {left} waited when the last live one came"
    )
    assert peak - before < 50
    assert p95 < 10


def test_looking_at_many_settled_files_is_cheap(
    watching: Watching, radiograph: Picture, scale: Callable[[Any, Any], Any]
) -> None:
    """Polling a share would take a processor from the people at the workstation."""
    count, seconds = scale((2000, 6.0), (10_000, 60.0))
    watch = watching(poll="always", poll_seconds=0.5)
    for number in range(count):
        (watch.input / f"{number}.png").write_bytes(radiograph(number % 5))
    watch.start()
    watch.wait(lambda: watch.rows("SELECT count(*) FROM seen") == [(count,)], 300)
    began, cpu = time.monotonic(), cpu_seconds(watch.pid)
    threading.Event().wait(seconds)  # the measured span itself
    share = (cpu_seconds(watch.pid) - cpu) / (time.monotonic() - began)
    assert watch.stop() == 0
    print(f"\npolling {count} settled files: {100 * share:.1f} % of a core")
    assert share <= 0.05


def cpu_seconds(pid: int) -> float:
    """Of the process and all its threads, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
