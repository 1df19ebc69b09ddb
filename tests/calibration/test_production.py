"""Work spread over processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bonedge.calibration.production import produce

COUNT = 12


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
