"""What was asked for, what was found: everything that passport, report and refusal are written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bonedge.edge.manifest import EngineName

from .candidates import NetworkName
from .cases import CaseSet
from .ladder import Rung, Sensitivity
from .search import Bench, Judged, PairJudged
from .trained import TrainedPair

_TOOLS = ("ai-edge-litert", "ai-edge-quantizer", "bonedge", "keras", "nncf", "numpy", "openvino", "tensorflow-cpu")


@dataclass(frozen=True)
class Request:
    """What `bonedge convert` was asked for."""

    models: Path
    output: Path
    cache: Path
    """Of simulated sets and finished candidates."""
    created: str
    """ISO 8601, UTC: becomes the manifest's `created`."""
    command: str = ""
    """As typed."""
    start: Rung = Rung.INT8
    end: Rung = Rung.FP32
    engines: tuple[EngineName, ...] = ("tflite", "openvino")
    calibration: str | None = None
    """A folder or `phantoms:SEED`; None simulates."""
    validation: str | None = None
    calibration_count: int = 200
    validation_count: int = 3600
    limits: Mapping[str, float] = field(default_factory=dict)
    """Of gates, by name, where they differ from the gates' own."""
    repair: str | None = None
    """The same: training pictures for quantization-aware fine-tuning; None does none."""
    seed: int = 0
    threads: int = 2
    name: str = "bonedge"
    version: str = "1"


@dataclass(frozen=True)
class Evidence:
    """One conversion, whatever came of it."""

    request: Request
    trained: TrainedPair
    calibration: CaseSet
    validation: CaseSet
    repair: CaseSet | None
    warnings: tuple[str, ...]
    bench: Bench
    judged: tuple[Judged, ...]
    """Every candidate, in the order in which it was tried."""
    tried: tuple[PairJudged, ...]
    """Every pair that went through the gates end to end."""
    chosen: tuple[PairJudged, ...]
    """At most one per engine."""
    drift: Mapping[NetworkName, Mapping[str, float]]
    """Signal to noise of each layer in plain int8, decibels."""
    sensitivities: Mapping[NetworkName, Mapping[EngineName, list[Sensitivity]]]
    """Of each layer alone, where the search came to mixed precision."""
    tools: Mapping[str, str]
    seconds: float


def tools() -> dict[str, str]:
    """Versions of everything that shapes a candidate."""
    return {name: version(name) for name in _TOOLS}
