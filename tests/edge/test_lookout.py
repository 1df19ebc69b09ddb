"""When the lookout believes events, and when it looks for itself."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from bonedge.edge.arrivals import Intake, Pace
from bonedge.edge.config import WatchSettings
from bonedge.edge.events import Events
from bonedge.edge.lookout import Lookout
from bonedge.edge.tree import InputTree

from .conftest import Listening


class Found:
    """An intake whose rescans found so many folders."""

    def __init__(self) -> None:
        self.scans, self.folders, self.asked = 0, 0, 0
        self.pace = Pace(0.0, 1.0)

    def rescan_soon(self) -> None:
        self.asked += 1


class Watched:
    """Events of so many folders."""

    alive = True

    def __init__(self) -> None:
        self.folders: int | None = 0
        self.begun = 1

    def begin(self, *_: object) -> Watched:
        self.begun += 1
        return self

    def close(self) -> None:
        pass

    def count_folders(self) -> int | None:
        return self.folders


class Post:
    """A lookout that is told what it sees."""

    def __init__(self, folder: Path) -> None:
        self.intake, self.events, self.journal = Found(), Watched(), Listening()
        self.settings = WatchSettings(input=folder, poll_seconds=2.0, rescan_seconds=30.0)
        tree = InputTree(folder)
        self.lookout = Lookout(cast(Intake, self.intake), tree, self.settings, self.journal, pytest.fail)
        self.lookout._events, self.lookout._identity = cast(Events, self.events), tree.identity()

    def rescan(self, folders: int, watched: int | None) -> float:
        """The pause between rescans after one that found so many folders."""
        self.intake.scans, self.intake.folders, self.events.folders = self.intake.scans + 1, folders, watched
        self.lookout._compare(cast(Events, self.events))
        self.lookout._mind_events()
        return self.intake.pace.rescan_seconds


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setattr("bonedge.edge.lookout.raises_no_events", lambda root: False)
    post = Post(tmp_path)
    monkeypatch.setattr("bonedge.edge.lookout.Events", post.events.begin)
    return post


def test_folders_that_are_not_watched_are_polled(post: Post) -> None:
    """Beyond the kernel's limit files would wait half a minute, and the log would call that `events`."""
    assert post.rescan(10, 10) == 30.0
    assert [post.rescan(10, 7) for _ in range(7)] == [30.0] * 5 + [2.0] * 2
    assert post.intake.asked == 6  # after each but the last, so that it does not take half a minute each
    assert post.events.begun == 2
    assert post.journal.events == ["events", "no events", "polling"]
    assert post.rescan(7, 7) == 30.0
    assert post.journal.events == ["events", "no events", "polling", "events"]


def test_a_folder_that_is_opened_is_watched_from_then_on(post: Post) -> None:
    """Mending the rights of one folder would have everything polled until the next restart."""
    assert [post.rescan(10, 9) for _ in range(3)] == [30.0] * 3
    assert post.events.begun == 2
    assert [post.rescan(10, 10), *(post.rescan(11, 10) for _ in range(3)), post.rescan(11, 11)] == [30.0] * 5
    assert post.events.begun == 3
    assert post.journal.events == ["events"]


def test_folders_that_come_and_go_are_no_shortage(post: Post) -> None:
    """A study that is removed while a rescan looks would have the log warn of a limit that is far away."""
    for folders, watched in ((10, 9), (10, 9), (9, 9), (10, 9), (0, 9), (10, None), (10, 9), (9, 12)):
        assert post.rescan(folders, watched) == 30.0
    assert post.journal.events == ["events"]
