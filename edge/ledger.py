"""What became of each file: one durable row per content and bundle, and which paths are settled.

SQLite with a write-ahead log and synchronous=FULL: what `settle` and `begin` have returned from survives a power cut.
Times in the rows are wall-clock, for people; nothing is decided by them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import RLock

from .errors import InvalidConfiguration, LedgerUnavailable
from .stability import Signature

NAME = "ledger.sqlite"
UNREAD = "unread:"
"""Before what stands for a content that could not be read."""
SCHEMA_VERSION = 1
_BUSY_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE outcome (
    content TEXT NOT NULL,
    bundle TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'quarantined')),
    reason TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    in_hand INTEGER NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT '',
    label TEXT NOT NULL DEFAULT '',
    path BLOB NOT NULL,
    begun TEXT NOT NULL,
    settled TEXT NOT NULL DEFAULT '',
    latency_ms REAL,
    PRIMARY KEY (content, bundle)
) STRICT, WITHOUT ROWID;
CREATE INDEX outcome_by_state ON outcome (state);
CREATE TABLE seen (
    path BLOB PRIMARY KEY,
    signature TEXT NOT NULL,
    content TEXT NOT NULL,
    bundle TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_by_content ON seen (content, bundle);
"""
_COLUMNS = "content, bundle, state, reason, tries, deaths, result, label, path, begun, settled, latency_ms"


class State(StrEnum):
    """Where a content is under a bundle. Every file that was opened ends in one of the last two."""

    PENDING = "pending"
    DONE = "done"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Entry:
    """One row."""

    content: str
    """SHA-256 of the file's bytes; of its path and signature, after `UNREAD`, when they could not be read."""
    bundle: str
    """The bundle's digest."""
    state: State
    reason: str
    """Why it is pending or quarantined, one line; empty when done."""
    tries: int
    """How often it cost a decoding process, or an error that nobody foresaw."""
    deaths: int
    """How often the daemon itself died with it in hand."""
    result: str
    """The name of its result files, without endings; empty unless done."""
    label: str
    path: str
    """Below the input folder, as `os.fsdecode` gives it: where this content was first met."""
    begun: str
    """ISO 8601, UTC."""
    settled: str
    latency_ms: float | None
    """From the last change of the file to its durable result."""


@dataclass(frozen=True)
class Settlement:
    """How a content ends."""

    state: State
    reason: str = ""
    result: str = ""
    label: str = ""
    latency_ms: float | None = None


class Ledger:
    """The open ledger. May be used by several threads; `Ledger`s of other processes may read and retry meanwhile."""

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Open, or create, the ledger in `folder`.

        Raises:
            LedgerUnavailable: the disk does not let it.
            InvalidConfiguration: it is damaged, or was written by a later bonedge.
        """
        self._path = folder / NAME
        self._now = now
        self._lock = RLock()
        self._database = self._open()
        self._version = self._data_version()

    def close(self) -> None:
        """Close it; everything is durable already."""
        with self._lock:
            self._database.close()

    def reopen(self) -> None:
        """Close and open again: after an error of the disk, SQLite's view of its own log is not to be trusted.

        Raises:
            LedgerUnavailable, InvalidConfiguration: as when it is opened.
        """
        with self._lock:
            self._database.close()
            self._database = self._open()

    def recall(self, path: str, signature: Signature) -> tuple[str, str] | None:
        """The content and the bundle that settled the file at `path`, if it still looks the same; else None."""
        with self._reading() as database:
            row = database.execute(
                "SELECT signature, content, bundle FROM seen WHERE path = ?", (os.fsencode(path),)
            ).fetchone()
        return (row[1], row[2]) if row is not None and row[0] == _text(signature) else None

    def find(self, content: str, bundle: str) -> Entry | None:
        """The row of this content under this bundle."""
        with self._reading() as database:
            row = database.execute(
                f"SELECT {_COLUMNS} FROM outcome WHERE content = ? AND bundle = ?",  # noqa: S608 - a constant
                (content, bundle),
            ).fetchone()
        return None if row is None else _entry(row)

    def begin(self, content: str, bundle: str, path: str) -> Entry:
        """Take a content in hand; a death from here on is counted against it.

        Raises:
            LedgerUnavailable: nothing is recorded.
        """
        with self._writing() as database:
            database.execute(
                "INSERT INTO outcome (content, bundle, state, in_hand, path, begun) VALUES (?, ?, 'pending', 1, ?, ?) "
                "ON CONFLICT DO UPDATE SET in_hand = 1, state = 'pending'",
                (content, bundle, os.fsencode(path), self._time()),
            )
        entry = self.find(content, bundle)
        assert entry is not None
        return entry

    def put_down(self, content: str, bundle: str, *, reason: str = "", tries: int = 0) -> int:
        """Give a content out of hand unsettled, after `tries` more failed tries; the number of tries so far."""
        with self._writing() as database:
            database.execute(
                "UPDATE outcome SET in_hand = 0, reason = ?, tries = tries + ? WHERE content = ? AND bundle = ?",
                (reason, tries, content, bundle),
            )
        entry = self.find(content, bundle)
        return entry.tries if entry is not None else 0

    def settle(self, content: str, bundle: str, path: str, signature: Signature, settlement: Settlement) -> None:
        """Acknowledge: this content is settled, and with it the file at `path` as it looks now. Durable on return.

        Raises:
            LedgerUnavailable: nothing is recorded.
        """
        with self._writing() as database:
            time = self._time()
            database.execute(
                "INSERT INTO outcome (content, bundle, state, path, begun) VALUES (?, ?, 'pending', ?, ?) "
                "ON CONFLICT DO NOTHING",
                (content, bundle, os.fsencode(path), time),
            )
            database.execute(
                "UPDATE outcome SET in_hand = 0, state = ?, reason = ?, result = ?, label = ?, settled = ?, "
                "latency_ms = ? WHERE content = ? AND bundle = ?",
                (
                    settlement.state.value,
                    settlement.reason,
                    settlement.result,
                    settlement.label,
                    time,
                    settlement.latency_ms,
                    content,
                    bundle,
                ),
            )
            _remember(database, path, signature, content, bundle)

    def remember(self, path: str, signature: Signature, content: str, bundle: str) -> None:
        """Note that the file at `path` holds a content that was settled before. Raises LedgerUnavailable."""
        with self._writing() as database:
            _remember(database, path, signature, content, bundle)

    def count_deaths(self) -> dict[str, int]:
        """At the start: blame what was in hand when the last daemon died; path -> deaths of every suspect."""
        with self._writing() as database:
            database.execute("UPDATE outcome SET deaths = deaths + 1, in_hand = 0 WHERE in_hand = 1")
            rows = database.execute("SELECT path, deaths FROM outcome WHERE state = 'pending' AND deaths > 0")
            return {os.fsdecode(path): deaths for path, deaths in rows}

    def entries(self, states: tuple[State, ...] = (), limit: int = -1) -> Iterator[Entry]:
        """Rows, the latest settled first; of all states when none is named. `limit` < 0 is no limit."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        with self._reading() as database:
            yield from map(
                _entry,
                database.execute(
                    f"SELECT {_COLUMNS} FROM outcome {where} ORDER BY settled = '' DESC, settled DESC, begun DESC "  # noqa: S608 - constants
                    "LIMIT ?",
                    (*(state.value for state in states), limit),
                ),
            )

    def settled_at(self, path: str) -> list[Entry]:
        """What settled the file at `path`, which may have been met under another name first."""
        with self._reading() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM outcome WHERE (content, bundle) IN "  # noqa: S608 - a constant
                "(SELECT content, bundle FROM seen WHERE path = ?)",
                (os.fsencode(path),),
            )
            return [_entry(row) for row in rows]

    def counts(self) -> dict[State, int]:
        """How many rows there are of each state."""
        with self._reading() as database:
            found = dict(database.execute("SELECT state, count(*) FROM outcome GROUP BY state").fetchall())
        return {state: found.get(state.value, 0) for state in State}

    def forget(self, content: str, bundle: str) -> None:
        """Drop a row and the paths that it settled, so that the daemon examines the content again."""
        with self._writing() as database:
            for table in ("seen", "outcome"):
                database.execute(
                    f"DELETE FROM {table} WHERE content = ? AND bundle = ?",  # noqa: S608 - constants
                    (content, bundle),
                )

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed the ledger since this was last asked."""
        with self._lock:
            version = self._data_version()
            changed, self._version = version != self._version, version
        return changed

    def faults(self) -> list[str]:
        """What SQLite's own integrity check complains of; empty when all is well."""
        with self._reading() as database:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def _open(self) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise InvalidConfiguration(f"{self._path}: was written by a later bonedge; install that one")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            if version == 0:
                # One transaction, so that a death in between leaves an empty ledger and not half of one.
                database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        except sqlite3.OperationalError as error:
            raise _unavailable(self._path, error) from error
        except sqlite3.DatabaseError as error:
            raise InvalidConfiguration(_damaged(self._path, error)) from error
        return database

    def _data_version(self) -> int:
        with self._reading() as database:
            return int(database.execute("PRAGMA data_version").fetchone()[0])

    def _time(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise _unavailable(self._path, error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is durable when the block has ended, or has left nothing behind."""
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise


def _remember(database: sqlite3.Connection, path: str, signature: Signature, content: str, bundle: str) -> None:
    database.execute(
        "INSERT OR REPLACE INTO seen (path, signature, content, bundle) VALUES (?, ?, ?, ?)",
        (os.fsencode(path), _text(signature), content, bundle),
    )


def _text(signature: Signature) -> str:
    # As text: inode numbers of network file systems need all 64 bits, and SQLite's integers are signed.
    return ":".join(map(str, signature))


def _entry(row: tuple[str, str, str, str, int, int, str, str, bytes, str, str, float | None]) -> Entry:
    content, bundle, state, reason, tries, deaths, result, label, path, begun, settled, latency_ms = row
    return Entry(
        content, bundle, State(state), reason, tries, deaths, result, label, os.fsdecode(path), begun, settled,
        latency_ms,
    )  # fmt: skip


def _damaged(path: Path, error: sqlite3.Error) -> str:
    return (
        f"{path}: is damaged ({error}); stop the service and move it away, with {NAME}-wal and {NAME}-shm: everything "
        "will be examined again"
    )


def _unavailable(path: Path, error: sqlite3.Error) -> LedgerUnavailable:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LedgerUnavailable(_damaged(path, error))
    return LedgerUnavailable(f"{path}: the ledger cannot be used ({error}); free space or repair the disk")
