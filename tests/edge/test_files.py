"""Files are written by threads that stay."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from bonedge.edge.files import write_together


def test_writing_does_not_use_up_threads(tmp_path: Path) -> None:
    """OpenCV keeps something for each thread for ever: the daemon grew by 0.8 KB with each result."""
    writers = set()

    def content() -> bytes:
        writers.add(threading.current_thread())
        return b"x"

    rounds = 4 * (os.cpu_count() or 1)
    for number in range(rounds):
        write_together({tmp_path / f"{number}.a": content, tmp_path / f"{number}.b": content})
    assert len(list(tmp_path.iterdir())) == 2 * rounds
    assert len(writers) <= 2 * (os.cpu_count() or 1)
