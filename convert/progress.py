"""What a user sees while models are converted: a line per finished step, on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .gates import title
from .quiet import terminal
from .search import Judged, PairJudged

T = TypeVar("T")


class Steps:
    """Tells of steps that take seconds to minutes."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._console = Console(file=stream, highlight=False, soft_wrap=True)

    @classmethod
    @contextmanager
    def shown(cls) -> Iterator[Steps]:
        """On standard error as it is now; native code that is muffled in the block does not muffle this."""
        with terminal() as stream:
            yield cls(stream)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show that `what` is going on, and how long it took."""
        begun = perf_counter()
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as progress:
            progress.add_task(what, total=None)
            yield
        self._done(what, begun)

    def count(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """The items, with a bar for as long as they last."""
        begun = perf_counter()
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as progress:
            yield from progress.track(items, total=total, description=what)
        self._done(what, begun)

    def judged(self, one: Judged) -> None:
        """A line for a candidate."""
        latency = f"{one.latency.p50:6.1f} ms" if one.latency else "   not run"
        self._console.print(f"  {one.candidate.name:38} {latency}  {verdict(one)}", markup=False)

    def pair(self, one: PairJudged) -> None:
        """A line for two candidates together."""
        self._console.print(f"  {one.name:38} {one.milliseconds:6.1f} ms  end to end: {verdict(one)}", markup=False)

    def _done(self, what: str, begun: float) -> None:
        self._console.print(f"{what}: {perf_counter() - begun:.1f} s", markup=False)


def verdict(one: Judged | PairJudged) -> str:
    """In a few words: passed, or the first gate that did not and its figures."""
    if isinstance(one, Judged) and one.refusal:
        return one.refusal
    broken = next((gate for gate in one.gates if not gate.passed), None)
    if broken is None:
        return "passed"
    return f"{title(broken.name)}: {broken.ruling}" + (
        "" if broken.loss is None else f" (lost {broken.loss:.3f}, up to {broken.high:.3f}; limit {broken.limit:g})"
    )
