"""Proof 1: kill -9 at every named step and at random times loses nothing, and shows nobody half a result."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from bonedge.edge.failpoints import NAMES

from .conftest import Watch, drop

RECOVERY_SECONDS = 10.0


def feed(watch: Watch, radiograph: Callable[..., bytes], rng: random.Random, numbers: range) -> None:
    """Some renamed into place, some written where they are; every tenth a copy, every fifteenth damaged."""
    for number in numbers:
        content = radiograph(number - 1 if number % 10 == 9 else number)
        if number % 15 == 14:
            content = content[:-30]
        if rng.random() < 0.5:
            drop(watch.input, f"{number}.png", content)
        else:
            (watch.input / f"{number}.png").write_bytes(content)


def expected(count: int) -> tuple[int, int]:
    """How many contents are done, and quarantined, of `count` files."""
    damaged = sum(number % 15 == 14 for number in range(count))
    copies = sum(number % 10 == 9 and number % 15 != 14 for number in range(count))
    # A copy of a file that is damaged in its own place is not one; a damaged copy is a content of its own.
    copies -= sum(number % 10 == 9 and (number - 1) % 15 == 14 for number in range(count))
    return count - damaged - copies, damaged


def check_visible(watch: Watch) -> None:
    """Whatever the last kill left, everything that can be seen is whole (Watch.results checks each)."""
    watch.results()
    for path in watch.output.glob("[!.]*"):
        assert path.stat().st_size > 0


def test_death_at_each_named_step(watching: Callable[..., Watch], radiograph: Callable[..., bytes]) -> None:
    """A crash at an unlucky moment would cost a patient the verdict, or give two."""
    watch = watching(incomplete_seconds=0.1, workers=1)
    rng = random.Random(1)
    for step, name in enumerate(NAMES):
        feed(watch, radiograph, rng, range(15 * step, 15 * step + 15))
        # The first steps are passed by every file, the others by few.
        watch.start(failpoints=f"{name}=kill@{1 + step % 3 if step < 7 else 1}", ready=False)
        assert watch.finish() == -signal.SIGKILL, (name, watch.complaint())
        check_visible(watch)
    count = 15 * len(NAMES)
    began = time.monotonic()
    watch.start()
    done = watch.said()["done"]
    watch.wait(lambda: watch.said()["done"] > done)
    assert time.monotonic() - began < RECOVERY_SECONDS
    watch.wait(lambda: len(watch.seen()) == count, 120)
    assert watch.stop() == 0
    check_all(watch, count)


def check_all(watch: Watch, count: int) -> None:
    done, quarantined = expected(count)
    assert watch.states() == {"done": done, "quarantined": quarantined}
    results = watch.results()
    assert len(results) == len({result["source"]["sha256"] for result in results}) == done
    assert {row[6] for row in watch.rows() if row[1] == "done"} == {result["result_id"] for result in results}
    visible = {path.name for path in watch.output.glob("[!.]*")}
    assert len(visible) == 3 * done
    assert watch.rows("PRAGMA integrity_check") == [("ok",)]


def test_death_at_random_times(
    watching: Callable[..., Watch],
    radiograph: Callable[..., bytes],
    scale: Callable[[Any, Any], Any],
    record_property: Callable[[str, object], None],
) -> None:
    """A workstation that is switched off every evening would lose a picture now and then."""
    rounds = int(os.environ.get("BONEDGE_SOAK_KILLS", scale(8, 1000)))
    watch = watching(incomplete_seconds=0.1)
    rng = random.Random(20)
    count = 0
    recoveries = []
    for turn in range(rounds):
        feed(watch, radiograph, rng, range(count, count + 3))
        count += 3
        spawned, ready = time.monotonic(), watch.said()["ready"]
        watch.start(ready=False)
        if turn % 10 == 5:
            settled = watch.said()["done"] + watch.said()["known"] + watch.said()["quarantined"]
            watch.wait(
                lambda settled=settled: (
                    watch.said()["done"] + watch.said()["known"] + watch.said()["quarantined"] > settled
                )
            )
            recoveries.append(time.monotonic() - spawned)
        if turn % 2:
            watch.wait(lambda ready=ready: watch.said()["ready"] > ready)
        spread = 0.4 if turn % 2 else 2.0
        deadline = time.monotonic() + spread * rng.random()
        while time.monotonic() < deadline:
            if rng.random() < 0.02:
                feed(watch, radiograph, rng, range(count, count + 1))
                count += 1
            time.sleep(0.002)
        watch.kill()
        if turn % scale(1, 20) == 0:
            check_visible(watch)
    watch.start()
    watch.wait(lambda: watch.rows("SELECT count(*) FROM seen") == [(count,)], scale(300, 3600))
    assert watch.stop() == 0
    check_all(watch, count)
    assert max(recoveries, default=0) < RECOVERY_SECONDS
    print(f"\n{rounds} kills over {count} files: 0 lost, 0 twice, slowest recovery {max(recoveries, default=0):.1f} s")


@pytest.mark.parametrize("action", ["error", "kill"])
def test_a_file_that_always_ends_it_is_given_up(
    watching: Callable[..., Watch], radiograph: Callable[..., bytes], action: str
) -> None:
    """One poisonous picture would keep the service from all others, for ever."""
    watch = watching(workers=1)
    (watch.input / "a.png").write_bytes(radiograph(1))
    if action == "error":
        watch.start(failpoints="decoded=error@1")
        drop(watch.input, "b.png", radiograph(2))
        watch.wait(lambda: watch.states()["done"] == 2)
        (tried,) = [event for event in watch.events if event.get("tries")]
        assert "ZeroDivisionError" in tried["reason"]
        watch.stop()
        return
    for _ in range(10):
        watch.start(failpoints="decoded=kill", ready=False)
        assert watch.finish() == -signal.SIGKILL
    drop(watch.input, "b.png", radiograph(2))
    watch.start()
    watch.wait(lambda: watch.states() == {"done": 1, "quarantined": 1})
    watch.stop()
    ((reason,),) = watch.rows("SELECT reason FROM outcome WHERE state = 'quarantined'")
    assert reason == "the daemon died 10 times with it in hand"
