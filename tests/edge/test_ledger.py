"""What became of each file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bonedge.edge.errors import InvalidConfiguration, LedgerUnavailable
from bonedge.edge.ledger import NAME, Ledger, Settlement, State
from bonedge.edge.stability import Signature

SIGNATURE = Signature(2**64 - 1, 10, -5, 2**63)
DONE = Settlement(State.DONE, result="r", label="normal", latency_ms=12.5)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def test_settled_once_and_remembered(ledger: Ledger, tmp_path: Path) -> None:
    """A restart would examine everything again."""
    assert ledger.begin("c", "b", "a.dcm").state is State.PENDING
    ledger.settle("c", "b", "a.dcm", SIGNATURE, DONE)
    ledger.close()
    again = Ledger(tmp_path)
    assert again.recall("a.dcm", SIGNATURE) == ("c", "b")
    assert again.recall("a.dcm", SIGNATURE._replace(size=11)) is None
    entry = again.find("c", "b")
    assert entry is not None
    assert (entry.state, entry.result, entry.label, entry.latency_ms) == (State.DONE, "r", "normal", 12.5)
    assert again.find("c", "another bundle") is None
    assert again.count_deaths() == {}
    again.close()


def test_paths_need_not_be_text(ledger: Ledger) -> None:
    """A name from an old PACS would end the daemon."""
    name = b"\xff\n\xe9".decode("utf-8", "surrogateescape")
    ledger.settle("c", "b", name, SIGNATURE, DONE)
    assert ledger.recall(name, SIGNATURE) == ("c", "b")
    assert next(ledger.entries()).path == name
    ledger.close()


def test_deaths_are_counted_against_what_was_in_hand(ledger: Ledger, tmp_path: Path) -> None:
    """A picture that ends the daemon would end it again and again."""
    ledger.begin("killer", "b", "k.dcm")
    ledger.begin("put down", "b", "p.dcm")
    ledger.put_down("put down", "b", reason="later")
    for deaths in (1, 2):
        other = Ledger(tmp_path)
        assert other.count_deaths() == {"k.dcm": deaths}
        assert other.begin("killer", "b", "k.dcm").deaths == deaths
        other.close()
    ledger.close()


def test_a_second_name_is_found(ledger: Ledger) -> None:
    """`bonedge ledger show` would know nothing of a file that another with the same content was examined for."""
    ledger.settle("c", "b", "first", SIGNATURE, DONE)
    ledger.remember("second", SIGNATURE, "c", "b")
    (entry,) = ledger.settled_at("second")
    assert (entry.content, entry.path) == ("c", "first")
    assert ledger.settled_at("third") == []
    ledger.close()


def test_damage_is_not_taken_for_a_full_disk(ledger: Ledger, tmp_path: Path) -> None:
    """An administrator would free space, and look for what is wrong with the disk."""
    for number in range(300):
        ledger.settle(f"{number:064}", "b", f"{number}.dcm", SIGNATURE, DONE)
    ledger.close()
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[:8192] + bytes(len(whole) - 8192))
    damaged = Ledger(tmp_path)
    with pytest.raises(LedgerUnavailable, match=r"damaged .* move it away"):
        list(damaged.entries())
    damaged.close()


def test_tries_add_up(ledger: Ledger) -> None:
    """Poison would be tried for ever."""
    ledger.begin("c", "b", "a")
    assert [ledger.put_down("c", "b", reason="crashed", tries=1) for _ in range(3)] == [1, 2, 3]
    ledger.close()


def test_forgetting_brings_it_back(ledger: Ledger) -> None:
    """`bonedge ledger retry` would do nothing."""
    for path in ("a", "copy of a"):
        ledger.settle("c", "b", path, SIGNATURE, Settlement(State.QUARANTINED, reason="bad"))
    ledger.settle("d", "b", "other", SIGNATURE, DONE)
    assert ledger.counts() == {State.PENDING: 0, State.DONE: 1, State.QUARANTINED: 1}
    ledger.forget("c", "b")
    assert ledger.recall("a", SIGNATURE) is None
    assert ledger.recall("copy of a", SIGNATURE) is None
    assert ledger.recall("other", SIGNATURE) is not None
    ledger.close()


def test_changes_by_others_are_noticed_and_own_ones_are_not(ledger: Ledger, tmp_path: Path) -> None:
    """The daemon would not hear of a retry, or would look at everything after each file."""
    ledger.settle("c", "b", "a", SIGNATURE, DONE)
    assert not ledger.changed_elsewhere()
    other = Ledger(tmp_path)
    other.forget("c", "b")
    other.close()
    assert ledger.changed_elsewhere()
    assert not ledger.changed_elsewhere()
    ledger.close()


def test_durability_is_what_it_says(ledger: Ledger) -> None:
    """A power cut would take acknowledgements back."""
    assert ledger._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert ledger._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger.faults() == []
    ledger.close()


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """A damaged or foreign ledger would be overwritten, or end in a traceback."""
    with pytest.raises(LedgerUnavailable):
        Ledger(tmp_path / "missing")
    (tmp_path / NAME).write_bytes(b"not a database at all, but long enough to be looked at" * 99)
    with pytest.raises(InvalidConfiguration, match="damaged"):
        Ledger(tmp_path)
    (tmp_path / NAME).unlink()
    database = sqlite3.connect(tmp_path / NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(InvalidConfiguration, match="later bonedge"):
        Ledger(tmp_path)


def test_a_closed_ledger_is_unavailable_and_can_be_reopened(ledger: Ledger) -> None:
    """An error of the disk would leave the daemon with a ledger that never works again."""
    ledger._database.close()
    with pytest.raises(LedgerUnavailable):
        ledger.find("c", "b")
    ledger.reopen()
    assert ledger.find("c", "b") is None
    ledger.close()
