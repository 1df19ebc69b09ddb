"""What `bonedge benchmark --json` prints: docs/benchmark.schema.json is made from these records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from .errors import InvalidConfiguration
from .latency import Change, Latency, Steadiness, change, latency, steadiness
from .machine import Machine
from .measurement import ColdStart, Rounds, Runs
from .records import NOTICE

BENCHMARK_SCHEMA_VERSION: Literal[1] = 1


@dataclass(frozen=True)
class Measured:
    """One thing, measured: what is said of it, and every single measurement."""

    latency: Latency
    steadiness: Steadiness
    rounds_ms: Rounds


@dataclass(frozen=True)
class Result:
    """One setting."""

    engine: str
    device: str
    threads: int
    precision: str
    load_ms: float
    end_to_end: Measured
    """File on disk -> result durable on disk, one picture after the other, warm."""
    inference: Measured
    """Both networks, on tensors that are ready."""
    stages: dict[str, Latency]
    """Of `end_to_end`; decode includes reading the file, write includes making it durable."""
    processor_seconds_per_picture: float
    joules_per_picture: float | None
    """Of the whole processor package; None where it cannot be read."""
    cold_starts: tuple[ColdStart, ...]
    """`bonedge predict` in fresh processes."""
    pictures_per_second: dict[str, float]
    """By number of workers."""
    disagreements: tuple[str, ...]
    """With the bundle's golden answers: such a setting must not be used."""
    load_kept_ms: float | None = None
    """`load_ms` when what was compiled has been kept from an earlier start; None where nothing is compiled."""

    @property
    def setting(self) -> str:
        """As people name it."""
        return f"{self.engine} {self.device} x{self.threads}"

    @property
    def measured(self) -> dict[str, Measured]:
        """What was timed in rounds, as people name it."""
        return {"end to end": self.end_to_end, "inference": self.inference}


@dataclass(frozen=True)
class Picture:
    """What was examined."""

    rows: int
    columns: int
    bytes: int


@dataclass(frozen=True)
class Document:
    """One run of `bonedge benchmark`."""

    schema_version: Literal[1]
    created: str
    bundle: dict[str, str]
    """name, version, digest."""
    machine: Machine
    pictures: tuple[Picture, ...]
    scratch: str
    """File system that results were made durable on."""
    seconds: float
    warm_up: str
    results: tuple[Result, ...]
    notice: str = NOTICE


@dataclass(frozen=True)
class Comparison:
    """One setting in two documents."""

    setting: str
    what: str
    before_ms: float
    """Median."""
    after_ms: float
    change: Change
    ruling: Literal["slower", "faster", "noise"]


_AS_LARGE = 1.25
"""Pictures within this factor are as much work to decode."""
_DOCUMENT = TypeAdapter(Document)


def result_of(runs: Runs, starts: tuple[ColdStart, ...], pictures_per_second: Mapping[int, float]) -> Result:
    """Everything that is said about one setting."""
    count = sum(len(one) for one in runs.end_to_end)
    return Result(
        engine=runs.setting.engine,
        device=runs.setting.device,
        threads=runs.setting.threads,
        precision=runs.precision,
        load_ms=runs.load_ms,
        load_kept_ms=runs.load_kept_ms,
        end_to_end=_measured(runs.end_to_end, runs.stolen),
        inference=_measured(runs.inference, runs.stolen),
        stages={name: latency(_all(rounds)) for name, rounds in runs.stages.items()},
        processor_seconds_per_picture=runs.processor_seconds / count,
        joules_per_picture=None if runs.joules is None else runs.joules / runs.weighed,
        cold_starts=starts,
        pictures_per_second={str(workers): rate for workers, rate in pictures_per_second.items()},
        disagreements=runs.disagreements,
    )


def read_document(path: Path) -> Document:
    """A document that `--json` printed into a file.

    Raises:
        InvalidConfiguration: it cannot be read or is not one.
    """
    try:
        document = _DOCUMENT.validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidConfiguration(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidConfiguration(
            f"{path}: {place + ': ' if place else ''}{first['msg']}; give what 'bonedge benchmark --json' printed"
        ) from error

    if not document.pictures:
        raise InvalidConfiguration(f"{path}: names no picture; measure again")
    measured = [one for result in document.results for one in result.measured.values()]
    if any(not one.rounds_ms or not all(_are_times(times) for times in one.rounds_ms) for one in measured):
        raise InvalidConfiguration(f"{path}: holds rounds without times; measure again")
    return document


def _are_times(values: Sequence[float]) -> bool:
    return bool(values) and all(0 < value < math.inf for value in values)


def schema() -> str:
    """docs/benchmark.schema.json."""
    return json.dumps(_DOCUMENT.json_schema(), indent=2) + "\n"


def compare(before: Document, after: Document, threshold: float) -> list[Comparison]:
    """What became slower or faster by more than `threshold` (a share, such as 0.05), beyond doubt.

    Only settings that both documents hold; beyond doubt is when the whole 95 % interval of the ratio is.
    """
    earlier = {result.setting: result for result in before.results}
    found = []
    for result in after.results:
        old = earlier.get(result.setting)
        if old is None:
            continue
        for name, b in result.measured.items():
            a = old.measured[name]
            moved = change(a.rounds_ms, b.rounds_ms)
            ruling: Literal["slower", "faster", "noise"] = "noise"
            if moved.low > 1 + threshold:
                ruling = "slower"
            elif moved.high < 1 - threshold:
                ruling = "faster"
            found.append(Comparison(result.setting, name, a.latency.p50, b.latency.p50, moved, ruling))
    return found


def alike(before: Document, after: Document) -> bool:
    """Whether the pictures are as large, within a quarter: those of another bundle need not be the same."""
    first, second = (sum(one.rows * one.columns for one in of.pictures) / len(of.pictures) for of in (before, after))
    return max(first, second) <= _AS_LARGE * min(first, second)


def differences(before: Document, after: Document) -> list[str]:
    """What a reader of `compare` must know, in whole sentences."""
    remarks = [
        f"The {what} is another: {_told(old)} before, {_told(new)} after."
        for what, old, new in (
            ("bundle", before.bundle["digest"][:16], after.bundle["digest"][:16]),
            ("processor", before.machine.processor, after.machine.processor),
            ("number of processors", before.machine.usable_processors, after.machine.usable_processors),
            ("file system", before.scratch, after.scratch),
            ("set of pictures", _sizes(before), _sizes(after)),
        )
        if old != new
    ]
    settings = [{result.setting for result in one.results} for one in (before, after)]
    remarks += [f"Only before: {name}." for name in sorted(settings[0] - settings[1])]
    remarks += [f"Only after: {name}." for name in sorted(settings[1] - settings[0])]
    for when, document in (("before", before), ("after", after)):
        for result in document.results:
            unsteady = (name for name, measured in result.measured.items() if not measured.steadiness.steady)
            remarks += [f"Unsteady {when}: {result.setting}, {name}." for name in unsteady]
    remarks += [f"Do not use, after: {sentence}" for result in after.results for sentence in result.disagreements]
    return remarks


def _sizes(document: Document) -> str:
    return ", ".join(f"{one.rows} x {one.columns} in {one.bytes} bytes" for one in document.pictures)


def _told(value: object) -> str:
    return str(value) or "unknown"


def _measured(rounds: Rounds, stolen: float) -> Measured:
    return Measured(latency(_all(rounds)), steadiness(rounds, stolen), rounds)


def _all(rounds: Rounds) -> list[float]:
    return [value for one in rounds for value in one]
