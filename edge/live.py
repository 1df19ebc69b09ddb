"""What a person at a terminal sees of `bonedge watch`: how things stand, and the last files."""

from __future__ import annotations

import os
from collections import deque
from datetime import datetime
from threading import Lock
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .journal import Level
from .records import NOTICE

_ROWS = 12
_STYLES = {"malignant": "red", "benign": "yellow", "normal": "green", "abstain": "cyan"}


class LiveTable:
    """A journal that shows instead of writing."""

    def __init__(self) -> None:
        """Take the terminal over until `close`."""
        self._lock = Lock()
        self._rows: deque[tuple[str, str, str, str]] = deque(maxlen=_ROWS)
        self._status: dict[str, Any] = {}
        # Standard error: standard output is for programs.
        self._live = Live(console=Console(stderr=True, highlight=False), refresh_per_second=4, transient=False)
        self._live.start()

    def say(self, event: str, level: Level = Level.INFO, **fields: Any) -> None:
        """Add a row, or print what concerns more than one file above the table."""
        with self._lock:
            if "file" in fields:
                what = fields.get("label") or event
                latency = f"{fields['latency_ms']:.0f}" if "latency_ms" in fields else ""
                note = str(fields.get("result", ""))[:8] or str(fields.get("reason", ""))
                self._rows.append((f"{datetime.now():%H:%M:%S}", what, latency, f"{fields['file'][:8]}  {note}"))
            else:
                detail = " ".join(f"{name}={value}" for name, value in fields.items())
                style = "red" if level is Level.ERROR else "yellow" if level is Level.WARNING else "dim"
                self._live.console.print(Text(f"{event} {detail}".strip(), style=style))
        self._draw()

    def refresh(self, status: dict[str, Any]) -> None:
        """Show how things stand."""
        self._status = status
        self._draw()

    def close(self) -> None:
        """Leave the table as it is and give the terminal back."""
        self._live.stop()

    def _draw(self) -> None:
        with self._lock:
            status = self._status
            head = Text(
                "{done} done   {quarantined} quarantined   {waiting} waiting   {in_hand} in hand".format_map(
                    {"done": 0, "quarantined": 0, "waiting": 0, "in_hand": 0} | status
                ),
                style="bold",
            )
            trouble = status.get("blocked") or status.get("input")
            if trouble:
                head.append(f"\n{trouble}", style="red")
            if status.get("forbidden"):
                head.append(f"\n{status['forbidden']} folders may not be read", style="yellow")
            grid = Table(box=box.SIMPLE_HEAD)
            for heading, justify in (("time", "left"), ("outcome", "left"), ("ms", "right"), ("file, result", "left")):
                grid.add_column(heading, justify="right" if justify == "right" else "left", overflow="ellipsis")
            for time, what, latency, note in self._rows:
                grid.add_row(time, Text(what, style=_STYLES.get(what, "")), latency, Text(note))
            self._live.update(Group(head, grid, Text(NOTICE, style="dim")))


def wanted(descriptor: int) -> bool:
    """Whether `descriptor` is a terminal that can show it."""
    return os.isatty(descriptor) and os.environ.get("TERM", "dumb") != "dumb"
