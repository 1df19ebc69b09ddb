"""Which results to remove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bonedge.edge.retention import START_SECONDS, Clock, Rules, oldest_to_free, sweep

DAY = 86_400.0
NOW = 1_000_000_000.0


class Times:
    """Both clocks, to be set by hand."""

    def __init__(self) -> None:
        self.wall_seconds, self.steady_seconds = NOW, 0.0
        self.clock = Clock(lambda: self.wall_seconds, lambda: self.steady_seconds)
        self.clock.step_seconds()

    def pass_by(self, seconds: float) -> None:
        self.wall_seconds += seconds
        self.steady_seconds += seconds
        self.clock.step_seconds()

    def set_by(self, seconds: float) -> None:
        self.wall_seconds += seconds
        self.clock.step_seconds()


@pytest.fixture
def times() -> Times:
    made = Times()
    made.pass_by(START_SECONDS + 1)
    return made


def result(output: Path, digit: str, age_days: float, now: float, size: int = 10) -> str:
    name = digit * 32
    for ending in ("json", "overlay.png", "mask.png"):
        path = output / f"{name}.{ending}"
        path.write_bytes(bytes(size))
        os.utime(path, (now - age_days * DAY,) * 2)
    return name


def test_old_results_go_and_nothing_else(tmp_path: Path, times: Times) -> None:
    """The disk would fill up, or somebody's notes in the same folder would be deleted."""
    old = result(tmp_path, "a", 31, times.wall_seconds)
    new = result(tmp_path, "b", 29, times.wall_seconds)
    for name in ("notes.txt", "aaaa.json", f"{old}.pdf", ".hidden.part", "A" * 32 + ".json"):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / f"{'c' * 32}.json").symlink_to("/etc/hostname")
    assert sweep(tmp_path, Rules(days=30), times.clock) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert not {name for name in left if name.startswith(old) and not name.endswith(".pdf")}
    assert {f"{new}.json", "notes.txt", "aaaa.json", f"{old}.pdf", f"{'c' * 32}.json"} <= left


@pytest.mark.parametrize("step", [365 * DAY, -365 * DAY, DAY, -DAY, 7200.0])
def test_a_clock_that_is_set_deletes_nothing_for_a_day(tmp_path: Path, times: Times, step: float) -> None:
    """A clock set a year ahead by mistake would delete every result."""
    result(tmp_path, "a", 1, times.wall_seconds)
    times.set_by(step)
    assert sweep(tmp_path, Rules(days=30), times.clock) == 0
    times.pass_by(3600.0)
    assert sweep(tmp_path, Rules(days=30), times.clock) == 0
    times.pass_by(DAY)
    assert sweep(tmp_path, Rules(days=30), times.clock) == (1 if step > 30 * DAY else 0)


def test_nothing_goes_by_age_soon_after_the_start(tmp_path: Path) -> None:
    """A workstation whose clock is wrong until the time server answers would delete every result at each start."""
    times = Times()
    result(tmp_path, "a", 365, times.wall_seconds)
    assert sweep(tmp_path, Rules(days=30), times.clock) == 0


def test_the_share_of_the_disk_is_kept(tmp_path: Path, times: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results would fill the disk; or somebody else's full disk would cost all results."""
    usage = os.statvfs(tmp_path)
    assert usage.f_blocks
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("U", (), {"total": 1000, "free": 0})())
    names = [
        result(tmp_path, digit, age, times.wall_seconds, size=100) for digit, age in (("a", 3), ("b", 2), ("c", 1))
    ]
    assert sweep(tmp_path, Rules(disk_share=0.65), times.clock) == 1
    assert {path.name[:32] for path in tmp_path.iterdir()} == set(names[1:])
    assert sweep(tmp_path, Rules(disk_share=0.65), times.clock) == 0


def test_no_more_than_needed_goes() -> None:
    """A little too much would cost half of the results."""
    sizes = {"a": 5, "b": 5, "c": 5}
    assert oldest_to_free(["a", "b", "c"], sizes, 0) == []
    assert oldest_to_free(["a", "b", "c"], sizes, 6) == ["a", "b"]
    assert oldest_to_free(["a", "b", "c"], sizes, 99) == ["a", "b", "c"]


def test_leftovers_of_killed_writes_go(tmp_path: Path, times: Times) -> None:
    """Each crash would leave a file that nobody ever removes."""
    for name, age in ((".abcd1234.part", 3600), (".efgh5678.part", 10), (".not-ours.part", 3600)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (times.wall_seconds - age,) * 2)
    sweep(tmp_path, Rules(), times.clock)
    assert {path.name for path in tmp_path.iterdir()} == {".efgh5678.part", ".not-ours.part"}
