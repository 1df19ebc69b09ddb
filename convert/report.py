"""report.html: one page, complete in itself, that a hospital's physicist can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bonedge.edge.page import data_uri, render_page
from bonedge.edge.records import CLASSES
from bonedge.models.metrics import VERDICTS, confusion

from . import plots
from .evidence import Evidence
from .gates import GateResult, Outcome, title
from .search import PairJudged
from .worst import Changed, picture, worst

REPORT = "report.html"
_SHORT = 16
"""Digits of a fingerprint, whole in passport.json, that name a case which is not shown."""
_PICTURES = 6
"""Of the cases that changed most, per chosen pair."""


def report_page(evidence: Evidence, passport: dict[str, Any], *, pictures: bool = True) -> str:
    """The page. Nothing in it is fetched from anywhere.

    Without `pictures`, cases are known by their fingerprints: what is of patients does not travel with a bundle.
    """
    shown = _shown(evidence)
    sides = [("Keras fp32", evidence.bench.reference), *((one.segmenter.engine, one.answers) for one in shown)]
    truths = np.array([CLASSES.index(case.truth) for case in evidence.bench.cases], np.int64)
    return render_page(
        "bonedge.convert",
        "report.html.j2",
        {"percent": _percent, "number": _number},
        passport=passport,
        shown=pictures,
        pairs=[_pair(one, evidence, pictures) for one in shown],
        reference=_confusion([one.outcome for one in evidence.bench.reference]),
        verdicts=[str(one) for one in VERDICTS],
        classes=[str(one) for one in CLASSES],
        latency=data_uri("image/svg+xml", plots.latency_against_accuracy(evidence.judged)),
        drift=data_uri("image/svg+xml", plots.drift(evidence.drift)),
        reliability=data_uri("image/svg+xml", plots.reliability(sides, truths)),
        title_of=title,
    )


def _shown(evidence: Evidence) -> list[PairJudged]:
    """The chosen pair of each engine; where there is none, the one that came closest."""
    shown = []
    for engine in evidence.request.engines:
        of_engine = [one for one in evidence.tried if one.segmenter.engine == engine]
        chosen = [one for one in evidence.chosen if one.segmenter.engine == engine]
        shown += chosen or sorted(of_engine, key=lambda one: sum(not gate.passed for gate in one.gates))[:1]
    return shown


def _pair(one: PairJudged, evidence: Evidence, pictures: bool) -> dict[str, Any]:
    changed = worst(evidence.bench, one, _PICTURES)
    return {
        "engine": one.segmenter.engine,
        "segmenter": one.segmenter.recipe,
        "classifier": one.classifier.recipe,
        "passed": one.passed,
        "milliseconds": one.milliseconds,
        "fp32_milliseconds": one.fp32_milliseconds,
        "megabytes": (one.segmenter.size + one.classifier.size) / 1e6,
        "gates": [_gate(gate) for gate in one.gates],
        "confusion": _confusion([answer.outcome for answer in one.answers]),
        "flips": sum(
            a.outcome.verdict is not b.outcome.verdict
            for a, b in zip(evidence.bench.reference, one.answers, strict=True)
        ),
        "worst": [_case(case, picture(case, evidence.bench, one) if pictures else None) for case in changed],
    }


def _gate(gate: GateResult) -> dict[str, Any]:
    """With the interval's place on a scale from -2 to +2 limits, percent from the left."""

    def place(value: float | None) -> float:
        scale = 2 * gate.limit or 1.0
        return 50 + 50 * float(np.clip((value or 0.0) / scale, -1, 1))

    return {
        "gate": gate,
        "title": title(gate.name),
        "low": place(gate.low),
        "loss": place(gate.loss),
        "high": place(gate.high),
        "limit": place(gate.limit),
    }


def _case(changed: Changed, image: bytes | None) -> dict[str, Any]:
    return {
        "image": None if image is None else data_uri("image/png", image),
        "name": changed.case.fingerprint[:_SHORT] if image is None else changed.case.name,
        "stratum": changed.case.stratum,
        "flipped": changed.flipped,
        "lost": changed.lost_malignant,
        "before": changed.before.outcome,
        "after": changed.after.outcome,
        "shift": changed.shift,
    }


def _confusion(outcomes: Sequence[Outcome]) -> list[list[int]]:
    truths = np.array([CLASSES.index(one.truth) for one in outcomes], np.int64)
    verdicts = np.array([VERDICTS.index(one.verdict) for one in outcomes], np.int64)
    return confusion(truths, verdicts).tolist()  # type: ignore[no-any-return]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 3) -> str:
    # + 0.0: what is a negative zero to a computer is a riddle to a person.
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"
