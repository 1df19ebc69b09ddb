"""One arrival, from its bytes to its acknowledgement; decoder and pipeline are stand-ins, files and ledger are real."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bonedge.edge import work
from bonedge.edge.decode import Decoder
from bonedge.edge.errors import (
    BundleRefused,
    DecodingKilled,
    LedgerUnavailable,
    NotARadiograph,
    OutputUnavailable,
    UnreadableImage,
)
from bonedge.edge.ledger import Ledger, State
from bonedge.edge.stability import Patience
from bonedge.edge.tree import InputTree
from bonedge.edge.work import MAXIMUM_DEATHS, MAXIMUM_TRIES, Arrival, Bench, Kind, Place, Report


class Table:
    """A bench whose decoder and writer do what they are told, and count."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.input, self.output = folder / "in", folder / "out"
        for made in (self.input, self.output, folder / "state"):
            made.mkdir()
        self.ledger = Ledger(folder / "state")
        self.now = 100.0
        self.decoded = self.written = 0
        self.decoding: Exception | None = None
        self.writing: Exception | None = None
        pipeline: Any = SimpleNamespace(
            bundle=SimpleNamespace(digest="b"),
            networks=SimpleNamespace(description=None),
            examine=self._examine,
            working_px=640,
        )
        self.bench = Bench(
            Place(InputTree(self.input), self.output),
            pipeline,
            self.ledger,
            Patience(settle_seconds=0.1, zero_tail_seconds=30.0, incomplete_seconds=600.0),
            lambda name: name[:8],
            lambda: self.now,
        )
        monkeypatch.setattr(work, "write_examination", self._write)

    def put(self, content: bytes, name: str = "a.dcm", **arrival: Any) -> Arrival:
        (self.input / name).write_bytes(content)
        signature = self.bench.place.tree.look(name)
        assert signature is not None
        return Arrival(name, signature, self.now, **arrival)

    def work(self, arrival: Arrival) -> Report:
        """As the crew does."""
        decoder: Decoder = SimpleNamespace(decode_content=self._decode)  # type: ignore[assignment]
        try:
            return self.bench.work_on(arrival, decoder)
        except Exception as error:  # noqa: BLE001 - as the crew does
            return self.bench.failed(arrival, error)

    def state(self, content: bytes) -> State | None:
        entry = self.ledger.find(hashlib.sha256(content).hexdigest(), "b")
        return None if entry is None else entry.state

    def _decode(self, content: bytes, working_px: int, sha256: str) -> bytes:
        assert working_px == 640
        assert sha256 == hashlib.sha256(content).hexdigest()
        self.decoded += 1
        if self.decoding is not None:
            raise self.decoding
        return content

    def _examine(self, radiograph: bytes, decode_ms: float) -> Any:
        return SimpleNamespace(timings_ms=None)

    def _write(self, *_: Any) -> dict[str, Any]:
        self.written += 1
        if self.writing is not None:
            raise self.writing
        return {"result_id": "r", "verdict": {"label": "normal"}}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    made = Table(tmp_path, monkeypatch)
    yield made
    made.ledger.close()


def test_done_once(table: Table) -> None:
    """A picture would be examined at each look."""
    arrival = table.put(b"picture")
    table.now += 3
    report = table.work(arrival)
    assert (report.kind, report.result, report.latency_seconds) == (Kind.DONE, "r", 3.0)
    assert table.work(arrival).kind is Kind.KNOWN
    assert table.work(table.put(b"picture", "copy.dcm")).kind is Kind.KNOWN
    assert (table.decoded, table.written) == (1, 1)
    assert table.ledger.recall("copy.dcm", table.put(b"picture", "copy.dcm").signature) is None  # rewritten


def test_a_file_that_changed_or_went_is_looked_at_anew(table: Table) -> None:
    """What is examined would not be what was looked at."""
    arrival = table.put(b"picture")
    table.put(b"another picture")
    assert table.work(arrival).kind is Kind.CHANGED
    (table.input / "a.dcm").unlink()
    assert table.work(arrival).kind is Kind.GONE
    (table.input / "a.dcm").symlink_to("/etc/hostname")
    assert table.work(arrival).kind is Kind.GONE
    (table.input / "a.dcm").unlink()
    os.mkfifo(table.input / "a.dcm")
    assert table.work(arrival).kind is Kind.GONE
    assert table.decoded == 0


def test_a_missing_input_says_nothing_about_a_file(table: Table) -> None:
    """When a share is unmounted, everything on it would count as deleted."""
    arrival = table.put(b"picture")
    table.input.rename(table.input.with_name("away"))
    assert table.work(arrival).kind is Kind.UNREACHABLE


def test_unreadable_waits_and_is_then_given_up(table: Table) -> None:
    """A copy that pauses for minutes would be given up, or a damaged file be asked about for ever."""
    table.decoding = UnreadableImage("cut short")
    arrival = table.put(b"half")
    table.now += 100
    report = table.work(arrival)
    assert (report.kind, report.wait_seconds, report.unreadable) == (Kind.LATER, 500.0, True)
    assert table.state(b"half") is State.PENDING
    table.now += 500
    assert table.work(arrival).kind is Kind.QUARANTINED
    assert table.state(b"half") is State.QUARANTINED
    assert (table.input / "a.dcm").read_bytes() == b"half"


def test_something_else_is_told_at_once(table: Table) -> None:
    """A CT in the folder would keep the age of the oldest file up for ten minutes."""
    table.decoding = NotARadiograph("it is CT")
    report = table.work(table.put(b"ct"))
    assert (report.kind, report.reason) == (Kind.QUARANTINED, "it is CT")


def test_poison_has_three_tries(table: Table) -> None:
    """A file that kills the decoder would kill one after the other."""
    table.decoding = DecodingKilled("crashed")
    arrival = table.put(b"poison")
    reports = [table.work(arrival) for _ in range(MAXIMUM_TRIES)]
    assert [report.kind for report in reports] == [Kind.LATER] * (MAXIMUM_TRIES - 1) + [Kind.QUARANTINED]
    assert all(report.decoder_lost for report in reports), "bonedge_decoders_lost counts every one"
    assert table.decoded == MAXIMUM_TRIES


def test_a_defect_costs_tries_of_one_file(table: Table) -> None:
    """An error that nobody foresaw would end the daemon, or repeat for ever."""
    table.decoding = ZeroDivisionError("x")
    arrival = table.put(b"odd")
    reports = [table.work(arrival) for _ in range(MAXIMUM_TRIES)]
    assert [report.kind for report in reports] == [Kind.LATER] * (MAXIMUM_TRIES - 1) + [Kind.QUARANTINED]
    assert "ZeroDivisionError" in reports[-1].reason
    assert not any(report.decoder_lost for report in reports)
    assert table.state(b"odd") is State.QUARANTINED
    table.decoding = None
    assert table.work(table.put(b"next")).kind is Kind.DONE
    assert table.bench._in_hand == {}


@pytest.mark.parametrize("error", [OutputUnavailable("full"), BundleRefused("not finite")])
def test_what_is_not_the_files_fault_is_no_try(table: Table, error: Exception) -> None:
    """A full disk or a lost GPU would quarantine a day's pictures."""
    table.writing = error
    arrival = table.put(b"picture")
    for _ in range(5):
        report = table.work(arrival)
        assert report.kind is Kind.BLOCKED
        assert report.engine_failed == isinstance(error, BundleRefused)
    assert table.state(b"picture") is State.PENDING
    table.writing = None
    assert table.work(arrival).kind is Kind.DONE


def test_a_quarantine_that_takes_no_copies_stops_nothing(table: Table, tmp_path: Path) -> None:
    """One bad file would be taken up again and again, and every good radiograph of the day would wait behind it."""
    table.bench.place = replace(table.bench.place, quarantine=tmp_path / "cleaned away")
    table.decoding = NotARadiograph("no pixels")
    bad = table.put(b"bad", "bad.dcm")
    report = table.work(bad)
    assert (report.kind, report.wait_seconds) == (Kind.LATER, 60.0)
    assert "the quarantine folder does not take copies (No such file or directory); no pixels" in report.reason
    assert table.state(b"bad") is State.PENDING
    table.decoding = None
    assert table.work(table.put(b"good", "good.dcm")).kind is Kind.DONE
    (tmp_path / "cleaned away").mkdir()
    table.decoding = NotARadiograph("no pixels")
    assert table.work(bad).kind is Kind.QUARANTINED
    assert [path.read_bytes() for path in (tmp_path / "cleaned away").iterdir()] == [b"bad"]


def test_a_missing_output_is_noticed_before_the_work(table: Table) -> None:
    """While a share is away, the processor would be busy with examining for nothing."""
    table.output.rmdir()
    assert table.work(table.put(b"picture")).kind is Kind.BLOCKED
    assert table.decoded == 0


def test_an_acknowledgement_that_failed_is_repeated_alone(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger on a full disk would have the same picture examined again and again."""
    arrival = table.put(b"picture")
    settle = table.ledger.settle

    def full(*_: Any) -> None:
        raise LedgerUnavailable("full")

    monkeypatch.setattr(table.ledger, "settle", full)
    assert table.work(arrival).kind is Kind.BLOCKED
    assert table.state(b"picture") is State.PENDING
    monkeypatch.setattr(table.ledger, "settle", settle)
    assert table.work(arrival).kind is Kind.DONE
    assert (table.decoded, table.written) == (1, 1)


def test_a_tail_of_zeros_is_given_time_unless_it_was_renamed(table: Table) -> None:
    """An SMB copy would be judged while it is half black; a film with a black edge would wait although it is whole."""
    content = b"picture" + bytes(8192)
    arrival = table.put(content)
    report = table.work(arrival)
    assert (report.kind, report.wait_seconds) == (Kind.LATER, 30.0)
    table.now += 30
    assert table.work(arrival).kind is Kind.DONE
    assert table.work(table.put(b"other" + bytes(8192), "b.dcm", renamed=True)).kind is Kind.DONE


def test_too_large_is_quarantined_unread(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A video of 100 GB would be read into memory."""
    monkeypatch.setattr(work, "MAXIMUM_FILE_BYTES", 4)
    arrival = table.put(b"12345")
    assert table.work(arrival).kind is Kind.QUARANTINED
    assert table.ledger.recall("a.dcm", arrival.signature) is not None
    assert table.decoded == 0


def test_what_ended_the_daemon_ten_times_is_given_up(table: Table) -> None:
    """A picture that is too much for the machine's memory would restart the service for ever."""
    arrival = table.put(b"killer")
    digest = hashlib.sha256(b"killer").hexdigest()
    for _ in range(MAXIMUM_DEATHS):
        table.ledger.begin(digest, "b", "a.dcm")
        table.ledger.count_deaths()
    assert table.work(arrival).kind is Kind.QUARANTINED
    assert table.decoded == 0


def test_one_of_two_copies_waits_for_the_other(table: Table) -> None:
    """Two workers would examine the same content at the same time and write over each other."""
    arrival = table.put(b"picture")
    table.bench._in_hand[hashlib.sha256(b"picture").hexdigest()] = "elsewhere.dcm"
    report = table.work(arrival)
    assert (report.kind, report.unreadable) == (Kind.LATER, False)
    assert table.decoded == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_waits(table: Table) -> None:
    """A permission that is set after the copy would come too late."""
    arrival = table.put(b"picture")
    (table.input / "a.dcm").chmod(0)
    assert table.work(arrival).kind in (Kind.LATER, Kind.CHANGED)


def test_nothing_of_the_daemon_is_a_name_of_a_file(table: Table) -> None:
    """A reason goes into logs, and names of files name patients."""
    table.decoding = UnreadableImage("cut short")
    report = table.work(table.put(b"x", "Doe^John.dcm"))
    assert "Doe" not in report.reason
