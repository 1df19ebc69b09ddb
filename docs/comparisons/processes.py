"""`bonedge watch` in a process of its own, and what a process and its children hold, for the comparisons here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

PATIENCE = 60.0


class Watch:
    """`bonedge watch` over a folder; pictures are copied beside it and renamed in, as exports do."""

    name = "bonedge watch"

    def __init__(self, folder: Path, bundle: Path, engine: str, threads: int, **settings: Any) -> None:
        """Make the folders; `settings` are more of the [watch] table."""
        self.input, self.output, self.state = folder / "input", folder / "output", folder / "state"
        for one in (self.input, self.output, self.state):
            one.mkdir(parents=True)
        self._journal, configuration = folder / "journal", folder / "bonedge.toml"
        places = {"input": self.input, "output": self.output, "state": self.state, "bundle": bundle.resolve()}
        table = {name: str(path.resolve()) for name, path in places.items()} | {"engine": engine, "threads": threads}
        lines = [f"{name} = {json.dumps(value)}" for name, value in (table | settings).items()]
        configuration.write_text("\n".join(("[watch]", *lines, "")))
        self._command = [tool("bonedge"), "watch", "--config", str(configuration)]

    def start(self) -> None:
        """Until it is ready."""
        with self._journal.open("wb") as journal:
            self._process = subprocess.Popen(self._command, stdout=journal, stderr=journal)
        if not wait(lambda: '"event": "ready"' in self._journal.read_text()):
            sys.exit(f"bonedge watch did not start: {self._journal.read_text()}")

    def kill(self) -> None:
        kill(self._process)

    def stop(self) -> None:
        """SIGTERM, and until it has ended."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def process_ids(self) -> list[int]:
        return tree(self._process.pid)

    def hand_over(self, picture: Path) -> None:
        part = self.input / f".{picture.name}.part"
        part.write_bytes(picture.read_bytes())
        part.rename(self.input / picture.name)


def instances(datasets: list[pydicom.Dataset], folder: Path) -> Iterator[Path]:
    """Without end: a file of each dataset in turn, each time another instance; a file is gone when the next comes."""
    number = 0
    while True:
        dataset = datasets[number % len(datasets)]
        dataset.PatientID, dataset.SeriesInstanceUID = "PHANTOM", dataset.StudyInstanceUID  # an archive wants them
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        path = folder / f"picture-{number:04d}.dcm"
        dataset.save_as(path)
        number += 1
        yield path
        path.unlink(missing_ok=True)


def results(output: Path) -> int:
    """How many there are."""
    return sum(name.endswith(".json") for name in os.listdir(output))


def wait(done: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Until `done`; False when it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return True


def tool(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).parent / name)


def tree(process_id: int) -> list[int]:
    """A process and its descendants."""
    found = [process_id]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def proportional_mb(process_id: int) -> float:
    """Memory of a process, shared pages in shares."""
    rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    return next(int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to it and its descendants."""
    for one in tree(process.pid):
        os.kill(one, signal.SIGKILL)
    process.wait()
