"""Many pictures, several processes, in order, with a bar on standard error."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

import cv2

Product = TypeVar("Product")

_AHEAD = 4
"""Products that may wait per process: enough to keep all busy, few enough to keep memory flat."""


def produce(make: Callable[[int], Product], count: int, *, jobs: int | None = None, title: str) -> Iterator[Product]:
    """`make(0)`, `make(1)`, ... `make(count - 1)`, in order, whichever process finishes first.

    Args:
        make: picklable; what it raises is raised here.
        count: how many.
        jobs: processes; one per usable processor by default. With one, everything happens in this process.
        title: of the progress bar, which is shown while standard error is a terminal.
    """
    jobs = min(jobs or len(os.sched_getaffinity(0)), count)
    made = map(make, range(count)) if jobs <= 1 else _spread(make, count, jobs)
    return _counted(made, count, title)


def begin_worker() -> None:
    """What a process of a pool does first: it keeps to one core, and watches the process that started it.

    Killed, that one cannot end its pool, whose processes would wait for work for ever.
    """
    cv2.setNumThreads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _spread(make: Callable[[int], Product], count: int, jobs: int) -> Iterator[Product]:
    # Spawned, not forked: this process may hold threads (OpenCV, an engine, the bar).
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_begin, initargs=(make,)) as pool:
        waiting: deque[Future[Product]] = deque()
        try:
            for index in range(count):
                waiting.append(pool.submit(_make, index))
                if len(waiting) >= _AHEAD * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_given: list[Callable[[int], object]] = []
"""In a process of the pool: what makes the products. Handed over once: with each index it was pickled anew, and it may
hold the list of all pictures (of 3,600, seven times as long as it took to prepare one)."""


def _begin(make: Callable[[int], object]) -> None:
    begin_worker()
    _given[:] = [make]


def _make(index: int) -> Any:
    return _given[0](index)


def _counted(made: Iterator[Product], count: int, title: str) -> Iterator[Product]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=count)
        for product in made:
            progress.advance(task)
            yield product
