"""Whether a conversion lost anything clinical: a pure decision over two lists of outcomes of the same cases.

Every gate compares the candidate with the fp32 Keras reference, case by case, and has a limit on the loss. What is
judged is not the loss that was measured but the bad end of its 95 % confidence interval: paired percentile bootstrap
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13), resampled within each true class, since their
numbers are fixed by design.

A bootstrap of nothing lost is an interval of width zero, however few the cases. A set is therefore also too small for
a gate about shares when one single case weighs more than the gate's limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from bonedge.edge.records import CLASSES, Label, Pixels
from bonedge.models.metrics import VERDICTS, Weights, macro_f1, resample, share, weighted_confusion

CALIBRATION_BINS = 10
"""Of the curve that people are shown."""
_CALIBRATION_WIDTH = 0.05
_CALIBRATION_STEPS = 100
_MALIGNANT = CLASSES.index(Label.MALIGNANT)
_ABSTAIN = VERDICTS.index(Label.ABSTAIN)

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What one pair of networks said about one case of known truth."""

    truth: Label
    """normal, benign or malignant."""
    verdict: Label
    probabilities: Pixels
    """float32 "3", in the order of `bonedge.edge.records.CLASSES`."""
    dice: float | None
    """Of the outlined lesions with the true ones, 0..1; None where there is no lesion."""


class Ruling(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    FAILED = "failed"
    """The measured loss itself is over the limit."""
    UNDECIDED = "too few cases to tell"
    """The measured loss is within the limit, its interval is not. Does not pass."""
    NOT_MEASURABLE = "no such cases"
    """The validation set holds nothing that this gate is about. Does not pass."""


@dataclass(frozen=True)
class GateResult:
    """One gate's figures; shares and Dice 0..1."""

    name: str
    reference: float | None
    candidate: float | None
    loss: float | None
    """How much worse the candidate is; negative when it is better."""
    low: float | None
    high: float | None
    """Ends of the loss's interval; `high` is what is judged."""
    limit: float
    cases: int
    """How many cases the gate is about."""
    ruling: Ruling
    cases_needed: int | None
    """With as many of these cases a loss such as the measured one would pass; None when no number would do."""

    @property
    def passed(self) -> bool:
        return self.ruling is Ruling.PASSED


@dataclass(frozen=True)
class Gate:
    """One thing that must not get worse."""

    name: str
    title: str
    """As a person reads it."""
    limit: float
    """Largest loss that passes, 0..1."""
    measure: Callable[[Arrays, Weights], Numbers]
    """Figure of one list of outcomes per resample."""
    relevant: Callable[[Arrays], NDArray[np.bool_]]
    """Which cases the gate is about."""
    sign: int = 1
    """1 when more is better, -1 when less is."""
    share: bool = False
    """Whether the figure is a share of the relevant cases, so that one case weighs 1 / cases."""


@dataclass(frozen=True)
class Arrays:
    """A list of outcomes as columns. `n` cases."""

    truth: NDArray[np.int64]
    verdict: NDArray[np.int64]
    """Index into `VERDICTS`."""
    probabilities: Numbers
    """float64 "n 3"."""
    dice: Numbers
    """float64 "n"; NaN where there is no lesion."""
    flipped: NDArray[np.bool_]
    """Whether the verdict differs from the reference's."""


def judge_gates(
    reference: Sequence[Outcome],
    candidate: Sequence[Outcome],
    limits: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    only: Sequence[str] | None = None,
) -> tuple[GateResult, ...]:
    """Every gate's ruling on a candidate.

    Args:
        reference: of the fp32 Keras pair.
        candidate: of the same cases in the same order.
        limits: other limits than the gates' own, by name.
        seed: of the resampling; the same seed and outcomes give the same ruling.
        only: names of gates to judge; all by default.

    Raises:
        ValueError: there are no cases, or not the same ones on both sides.
    """
    if not reference or [one.truth for one in reference] != [one.truth for one in candidate]:
        raise ValueError("reference and candidate must be outcomes of the same cases, at least one")
    before, after = _arrays(reference, reference), _arrays(candidate, reference)
    weights = resample(before.truth, seed)
    chosen = [gate for gate in GATES if only is None or gate.name in only]
    return tuple(_judge(gate, before, after, weights, (limits or {}).get(gate.name, gate.limit)) for gate in chosen)


def calibration_curve(truth: NDArray[np.int64], probabilities: Numbers) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, cases) of each occupied bin of the top probability, in order."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = _bins(confidence)
    return [
        (float(confidence[bins == one].mean()), float(right[bins == one].mean()), int((bins == one).sum()))
        for one in np.unique(bins)
    ]


def _judge(gate: Gate, before: Arrays, after: Arrays, weights: Weights, limit: float) -> GateResult:
    cases = int(np.count_nonzero(gate.relevant(before)))
    if cases == 0:
        return GateResult(gate.name, None, None, None, None, None, limit, 0, Ruling.NOT_MEASURABLE, None)
    old, new = gate.measure(before, weights), gate.measure(after, weights)
    losses = gate.sign * (old - new)
    loss = float(losses[0])
    low, high = (float(end) for end in np.percentile(losses[1:], [2.5, 97.5]))
    ruling, needed = _rule(loss, high, limit, cases, gate.share)
    return GateResult(gate.name, float(old[0]), float(new[0]), loss, low, high, limit, cases, ruling, needed)


def _rule(loss: float, high: float, limit: float, cases: int, share: bool) -> tuple[Ruling, int | None]:
    tolerance = 1e-9  # of floating point: a loss of exactly the limit passes
    smallest = math.ceil(1 / limit - tolerance) if share and limit > 0 else 1
    if loss > limit + tolerance:
        return Ruling.FAILED, None
    if high <= limit + tolerance and cases >= smallest:
        return Ruling.PASSED, cases
    if limit - loss <= tolerance:
        return Ruling.UNDECIDED, None
    # An interval shrinks with the square root of the number of cases.
    grown = math.ceil(cases * ((high - loss) / (limit - loss)) ** 2) if high > limit else cases
    return Ruling.UNDECIDED, max(grown, smallest)


def _arrays(outcomes: Sequence[Outcome], reference: Sequence[Outcome]) -> Arrays:
    return Arrays(
        np.array([CLASSES.index(one.truth) for one in outcomes], np.int64),
        np.array([VERDICTS.index(one.verdict) for one in outcomes], np.int64),
        np.array([one.probabilities for one in outcomes], np.float64),
        np.array([np.nan if one.dice is None else one.dice for one in outcomes], np.float64),
        np.array([a.verdict is not b.verdict for a, b in zip(outcomes, reference, strict=True)], np.bool_),
    )


def _sensitivity(a: Arrays, weights: Weights) -> Numbers:
    return share(a.verdict == _MALIGNANT, a.truth == _MALIGNANT, weights)


def _recall(a: Arrays, weights: Weights) -> Numbers:
    return share((a.verdict > 0) & (a.verdict != _ABSTAIN), a.truth > 0, weights)


def _macro_f1(a: Arrays, weights: Weights) -> Numbers:
    return macro_f1(weighted_confusion(a.truth, a.verdict, weights))


def _flips(a: Arrays, weights: Weights) -> Numbers:
    return share(a.flipped, np.ones(len(a.truth), np.bool_), weights)


def _dice_quantile(q: float) -> Callable[[Arrays, Weights], Numbers]:
    """Harrell and Davis's estimate of a quantile (A new distribution-free quantile estimator, Biometrika 69:635, 1982).

    The mean of all order statistics, each weighted by how likely it is to be the quantile. One order statistic alone
    leaps from case to case: few lesions are outlined badly, and where a tenth of them lies a rounding error took it
    from one to the next, by more than the limit.
    """

    def measure(a: Arrays, weights: Weights) -> Numbers:
        members = np.flatnonzero(~np.isnan(a.dice))
        order = members[np.argsort(a.dice[members], kind="stable")]
        reached = np.cumsum(weights[:, order], axis=1, dtype=np.float64)
        drawn = np.maximum(reached[:, -1:], 1)
        below = betainc((drawn + 1) * q, (drawn + 1) * (1 - q), reached / drawn)
        return np.asarray(np.diff(below, axis=1, prepend=0) @ a.dice[order], np.float64)

    return measure


def _calibration_error(a: Arrays, weights: Weights) -> Numbers:
    """Smooth calibration error of the top probability (Blasiok and Nakkiran, Smooth ECE, ICLR 2024), at one width.

    The gap between confidence and share right, smoothed over confidence by a Gaussian that is reflected at 0 and 1,
    and its size averaged. In bins (Guo et al., 2017) a probability that moves by a rounding error takes its case from
    one bin to the next, and that alone was more than the limit.
    """
    confidence, right = a.probabilities.max(axis=1), a.probabilities.argmax(axis=1) == a.truth
    places = (np.arange(_CALIBRATION_STEPS) + 0.5) / _CALIBRATION_STEPS
    images = np.stack([confidence, -confidence, 2 - confidence])[:, :, None]
    kernel = np.exp(-0.5 * np.square((places - images) / _CALIBRATION_WIDTH)).sum(0)
    kernel /= kernel.mean(axis=1, keepdims=True)
    gaps = weights @ (kernel * (confidence - right)[:, None])
    return np.asarray(np.abs(gaps).mean(1) / np.maximum(weights.sum(1), 1), np.float64)


def _bins(confidence: Numbers) -> NDArray[np.int64]:
    return np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _everyone(a: Arrays) -> NDArray[np.bool_]:
    return np.ones(len(a.truth), np.bool_)


def _with_lesion(a: Arrays) -> NDArray[np.bool_]:
    return ~np.isnan(a.dice)


GATES = (
    Gate(
        "malignant_sensitivity",
        "malignant tumours called malignant",
        0.005,
        _sensitivity,
        lambda a: a.truth == _MALIGNANT,
        share=True,
    ),
    Gate("tumour_recall", "tumours called tumours", 0.005, _recall, lambda a: a.truth > 0, share=True),
    Gate("dice_median", "outline, median Dice", 0.01, _dice_quantile(0.5), _with_lesion),
    Gate("dice_p10", "outline, worst tenth (Dice)", 0.01, _dice_quantile(0.1), _with_lesion),
    Gate("macro_f1", "three classes, macro-F1", 0.01, _macro_f1, _everyone),
    Gate("flips", "verdicts that changed", 0.01, _flips, _everyone, sign=-1, share=True),
    Gate("calibration_error", "calibration error", 0.01, _calibration_error, _everyone, sign=-1),
)
"""In the order of what matters most clinically; a refusal names the first that did not pass."""


def title(name: str) -> str:
    """What a gate is called in front of people."""
    return next(gate.title for gate in GATES if gate.name == name)
