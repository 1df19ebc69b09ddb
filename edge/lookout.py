"""The intake thread: runs the intake, and keeps an inotify watch on the folder where that tells anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from .arrivals import Intake, Pace
from .config import WatchSettings
from .events import Events
from .journal import Journal, Level
from .mounts import raises_no_events
from .tree import InputTree

POLL_SHARE, RESCAN_SHARE = 0.04, 0.005
"""Of one processor, that looking at everything may take where there are no events, and where there are."""
_MIND_SECONDS = 5.0
_SHORT_RESCANS = 3
"""So many rescans in a row must find folders that are not watched: one may find what is gone when it ends."""


class Lookout:
    """Starts with `start`, ends with `stop`."""

    def __init__(
        self,
        intake: Intake,
        tree: InputTree,
        settings: WatchSettings,
        journal: Journal,
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Nothing runs yet. `on_failure` is told of an error that ends the thread, which is a defect."""
        self._intake, self._tree, self._settings, self._journal = intake, tree, settings, journal
        self._on_failure, self._clock = on_failure, clock
        self._wake = threading.Event()
        self._stopping = False
        self._events: Events | None = None
        self._identity: tuple[int, int] | None = None
        """Of the folder that the watch is on."""
        self._scans = 0
        """How many rescans were over when the watch was last compared with what they found."""
        self._short = 0
        """How many of them in a row found more folders than are watched."""
        self._renewed = False
        """The watch was begun anew because of that."""
        self._polling: bool | None = None
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the watch. A dead network mount can hold the thread for ever: it is left behind then."""
        self._stopping = True
        self._wake.set()
        self._thread.join(2.0)
        if self._events is not None:
            self._events.close()

    def wake(self) -> None:
        """There is something in the intake's inbox."""
        self._wake.set()

    def _run(self) -> None:
        minded = -_MIND_SECONDS
        try:
            while not self._stopping:
                if self._clock() - minded >= _MIND_SECONDS:
                    self._mind_events()
                    minded = self._clock()
                delay = self._intake.step()
                if self._events is not None and self._intake.scans != self._scans:
                    self._compare(self._events)
                    continue  # it may have asked for another one
                if delay > 0:
                    self._wake.wait(min(delay, _MIND_SECONDS))
                    self._wake.clear()
        except BaseException as error:
            self._on_failure(error)
            raise

    def _mind_events(self) -> None:
        """Start the watch, or replace one whose folder was mounted anew; poll where there are no events."""
        try:
            identity = self._tree.identity()
        except OSError:
            identity = None  # the next rescan says so
        if self._events is not None and (not self._events.alive or identity != self._identity):
            self._events.close()
            self._events, self._short, self._renewed = None, 0, False
        polling = self._settings.poll == "always" or identity is None or raises_no_events(self._tree.root)
        if not polling and self._events is None:
            try:
                self._events = Events(self._tree.root, self._hint, self._on_folder)
                self._identity = identity
                self._intake.rescan_soon()  # for whatever came before the watch was there
            except OSError as error:
                if not self._polling:  # once, not at every try
                    self._journal.say("no events", Level.WARNING, reason=error.strerror)
                polling = True
        # The watch on the others stays, for their files come at once.
        polling = polling or self._short >= _SHORT_RESCANS
        if polling != self._polling:
            self._journal.say("polling" if polling else "events")
            if polling:
                self._intake.rescan_soon()  # the next was planned for when events tell most
        self._polling = polling
        settings = self._settings
        self._intake.pace = (
            Pace(settings.poll_seconds, POLL_SHARE) if polling else Pace(settings.rescan_seconds, RESCAN_SHARE)
        )

    def _compare(self, events: Events) -> None:
        """Notice when a rescan found folders whose files raise no events: the kernel allows so many watches only."""
        self._scans = self._intake.scans
        watched = events.count_folders()
        if watched is None or not self._intake.folders:
            return  # nobody knows
        if watched >= self._intake.folders:
            self._short, self._renewed = 0, False  # more than that are hidden folders, and some that are gone
            return
        self._short += 1
        if self._short < _SHORT_RESCANS:
            self._intake.rescan_soon()  # folders may have come or gone while this one looked
        elif self._short == _SHORT_RESCANS and not self._renewed:
            # A folder that was closed to this user when the watch began is not in it, once it is opened.
            events.close()
            self._events, self._short, self._renewed = None, 0, True
            self._mind_events()
        elif self._short == _SHORT_RESCANS:
            unwatched = self._intake.folders - watched
            self._journal.say("no events", Level.WARNING, reason="not every folder can be watched", folders=unwatched)

    def _hint(self, path: str, renamed: bool) -> None:
        self._intake.hint(path, renamed)
        self._wake.set()

    def _on_folder(self) -> None:
        self._intake.rescan_soon()
        self._wake.set()
