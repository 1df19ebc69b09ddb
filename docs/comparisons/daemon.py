"""What `bonedge watch` costs, and how that grows with workers, pixels and years of results.

`make compare-daemon` runs it and writes docs/comparisons/daemon.md. Wants a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import copy
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pydicom
from processes import Watch, instances, proportional_mb, results, wait
from pydicom.uid import JPEG2000Lossless
from subject import of_bundle

from bonedge.edge.bundle import Bundle, open_bundle
from bonedge.edge.choice import infer, network_inputs
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import load
from bonedge.edge.ledger import NAME
from bonedge.edge.machine import describe_machine, processor_seconds
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.specimens import write_specimens
from bonedge.edge.trust import Trust

_FILM = (3000, 2500)
_SIDES = (1000, 1414, 2000, 2828, 4000)
"""Of square pictures: each has twice the pixels of the one before."""
_WORKERS = (1, 2, 4)
_LEDGERS = (0, 10_000, 1_000_000)
_STARTS = 5
_IDLE_SECONDS = 60.0
_WARM_UP = 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bundle", type=Path, default=Path("models/released/bundle"))
    arguments.add_argument("--engine", default="tflite")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--pictures", type=int, default=30)
    arguments.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix=".bonedge-daemon.", dir=Path.cwd()) as name:
        comparison = _Comparison(given, Path(name))
        sections = [
            comparison.standing(),
            comparison.against_bare_work(),
            comparison.against_workers(),
            comparison.against_pixels(),
            comparison.against_results(),
        ]
    given.output.write_text("\n".join((*_preface(given), *(line for one in sections for line in one))))
    print(given.output.read_text())


class _Comparison:
    """Each method is a section of the page."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._given, self._folder = given, folder
        self._bundle: Bundle = open_bundle(given.bundle, Trust())
        specimens = folder / "specimens"
        specimens.mkdir()
        self._specimens = [pydicom.dcmread(path) for path in write_specimens(self._bundle, specimens)]
        self._daemons = 0

    def standing(self) -> list[str]:
        """What it costs while nothing arrives."""
        watch = self._watch()
        starts = []
        for _ in range(_STARTS):
            begun = time.perf_counter()
            watch.start()
            starts.append(time.perf_counter() - begun)
            watch.stop()
        watch.start()
        for picture in islice(self._pictures(_FILM), 10):
            _one(watch, picture)
        memory = sum(map(proportional_mb, watch.process_ids()))
        used, begun = sum(map(processor_seconds, watch.process_ids())), time.perf_counter()
        time.sleep(_IDLE_SECONDS)
        idle = (sum(map(processor_seconds, watch.process_ids())) - used) / (time.perf_counter() - begun)
        watch.stop()
        return [
            "## While nothing arrives",
            "",
            f"- Start to ready, the engine being named: {statistics.median(starts):.2f} s ({_STARTS} starts, slowest "
            f"{max(starts):.2f} s).",
            f"- Memory with its decoding processes (PSS), after ten pictures: {memory:.0f} MB.",
            f"- Idle for {_IDLE_SECONDS:.0f} s: {100 * idle:.2f} % of a processor.",
            "",
        ]

    def against_bare_work(self) -> list[str]:
        """File closed to result durable, beside decoding by pydicom and both inferences and nothing else."""
        networks = load(self._bundle, self._given.engine, "CPU", self._given.threads)
        pipeline = Pipeline(self._bundle, networks)
        rows = []
        for title, syntax in (("uncompressed", None), ("JPEG 2000, lossless", JPEG2000Lossless)):
            watch = self._watch()
            watch.start()
            ours, decoding, inference = [], [], []
            for number, picture in enumerate(islice(self._pictures(_FILM, syntax), _WARM_UP + self._given.pictures)):
                inputs = network_inputs(pipeline, decode_bytes(picture.read_bytes()))
                timed = (
                    _one(watch, picture),
                    _timed(lambda picture=picture: pydicom.dcmread(picture).pixel_array),
                    _timed(lambda inputs=inputs: infer(networks, inputs)),
                )
                if number >= _WARM_UP:
                    for times, seconds in zip((ours, decoding, inference), timed, strict=True):
                        times.append(1000 * seconds)
            watch.stop()
            mine, bare = statistics.median(ours), statistics.median(map(sum, zip(decoding, inference, strict=True)))
            rows.append(
                f"| {title} | {mine:.0f} | {np.percentile(ours, 90):.0f} | {statistics.median(decoding):.0f} "
                f"| {statistics.median(inference):.0f} | {mine / bare:.2f} |"
            )
        return [
            "## Beside bare work",
            "",
            f"From before a picture of {_FILM[0]} x {_FILM[1]}, 16 bit, is copied and renamed into the folder to its "
            "durable result, beside a decode by pydicom and both inferences on ready tensors, in turns.",
            "",
            "| stored as | watch p50, ms | p90 | bare decode p50 | inferences p50 | watch / bare |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]

    def against_workers(self) -> list[str]:
        rows = []
        for workers in _WORKERS:
            watch = self._watch(threads=1, workers=workers)
            watch.start()
            rows.append(f"| {workers} | {self._rate(watch, (2000, 1667)):.2f} |")
            watch.stop()
        return [
            "## Workers",
            "",
            f"{self._given.pictures} pictures of 2000 x 1667, uncompressed, put into the folder at once; the engine "
            "has one thread.",
            "",
            "| workers | pictures per second |",
            "|---|---|",
            *rows,
            "",
        ]

    def against_pixels(self) -> list[str]:
        rows = []
        for side in _SIDES:
            watch = self._watch()
            watch.start()
            times, used = self._latencies(watch, (side, side))
            watch.stop()
            pixels = side * side / 1e6
            rows.append(f"| {pixels:.0f} | {statistics.median(times):.0f} | {1000 * used:.0f} |")
        return [
            "## Pixels",
            "",
            "| megapixels | file to result p50, ms | CPU per picture, ms |",
            "|---|---|---|",
            *rows,
            "",
        ]

    def against_results(self) -> list[str]:
        rows = []
        for count in _LEDGERS:
            watch = self._watch()
            watch.start()
            watch.stop()
            _fill(watch.state / NAME, count, self._bundle.digest)
            begun = time.perf_counter()
            watch.start()
            started = time.perf_counter() - begun
            times, used = self._latencies(watch, (2000, 1667))
            watch.stop()
            rows.append(f"| {count:,} | {started:.2f} | {statistics.median(times):.0f} | {1000 * used:.0f} |")
        return [
            "## Results in the ledger",
            "",
            "| results | start to ready, s | file to result p50, ms | CPU per picture, ms |",
            "|---|---|---|---|",
            *rows,
            "",
        ]

    def _watch(self, threads: int | None = None, **settings: object) -> Watch:
        self._daemons += 1
        folder = self._folder / f"daemon-{self._daemons}"
        return Watch(folder, self._given.bundle, self._given.engine, threads or self._given.threads, **settings)

    def _pictures(self, shape: tuple[int, int], syntax: str | None = None) -> Iterator[Path]:
        """Specimens of `shape` (rows, columns), without end."""
        datasets = [copy.deepcopy(one) for one in self._specimens]
        for dataset in datasets:
            pixels = cv2.resize(dataset.pixel_array, shape[::-1], interpolation=cv2.INTER_AREA)
            dataset.Rows, dataset.Columns = shape
            dataset.PixelData = pixels.astype("<u2").tobytes()
            if syntax:
                dataset.compress(syntax, generate_instance_uid=False)
        return instances(datasets, self._folder)

    def _latencies(self, watch: Watch, shape: tuple[int, int]) -> tuple[list[float], float]:
        """(milliseconds of each picture, CPU seconds per picture), warm."""
        pictures = self._pictures(shape)
        for picture in islice(pictures, _WARM_UP):
            _one(watch, picture)
        used = sum(map(processor_seconds, watch.process_ids()))
        times = [1000 * _one(watch, picture) for picture in islice(pictures, self._given.pictures)]
        return times, (sum(map(processor_seconds, watch.process_ids())) - used) / len(times)

    def _rate(self, watch: Watch, shape: tuple[int, int]) -> float:
        """Pictures per second when all are there at once."""
        pictures, count = self._pictures(shape), self._given.pictures
        for picture in islice(pictures, _WARM_UP):
            _one(watch, picture)
        waiting = self._folder / "waiting"
        waiting.mkdir(exist_ok=True)
        for picture in islice(pictures, count):
            picture.rename(waiting / picture.name)
        before, begun = results(watch.output), time.perf_counter()
        for picture in sorted(waiting.iterdir()):
            picture.rename(watch.input / picture.name)
        _until(watch, before + count)
        return count / (time.perf_counter() - begun)


def _one(watch: Watch, picture: Path) -> float:
    """Seconds from handing a picture over to its result."""
    before, begun = results(watch.output), time.perf_counter()
    watch.hand_over(picture)
    _until(watch, before + 1)
    return time.perf_counter() - begun


def _until(watch: Watch, count: int) -> None:
    if not wait(lambda: results(watch.output) >= count):
        raise SystemExit("bonedge watch gave no result in time")


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _fill(ledger: Path, count: int, bundle: str) -> None:
    """`count` results of other pictures, all in one transaction: as many one by one would be as many syncs."""
    database = sqlite3.connect(ledger)
    with database:
        for number in range(count):
            content, path = secrets.token_hex(32), f"earlier/{number:07d}.dcm".encode()
            database.execute(
                "INSERT INTO outcome (content, bundle, state, result, label, path, begun, settled, latency_ms) "
                "VALUES (?, ?, 'done', ?, 'normal', ?, '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:01+00:00', 100)",
                (content, bundle, content[:32], path),
            )
            database.execute("INSERT INTO seen VALUES (?, '[]', ?, ?)", (path, content, bundle))
    database.close()


def _preface(given: argparse.Namespace) -> list[str]:
    return [
        "# What `bonedge watch` costs",
        "",
        f"{of_bundle(given.bundle)} on {given.engine} with {given.threads} threads, {describe_machine().named}; "
        f"{given.pictures} pictures for each figure, after {_WARM_UP} that are not counted. "
        "Made by `make compare-daemon`.",
        "",
    ]


if __name__ == "__main__":
    main()
