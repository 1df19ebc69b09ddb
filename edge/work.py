"""One arrival, from its bytes to its acknowledgement; each step may be the last, and the next start takes it up again.

read -> hash -> known? -> begin (ledger) -> decode (expendable process) -> examine -> write (durable) -> settle (ledger)
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Lock
from time import monotonic

from .decode import Decoder
from .decode.decoder import MAXIMUM_FILE_BYTES
from .errors import (
    BundleRefused,
    DecodingKilled,
    InvalidConfiguration,
    LedgerUnavailable,
    NotARadiograph,
    OutputUnavailable,
    UnreadableImage,
)
from .failpoints import reach
from .files import write_whole
from .ledger import UNREAD, Ledger, Settlement, State
from .pipeline import Pipeline
from .records import Timings
from .stability import Patience, Signature, ends_in_zeros, seconds_to_wait
from .tree import FORBIDDEN, GONE, InputTree, signature_of
from .write import write_examination

MAXIMUM_TRIES = 3
"""So often may a content cost a decoding process, or an error that nobody foresaw."""
MAXIMUM_DEATHS = 10
"""So often may the daemon die with a content in hand. High, because others' deaths are counted against it, too."""
_RETRY_SECONDS = (1.0, 5.0)
"""Before the second and the third try."""
_TWIN_SECONDS = 1.0
"""Before a file is read again whose content another worker has in hand."""
_COPY_SECONDS = 60.0
"""Before a quarantine folder that took no copy is tried again."""


@dataclass(frozen=True)
class Arrival:
    """A file that looks complete."""

    path: str
    """Below the input folder."""
    signature: Signature
    since: float
    """Monotonic seconds since when it has looked like this."""
    renamed: bool = False
    """It got its name by a rename."""
    deaths: int = 0
    """How often the daemon died with it in hand."""


class Kind(StrEnum):
    """How working on an arrival ended."""

    DONE = "done"
    KNOWN = "known"
    """Its content was settled before, by this path or another."""
    QUARANTINED = "quarantined"
    CHANGED = "changed"
    """It does not look as it did: look at it anew."""
    GONE = "gone"
    LATER = "later"
    """Offer it again after `wait_seconds`, unless it changes before."""
    UNREACHABLE = "unreachable"
    """The file system fails, which says nothing about the file."""
    BLOCKED = "blocked"
    """Output, ledger or engine does not work: nothing is acknowledged, and it will be the same for every file."""


@dataclass(frozen=True)
class Report:
    """What came of an arrival."""

    kind: Kind
    arrival: Arrival
    reason: str = ""
    """One line; never names the file."""
    wait_seconds: float = 0.0
    result: str = ""
    """The result's name, when done or known to be done."""
    label: str = ""
    latency_seconds: float = 0.0
    """From the file's last change, as seen from here, to the durable result."""
    timings_ms: Timings | None = None
    tries: int = 0
    decoder_lost: bool = False
    """It cost a decoding process."""
    engine_failed: bool = False
    """BLOCKED because the networks do not run: perhaps a new process helps."""
    unreadable: bool = False
    """LATER because it cannot be decoded as it is: it may be unfinished."""


@dataclass(frozen=True)
class Place:
    """Where files come from and go to."""

    tree: InputTree
    output: Path
    quarantine: Path | None = None
    """Folder for copies of quarantined files; None keeps none."""


class Bench:
    """Where arrivals are worked on, by several threads with a decoder each."""

    def __init__(
        self,
        place: Place,
        pipeline: Pipeline,
        ledger: Ledger,
        patience: Patience,
        name_of: Callable[[str], str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Keep what every arrival needs.

        Args:
            place: where files come from and go to.
            pipeline: what examines them.
            ledger: where they are acknowledged.
            patience: when an unreadable file is given up.
            name_of: a keyed hash of a content or path, for the names of quarantined copies.
            clock: monotonic seconds, the same that gave `Arrival.since`.
        """
        self.place, self.pipeline, self.ledger, self.patience = place, pipeline, ledger, patience
        self._name_of = name_of
        self._clock = clock
        self._in_hand: dict[str, str] = {}
        """Content -> path of the arrival that holds it."""
        self._unacknowledged: dict[str, Report] = {}
        """Content -> what came of it, when the ledger did not take that. One per thread at most."""
        self._lock = Lock()

    def work_on(self, arrival: Arrival, decoder: Decoder) -> Report:
        """Do all that can be done about `arrival` now.

        Raises:
            LedgerUnavailable: nothing is acknowledged.
            InvalidConfiguration: the decoding process cannot be started.
        """
        try:
            content = self._read(arrival)
        except OSError as error:
            return self._unopened(arrival, error)
        if isinstance(content, Report):
            return content
        reach("read")
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            if digest in self._in_hand:  # the same picture under another name: one of the two examines it
                return Report(Kind.LATER, arrival, "the same content is in hand", _TWIN_SECONDS)
            self._in_hand[digest] = arrival.path
        report = self._examine(arrival, digest, content, decoder)
        self._release(digest)
        return report

    def failed(self, arrival: Arrival, error: Exception) -> Report:
        """What to make of an error that `work_on` did not foresee, or that is not the file's fault; never raises."""
        with self._lock:
            held = [digest for digest, path in self._in_hand.items() if path == arrival.path]
        digest = held[0] if held else unread_key(arrival)
        try:
            if isinstance(error, LedgerUnavailable | InvalidConfiguration):
                return Report(Kind.BLOCKED, arrival, str(error))
            self.ledger.begin(digest, self._bundle, arrival.path)
            return self._tried(arrival, digest, b"", f"an error that nobody foresaw ({type(error).__name__})")
        except LedgerUnavailable as unavailable:
            return Report(Kind.BLOCKED, arrival, str(unavailable))
        finally:
            self._release(digest)

    def _release(self, digest: str) -> None:
        with self._lock:
            self._in_hand.pop(digest, None)

    @property
    def _bundle(self) -> str:
        return self.pipeline.bundle.digest

    def _read(self, arrival: Arrival) -> bytes | Report:
        """All bytes of the file, if it looks the same before and after reading them. Raises OSError."""
        descriptor = self.place.tree.open(arrival.path)
        try:
            reach("opened")
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Report(Kind.GONE, arrival, "it is not a regular file any more")
            if signature_of(status) != arrival.signature:
                return Report(Kind.CHANGED, arrival)
            if status.st_size > MAXIMUM_FILE_BYTES:
                return self._settle_unread(
                    arrival, f"it has {status.st_size >> 20} MiB; up to {MAXIMUM_FILE_BYTES >> 20} are read"
                )
            parts, left = [], status.st_size
            while left and (part := os.read(descriptor, left)):
                parts.append(part)
                left -= len(part)
            if left or signature_of(os.fstat(descriptor)) != arrival.signature:
                return Report(Kind.CHANGED, arrival)
        finally:
            os.close(descriptor)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _unopened(self, arrival: Arrival, error: OSError) -> Report:
        if error.errno in GONE and self.place.tree.root.is_dir():
            return Report(Kind.GONE, arrival)
        if error.errno in FORBIDDEN:
            waiting = self._seconds_until_given_up(arrival)
            reason = "it may not be read by this user"
            if waiting:
                return Report(Kind.LATER, arrival, reason, waiting, unreadable=True)
            return self._settle_unread(arrival, reason)
        return Report(Kind.UNREACHABLE, arrival, f"reading it failed ({os.strerror(error.errno or 0)})")

    def _examine(self, arrival: Arrival, digest: str, content: bytes, decoder: Decoder) -> Report:
        finished = self._unacknowledged.get(digest)
        if finished is not None:
            return self._acknowledge(finished, digest)
        known = self.ledger.find(digest, self._bundle)
        if known is not None and known.state is not State.PENDING:
            self.ledger.remember(arrival.path, arrival.signature, digest, self._bundle)
            reach("settled")
            return Report(Kind.KNOWN, arrival, known.reason, result=known.result, label=known.label)
        if not arrival.renamed and ends_in_zeros(content):
            waiting = self._seconds_until(arrival, self.patience.zero_tail_seconds)
            if waiting:
                return Report(Kind.LATER, arrival, "it ends in zeros and may be unfinished", waiting)
        if not os.access(self.place.output, os.W_OK | os.X_OK):
            # Before an image is examined for nothing.
            return Report(Kind.BLOCKED, arrival, "the output folder is gone or not writable")
        deaths = self.ledger.begin(digest, self._bundle, arrival.path).deaths
        reach("begun")
        if deaths >= MAXIMUM_DEATHS:
            return self._quarantine(arrival, digest, content, f"the daemon died {deaths} times with it in hand")
        begun = self._clock()
        try:
            radiograph = decoder.decode_content(content, self.pipeline.working_px, digest)
            reach("decoded")
            examination = self.pipeline.examine(radiograph, decode_ms=1000 * (self._clock() - begun))
            reach("examined")
            document = write_examination(
                self.place.output, examination, self.pipeline.bundle, self.pipeline.networks.description
            )
        except NotARadiograph as error:
            return self._quarantine(arrival, digest, content, str(error))
        except DecodingKilled as error:
            return replace(self._tried(arrival, digest, content, str(error)), decoder_lost=True)
        except UnreadableImage as error:
            waiting = self._seconds_until_given_up(arrival)
            if not waiting:
                return self._quarantine(arrival, digest, content, str(error))
            self.ledger.put_down(digest, self._bundle, reason=str(error))
            return Report(Kind.LATER, arrival, str(error), waiting, unreadable=True)
        except (OutputUnavailable, BundleRefused) as error:
            self.ledger.put_down(digest, self._bundle, reason=str(error))
            return Report(Kind.BLOCKED, arrival, str(error), engine_failed=isinstance(error, BundleRefused))
        reach("written")
        report = Report(
            Kind.DONE,
            arrival,
            result=document["result_id"],
            label=document["verdict"]["label"],
            latency_seconds=self._clock() - arrival.since,
            timings_ms=examination.timings_ms,
        )
        return self._acknowledge(report, digest)

    def _acknowledge(self, report: Report, digest: str) -> Report:
        """Record that the result is durable. If the ledger does not take it, only this is tried again later."""
        self._unacknowledged[digest] = report
        settlement = Settlement(
            State.DONE, result=report.result, label=report.label, latency_ms=round(1000 * report.latency_seconds, 3)
        )
        self.ledger.settle(digest, self._bundle, report.arrival.path, report.arrival.signature, settlement)
        del self._unacknowledged[digest]
        reach("acknowledged")
        return report

    def _tried(self, arrival: Arrival, digest: str, content: bytes, reason: str) -> Report:
        tries = self.ledger.put_down(digest, self._bundle, reason=reason, tries=1)
        if tries >= MAXIMUM_TRIES:
            return self._quarantine(arrival, digest, content, f"given up after {tries} tries: {reason}")
        return Report(Kind.LATER, arrival, reason, _RETRY_SECONDS[tries - 1], tries=tries)

    def _settle_unread(self, arrival: Arrival, reason: str) -> Report:
        return self._quarantine(arrival, unread_key(arrival), b"", reason)

    def _quarantine(self, arrival: Arrival, digest: str, content: bytes, reason: str) -> Report:
        """Record it, after a copy when copies are kept and there are bytes to copy."""
        reach("quarantining")
        if self.place.quarantine is not None and content:
            try:
                write_whole(self.place.quarantine / f"{self._name_of(digest)}.quarantined", content)
            except OSError as error:
                # Not BLOCKED: radiographs that can be read need no quarantine.
                reason = f"the quarantine folder does not take copies ({error.strerror}); {reason}"
                self.ledger.put_down(digest, self._bundle, reason=reason)
                return Report(Kind.LATER, arrival, reason, _COPY_SECONDS, unreadable=True)
        self.ledger.settle(
            digest, self._bundle, arrival.path, arrival.signature, Settlement(State.QUARANTINED, reason=reason)
        )
        reach("quarantined")
        return Report(Kind.QUARANTINED, arrival, reason)

    def _seconds_until_given_up(self, arrival: Arrival) -> float:
        return self._seconds_until(arrival, self.patience.incomplete_seconds)

    def _seconds_until(self, arrival: Arrival, seconds: float) -> float:
        return seconds_to_wait(arrival.since, self._clock(), seconds)


def unread_key(arrival: Arrival) -> str:
    """What stands for the content of a file whose bytes could not be had."""
    named = b"\0".join((os.fsencode(arrival.path), repr(tuple(arrival.signature)).encode()))
    return UNREAD + hashlib.sha256(named).hexdigest()
