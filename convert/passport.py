"""passport.json: how a bundle was made, what was tried, what it cost, and why it was chosen."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bonedge.edge.machine import processor
from bonedge.edge.records import NOTICE, Label

from .evidence import Evidence
from .gates import GATES, GateResult
from .ladder import Sensitivity
from .progress import verdict
from .search import Judged, PairJudged
from .trial import Answer

SCHEMA_VERSION = 1
_FLAGS = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "sve",
)
"""Of the processor: those that change how fast int8 and bf16 run."""


def passport_of(evidence: Evidence) -> dict[str, Any]:
    """The document, JSON values only. Shares and Dice 0..1, times in milliseconds unless named otherwise."""
    request, operation = evidence.request, evidence.trained.operation
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": NOTICE,
        "summary": summary(evidence),
        "created": request.created,
        "command": request.command,
        "seed": request.seed,
        "seconds": round(evidence.seconds, 1),
        "models": {
            "sha256": evidence.trained.digests,
            "trained_on": operation.training.data,
            "training_command": operation.training.command,
        },
        "calibration": _set(evidence.calibration) | {"warnings": list(evidence.warnings)},
        "validation": _set(evidence.validation),
        "repair": _set(evidence.repair) if evidence.repair else None,
        "machine": machine() | {"threads": request.threads},
        "tools": dict(evidence.tools),
        "gates": [{"name": g.name, "title": g.title, "limit": request.limits.get(g.name, g.limit)} for g in GATES],
        "candidates": [_candidate(one) for one in evidence.judged],
        "pairs": [_pair(one) for one in evidence.tried],
        "chosen": [_pair(one) | {"why": why(one, evidence)} for one in evidence.chosen],
        "formats": agreement_of_formats(evidence),
        "layers": {
            "signal_to_noise_db": {network: dict(table) for network, table in evidence.drift.items()},
            "error_alone": {
                network: {engine: [_alone(row) for row in table] for engine, table in tables.items()}
                for network, tables in evidence.sensitivities.items()
            },
        },
        "identical_bytes": (
            "The same inputs, seed and versions give the same choice. TensorFlow Lite files are identical byte by "
            "byte; OpenVINO weights are, while its .xml carries names that differ from run to run. Latencies, and "
            "with them the order among candidates of one speed, are this machine's."
        ),
    }


def as_file(passport: dict[str, Any]) -> bytes:
    """The content of `PASSPORT`."""
    return (json.dumps(passport, indent=1) + "\n").encode()


def summary(evidence: Evidence) -> dict[str, Any]:
    """The headline: a few lines that anybody may read."""
    lines: dict[str, Any] = {"outcome": "converted" if _complete(evidence) else "refused"}
    for one in evidence.chosen:
        size = (one.segmenter.size + one.classifier.size) / 1e6
        lines[one.segmenter.engine] = (
            f"segmenter {one.segmenter.recipe}, classifier {one.classifier.recipe}; {one.milliseconds:.1f} ms for both "
            f"(fp32 {one.fp32_milliseconds:.1f}), {size:.1f} MB"
        )
    silent = sum(one.outcome.verdict is Label.ABSTAIN for one in evidence.bench.reference)
    lines["validation"] = (
        f"{len(evidence.validation.cases)} cases, {evidence.validation.where}; fp32 abstains on {silent} of them"
    )
    return lines


def why(one: PairJudged, evidence: Evidence) -> str:
    """Why this pair, in a sentence or two."""
    engine = one.segmenter.engine
    failed = [pair for pair in evidence.tried if pair.segmenter.engine == engine and not pair.passed]
    out = [j for j in evidence.judged if j.candidate.engine == engine and not j.passed and not j.spared]
    text = f"The fastest pair that passed all {len(one.gates)} gates end to end."
    if out:
        alone = "candidate was out by itself" if len(out) == 1 else "candidates were out by themselves"
        text += f" {len(out)} {alone}."
    if failed:
        text += f" Before it failed: {'; '.join(f'{pair.name} ({verdict(pair)})' for pair in failed)}."
    return text


def agreement_of_formats(evidence: Evidence) -> list[dict[str, Any]]:
    """Keras and each chosen pair against each other, case by case."""
    sides: list[tuple[str, Sequence[Answer]]] = [("keras fp32", evidence.bench.reference)]
    sides += [(one.name, one.answers) for one in evidence.chosen]
    return [
        {"between": [first, second], **_agreement(a, b)}
        for number, (first, a) in enumerate(sides)
        for second, b in sides[number + 1 :]
    ]


def machine() -> dict[str, Any]:
    """What latencies were measured on."""
    model, flags = processor()
    return {
        "processor": model,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "processors": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "release": platform.release(),
        "python": platform.python_version(),
    }


def _complete(evidence: Evidence) -> bool:
    return len(evidence.chosen) == len(evidence.request.engines)


def _set(cases: Any) -> dict[str, Any]:
    return {
        "from": cases.where,
        "pictures": len(cases.cases),
        "strata": cases.strata,
        "phantom_seeds": list(cases.phantom_seeds),
        "sha256": cases.digest,
        "picture_sha256": sorted(case.fingerprint for case in cases.cases),
    }


def _alone(row: Sensitivity) -> dict[str, Any]:
    return {"layer": row.layer, "error": row.error if math.isfinite(row.error) else None}


def _candidate(one: Judged) -> dict[str, Any]:
    return {
        "name": one.candidate.name,
        "bytes": one.candidate.size,
        "latency_ms": asdict(one.latency) if one.latency else None,
        "fp32_latency_ms": asdict(one.fp32) if one.fp32 else None,
        "passed": one.passed,
        "verdict": verdict(one),
        "gates": [_gate(gate) for gate in one.gates],
        "probability_difference": asdict(one.fidelity) if one.fidelity else None,
    }


def _pair(one: PairJudged) -> dict[str, Any]:
    return {
        "engine": one.segmenter.engine,
        "segmenter": one.segmenter.recipe,
        "classifier": one.classifier.recipe,
        "bytes": one.segmenter.size + one.classifier.size,
        "both_ms": round(one.milliseconds, 3),
        "both_fp32_ms": round(one.fp32_milliseconds, 3),
        "passed": one.passed,
        "verdict": verdict(one),
        "gates": [_gate(gate) for gate in one.gates],
        "probability_difference": asdict(one.fidelity),
    }


def _gate(gate: GateResult) -> dict[str, Any]:
    return asdict(gate) | {"ruling": str(gate.ruling)}


def _agreement(first: Sequence[Answer], second: Sequence[Answer]) -> dict[str, Any]:
    a, b = ([one.outcome for one in side] for side in (first, second))
    apart = np.array([np.abs(x.probabilities - y.probabilities).max() for x, y in zip(a, b, strict=True)])
    return {
        "same_verdict": float(np.mean([x.verdict is y.verdict for x, y in zip(a, b, strict=True)])),
        "largest_probability_difference": float(apart.max()),
        "median_probability_difference": float(np.median(apart)),
        "cases": len(a),
    }
