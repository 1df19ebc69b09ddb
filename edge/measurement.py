"""Running the real thing over and over: file on disk to result on disk, and the two networks alone.

Settings take turns, round after round (A B A B): what the machine does meanwhile hits all of them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from .bundle import Bundle
from .choice import Inputs, infer, network_inputs
from .decode import Decoder
from .engines import Networks, load
from .errors import BundleRefused
from .golden import disagreements
from .machine import ProcessorTime, energy_joules, processor_seconds
from .manifest import EngineName
from .pipeline import Pipeline
from .write import write_examination

STAGES = ("decode", "preprocess", "segment", "classify", "write")
_WARM_UP = 3
"""Pictures per setting that are examined before anything is counted."""
_COLD_STARTS = 3

Rounds = list[list[float]]
"""Milliseconds, round by round."""


@dataclass(frozen=True)
class Setting:
    """One way of running a bundle."""

    engine: EngineName
    device: str
    threads: int


@dataclass
class Runs:
    """Everything that was measured with one setting."""

    setting: Setting
    precision: str
    load_ms: float
    """From the bundle in memory to networks that are ready, nothing being kept from earlier starts."""
    load_kept_ms: float | None
    """The same when what was compiled has been kept; None where nothing is compiled."""
    disagreements: tuple[str, ...]
    """With the bundle's golden answers; empty is good."""
    end_to_end: Rounds = field(default_factory=list)
    """From the file on disk to the durable result."""
    inference: Rounds = field(default_factory=list)
    """Both networks on tensors that are ready."""
    stages: dict[str, Rounds] = field(default_factory=lambda: {name: [] for name in STAGES})
    processor_seconds: float = 0.0
    """Of this process and its decoding one, over all of `end_to_end`."""
    joules: float | None = None
    """Of the processor package, others' work included, over what `weighed` counts; None where it cannot be read."""
    weighed: int = 0
    """Pictures that `joules` are of: those of a round in which the counter wrapped are not among them."""
    stolen: float = 0.0
    """Largest share of processor time that went to others in any round, 0..1."""


@dataclass(frozen=True)
class ColdStart:
    """`bonedge predict` on one picture in a fresh process."""

    wall_seconds: float
    processor_seconds: float
    peak_memory_mb: float


def measure(
    bundle: Bundle,
    settings: Sequence[Setting],
    pictures: Sequence[Path],
    scratch: Path,
    *,
    seconds: float,
    rounds: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Runs]:
    """Measure every setting for about `seconds` in all, half of it end to end.

    Args:
        bundle: opened.
        settings: at least one.
        pictures: readable files, shown in turn.
        scratch: folder for results, on the disk that counts.
        seconds: for all settings together, warm-up excluded.
        rounds: how often each setting has its turn.
        on_progress: called with (turns done, turns in all).

    Raises:
        BundleRefused: a setting's engine cannot load the bundle.
        UnreadableImage: a picture cannot be decoded.
    """
    found: list[Runs] = []
    pipelines: list[Pipeline] = []
    with Decoder() as decoder:
        for setting in settings:
            networks, loaded, kept = _loaded(bundle, setting, scratch)
            off = tuple(disagreements(bundle, networks))
            found.append(Runs(setting, networks.description.precision, loaded, kept, off))
            pipelines.append(Pipeline(bundle, networks))
        inputs = network_inputs(pipelines[0], decoder.decode(pictures[0], pipelines[0].working_px))
        for pipeline in pipelines:
            for _ in range(_WARM_UP):
                _examine(pipeline, decoder, pictures[0], scratch)
                infer(pipeline.networks, inputs)
        share = seconds / (2 * rounds * len(settings))
        for turn in range(rounds * len(settings)):
            which = turn % len(settings)
            _one_round(found[which], pipelines[which], decoder, pictures, inputs, scratch, share)
            on_progress(turn + 1, rounds * len(settings))
    return found


def cold_starts(bundle: Path, setting: Setting, picture: Path, scratch: Path) -> list[ColdStart]:
    """Fresh processes, one after the other. The first also warms the disk's cache; it is not left out.

    Raises:
        BundleRefused: one ended without a verdict.
    """
    command = [
        sys.executable, "-m", "bonedge.edge", "predict", str(picture), "--output", str(scratch),
        "--bundle", str(bundle), "--engine", setting.engine, "--device", setting.device,
        "--threads", str(setting.threads),
    ]  # fmt: skip
    found = []
    for _ in range(_COLD_STARTS):
        begun = perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would look for it again
        if process.returncode:
            raise BundleRefused(
                f"a fresh process gave no verdict with {setting.engine} on {setting.device} (status "
                f"{process.returncode}); see what 'bonedge predict' says"
            )
        found.append(ColdStart(perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    return found


def throughput(
    bundle: Bundle, setting: Setting, pictures: Sequence[Path], scratch: Path, *, workers: int, seconds: float
) -> float:
    """Pictures per second, as the daemon works: `workers` decode and write, the networks are shared."""
    pipeline = Pipeline(bundle, load(bundle, setting.engine, setting.device, setting.threads))

    def work(number: int) -> tuple[int, float]:
        done = 0
        with Decoder() as decoder:
            _examine(pipeline, decoder, pictures[0], scratch)
            begun = perf_counter()
            for picture in _in_turn(pictures, number):
                _examine(pipeline, decoder, picture, scratch)
                done += 1
                if perf_counter() - begun >= seconds:
                    return done, perf_counter() - begun
        raise AssertionError("pictures never end")

    with ThreadPoolExecutor(workers) as pool:
        return sum(done / taken for done, taken in pool.map(work, range(workers)))


def _loaded(bundle: Bundle, setting: Setting, scratch: Path) -> tuple[Networks, float, float | None]:
    """The networks, and milliseconds as `Runs.load_ms` and `Runs.load_kept_ms` have them."""
    begun = perf_counter()
    networks = load(bundle, setting.engine, setting.device, setting.threads)
    loaded = 1000 * (perf_counter() - begun)
    with TemporaryDirectory(dir=scratch) as folder:
        compiled = Path(folder) / "compiled"
        load(bundle, setting.engine, setting.device, setting.threads, compiled=compiled)
        if not compiled.exists():
            return networks, loaded, None
        begun = perf_counter()
        networks = load(bundle, setting.engine, setting.device, setting.threads, compiled=compiled)
        return networks, loaded, 1000 * (perf_counter() - begun)


def _one_round(
    runs: Runs,
    pipeline: Pipeline,
    decoder: Decoder,
    pictures: Sequence[Path],
    inputs: Inputs,
    scratch: Path,
    seconds: float,
) -> None:
    stages: dict[str, list[float]] = {name: [] for name in STAGES}
    whole: list[float] = []
    ticks, used, energy = ProcessorTime.now(), _processor_seconds(decoder), energy_joules()
    ends = perf_counter() + seconds
    for picture in _in_turn(pictures, len(runs.end_to_end)):
        begun = perf_counter()
        for name, value in _examine(pipeline, decoder, picture, scratch).items():
            stages[name].append(value)
        whole.append(1000 * (perf_counter() - begun))
        if perf_counter() >= ends:
            break
    runs.processor_seconds += _processor_seconds(decoder) - used
    after = energy_joules()
    if energy is not None and after is not None and after >= energy:  # the counter wraps around
        runs.joules = (runs.joules or 0.0) + after - energy
        runs.weighed += len(whole)
    runs.end_to_end.append(whole)
    for name, values in stages.items():
        runs.stages[name].append(values)
    ends = perf_counter() + seconds
    alone: list[float] = []
    while not alone or perf_counter() < ends:
        begun = perf_counter()
        infer(pipeline.networks, inputs)
        alone.append(1000 * (perf_counter() - begun))
    runs.inference.append(alone)
    runs.stolen = max(runs.stolen, ProcessorTime.now().stolen_since(ticks))


def _examine(pipeline: Pipeline, decoder: Decoder, picture: Path, scratch: Path) -> dict[str, float]:
    """One picture, all the way; milliseconds per stage. `decode` includes reading the file."""
    begun = perf_counter()
    radiograph = decoder.decode(picture, pipeline.working_px)
    decoded = 1000 * (perf_counter() - begun)
    examination = pipeline.examine(radiograph, decode_ms=decoded)
    begun = perf_counter()
    write_examination(scratch, examination, pipeline.bundle, pipeline.networks.description)
    written = 1000 * (perf_counter() - begun)
    timings = examination.timings_ms
    return {
        "decode": decoded,
        "preprocess": timings.preprocess,
        "segment": timings.segment,
        "classify": timings.classify,
        "write": written,
    }


def _in_turn(pictures: Sequence[Path], start: int) -> Iterator[Path]:
    while True:
        yield pictures[start % len(pictures)]
        start += 1


def _processor_seconds(decoder: Decoder) -> float:
    """Of this process and the decoding one so far."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime
    if decoder.process_id is not None:
        total += processor_seconds(decoder.process_id)
    return total
