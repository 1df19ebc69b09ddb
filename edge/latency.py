"""What may be said about a latency after measuring it so and so often: quantiles, bounds, and whether it held still.

Pure: lists of milliseconds in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MINIMUM_QUERIES = 64
"""Fewest queries of which MLPerf's early stopping tells a 90th percentile at 99 % confidence."""
_PERCENTILE, _CONFIDENCE = 0.9, 0.99
_DRIFT = 0.10
"""Rounds whose medians lie further apart than this share of their middle were not measured on the same machine."""
_STOLEN = 0.02
"""Share of processor time that a hypervisor may give to others."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one thing, measured many times."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    maximum: float
    early_stopping_p90: float | None
    """MLPerf-style: with 99 % confidence the 90th percentile is not above it; None for fewer than 64 queries."""


@dataclass(frozen=True)
class Steadiness:
    """Whether rounds of the same measurement agree."""

    round_p50: tuple[float, ...]
    """Median of each round, ms, in the order in which they were run."""
    drift: float
    """(largest - smallest) / middle of them."""
    stolen: float
    """Share of processor time that went to others meanwhile, 0..1."""
    reasons: tuple[str, ...]
    """Why the figures should not be trusted, whole sentences; empty when they held still."""

    @property
    def steady(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class Change:
    """How much slower b is than a."""

    ratio: float
    """Median of b over median of a."""
    low: float
    high: float
    """Ends of its 95 % interval."""


def latency(milliseconds: Sequence[float]) -> Latency:
    """Quantiles by linear interpolation (Hyndman and Fan's type 7), and the early-stopping estimate.

    Raises:
        ValueError: there is nothing to summarise.
    """
    if not len(milliseconds):
        raise ValueError("a latency needs at least one measurement")
    values = np.asarray(milliseconds, np.float64)
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, (50, 90, 95, 99)))
    return Latency(len(values), p50, p90, p95, p99, float(values.max()), early_stopping_p90(milliseconds))


def early_stopping_p90(milliseconds: Sequence[float]) -> float | None:
    """An upper bound of the 90th percentile, as MLPerf's single-stream scenario reports it.

    With n queries, the chance that at most t of them are slower than the true 90th percentile is a binomial tail. The
    largest t for which it is at most 1 % is what may be set aside; the next slowest query is the estimate (MLPerf
    inference rules, appendix "Early stopping"; Reddi et al., MLPerf Inference Benchmark, ISCA 2020). At least one
    must be set aside, which takes 64 queries.
    """
    ordered = sorted(milliseconds)
    aside = _set_aside(len(ordered))
    return None if aside < 1 else float(ordered[len(ordered) - 1 - aside])


def steadiness(rounds: Sequence[Sequence[float]], stolen: float) -> Steadiness:
    """Compare rounds of one measurement, milliseconds each, that others were measured between."""
    medians = tuple(float(np.median(one)) for one in rounds if len(one))
    middle = float(np.median(medians)) if medians else 0.0
    drift = (max(medians) - min(medians)) / middle if middle else 0.0
    reasons = []
    if len(medians) < 2:
        reasons.append("There was time for one round only, so nobody knows whether it would repeat.")
    if drift > _DRIFT:
        reasons.append(f"Medians of its rounds lie {drift:.0%} apart.")
    if stolen > _STOLEN:
        reasons.append(f"{stolen:.0%} of the processor time went to other machines on this host.")
    return Steadiness(medians, drift, stolen, tuple(reasons))


def change(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], *, seed: int = 0) -> Change:
    """Ratio of medians with a bootstrap interval; rounds, and not single queries, are what is drawn.

    Queries of one round share whatever the machine was doing, so they are no independent witnesses (the block
    bootstrap: Künsch, 1989).
    """
    rng = np.random.default_rng(seed)

    def medians(rounds: Sequence[Sequence[float]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        own = np.array([np.median(one) for one in rounds])
        drawn: np.ndarray[tuple[int], np.dtype[np.float64]]
        drawn = np.median(own[rng.integers(len(own), size=(_RESAMPLES, len(own)))], axis=1)
        return drawn

    ratios = medians(b) / medians(a)
    low, high = (float(value) for value in np.percentile(ratios, (2.5, 97.5)))
    ratio = float(np.median([np.median(one) for one in b]) / np.median([np.median(one) for one in a]))
    return Change(ratio, low, high)


def _set_aside(queries: int) -> int:
    """The largest t with P(Binomial(queries, 0.1) <= t) <= 1 %; -1 when there is none."""
    slower, total, aside = 1 - _PERCENTILE, 0.0, -1
    for t in range(queries + 1):
        # By logarithms: 0.9 to the power of ten thousand is no number for a float.
        log = math.lgamma(queries + 1) - math.lgamma(t + 1) - math.lgamma(queries - t + 1)
        log += t * math.log(slower) + (queries - t) * math.log(_PERCENTILE)
        total += math.exp(log)
        if total > 1 - _CONFIDENCE:
            break
        aside = t
    return aside
