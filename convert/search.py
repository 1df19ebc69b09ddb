"""The search: build, time, judge; rung after rung until something passes; the fastest that passed is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bonedge.edge.bundle import Bundle
from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.edge.errors import BundleRefused
from bonedge.edge.records import Pixels

from .candidates import Candidate, NetworkName
from .cases import Case
from .gates import GateResult, judge_gates
from .trial import Answer, Fidelity, Latency, answer, fidelity, pipeline, race

_ALIKE = 1.05
"""Candidates within this factor of the fastest are as fast, and within it of the smallest of those as small: then the
most faithful one is taken."""
_OUTLINES = ("dice_median", "dice_p10")
_ALONE: Mapping[NetworkName, tuple[str, ...]] = {
    "segmenter": (*_OUTLINES, "flips"),
    "classifier": ("malignant_sensitivity", "tumour_recall", "macro_f1", "flips", "calibration_error"),
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
    spared: bool = False
    """Whether that is only because a better one passed before it."""

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


Timed = TypeVar("Timed", Judged, "_Raced")


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

    @property
    def looks(self) -> int:
        """How often the segmenter is asked about one picture."""
        return self.frame.manifest.preprocessing.looks

    def judge(self, candidate: Candidate, latency: Latency | None) -> Judged:
        """One network alone, beside the other's fp32 companion.

        Verdicts that change alone will not come right beside another network that was rounded, too.
        """
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
        fp32 = [one.fp32.p50 if one.fp32 else float("nan") for one in (segmenter, classifier)]
        return PairJudged(
            segmenter.candidate,
            classifier.candidate,
            self.looks * segmenter.milliseconds + classifier.milliseconds,
            self.looks * fp32[0] + fp32[1],
            self._gates(given, None),
            fidelity(self.reference, given),
            tuple(given),
        )

    def race(self, candidates: Mapping[str, Candidate]) -> dict[str, Latency]:
        """Latencies of candidates of one network by name, interleaved; those that do not load or run are left out."""
        sample = self.sample[next(iter(candidates.values())).network]
        loaded: dict[str, LoadedNetwork] = {}
        for name, candidate in candidates.items():
            try:
                network = candidate.load(self.threads)
                network.run(sample)
            except (BundleRefused, RuntimeError):
                continue
            loaded[name] = network
        return race(loaded, sample)

    def answers(self, segmenter: LoadedNetwork, classifier: LoadedNetwork) -> list[Answer]:
        """Of two loaded networks, case by case."""
        run = pipeline(self.frame, segmenter, classifier)
        return [answer(run, self.frame.manifest.preprocessing, case) for case in self.cases]

    def _gates(self, given: Sequence[Answer], only: Sequence[str] | None) -> tuple[GateResult, ...]:
        before, after = ([one.outcome for one in side] for side in (self.reference, given))
        return judge_gates(before, after, self.limits, seed=self.seed, only=only)


class Climb:
    """One network on one engine, rung after rung.

    Judging asks the whole pipeline about every validation case, and a rung holds up to four candidates of one speed.
    So they are ordered first by how far they stray from fp32 on the calibration inputs, which takes a second each, and
    judged in that order, larger ones last, until one passes. One that strays further than another that did not pass
    could pass by luck only, and is not judged.
    """

    def __init__(
        self,
        rungs: Iterator[list[Candidate]],
        fp32: Candidate,
        bench: Bench,
        stray: Callable[[Candidate], float],
        tell: Callable[[Judged], None],
    ) -> None:
        """Nothing is built yet.

        Args:
            rungs: read only as far as needed; reading builds.
            fp32: raced with each rung as the measure of its speed.
            bench: judges.
            stray: how far a candidate's answers are from fp32's on the calibration inputs.
            tell: called with each result as it comes.
        """
        self.judged: list[Judged] = []
        self.exhausted = False
        self._rungs, self._fp32, self._bench, self._stray, self._tell = rungs, fp32, bench, stray, tell
        self._waiting: list[list[_Raced]] = []
        """Of the rung that was built last, by speed; those of one speed by faithfulness."""
        self._least_failed: _Raced | None = None
        """The most faithful of those that did not pass."""

    def step(self) -> None:
        """Judge the next candidate, building a rung if none is waiting, or find that there is none."""
        if not self._waiting:
            rung = next(self._rungs, None)
            if rung is None:
                self.exhausted = True
                return
            self._waiting = self._race(rung)
        self._waiting = [left for left in map(self._hopeful, self._waiting) if left]
        if not self._waiting:
            return
        alike = self._waiting[0]
        raced = alike.pop(0)
        one = replace(self._bench.judge(raced.candidate, raced.latency), fp32=raced.fp32)
        self._keep(one)
        if one.passed:
            # What is more faithful and comes later is larger: it waits, should the pair fail.
            for other in [other for other in alike if other.stray >= raced.stray]:
                why = f"not judged: {one.candidate.recipe} is as fast, more faithful, and passed"
                self._keep(replace(other.out(why), spared=True))
                alike.remove(other)
        elif one.gates and (self._least_failed is None or raced.stray < self._least_failed.stray):
            self._least_failed = raced

    def _hopeful(self, alike: list[_Raced]) -> list[_Raced]:
        """Without those that need not be judged, which are kept as such."""
        failed = self._least_failed
        left = []
        for raced in alike:
            if failed is None or raced.stray < failed.stray:
                left.append(raced)
                continue
            why = f"not judged: it strays further from fp32 than {failed.candidate.recipe}, which did not pass"
            self._keep(replace(raced.out(why), spared=True))
        return left

    def until_passed(self) -> None:
        """Climb until a candidate passes alone."""
        while not self.exhausted and not self.passed:
            self.step()

    @property
    def passed(self) -> list[Judged]:
        return [one for one in self.judged if one.passed]

    @property
    def unfaithfulness(self) -> float:
        """Of the best candidate so far."""
        return min((one.fidelity.mean for one in self.passed if one.fidelity), default=1.0)

    def _race(self, rung: Sequence[Candidate]) -> list[list[_Raced]]:
        """Those that may be judged; the others are out."""
        latencies = self._bench.race({one.name: one for one in (*rung, self._fp32)})
        fp32 = latencies[self._fp32.name]
        fit = []
        for candidate in rung:
            raced = _Raced(candidate, latencies.get(candidate.name), fp32, 0.0)
            # 16-bit weights are there for their size, and as fast as fp32 give or take what a race can tell.
            for_speed = candidate.precision in ("int8", "mixed")
            if for_speed and raced.latency is not None and raced.latency.p50 > _ALIKE * fp32.p50:
                self._keep(raced.out(f"slower than fp32 ({raced.latency.p50:.1f} ms, fp32 {fp32.p50:.1f})"))
            else:
                fit.append(raced)
        # One that did not run is not asked about the calibration inputs either; judging it says why.
        asked = [replace(one, stray=self._stray(one.candidate)) if one.latency else one for one in fit]
        return [_small_first(alike) for alike in _by_speed(asked, lambda one: (one.stray, one.candidate.size))]

    def _keep(self, one: Judged) -> None:
        self.judged.append(one)
        self._tell(one)


@dataclass(frozen=True)
class _Raced:
    """A candidate that was timed and waits to be judged."""

    candidate: Candidate
    latency: Latency | None
    fp32: Latency
    stray: float
    """How far its answers are from fp32's on the calibration inputs, as a share of their spread."""

    @property
    def milliseconds(self) -> float:
        return self.latency.p50 if self.latency else float("inf")

    def out(self, why: str) -> Judged:
        """It, without having been judged."""
        return Judged(self.candidate, self.latency, (), None, self.fp32, why)


def choose_pair(
    segmenter: Climb, classifier: Climb, bench: Bench, tell: Callable[[PairJudged], None]
) -> tuple[PairJudged | None, list[PairJudged]]:
    """The fastest pair that passes every gate end to end, and all pairs that were tried.

    When no pair of what was built passes, one network climbs on: the segmenter when the last pair failed gates about
    outlines only, else the one that strays further from fp32. Of the verdicts that a pair changed, the segmenter's
    share was once the larger: where it puts a lesion's edge decides which square the classifier is shown.
    """
    tried: dict[str, PairJudged] = {}
    climbs: dict[NetworkName, Climb] = {"segmenter": segmenter, "classifier": classifier}
    while True:
        for network in climbs.values():
            network.until_passed()
            if not network.passed:
                return None, list(tried.values())
        for first, second in in_order(segmenter.passed, classifier.passed, bench.looks):
            key = f"{first.candidate.name} {second.candidate.name}"
            if key in tried:
                continue
            tried[key] = bench.judge_pair(first, second)
            tell(tried[key])
            if tried[key].passed:
                return tried[key], list(tried.values())
        if segmenter.exhausted and classifier.exhausted:
            return None, list(tried.values())
        last = next(reversed(tried.values()), None)
        outlines = last is not None and _only_outlines(last.gates)
        order = {
            name: (not one.exhausted, outlines and name == "segmenter", one.unfaithfulness)
            for name, one in climbs.items()
        }
        climbs[max(order, key=lambda name: order[name])].step()


def _only_outlines(gates: Sequence[GateResult]) -> bool:
    failed = {gate.name for gate in gates if not gate.passed}
    return bool(failed) and failed.issubset(_OUTLINES)


def in_order(
    segmenters: Sequence[Judged], classifiers: Sequence[Judged], looks: int = 1
) -> list[tuple[Judged, Judged]]:
    """Pairs of candidates that passed alone: fastest first, the most faithful of those that are as fast.

    The segmenter is asked `looks` times about each picture.
    """
    best = [[alike[0] for alike in _by_speed(side, _unfaithful)] for side in (segmenters, classifiers)]
    pairs = [(a, b) for a in best[0] for b in best[1]]
    return sorted(pairs, key=lambda both: looks * both[0].milliseconds + both[1].milliseconds)


def _unfaithful(one: Judged) -> tuple[float, int]:
    # Of one speed and one faithfulness, the smaller: fp16 before fp32.
    return round(one.fidelity.mean, 5) if one.fidelity else 1.0, one.candidate.size


def _small_first(alike: list[_Raced]) -> list[_Raced]:
    """The same order, but for those that are larger, which come last."""
    smallest = min(one.candidate.size for one in alike)
    return sorted(alike, key=lambda one: one.candidate.size > _ALIKE * smallest)


def _by_speed(timed: Sequence[Timed], order: Callable[[Timed], tuple[float, int]]) -> list[list[Timed]]:
    """Groups of like speed, the fastest first; in each of them, in `order`."""
    left = sorted(timed, key=lambda one: one.milliseconds)
    groups = []
    while left:
        alike = [one for one in left if one.milliseconds <= _ALIKE * left[0].milliseconds]
        groups.append(sorted(alike, key=order))
        left = left[len(alike) :]
    return groups
