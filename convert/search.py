"""The search: build, time, judge; rung after rung until something passes; the fastest that passed is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bonedge.edge.bundle import Bundle
from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.edge.errors import BundleRefused
from bonedge.edge.records import Pixels

from .candidates import Candidate, NetworkName
from .cases import Case
from .gates import GateResult, judge_gates
from .trial import Answer, Fidelity, Latency, answers, fidelity, pipeline, race

_ALIKE = 1.05
"""Candidates within this factor of the fastest are as fast: then the most faithful one is taken."""
_ALONE = {
    "segmenter": ("dice_median", "dice_p10"),
    "classifier": ("malignant_sensitivity", "tumour_recall", "macro_f1", "calibration_error"),
}
"""The gates that say something about one network by itself; all of them are applied to the pair."""


@dataclass(frozen=True)
class Judged:
    """One candidate and what is known of it."""

    candidate: Candidate
    latency: Latency | None
    gates: tuple[GateResult, ...]
    fidelity: Fidelity | None
    fp32: Latency | None = None
    """Of the fp32 network in the same race."""
    refusal: str | None = None
    """Why it is out of the question whatever its gates say: it cannot be run, or gains nothing."""

    @property
    def passed(self) -> bool:
        return self.refusal is None and all(gate.passed for gate in self.gates)

    @property
    def milliseconds(self) -> float:
        return self.latency.p50 if self.latency else float("inf")


@dataclass(frozen=True)
class PairJudged:
    """Two candidates of one engine together: what a bundle would hold."""

    segmenter: Candidate
    classifier: Candidate
    milliseconds: float
    """Of all inferences for one picture, p50."""
    fp32_milliseconds: float
    """Of the same in fp32, in the same races."""
    gates: tuple[GateResult, ...]
    fidelity: Fidelity
    answers: tuple[Answer, ...]

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def name(self) -> str:
        return f"{self.segmenter.engine}: {self.segmenter.recipe} + {self.classifier.recipe}"


@dataclass(frozen=True)
class Bench:
    """What every candidate is judged by."""

    frame: Bundle
    """Its manifest holds preprocessing, decision and abstention."""
    cases: tuple[Case, ...]
    reference: tuple[Answer, ...]
    """Of the fp32 Keras pair."""
    companions: Mapping[NetworkName, LoadedNetwork]
    """The fp32 networks, for judging the other one alone."""
    sample: Mapping[NetworkName, Pixels]
    """An input of each, for timing."""
    limits: Mapping[str, float]
    seed: int
    threads: int

    def judge(self, candidate: Candidate, latency: Latency | None) -> Judged:
        """One network alone, beside the other's fp32 companion."""
        try:
            loaded = candidate.load(self.threads)
            both = {**self.companions, candidate.network: loaded}
            given = self.answers(both["segmenter"], both["classifier"])
        except BundleRefused as error:
            return Judged(candidate, latency, (), None, refusal=str(error))
        gates = self._gates(given, _ALONE[candidate.network])
        return Judged(candidate, latency, gates, fidelity(self.reference, given))

    def judge_pair(self, segmenter: Judged, classifier: Judged) -> PairJudged:
        """Both networks as a bundle would run them; every gate."""
        given = self.answers(segmenter.candidate.load(self.threads), classifier.candidate.load(self.threads))
        looks = self.frame.manifest.preprocessing.looks
        fp32 = [one.fp32.p50 if one.fp32 else float("nan") for one in (segmenter, classifier)]
        return PairJudged(
            segmenter.candidate,
            classifier.candidate,
            looks * segmenter.milliseconds + classifier.milliseconds,
            looks * fp32[0] + fp32[1],
            self._gates(given, None),
            fidelity(self.reference, given),
            tuple(given),
        )

    def race(self, candidates: Mapping[str, Candidate]) -> dict[str, Latency]:
        """Latencies of candidates of one network by name, interleaved; those that do not load are left out."""
        loaded: dict[str, LoadedNetwork] = {}
        for name, candidate in candidates.items():
            try:
                loaded[name] = candidate.load(self.threads)
            except BundleRefused:
                continue
        return race(loaded, self.sample[next(iter(candidates.values())).network])

    def answers(self, segmenter: LoadedNetwork, classifier: LoadedNetwork) -> list[Answer]:
        """Of two loaded networks, case by case."""
        return answers(pipeline(self.frame, segmenter, classifier), self.cases, self.frame.manifest.preprocessing)

    def _gates(self, given: Sequence[Answer], only: Sequence[str] | None) -> tuple[GateResult, ...]:
        before, after = ([one.outcome for one in side] for side in (self.reference, given))
        return judge_gates(before, after, self.limits, seed=self.seed, only=only)


class Climb:
    """One network on one engine, rung after rung."""

    def __init__(
        self, rungs: Iterator[list[Candidate]], fp32: Candidate, bench: Bench, tell: Callable[[Judged], None]
    ) -> None:
        """Nothing is built yet.

        Args:
            rungs: read only as far as needed; reading builds.
            fp32: raced with each rung as the measure of its speed.
            bench: judges.
            tell: called with each result as it comes.
        """
        self.judged: list[Judged] = []
        self.exhausted = False
        self._rungs, self._fp32, self._bench, self._tell = rungs, fp32, bench, tell

    def step(self) -> None:
        """Build, time and judge the next rung, or find that there is none."""
        rung = next(self._rungs, None)
        if rung is None:
            self.exhausted = True
            return
        latencies = self._bench.race({one.name: one for one in (*rung, self._fp32)})
        limit = _ALIKE * latencies[self._fp32.name].p50
        for candidate in rung:
            latency = latencies.get(candidate.name)
            one = replace(self._bench.judge(candidate, latency), fp32=latencies[self._fp32.name])
            if latency is not None and latency.p50 > limit:
                one = replace(one, refusal=f"slower than fp32 ({latency.p50:.1f} ms, fp32 {limit / _ALIKE:.1f})")
            self.judged.append(one)
            self._tell(one)

    def until_passed(self) -> None:
        """Climb until a candidate passes alone."""
        while not self.exhausted and not self.passed:
            self.step()

    @property
    def passed(self) -> list[Judged]:
        return [one for one in self.judged if one.passed]

    @property
    def unfaithfulness(self) -> float:
        """Of the best candidate so far; 0 when there is nowhere left to climb."""
        faithful = [one.fidelity.mean for one in self.passed if one.fidelity]
        return 0.0 if self.exhausted else min(faithful, default=1.0)


def choose_pair(
    segmenter: Climb, classifier: Climb, bench: Bench, tell: Callable[[PairJudged], None]
) -> tuple[PairJudged | None, list[PairJudged]]:
    """The fastest pair that passes every gate end to end, and all pairs that were tried.

    When no pair of what was built passes, the network that strays further from fp32 climbs on.
    """
    tried: dict[str, PairJudged] = {}
    while True:
        for network in (segmenter, classifier):
            network.until_passed()
        for first, second in in_order(segmenter.passed, classifier.passed):
            key = f"{first.candidate.name} {second.candidate.name}"
            if key in tried:
                continue
            tried[key] = bench.judge_pair(first, second)
            tell(tried[key])
            if tried[key].passed:
                return tried[key], list(tried.values())
        if segmenter.exhausted and classifier.exhausted:
            return None, list(tried.values())
        max((segmenter, classifier), key=lambda one: (not one.exhausted, one.unfaithfulness)).step()


def in_order(segmenters: Sequence[Judged], classifiers: Sequence[Judged]) -> list[tuple[Judged, Judged]]:
    """Pairs of candidates that passed alone: fastest first, the most faithful of those that are as fast."""
    best = [_best_of_each_speed(side) for side in (segmenters, classifiers)]
    pairs = [(a, b) for a in best[0] for b in best[1]]
    return sorted(pairs, key=lambda both: both[0].milliseconds + both[1].milliseconds)


def _best_of_each_speed(judged: Sequence[Judged]) -> list[Judged]:
    left = sorted(judged, key=lambda one: one.milliseconds)
    best = []
    while left:
        alike = [one for one in left if one.milliseconds <= _ALIKE * left[0].milliseconds]
        # Of one speed and one faithfulness, the smaller: fp16 before fp32.
        best.append(
            min(alike, key=lambda one: (round(one.fidelity.mean, 5) if one.fidelity else 1.0, one.candidate.size))
        )
        left = left[len(alike) :]
    return best
