"""Which files are new and complete: hints from events, the truth from rescans, both through the same door.

`Intake.step` does whatever is due and says when it wants to be called again. It alone touches the file system and the
list of files; other threads leave hints and reports in its inbox. It keeps a track for each file that is not settled,
and for each settled one only a mark, so that a rescan of many old files costs little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic, thread_time
from typing import Protocol

from .failpoints import reach
from .stability import Patience, Signature, is_candidate, is_complete, look_again
from .tracks import Agenda, Phase, Track
from .tree import FORBIDDEN, InputTree, Walk
from .work import Arrival, Kind, Report

TRACKS = 20_000
"""So many files are tracked at once; the others wait in the folder for a later rescan."""
_HINTS = 4096
_SLICE = 2000
"""Files of a rescan looked at before hints get their turn again."""
_DUE_SLICE = 500
_UNREACHABLE_SECONDS = (1.0, 5.0, 30.0, 120.0)
_FAILED_SECONDS = 5.0
"""Until what could not be looked at is looked at again."""
_FULL_SECONDS = 1.0
_FOLDER_SECONDS = 0.2


@dataclass(frozen=True)
class Pace:
    """How often everything is looked at."""

    rescan_seconds: float
    """From the end of a rescan to the next."""
    share: float
    """A rescan may take this share of one core at most; the pause is stretched to keep it."""


class Listener(Protocol):
    """Told what the intake finds."""

    def offer(self, arrival: Arrival, *, new: bool) -> bool:
        """A complete file. False when there is no room for it now."""

    def input_failed(self, reason: str) -> None:
        """The input folder cannot be read. May be called again while that lasts."""

    def input_works(self) -> None:
        """A rescan reached the end without an error."""

    def forbidden(self, folders: int) -> None:
        """So many folders may not be read, a rescan that reached the end without an error found."""


class Intake:
    """The files of one input folder that are not settled yet."""

    def __init__(
        self,
        tree: InputTree,
        patience: Patience,
        pace: Pace,
        is_settled: Callable[[str, Signature], bool],
        listener: Listener,
        *,
        suspects: dict[str, int] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            tree: the input folder.
            patience: when a file is complete.
            pace: of the rescans.
            is_settled: whether the file at a path, looking so, was settled by an earlier run.
            listener: is offered what is complete.
            suspects: path -> how often the daemon died with it in hand.
            clock: monotonic seconds.
        """
        self._tree, self._patience, self.pace = tree, patience, pace
        self._is_settled, self._listener, self._clock = is_settled, listener, clock
        self._suspects = suspects or {}
        self._inbox: deque[Report | tuple[str, bool]] = deque()
        self._tracks: dict[str, Track] = {}
        self._settled: set[int] = set()
        """Marks of what is settled."""
        self._kept: set[int] = set()
        """The settled that the rescan under way has seen, or that were settled meanwhile."""
        self._agenda = Agenda()
        self._walk: Walk | None = None
        self._files: Iterator[tuple[str, Signature]] = iter(())
        self._walk_cost = 0.0
        self._next_walk = clock()
        self._set_aside = False
        """Files were seen for which there was no room."""
        self._catching_up = False
        """The rescan under way looks for those: what it finds is backlog."""
        self._forget = False
        self._failing = False
        self.scans = 0
        """Rescans that reached the end."""
        self.folders = 0
        """That the last rescan could read, the root included; 0 after one with an error, which may have missed some."""
        self.walk_seconds = 0.0
        """Processor time of the last one."""

    def hint(self, path: str, renamed: bool) -> None:
        """An event says that there is something at `path`. From any thread."""
        if len(self._inbox) < _HINTS:
            self._inbox.append((path, renamed))
        else:
            self.rescan_soon()

    def report(self, report: Report) -> None:
        """What came of an arrival that was offered. From any thread."""
        self._inbox.append(report)

    def rescan_soon(self) -> None:
        """Look at everything shortly. From any thread."""
        self._next_walk = min(self._next_walk, self._clock() + _FOLDER_SECONDS)

    def reconsider(self) -> None:
        """The ledger was changed by others: ask it again about every file. From any thread."""
        self._forget = True
        self.rescan_soon()

    @property
    def unsettled(self) -> int:
        """How many files are known and not settled."""
        return len(self._tracks)

    @property
    def idle(self) -> bool:
        """All was seen at least once, and nothing is left but files that cannot be read or decoded as they are."""
        return (
            self.scans > 0
            and self._walk is None
            and not self._inbox
            and not self._set_aside
            and all(track.stuck for track in list(self._tracks.values()))
        )

    def oldest_seconds(self) -> float:
        """How long the file that has waited longest has been known; 0 when none waits. From any thread."""
        first = min((track.first for track in list(self._tracks.values())), default=None)
        return 0.0 if first is None else max(0.0, self._clock() - first)

    def step(self) -> float:
        """Do what is due; the seconds until there is more to do, unless something is left in the inbox before."""
        if self._forget:
            self._forget = False
            self._settled, self._kept = set(), set()
        for _ in range(len(self._inbox)):
            letter = self._inbox.popleft()
            if isinstance(letter, Report):
                self._resolve(letter)
            else:
                path, renamed = letter
                if all(is_candidate(part) for part in path.split("/")):
                    self._look_at(path, renamed=renamed, new=True)
        now = self._clock()
        for _ in range(_DUE_SLICE):
            due = self._agenda.take(now)
            if due is None:
                break
            self._look_at(due)
        if self._set_aside and len(self._tracks) < TRACKS // 2:
            self._next_walk = min(self._next_walk, now)
        if self._walk is None and self._next_walk <= now:
            self._begin_walk()
        if self._walk is not None:
            self._continue_walk()
        if self._walk is not None or self._inbox:
            return 0.0
        next_due = self._agenda.soonest()
        until = self._next_walk if next_due is None else min(next_due, self._next_walk)
        return max(0.0, until - self._clock())

    def _begin_walk(self) -> None:
        self._walk = Walk(self._tree)
        self._files = iter(self._walk)
        self._kept = set()
        self._catching_up, self._set_aside = self._set_aside, False
        self._walk_cost = 0.0
        self._next_walk = float("inf")

    def _continue_walk(self) -> None:
        assert self._walk is not None
        began = thread_time()
        try:
            for _ in range(_SLICE):
                path, signature = next(self._files)
                self._observe(path, signature, new=self.scans > 0 and not self._catching_up)
        except StopIteration:
            self.scans += 1
            self._end_walk(self._walk, self._walk.errors[0] if self._walk.errors else None)
        except OSError as error:
            self._end_walk(self._walk, error)
        finally:
            self._walk_cost += thread_time() - began

    def _end_walk(self, walk: Walk, error: OSError | None) -> None:
        pause = self.pace.rescan_seconds if error is None else min(self.pace.rescan_seconds, _FAILED_SECONDS)
        pause = max(pause, self._walk_cost / self.pace.share)
        # rescan_soon may have been called during the walk; it still counts, but not more than once a second or so.
        self._next_walk = min(self._next_walk + 1.0, self._clock() + pause)
        # What is gone from the folder need not be remembered, unless not all of the folder was seen.
        self._settled = self._kept if error is None else self._settled | self._kept
        self._kept = set()
        self.walk_seconds = self._walk_cost
        self.folders = walk.folders if error is None else 0
        reach("scanning")
        if error is None:
            self._failing = False
            self._listener.input_works()
            self._listener.forbidden(walk.forbidden)
        else:
            self._fail(error)
        self._walk, self._files = None, iter(())  # last: `idle` must not come before what the rescan found

    def _fail(self, error: OSError) -> None:
        self._listener.input_failed(error.strerror or type(error).__name__)
        if not self._failing:
            # Only a rescan tells that the input works again. From now on they keep their own pace.
            self._failing, self._next_walk = True, min(self._next_walk, self._clock() + _FAILED_SECONDS)

    def _look_at(self, path: str, *, renamed: bool = False, new: bool = False) -> None:
        try:
            signature = self._tree.look(path)
        except OSError as error:
            # One folder that was closed to this user is no failure of the input; rescans count those.
            forbidden = error.errno in FORBIDDEN and self._tree.is_readable()
            if not forbidden:
                self._fail(error)
            track = self._tracks.get(path)
            if track is not None:
                track.forbidden = forbidden
                self._agenda.put(path, self._clock() + _FAILED_SECONDS)
            return
        if signature is None:
            self._drop(path)
        else:
            self._observe(path, signature, renamed=renamed, new=new, due=True)

    def _observe(self, path: str, signature: Signature, *, new: bool, renamed: bool = False, due: bool = False) -> None:
        """What a look showed. `due`: the look was asked for, by an event or by the passing of time."""
        track = self._tracks.get(path)
        if track is None:
            mark = _mark(path, signature)
            if mark in self._settled or mark in self._kept:
                self._kept.add(mark)
                return
            if self._is_settled(path, signature):
                self._note_settled(mark)
                return
            # An event may find the list full of backlog: it still gets in, within a tenth.
            if len(self._tracks) >= TRACKS + (TRACKS // 10 if due else 0):
                self._set_aside = True
                return
            now = self._clock()
            track = Track(look_again(None, signature, now, renamed=renamed), Phase.WATCHED, new, now)
            self._tracks[path] = track
            self._advance(path, track)
            return
        track.forbidden = False
        if track.phase is Phase.OFFERED:
            track.stirred |= due
            return  # whoever works on it compares the signature itself
        now = self._clock()
        changed = signature != track.look.signature
        track.look = look_again(track.look, signature, now, renamed=renamed)
        if track.phase is Phase.RESTING and not changed and not renamed:
            if now >= track.wake:
                self._offer(path, track)
            else:
                self._agenda.put(path, track.wake)
            return
        track.phase, track.unreadable = Phase.WATCHED, False
        self._advance(path, track)

    def _advance(self, path: str, track: Track) -> None:
        now = self._clock()
        if is_complete(track.look, now, self._patience):
            self._offer(path, track)
        else:
            # Later than now: where rounding makes the wait a hair too short, it would be due over and over.
            self._agenda.put(path, max(now + 0.001, track.look.since + self._patience.settle_seconds))

    def _offer(self, path: str, track: Track) -> None:
        look = track.look
        arrival = Arrival(path, look.signature, look.since, look.renamed, self._suspects.get(path, 0))
        if self._listener.offer(arrival, new=track.new):
            track.phase = Phase.OFFERED
            self._agenda.drop(path)
        else:
            self._rest(path, track, _FULL_SECONDS)

    def _rest(self, path: str, track: Track, seconds: float) -> None:
        track.phase, track.wake = Phase.RESTING, self._clock() + seconds
        self._agenda.put(path, track.wake)

    def _drop(self, path: str) -> None:
        self._tracks.pop(path, None)
        self._agenda.drop(path)

    def _resolve(self, report: Report) -> None:
        path = report.arrival.path
        track = self._tracks.get(path)
        if track is None:
            return
        if report.kind in (Kind.DONE, Kind.KNOWN, Kind.QUARANTINED):
            self._note_settled(_mark(path, report.arrival.signature))
            self._suspects.pop(path, None)
            self._drop(path)
            if track.stirred:
                self._look_at(path, new=True)
        elif report.kind is Kind.GONE:
            self._drop(path)
        elif report.kind is Kind.CHANGED:
            track.phase = Phase.WATCHED
            track.look = replace(track.look, since=self._clock(), looks=0, renamed=False)
            self._look_at(path)
        else:
            wait = report.wait_seconds
            track.unreadable = report.unreadable
            if report.kind is Kind.UNREACHABLE:
                wait = _UNREACHABLE_SECONDS[min(track.unreachable, len(_UNREACHABLE_SECONDS) - 1)]
                track.unreachable += 1
            self._rest(path, track, wait)

    def _note_settled(self, mark: int) -> None:
        self._settled.add(mark)
        self._kept.add(mark)


def _mark(path: str, signature: Signature) -> int:
    """What is remembered of a settled file, 64 bits: paths would take most of the memory of a full folder.

    Two of a million files have the same mark in one of 10^7 folders; the key of the hash is another with each start.
    """
    return hash((path, signature))
