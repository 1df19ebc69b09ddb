"""The daemon: a lookout that takes files in, a crew that works on them, and a main thread that watches over both.

    lookout (1 thread)    looks at the input folder, offers what is complete
    crew (n threads)      take from the queue, each with a decoding process of its own; share the warm networks
    main thread           signals, health, metrics, retention; runs nothing that can hang on a file

The three meet in two places only: the crew's queue, and the intake's inbox.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .arrivals import Intake, Pace
from .config import WatchSettings
from .crew import Crew, Limits
from .errors import BonedgeError, InvalidConfiguration, OutputUnavailable
from .exposition import Metrics
from .failpoints import reach
from .heap import give_back
from .journal import Journal, Level
from .ledger import Ledger
from .lookout import POLL_SHARE, Lookout
from .notify import Notifier
from .pipeline import Pipeline
from .pseudonyms import Pseudonyms
from .retention import Clock, Rules, sweep
from .stability import Patience, Signature
from .tree import InputTree
from .work import Arrival, Bench, Kind, Place, Report

_TICK_SECONDS = 0.5
_TICK_ONCE_SECONDS = 0.05
_BEAT_SECONDS = 1.0
_METRICS_SECONDS = 15.0
_RETENTION_SECONDS = 3600.0
_HEAP_SECONDS = 60.0
_CLOCK_STEP_SECONDS = 1.0
_BLOCKED_SECONDS = 20.0
"""For so long an input or a disk that does not work is waited for when all is to be done once."""


@dataclass(frozen=True)
class Equipment:
    """What a daemon works with; its caller opens and closes it."""

    settings: WatchSettings
    """With an input and an output."""
    pipeline: Pipeline
    ledger: Ledger
    pseudonyms: Pseudonyms
    journal: Journal
    notifier: Notifier
    metrics: Metrics
    reprocess: bool = False
    """Examine again what another bundle has settled."""


class Daemon:
    """Works until it is told to stop."""

    def __init__(self, equipment: Equipment, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing runs yet."""
        settings = equipment.settings
        assert settings.input is not None
        assert settings.output is not None
        self._equipment, self._settings, self._journal = equipment, settings, equipment.journal
        self._output = settings.output
        self._clock = clock
        # Boot time goes on while the machine sleeps: a night's sleep is not a clock that was set.
        self._wall = Clock(time.time, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._wake = threading.Event()
        self._failure: BaseException | None = None
        self._sweeper: threading.Thread | None = None
        self._input_reason = ""
        """Why the input cannot be read; empty when it can."""
        self._input_since = 0.0
        """Monotonic seconds when it failed."""
        self._forbidden = 0
        """Folders of the input that may not be read."""
        self._outcomes = dict.fromkeys(Kind, 0)
        patience = Patience(settings.settle_seconds, settings.zero_tail_seconds, settings.incomplete_seconds)
        tree = InputTree(settings.input)
        bench = Bench(
            Place(tree, settings.output, settings.quarantine),
            equipment.pipeline,
            equipment.ledger,
            patience,
            equipment.pseudonyms.name,
            clock,
        )
        limits = Limits(settings.workers, settings.decode_seconds, settings.decode_memory_mb, settings.hang_seconds)
        self._crew = Crew(bench, limits, self._on_report, self._on_failure, clock)
        self._intake = Intake(
            tree,
            patience,
            Pace(settings.poll_seconds, POLL_SHARE),
            self._is_settled,
            self,
            suspects=equipment.ledger.count_deaths(),
            clock=clock,
        )
        self._lookout = Lookout(self._intake, tree, settings, equipment.journal, self._on_failure, clock)

    def run(self, *, once: bool, interrupted: Callable[[], bool]) -> dict[Kind, int]:
        """Work until `interrupted` says so or, with `once`, until all that is there is settled or looks unfinished.

        Finishes what is in hand. Raises what a thread of its own died of, which is a defect.

        Returns:
            How many arrivals ended how; LATER stands for those left because they cannot be decoded as they are, and for
            each folder that may not be read.

        Raises:
            OutputUnavailable: with `once`, output, ledger or engine does not work.
            InvalidConfiguration: with `once`, the input, or a part of it, cannot be read.
        """
        self._crew.start()
        self._lookout.start()
        self._equipment.notifier.ready(self._status_line())
        self._journal.say("ready")
        reach("ready")
        duties = (
            _Duty(_BEAT_SECONDS, self._beat),
            _Duty(_METRICS_SECONDS, self._write_metrics),
            _Duty(_RETENTION_SECONDS, self._start_retention),
            _Duty(_HEAP_SECONDS, give_back),
        )
        try:
            while not interrupted() and self._failure is None and not (once and self._finished()):
                for duty in duties:
                    duty.do_if_due(self._clock())
                self._wake.wait(_TICK_ONCE_SECONDS if once else _TICK_SECONDS)
                self._wake.clear()
        finally:
            self._crew.stop()
            self._lookout.stop()
            self._write_metrics()
        if self._failure is not None:
            raise self._failure
        if once and self._crew.load().blocked:
            raise OutputUnavailable(self._crew.load().blocked)
        if once and self._input_reason:
            raise InvalidConfiguration(
                f"{self._settings.input}: cannot be read ({self._input_reason.lower()}); "
                "check watch.input, or mount the share"
            )
        self._outcomes[Kind.LATER] = self._intake.unsettled + self._forbidden
        return dict(self._outcomes)

    def wake(self) -> None:
        """Make `run` ask `interrupted` soon."""
        self._wake.set()

    # What the main thread does from time to time.

    def _beat(self) -> None:
        if self._crew.healthy():
            self._equipment.notifier.alive()
        self._equipment.notifier.status(self._status_line())
        self._journal.refresh(self._status())
        step = self._wall.step_seconds()
        if abs(step) > _CLOCK_STEP_SECONDS:
            self._journal.say("clock set", Level.WARNING, step_seconds=round(step, 1))
        try:
            changed = self._equipment.ledger.changed_elsewhere()
        except BonedgeError:
            return  # whoever works next meets the same, and shuts the gate
        if changed:
            self._intake.reconsider()
            self._lookout.wake()

    def _write_metrics(self) -> None:
        settings, metrics, load = self._settings, self._equipment.metrics, self._crew.load()
        metrics.set_state(
            new=load.new,
            backlog=load.backlog,
            unsettled=self._intake.unsettled,
            oldest_seconds=self._intake.oldest_seconds(),
            blocked=bool(load.blocked),
            input_available=not self._input_reason,
            forbidden_folders=self._forbidden,
            rescan_seconds=self._intake.walk_seconds,
        )
        try:
            metrics.write(settings.metrics_file or settings.state / "bonedge.prom")
        except OSError:
            return  # a full disk is said by the gate, if it matters; the file's own age shows the rest

    def _start_retention(self) -> None:
        """In a thread of its own: the output may be on a share that hangs."""
        if self._sweeper is None or not self._sweeper.is_alive():
            self._sweeper = threading.Thread(target=self._retain, name="retention", daemon=True)
            self._sweeper.start()

    def _retain(self) -> None:
        rules = Rules(self._settings.keep_days, self._settings.keep_disk_share)
        try:
            removed = sweep(self._output, rules, self._wall)
        except OSError as error:
            self._journal.say("retention failed", Level.WARNING, reason=error.strerror)
            return
        if removed:
            self._journal.say("results removed", results=removed)

    def _finished(self) -> bool:
        load = self._crew.load()
        if load.blocked_seconds > _BLOCKED_SECONDS:
            return True
        if self._input_reason:  # what could not be seen may hold more
            return self._clock() - self._input_since > _BLOCKED_SECONDS
        return not load.in_hand and not load.new and not load.backlog and self._intake.idle

    def _status(self) -> dict[str, Any]:
        load = self._crew.load()
        return {
            "done": self._outcomes[Kind.DONE],
            "known": self._outcomes[Kind.KNOWN],
            "quarantined": self._outcomes[Kind.QUARANTINED],
            "waiting": load.new + load.backlog,
            "in_hand": load.in_hand,
            "unsettled": self._intake.unsettled,
            "oldest_seconds": round(self._intake.oldest_seconds(), 1),
            "blocked": load.blocked,
            "input": self._input_reason,
            "forbidden": self._forbidden,
        }

    def _status_line(self) -> str:
        status = self._status()
        line = (
            f"{status['done']} done, {status['quarantined']} quarantined, {status['unsettled']} unsettled "
            f"({status['waiting']} waiting)"
        )
        if status["blocked"]:
            line += "; stopped: output, ledger or engine does not work"
        if status["forbidden"]:
            line += f"; {status['forbidden']} folders may not be read"
        return line + (f"; input: {status['input']}" if status["input"] else "")

    # What the intake tells (arrivals.Listener), on its thread.

    def offer(self, arrival: Arrival, *, new: bool) -> bool:
        """A complete file."""
        return self._crew.offer(arrival, new=new)

    def input_failed(self, reason: str) -> None:
        """Say so, once."""
        if reason != self._input_reason:
            self._journal.say("input failed", Level.WARNING, reason=reason.lower())
        if not self._input_reason:
            self._input_since = self._clock()  # before the reason, without which the main thread does not read it
        self._input_reason = reason

    def input_works(self) -> None:
        """Say so, if it did not."""
        if self._input_reason:
            self._journal.say("input works again")
        self._input_reason = ""

    def forbidden(self, folders: int) -> None:
        """Say so when the number is another. Never which: names of folders may name patients."""
        if folders and folders != self._forbidden:
            self._journal.say("folders may not be read", Level.WARNING, folders=folders)
        elif self._forbidden and not folders:
            self._journal.say("folders may be read again")
        self._forbidden = folders

    def _is_settled(self, path: str, signature: Signature) -> bool:
        try:
            settled = self._equipment.ledger.recall(path, signature)
        except BonedgeError:
            return False  # then it is read, and asked about again once the ledger works
        if settled is None:
            return False
        return not self._equipment.reprocess or settled[1] == self._equipment.pipeline.bundle.digest

    # What the crew tells, on its threads.

    def _on_report(self, report: Report, gate_moved: bool) -> None:
        self._outcomes[report.kind] += 1
        self._equipment.metrics.count(report)
        if report.kind is Kind.BLOCKED:
            if gate_moved:
                self._journal.say("stopped", Level.ERROR, reason=report.reason)
        else:
            if gate_moved:
                self._journal.say("works again")
            self._intake.report(report)
            self._lookout.wake()
            self._tell(report)
        self._wake.set()

    def _tell(self, report: Report) -> None:
        if report.kind in (Kind.CHANGED, Kind.GONE):
            return
        fields: dict[str, Any] = {"file": self._equipment.pseudonyms.name(report.arrival.path)}
        if report.result:
            fields["result"] = report.result
        if report.kind is Kind.DONE:
            fields |= {"label": report.label, "latency_ms": round(1000 * report.latency_seconds, 1)}
        if report.timings_ms is not None:
            fields["work_ms"] = round(report.timings_ms.total, 1)
        if report.reason:
            fields["reason"] = report.reason
        if report.tries:
            fields["tries"] = report.tries
        level = Level.WARNING if report.kind is Kind.QUARANTINED or report.tries else Level.INFO
        self._journal.say(report.kind.value, level, **fields)

    def _on_failure(self, error: BaseException) -> None:
        self._failure = error
        self._wake.set()


@dataclass
class _Duty:
    """Something to do every so often."""

    seconds: float
    do: Callable[[], None]
    _last: float = -1e18

    def do_if_due(self, now: float) -> None:
        if now - self._last >= self.seconds:
            self._last = now
            self.do()
