"""Work spread over processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bonedge.calibration.production import produce

COUNT = 12
ENDLESS = """
from functools import partial
from bonedge.calibration.production import produce

if __name__ == "__main__":
    list(produce(partial(print, "working", flush=True), 10**9, jobs=2, title="Working"))
"""


@dataclass
class Doubling:
    """Counts in this process how often it is handed to another."""

    sent: int = 0

    def __call__(self, index: int) -> int:
        if index == COUNT:
            raise LookupError(index)
        return 2 * index

    def __getstate__(self) -> dict[str, Any]:
        self.sent += 1
        return {"sent": 0}


@pytest.mark.parametrize("jobs", [1, 2])
def test_gives_everything_in_order(jobs: int) -> None:
    """If it failed, a mask would belong to another picture."""
    assert list(produce(Doubling(), COUNT, jobs=jobs, title="Doubling")) == [2 * index for index in range(COUNT)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_hands_on_what_went_wrong(jobs: int) -> None:
    """If it failed, a set with an unreadable picture would be taken for a whole one."""
    with pytest.raises(LookupError):
        list(produce(Doubling(), COUNT + 1, jobs=jobs, title="Doubling"))


def test_the_work_is_described_once_to_each_process() -> None:
    """If it failed, the list of all pictures would travel with each of them: of 3,600, for minutes."""
    make = Doubling()
    list(produce(make, COUNT, jobs=2, title="Doubling"))
    assert 1 <= make.sent <= 2


def test_killed_it_leaves_nobody_behind(tmp_path: Path) -> None:
    """If it failed, each interrupted simulation would keep a process per core, with its memory, for ever."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"working")
        process.kill()
        # The pipe ends when all who could write into it are gone.
        process.communicate(timeout=120)
