"""What a person sees while a network trains, and what is left to look at afterwards."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bonedge.edge.files import write_whole

from .checkpoint import History

Advance = Callable[[int, int], None]
"""Called with (done, in all)."""


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """A bar on stderr; nothing but the end when stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total)


def say(text: str) -> None:
    """One line on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def write_log(history: History, folder: Path, name: str) -> None:
    """`NAME.log.jsonl`, one line per epoch, and `NAME.curves.png`."""
    write_whole(folder / f"{name}.log.jsonl", "".join(json.dumps(row) + "\n" for row in history).encode())
    write_whole(folder / f"{name}.curves.png", _curves(history))


def _curves(history: History) -> bytes:
    """One small plot per figure, over epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in history[-1] if name != "epoch"]
    columns = 3
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(names, 1):
        axes: Any = figure.add_subplot(rows, columns, place)
        known = [row for row in history if name in row]
        axes.plot([row["epoch"] for row in known], [row[name] for row in known], marker=".")
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.grid(alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()
