"""`bonedge watch` beside Orthanc with its Python plugin: latency, memory, and what is left after kill -9.

Both run the same pipeline on the same bundle, engine and threads, on this machine, one picture in turn. Needs Debian's
orthanc, orthanc-python and dcmtk. `make compare-orthanc` runs it and writes docs/comparisons/orthanc.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pydicom
from processes import PATIENCE, Watch, instances, kill, proportional_mb, results, tree, wait
from subject import of_bundle

from bonedge.edge.bundle import open_bundle
from bonedge.edge.machine import describe_machine
from bonedge.edge.specimens import write_specimens
from bonedge.edge.trust import Trust

_PLUGIN = "/usr/share/orthanc/plugins/libOrthancPython.so"
_PORT = 14242


class System(Protocol):
    """One of the two."""

    name: str
    output: Path

    def start(self) -> None:
        """Until it takes pictures."""

    def kill(self) -> None:
        """SIGKILL to all of it."""

    def process_ids(self) -> list[int]:
        """All of it."""

    def hand_over(self, picture: Path) -> subprocess.Popen[bytes] | None:
        """Give it a picture. The sender, where there is one that is told whether the picture has arrived."""


class Orthanc:
    """Orthanc with orthanc_plugin.py; pictures are sent with storescu over loopback."""

    name = "Orthanc + plugin"

    def __init__(self, folder: Path, bundle: Path, engine: str, threads: int) -> None:
        self.output = folder / "output"
        self.output.mkdir(parents=True)
        self._configuration = folder / "orthanc.json"
        self._configuration.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "storage"),
                    "HttpServerEnabled": False,
                    "DicomPort": _PORT,
                    "DicomCheckCalledAet": False,
                    "DicomAlwaysAllowStore": True,
                    "Plugins": [_PLUGIN],
                    "PythonScript": str(Path(__file__).with_name("orthanc_plugin.py")),
                }
            )
        )
        self._environment = {
            **os.environ,
            "BONEDGE_SITE": sysconfig.get_paths()["purelib"],
            "BONEDGE_OUTPUT": str(self.output),
            "BONEDGE_BUNDLE": str(bundle.resolve()),
            "BONEDGE_ENGINE": engine,
            "BONEDGE_THREADS": str(threads),
        }

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["Orthanc", str(self._configuration)], env=self._environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(["echoscu", "localhost", str(_PORT)], capture_output=True).returncode:
            if time.monotonic() > deadline or self._process.poll() is not None:
                sys.exit("Orthanc did not start")

    def kill(self) -> None:
        kill(self._process)

    def process_ids(self) -> list[int]:
        return tree(self._process.pid)

    def hand_over(self, picture: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["storescu", "localhost", str(_PORT), str(picture)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bundle", type=Path, default=Path("models/released/bundle"))
    arguments.add_argument("--engine", default="tflite")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--pictures", type=int, default=40)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    given = arguments.parse_args()
    rng = random.Random(given.seed)  # noqa: S311 - when to kill is no secret
    with tempfile.TemporaryDirectory(prefix=".bonedge-orthanc.", dir=Path.cwd()) as name:
        folder = Path(name)
        pictures = _pictures(given.bundle, folder)
        systems: list[System] = [
            kind(folder / kind.__name__, given.bundle, given.engine, given.threads) for kind in (Watch, Orthanc)
        ]
        latencies: dict[str, list[float]] = {one.name: [] for one in systems}
        for one in systems:
            one.start()
        for number in range(-2, given.pictures):  # the first two of each warm it up
            for one in systems:
                seconds = _one(one, next(pictures))
                if number >= 0:
                    latencies[one.name].append(1000 * seconds)
        memory = {one.name: sum(map(proportional_mb, one.process_ids())) for one in systems}
        connecting = statistics.median(_timed(["echoscu", "localhost", str(_PORT)]) for _ in range(10))
        endings = {one.name: _killed(one, pictures, given.kills, rng, latencies[one.name]) for one in systems}
        for one in systems:
            one.kill()
    given.output.write_text(_page(given, latencies, memory, connecting, endings))
    print(given.output.read_text())


def _pictures(bundle: Path, folder: Path) -> Iterator[Path]:
    """The bundle's golden pictures as DICOM as large as a film."""
    specimens = folder / "specimens"
    specimens.mkdir()
    datasets = [pydicom.dcmread(path) for path in write_specimens(open_bundle(bundle, Trust()), specimens)]
    return instances(datasets, folder)


def _one(system: System, picture: Path) -> float:
    """Seconds from handing a picture over to its result."""
    before = results(system.output)
    begun = time.perf_counter()
    sender = system.hand_over(picture)
    if not wait(lambda: results(system.output) > before):
        sys.exit(f"{system.name} gave no result within {PATIENCE:g} s")
    seconds = time.perf_counter() - begun
    if sender is not None:
        sender.wait()
    return seconds


def _killed(
    system: System, pictures: Iterator[Path], kills: int, rng: random.Random, usual_ms: list[float]
) -> dict[str, int]:
    """What becomes of pictures while whose examination everything is killed, and started again."""
    counts = {"result": 0, "no result, the sender was told": 0, "no result, and nobody was told": 0}
    for _ in range(kills):
        before = results(system.output)
        sender = system.hand_over(next(pictures))
        time.sleep(rng.uniform(0, statistics.median(usual_ms) / 1000))
        system.kill()
        told = sender is not None and sender.wait() != 0
        system.start()
        # Where the sender was told nothing more will come; elsewhere there is all the time that it may take.
        done = wait(lambda before=before: results(system.output) > before, 5.0 if told else PATIENCE)
        counts["result" if done else f"no result, {'the sender was told' if told else 'and nobody was told'}"] += 1
    return counts


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return 1000 * (time.perf_counter() - begun)


def _page(
    given: argparse.Namespace,
    latencies: dict[str, list[float]],
    memory: dict[str, float],
    connecting: float,
    endings: dict[str, dict[str, int]],
) -> str:
    machine = describe_machine()
    rows = []
    for name, times in latencies.items():
        p50, p90 = np.percentile(times, (50, 90))
        outcomes = "; ".join(f"{count} {what}" for what, count in endings[name].items() if count)
        rows.append(f"| {name} | {p50:.0f} | {p90:.0f} | {memory[name]:.0f} | {outcomes} |")
    return "\n".join(
        (
            "# `bonedge watch` beside Orthanc with its Python plugin",
            "",
            f"The same pipeline, bundle {of_bundle(given.bundle)}, engine ({given.engine}) and threads "
            f"({given.threads}) on {machine.named}. Pictures of "
            f"3000 pixels, 16 bit, uncompressed, one at a time and in turn, {given.pictures} each. "
            "Made by `make compare-orthanc`.",
            "",
            "- bonedge: from before the file is copied and renamed into the folder to its result, which is durable;",
            "  decoded in an expendable process.",
            "- Orthanc: from before storescu starts to the result that the stored-instance callback wrote; decoded in",
            f"  Orthanc's own process. storescu's start and association, {connecting:.0f} ms measured with echoscu,",
            "  are part of it.",
            f"- Killed {given.kills} times each (SIGKILL to everything, at a random time within the usual latency),",
            "  and started again. Where the sender was told, it is for the sender to send again.",
            "",
            "| | p50, ms | p90, ms | memory (PSS), MB | after kill -9 and a restart |",
            "|---|---|---|---|---|",
            *rows,
            "",
        )
    )


if __name__ == "__main__":
    main()
