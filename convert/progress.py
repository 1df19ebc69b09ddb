"""What a user sees while models are converted: a line per finished step, on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .quiet import terminal

T = TypeVar("T")


class Steps:
    """Tells of steps that take seconds to minutes."""

    def __init__(self) -> None:
        """Write to standard error as it is now; native code that is muffled later does not muffle this."""
        self._console = Console(file=terminal(), highlight=False, soft_wrap=True)

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

    def _done(self, what: str, begun: float) -> None:
        self._console.print(f"{what}: {perf_counter() - begun:.1f} s", markup=False)
