"""Proof 8: it runs for months: nothing grows, and while nothing arrives it takes next to no processor time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .conftest import Watch, drop
from .test_bursts import cpu_seconds, memory_mb


def test_nothing_grows(
    watching: Callable[..., Watch], radiograph: Callable[..., bytes], scale: Callable[[Any, Any], Any]
) -> None:
    """The service would have to be restarted every few weeks, or the workstation would."""
    rate, seconds = 5.0, float(os.environ.get("BONEDGE_SOAK_SECONDS", scale(8, 3600)))
    watch = watching(rescan_seconds=30).start()
    samples = []
    began = time.monotonic()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        drop(watch.input, f"{number}.png", radiograph(number))
        number += 1
        if number % scale(2, 10) == 0:
            process = Path(f"/proc/{watch.pid}")
            threads = len(list((process / "task").iterdir()))
            samples.append((now, memory_mb(watch.pid), len(list((process / "fd").iterdir())), threads))
        threading.Event().wait(max(0.0, began + number / rate - time.monotonic()))
    watch.wait(lambda: watch.rows("SELECT count(*) FROM seen") == [(number,)])
    taken = np.array(samples[len(samples) // 4 :])  # after warming up
    hours = (taken[:, 0] - taken[0, 0]) / 3600
    slopes = [np.polyfit(hours, taken[:, column], 1)[0] for column in (1, 2, 3)]
    latencies = sorted(event["latency_ms"] for event in watch.events if event["event"] == "done")
    assert watch.stop() == 0
    assert watch.said()["done"] == number
    print(
        f"\n{number} files in {seconds:.0f} s: memory {taken[0, 1]:.1f} -> {taken[-1, 1]:.1f} MB "
        f"({slopes[0]:+.2f} MB/h), descriptors {slopes[1]:+.3f}/h, threads {slopes[2]:+.3f}/h; latency p50 "
        f"{latencies[len(latencies) // 2]:.0f} ms, p95 {latencies[int(0.95 * len(latencies))]:.0f} ms"
    )
    quarter = len(taken) // 4
    first, last = (np.median(part, axis=0) for part in (taken[:quarter], taken[-quarter:]))
    assert taken[-1, 1] - taken[0, 1] < 20
    assert last[1] - first[1] < scale(20, 10)
    assert np.ptp(taken[:, 2]) < 20
    # Two results at once start two more threads that write, which stay; retention's comes once an hour.
    assert np.ptp(taken[:, 3]) <= 3


def test_idle_costs_nothing(
    watching: Callable[..., Watch], radiograph: Callable[..., bytes], scale: Callable[[Any, Any], Any]
) -> None:
    """The fan of the workstation would run all night."""
    watch = watching(rescan_seconds=30, settle_seconds=0.5)
    for number in range(scale(20, 200)):
        (watch.input / f"{number}.png").write_bytes(radiograph(number))
    watch.start()
    watch.wait(lambda: watch.rows("SELECT count(*) FROM seen") == [(scale(20, 200),)])
    span = scale(6.0, 120.0)
    began, cpu = time.monotonic(), cpu_seconds(watch.pid)
    threading.Event().wait(span)  # the measured span itself
    share = (cpu_seconds(watch.pid) - cpu) / (time.monotonic() - began)
    assert watch.stop() == 0
    print(f"\nidle: {100 * share:.2f} % of a core")
    assert share < 0.01
