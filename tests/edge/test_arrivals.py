"""Taking files in, with a clock that is set by hand and a real folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bonedge.edge import arrivals
from bonedge.edge.arrivals import Intake, Pace
from bonedge.edge.stability import Patience, Signature
from bonedge.edge.tree import InputTree
from bonedge.edge.work import Arrival, Kind, Report


class Taker:
    """Takes what is offered, and remembers."""

    def __init__(self) -> None:
        self.offered: list[tuple[Arrival, bool]] = []
        self.room = True
        self.failures: list[str] = []
        self.scans = 0
        self.closed: list[int] = []

    def offer(self, arrival: Arrival, *, new: bool) -> bool:
        if self.room:
            self.offered.append((arrival, new))
        return self.room

    def input_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def input_works(self) -> None:
        self.scans += 1

    def forbidden(self, folders: int) -> None:
        self.closed.append(folders)

    @property
    def paths(self) -> list[str]:
        return [arrival.path for arrival, _ in self.offered]


class Bay:
    """An intake over a folder, whose time passes when it is told to."""

    def __init__(self, folder: Path, settled: Callable[[str, Signature], bool] = lambda path, signature: False) -> None:
        self.folder, self.now, self.taker = folder, 1000.0, Taker()
        self.intake = Intake(
            InputTree(folder),
            Patience(settle_seconds=1.0, zero_tail_seconds=5.0, incomplete_seconds=60.0),
            Pace(30.0, 1.0),
            settled,
            self.taker,
            clock=lambda: self.now,
        )

    def pass_by(self, seconds: float) -> None:
        """Step whenever something is due."""
        end = self.now + seconds
        while True:
            delay = self.intake.step()
            if delay > 0:
                if self.now + delay > end:
                    self.now = end
                    return
                self.now += delay

    def settle(self, kind: Kind = Kind.DONE, **report: float | bool) -> None:
        for arrival, _ in self.taker.offered:
            self.intake.report(Report(kind, arrival, **report))  # type: ignore[arg-type]
        self.taker.offered.clear()
        self.intake.step()


@pytest.fixture
def bay(tmp_path: Path) -> Bay:
    return Bay(tmp_path)


@pytest.fixture
def common_bay() -> Iterator[Bay]:
    """One whose folder may be closed to this user, who is not the superuser now."""
    superuser = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:  # below tmp_path only its owner gets anywhere
        if superuser:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Bay(Path(folder))
        finally:
            for path in (Path(folder), *Path(folder).iterdir()):
                path.chmod(0o700)
            if superuser:
                os.seteuid(0)


def count_looks(bay: Bay, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are looked at from now on."""
    looks: list[str] = []
    look = InputTree.look

    def counted(tree: InputTree, path: str) -> Signature | None:
        looks.append(path)
        return look(tree, path)

    monkeypatch.setattr(InputTree, "look", counted)
    return looks


def test_a_rescan_finds_what_no_event_told(bay: Bay) -> None:
    """A file whose event was lost would never be examined."""
    bay.pass_by(5)
    (bay.folder / "study").mkdir()
    (bay.folder / "study" / "a.dcm").write_bytes(b"x")
    bay.pass_by(32)
    assert bay.taker.paths == ["study/a.dcm"]
    assert bay.taker.offered[0][1]  # new


def test_what_is_there_at_the_start_is_backlog(bay: Bay) -> None:
    """At each start a month of files would overtake the patient who is there."""
    (bay.folder / "a.dcm").write_bytes(b"x")
    bay.pass_by(2)
    assert [new for _, new in bay.taker.offered] == [False]


def test_a_file_that_grows_is_not_offered(bay: Bay) -> None:
    """Half a picture would be judged."""
    path = bay.folder / "a.dcm"
    path.write_bytes(b"")
    for size in range(1, 10):
        bay.pass_by(0.9)
        path.write_bytes(b"x" * size)
        bay.intake.hint("a.dcm", False)
    assert bay.taker.paths == []
    bay.pass_by(1.1)
    assert bay.taker.paths == ["a.dcm"]


def test_a_renamed_file_is_offered_at_once(bay: Bay) -> None:
    """The blink would be a second long."""
    bay.pass_by(5)
    (bay.folder / "a.dcm").write_bytes(b"x")
    bay.intake.hint("a.dcm", True)
    bay.pass_by(0)
    assert bay.taker.paths == ["a.dcm"]


def test_settled_files_stay_settled_until_they_change(bay: Bay) -> None:
    """Everything would be examined at each rescan, or a corrected picture never."""
    path = bay.folder / "a.dcm"
    path.write_bytes(b"x")
    bay.pass_by(2)
    bay.settle()
    bay.pass_by(200)
    assert bay.taker.paths == []
    path.write_bytes(b"y")
    os.utime(path, (0, 0))
    bay.pass_by(40)
    assert bay.taker.paths == ["a.dcm"]


def test_earlier_runs_are_believed(tmp_path: Path) -> None:
    """After a restart everything would be read again."""
    asked: list[str] = []

    def settled(path: str, signature: Signature) -> bool:
        asked.append(path)
        return True

    bay = Bay(tmp_path, settled)
    (tmp_path / "a.dcm").write_bytes(b"x")
    bay.pass_by(100)
    assert bay.taker.paths == []
    assert asked == ["a.dcm"]  # and then it is remembered


def test_a_change_while_it_is_worked_on_is_not_lost(bay: Bay) -> None:
    """The picture of another patient, written over the first, would wait for the next rescan or be missed."""
    path = bay.folder / "a.dcm"
    path.write_bytes(b"x")
    bay.pass_by(2)
    path.write_bytes(b"other")
    bay.intake.hint("a.dcm", False)
    bay.intake.step()
    bay.settle()
    bay.pass_by(2)
    assert bay.taker.paths == ["a.dcm"]


def test_unreadable_files_wait_and_are_offered_again(bay: Bay) -> None:
    """A file that is still on its way would be given up, or asked about a hundred times a second."""
    path = bay.folder / "a.dcm"
    path.write_bytes(b"x")
    bay.pass_by(2)
    bay.settle(Kind.LATER, wait_seconds=59.0, unreadable=True)
    assert bay.intake.idle
    bay.pass_by(50)
    assert bay.taker.paths == []
    bay.pass_by(10)
    assert bay.taker.paths == ["a.dcm"]
    bay.settle(Kind.LATER, wait_seconds=59.0, unreadable=True)
    path.write_bytes(b"more")
    bay.intake.hint("a.dcm", False)
    bay.pass_by(2)
    assert bay.taker.paths == ["a.dcm"]


def test_no_room_means_later(bay: Bay) -> None:
    """A full queue would lose files."""
    bay.taker.room = False
    (bay.folder / "a.dcm").write_bytes(b"x")
    bay.pass_by(5)
    bay.taker.room = True
    bay.pass_by(2)
    assert bay.taker.paths == ["a.dcm"]


def test_more_files_than_can_be_tracked_are_all_taken(bay: Bay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 20,001st file of a migration would be missed."""
    monkeypatch.setattr(arrivals, "TRACKS", 10)
    for number in range(95):
        (bay.folder / f"{number}.dcm").write_bytes(b"x")
    seen: set[str] = set()
    for _ in range(60):
        bay.pass_by(2)
        assert len(bay.taker.offered) <= 10
        seen |= set(bay.taker.paths)
        assert not any(new for _, new in bay.taker.offered)  # still backlog
        bay.settle()
    assert len(seen) == 95


def test_a_vanished_folder_is_said_and_waited_for(bay: Bay) -> None:
    """A share that is not mounted would end the service, or count as empty and be examined anew."""
    (bay.folder / "a.dcm").write_bytes(b"x")
    bay.pass_by(2)
    bay.settle()
    away = bay.folder.with_name("away")
    bay.folder.rename(away)
    bay.pass_by(70)
    assert bay.taker.failures
    away.rename(bay.folder)
    scans = bay.taker.scans
    bay.pass_by(70)
    assert bay.taker.scans > scans
    assert bay.taker.paths == []


def test_files_that_go_are_forgotten(bay: Bay) -> None:
    """Memory would grow with every file that ever was there."""
    (bay.folder / "a.dcm").write_bytes(b"x")
    bay.pass_by(2)
    bay.settle(Kind.LATER, wait_seconds=5.0)
    (bay.folder / "b.dcm").write_bytes(b"x")
    bay.pass_by(40)
    bay.settle()
    for path in bay.folder.iterdir():
        path.unlink()
    bay.pass_by(100)
    assert bay.intake.unsettled == 0
    assert bay.intake._settled == set()
    assert bay.intake.oldest_seconds() == 0.0


def test_a_flood_of_hints_becomes_a_rescan(bay: Bay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events would pile up in memory faster than files are looked at."""
    monkeypatch.setattr(arrivals, "_HINTS", 5)
    bay.pass_by(5)
    for number in range(20):
        (bay.folder / f"{number}.dcm").write_bytes(b"x")
        bay.intake.hint(f"{number}.dcm", True)
    bay.pass_by(3)
    assert len(set(bay.taker.paths)) == 20


def test_hints_for_unfinished_names_are_ignored(bay: Bay) -> None:
    """An event would open what a rescan leaves alone."""
    bay.pass_by(5)
    (bay.folder / ".hidden").mkdir()
    for name in ("a.part", ".b.dcm", ".hidden/c.dcm"):
        (bay.folder / name).write_bytes(b"x")
        bay.intake.hint(name, True)
    bay.pass_by(50)
    assert bay.taker.paths == []


def test_a_folder_swapped_for_a_link_leads_nowhere(bay: Bay, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Somebody with access to the share could have any file of the workstation read."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.dcm").write_bytes(b"secret")
    (bay.folder / "study").mkdir()
    (bay.folder / "study" / "a.dcm").write_bytes(b"x")
    bay.pass_by(0.5)
    shutil.rmtree(bay.folder / "study")
    (bay.folder / "study").symlink_to(outside)
    bay.pass_by(100)
    assert bay.taker.paths == []
    with pytest.raises(OSError, match=r"symbolic|directory"):
        InputTree(bay.folder).open("study/a.dcm")


def test_a_file_that_grows_for_long_costs_the_same_all_the_time(bay: Bay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow copy of a quarter of an hour would end up taking the whole processor, and memory without limit."""
    looks = count_looks(bay, monkeypatch)
    bay.intake.pace = Pace(2.0, 1.0)
    path = bay.folder / "a.dcm"
    path.write_bytes(b"")
    minutes = []
    for minute in range(10):
        looks.clear()
        for part in range(120):
            path.write_bytes(b"x" * (120 * minute + part + 1))
            bay.intake.hint("a.dcm", False)
            bay.pass_by(0.5)
        minutes.append(len(looks))
        assert len(bay.intake._agenda) < 100
    assert max(minutes) <= 5 * 60, minutes  # two hints a second, and what settling asks for
    assert max(minutes[1:]) <= min(minutes[1:]) + 5, minutes
    assert bay.taker.paths == []
    bay.pass_by(3)
    assert bay.taker.paths == ["a.dcm"]


def test_what_is_unreadable_again_and_again_is_planned_once(bay: Bay) -> None:
    """Each time that a growing file is tried, an appointment ten minutes ahead would stay in memory."""
    path = bay.folder / "a.dcm"
    for size in range(1, 300):
        path.write_bytes(b"x" * size)
        bay.intake.hint("a.dcm", False)
        bay.pass_by(1.1)
        assert bay.taker.paths == ["a.dcm"]
        bay.settle(Kind.LATER, wait_seconds=600.0, unreadable=True)
        assert len(bay.intake._agenda) < 100


@pytest.mark.parametrize("kind", [Kind.DONE, Kind.GONE])
def test_what_is_no_longer_tracked_is_not_looked_at(bay: Bay, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    """Each settled file would be asked for once more on a share where each question takes milliseconds."""
    path = bay.folder / "a.dcm"
    path.write_bytes(b"x")
    bay.pass_by(0.5)
    bay.intake.hint("a.dcm", True)  # offered at once, before it is due
    bay.intake.step()
    assert bay.taker.paths == ["a.dcm"]
    looks = count_looks(bay, monkeypatch)
    if kind is Kind.GONE:
        path.unlink()
    bay.settle(kind)
    bay.pass_by(20)
    assert looks == []


def test_a_resting_file_is_offered_again_after_a_look_that_failed(bay: Bay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short failure of the share would have the file wait for a rescan, which may be a day away."""
    bay.intake.pace = Pace(86400.0, 1.0)
    (bay.folder / "a.dcm").write_bytes(b"x")
    bay.pass_by(2)
    bay.settle(Kind.LATER, wait_seconds=60.0)
    with monkeypatch.context() as patched:
        patched.setattr(InputTree, "look", lambda tree, path: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        bay.intake.hint("a.dcm", False)
        bay.intake.step()
    assert bay.taker.failures == ["Input/output error"]
    scans = bay.taker.scans
    bay.pass_by(20)
    assert bay.taker.scans == scans + 1  # which alone says that the input works again
    assert bay.taker.paths == []
    bay.pass_by(45)
    assert bay.taker.paths == ["a.dcm"]


def test_folders_that_may_not_be_read_are_counted(common_bay: Bay) -> None:
    """The studies of one modality, exported with another owner, would never be examined and nobody would hear of it."""
    folder = common_bay.folder
    for name in ("open", "closed", "listed"):
        (folder / name).mkdir()
        for number in range(3):
            (folder / name / f"{number}.dcm").write_bytes(b"x")
    (folder / "closed").chmod(0)
    (folder / "listed").chmod(0o400)  # shows names, and nothing about them
    common_bay.pass_by(2)
    assert common_bay.taker.closed == [2]
    assert sorted(common_bay.taker.paths) == ["open/0.dcm", "open/1.dcm", "open/2.dcm"]
    assert common_bay.taker.failures == []
    for name in ("closed", "listed"):
        (folder / name).chmod(0o700)
    common_bay.pass_by(40)
    assert common_bay.taker.closed[-1] == 0
    assert len(common_bay.taker.paths) == 9


def test_a_file_whose_folder_is_closed_waits_and_the_input_works(common_bay: Bay) -> None:
    """One folder with wrong rights would have the log say every few seconds that the whole input failed."""
    study = common_bay.folder / "study"
    study.mkdir()
    (study / "a.dcm").write_bytes(b"x")
    common_bay.intake.step()
    study.chmod(0)
    common_bay.pass_by(100)
    assert common_bay.taker.failures == []
    assert common_bay.taker.closed[-1] == 1
    assert common_bay.intake.unsettled == 1
    assert common_bay.intake.idle  # or `--once` would wait for somebody to change the rights
    study.chmod(0o700)
    common_bay.pass_by(10)
    assert common_bay.taker.paths == ["study/a.dcm"]


@pytest.mark.parametrize("mode", [0, 0o400])
def test_an_input_that_may_not_be_read_has_failed(common_bay: Bay, mode: int) -> None:
    """A share mounted for another user would look like an empty one."""
    (common_bay.folder / "a.dcm").write_bytes(b"x")
    common_bay.intake.step()
    common_bay.folder.chmod(mode)
    common_bay.taker.scans = 0
    common_bay.pass_by(3)
    assert common_bay.taker.failures[0] == "Permission denied"  # by the file that waits
    common_bay.pass_by(60)
    assert common_bay.taker.scans == 0  # and by each rescan
    common_bay.folder.chmod(0o700)
    common_bay.pass_by(60)
    assert common_bay.taker.paths == ["a.dcm"]
