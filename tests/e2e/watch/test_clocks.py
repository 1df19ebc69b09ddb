"""Proof 6: a clock that is set, by a day or a year, stalls nothing, hurries nothing and deletes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Watch, drop

DAY, YEAR = 86_400, 365 * 86_400


@pytest.mark.parametrize("step", [DAY, -DAY, YEAR, -YEAR], ids=["+day", "-day", "+year", "-year"])
def test_the_clock_is_set(
    watching: Callable[..., Watch], radiograph: Callable[..., bytes], disk: Path, tmp_path: Path, step: int
) -> None:
    """After a summer-time mistake or a dead battery, nothing would be examined, or all results would be deleted."""
    offset = tmp_path / "offset"
    watch = watching(keep_days=0.5, settle_seconds=0.5).start(LD_PRELOAD=str(disk), CLOCK_OFFSET=str(offset))
    drop(watch.input, "0.png", radiograph(0))
    watch.wait(lambda: watch.said()["done"] == 1)
    (watch.input / "half.png").write_bytes(radiograph(9)[:500])
    watch.wait(lambda: watch.said()["later"] == 1)
    (tmp_path / "part").write_text(str(step))
    (tmp_path / "part").rename(offset)
    watch.wait(lambda: watch.said()["clock set"] == 1)
    began = time.monotonic()
    (watch.input / "1.png").write_bytes(radiograph(1))
    for number, when in ((2, time.time() + 10 * YEAR), (3, 0.0)):
        path = watch.input / f"{number}.png"
        path.write_bytes(radiograph(number))
        os.utime(path, (when, when))
    watch.wait(lambda: watch.said()["done"] == 4)
    assert time.monotonic() - began >= 0.5  # not early
    assert time.monotonic() - began < 20  # no stall
    watch.wait(lambda: watch.states()["quarantined"] == 1)
    assert watch.stop() == 0
    assert watch.said()["results removed"] == 0
    assert len(watch.results()) == 4
    watch.start(LD_PRELOAD=str(disk), CLOCK_OFFSET=str(offset))  # and after a restart under the wrong clock
    drop(watch.input, "5.png", radiograph(5))
    watch.wait(lambda: watch.states()["done"] == 5)
    watch.stop()
    assert len(watch.results()) == 5
