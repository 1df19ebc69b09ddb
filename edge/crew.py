"""The worker threads: each takes the next arrival, works on it with a decoding process of its own, and reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from .admission import Admission
from .decode.pool import DecoderPool
from .errors import BonedgeError
from .gate import Gate
from .work import Arrival, Bench, Kind, Report

_ENGINE_PATIENCE_SECONDS = 120.0
"""An engine that fails for so long needs a new process."""
_GATE_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Limits:
    """What a crew may use."""

    workers: int
    decode_seconds: float
    decode_memory_mb: int
    hang_seconds: float
    """Beyond the limit of decoding, one file may take so long before its worker counts as hung."""

    @property
    def longest_seconds(self) -> float:
        """No file may take longer."""
        return self.decode_seconds + self.hang_seconds


@dataclass(frozen=True)
class Load:
    """How busy a crew is, in files."""

    new: int
    backlog: int
    in_hand: int
    blocked: str
    """Why nothing is taken in hand; empty when files are."""
    blocked_seconds: float
    """For how long."""


class Crew:
    """Starts with `start`, finishes what is in hand with `stop`."""

    def __init__(
        self,
        bench: Bench,
        limits: Limits,
        on_report: Callable[[Report, bool], None],
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Nothing runs yet.

        Args:
            bench: where arrivals are worked on.
            limits: of the work.
            on_report: told what came of each arrival, and whether the gate moved; from any worker's thread.
            on_failure: told of an error that ends a worker, which is a defect.
            clock: monotonic seconds.
        """
        self._bench, self._limits = bench, limits
        self._on_report, self._on_failure, self._clock = on_report, on_failure, clock
        self._turn = threading.Condition()
        """Guards everything below."""
        self._admission: Admission[Arrival] = Admission()
        self._gate = Gate()
        self._in_hand: dict[int, float] = {}
        """worker -> since when, monotonic seconds."""
        self._alone = False
        self._engine_failed = False
        self._stopping = False
        self._decoders: DecoderPool | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"worker {number}", daemon=True)
            for number in range(limits.workers)
        ]

    def start(self) -> None:
        """Start the decoding processes and the threads."""
        limits = self._limits
        self._decoders = DecoderPool(
            limits.workers, timeout_seconds=limits.decode_seconds, memory_mb=limits.decode_memory_mb
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more, and wait until what is in hand is finished."""
        with self._turn:
            self._stopping = True
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(self._limits.longest_seconds)
        if self._decoders is not None:
            self._decoders.close()

    def offer(self, arrival: Arrival, *, new: bool) -> bool:
        """Queue a complete file. False when there is no room for it now."""
        with self._turn:
            accepted = self._admission.add(arrival, new=new, deaths=arrival.deaths)
            self._turn.notify()
        return accepted

    def load(self) -> Load:
        """How busy it is."""
        with self._turn:
            waiting, backlog = len(self._admission), self._admission.backlog
            reason = self._gate.reason
            seconds = self._clock() - self._gate.since if reason else 0.0
            return Load(waiting - backlog, backlog, len(self._in_hand), reason, seconds)

    def healthy(self) -> bool:
        """Whether every worker is within the time that a file may take, and the engine has not failed for long."""
        now = self._clock()
        with self._turn:
            hung = any(now - since > self._limits.longest_seconds for since in self._in_hand.values())
            engine = self._engine_failed and now - self._gate.since > _ENGINE_PATIENCE_SECONDS
        return not hung and not engine

    def _run(self, number: int) -> None:
        try:
            while (arrival := self._next(number)) is not None:
                self._finish(number, self._work_on(arrival))
        except BaseException as error:
            self._on_failure(error)
            raise

    def _work_on(self, arrival: Arrival) -> Report:
        assert self._decoders is not None
        try:
            with self._decoders.lend() as decoder:
                return self._bench.work_on(arrival, decoder)
        except Exception as error:  # noqa: BLE001 - the boundary: one file must not end the daemon
            return self._bench.failed(arrival, error)

    def _next(self, number: int) -> Arrival | None:
        """The next arrival for worker `number`; None when it is time to stop."""
        with self._turn:
            while not self._stopping:
                now = self._clock()
                if not self._alone and self._gate.admits(now):
                    taken = self._admission.take(len(self._in_hand))
                    if taken is not None:
                        arrival, self._alone = taken
                        self._gate.taken()
                        self._in_hand[number] = now
                        return arrival
                # Only a shut gate opens by the passing of time; everything else is announced.
                self._turn.wait(_GATE_LOOK_SECONDS if self._gate.reason else None)
        return None

    def _finish(self, number: int, report: Report) -> None:
        if report.kind is Kind.BLOCKED:
            self._reopen_ledger()
        with self._turn:
            del self._in_hand[number]
            self._alone = False
            moved = self._move_gate(report)
            self._turn.notify_all()
        self._on_report(report, moved)

    def _move_gate(self, report: Report) -> bool:
        self._engine_failed = report.engine_failed
        if report.kind is Kind.BLOCKED:
            self._admission.put_back(report.arrival, deaths=report.arrival.deaths)
            return self._gate.shut(report.reason, self._clock())
        if report.kind in (Kind.DONE, Kind.QUARANTINED, Kind.KNOWN):
            return self._gate.open()
        self._gate.undecided()
        return False

    def _reopen_ledger(self) -> None:
        try:
            self._bench.ledger.reopen()
        except BonedgeError:
            return  # tried again with the next file
