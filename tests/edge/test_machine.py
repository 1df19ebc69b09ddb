"""What a figure is said to have been measured on."""

from __future__ import annotations

import os
import subprocess
import sys

from bonedge.edge.machine import describe_machine


def test_counts_the_processors_that_this_process_may_use() -> None:
    """A study run on one of many processors said "1 processors"; and to be told of all would be wrong."""
    one = {next(iter(os.sched_getaffinity(0)))}
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os; os.sched_setaffinity(0, {one}); "
            "from bonedge.edge.machine import describe_machine; print(describe_machine().named)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{describe_machine().processor}, 1 processor\n"
