"""When nothing passes: no bundle, but everything that a person needs to see why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bonedge.edge.bundle_report import PASSPORT
from bonedge.edge.errors import GateFailed
from bonedge.edge.files import write_whole
from bonedge.edge.records import CLASSES, Label

from .cases import CaseSet
from .evidence import Evidence
from .gates import GATES, GateResult, Outcome, Ruling, judge_gates, title
from .passport import as_file
from .progress import verdict
from .report import REPORT
from .search import Judged, PairJudged
from .worst import picture, worst

_PICTURES = 6
_SILENT = 0.2
"""The share of a validation set on which fp32 may abstain; of phantoms it is a few in a hundred."""
_CHANCE = (
    ("macro_f1", 0.4, "the order of the classifier's labels"),
    ("dice_median", 0.1, "the order of the segmenter's maps, long bone and lesion"),
)
"""Gates whose figure is suspicious up to so much: three classes by chance have a macro-F1 of a third."""
_ADVICE = {
    Ruling.FAILED: "fine-tune for int8 with --repair TRAINING-DATA, or look at the layers in report.html",
    Ruling.UNDECIDED: "give a larger --validation set (or --validation-count)",
    Ruling.NOT_MEASURABLE: "give a --validation set that holds such cases",
}


def check_provable(validation: CaseSet, limits: Mapping[str, float]) -> None:
    """Refuse a set on which not even an unchanged pair would pass, before minutes are spent on candidates.

    Raises:
        GateFailed: the set holds too few cases for a gate, or none. Nothing is written.
    """
    right = np.eye(len(CLASSES), dtype=np.float32)
    unchanged = [
        Outcome(case.truth, case.truth, right[CLASSES.index(case.truth)], None if case.lesion is None else 1.0)
        for case in validation.cases
    ]
    gate = _first_broken(judge_gates(unchanged, unchanged, limits))
    if gate is None:
        return
    needed = "" if gate.cases_needed is None else f", at least {gate.cases_needed} would be needed"
    raise GateFailed(
        f"nothing was converted, for not even an unchanged pair would pass on the validation set ({validation.where}): "
        f"it holds {gate.cases} cases for '{title(gate.name)}', where a loss of {gate.limit:g} is allowed{needed}. "
        f"What to try: {_ADVICE[gate.ruling]}"
    )


def check_telling(validation: CaseSet, reference: Sequence[Outcome]) -> list[str]:
    """Refuse a set on which fp32 says too little for a loss to show, and warn where it is hardly ever right.

    Args:
        validation: the cases.
        reference: what the fp32 pair says about them, in order.

    Returns:
        Warnings: whole sentences.

    Raises:
        GateFailed: it abstains on too many. Nothing is written.
    """
    silent = sum(one.verdict is Label.ABSTAIN for one in reference)
    if silent > _SILENT * len(reference):
        raise GateFailed(
            f"nothing was converted, for fp32 itself abstains on {silent} of {len(reference)} validation pictures "
            f"({validation.where}), and a verdict that is not given cannot be seen to change. They are too small, show "
            "too little bone or are unlike what the pair was trained on. What to try: give a --validation set like the "
            "training's"
        )
    asked = judge_gates(reference, reference, only=[name for name, _, _ in _CHANCE])
    figures = {gate.name: gate.reference for gate in asked}
    return [
        f"In fp32 already, {title(name)} is {figure:.2f} on the validation pictures: that nothing was lost says little "
        f"then. If the pair is better than that, look at {remedy}."
        for name, chance, remedy in _CHANCE
        if (figure := figures[name]) is not None and figure <= chance
    ]


def evidence_folder(output: Path) -> Path:
    """Where `refuse` writes."""
    return output.with_name(f"{output.name}-refused")


def refuse(evidence: Evidence, passport: dict[str, Any], page: str) -> GateFailed:
    """Write the evidence folder beside the output, and say what happened.

    The folder is named after the output with `-refused`; it holds passport.json, report.html and pictures of the
    cases that changed most.
    """
    output = evidence.request.output
    folder = evidence_folder(output)
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("case-*.png"):
        earlier.unlink()
    write_whole(folder / PASSPORT, as_file(passport))
    write_whole(folder / REPORT, page.encode())
    missing = [e for e in evidence.request.engines if e not in {one.segmenter.engine for one in evidence.chosen}]
    closest = _closest(evidence, missing[0])
    names = []
    if isinstance(closest, PairJudged):
        for place, case in enumerate(worst(evidence.bench, closest, _PICTURES), 1):
            names.append(f"case-{place}-{case.case.stratum.replace(' ', '-')}.png")
            write_whole(folder / names[-1], picture(case, evidence.bench, closest))
    gate = _first_broken(closest.gates) if closest else None
    advice = "allow a slower rung with --slowest, or see report.html" if gate is None else _ADVICE[gate.ruling]
    if closest is None:
        what = "nothing was tried"
    elif gate is None:
        what = f"{_name(closest)}: {verdict(closest)}"
    else:
        what = _sentence(gate, _name(closest))
    pictures = f" Worst cases: {', '.join(names)}." if names else ""
    return GateFailed(
        f"no {' and no '.join(missing)} candidate passed the gates, so no bundle was written: {what}. "
        f"Evidence: {folder}.{pictures} What to try: {advice}"
    )


def _closest(evidence: Evidence, engine: str) -> Judged | PairJudged | None:
    """Of the pairs, or else of the single candidates, the one with the fewest broken gates; what runs first."""
    pairs = [one for one in evidence.tried if one.segmenter.engine == engine]
    alone = [one for one in evidence.judged if one.candidate.engine == engine and not one.passed]
    found: Sequence[Judged | PairJudged] = pairs or alone

    def distance(one: Judged | PairJudged) -> tuple[bool, int]:
        return isinstance(one, Judged) and one.refusal is not None, sum(not gate.passed for gate in one.gates)

    return min(found, key=distance, default=None)


def _first_broken(gates: Sequence[GateResult]) -> GateResult | None:
    """In the order of clinical weight."""
    order = [gate.name for gate in GATES]
    broken = sorted((gate for gate in gates if not gate.passed), key=lambda gate: order.index(gate.name))
    return broken[0] if broken else None


def _name(one: Judged | PairJudged) -> str:
    return one.candidate.name if isinstance(one, Judged) else one.name


def _sentence(gate: GateResult, name: str) -> str:
    if gate.loss is None:
        return f"{name}: {title(gate.name)} cannot be measured, the validation set holds no such case"
    text = (
        f"{name}: {title(gate.name)} went from {gate.reference:.3f} to {gate.candidate:.3f}, a loss of {gate.loss:.4f} "
        f"(95 % interval up to {gate.high:.4f}) where {gate.limit:g} is allowed, on {gate.cases} cases"
    )
    if gate.ruling is Ruling.UNDECIDED:
        needed = f"about {gate.cases_needed}" if gate.cases_needed else "many more"
        text += f"; that is too few to tell: {needed} would be needed"
    return text
