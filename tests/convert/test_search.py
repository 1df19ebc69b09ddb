"""Which candidate is taken: decisions only, on results that are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bonedge.convert.candidates import Candidate
from bonedge.convert.gates import GateResult, Ruling
from bonedge.convert.search import Climb, Judged, choose_pair, in_order
from bonedge.convert.trial import Fidelity, Latency

pytestmark = pytest.mark.full


def gate(passed: bool, name: str = "flips") -> GateResult:
    ruling = Ruling.PASSED if passed else Ruling.FAILED
    return GateResult(name, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 600, ruling, None)


def candidate(network: Any, recipe: str) -> Candidate:
    return Candidate(network, "tflite", recipe, (recipe.ljust(20).encode(),))


def judged(network: str, recipe: str, milliseconds: float, shift: float = 0.0, passed: bool = True) -> Judged:
    latency = Latency(milliseconds, milliseconds, 12)
    return Judged(
        candidate(network, recipe), latency, (gate(passed),), Fidelity(shift, shift), fp32=Latency(30, 30, 12)
    )


class Referee:
    """Judges by a table: milliseconds, shift and ruling by recipe; pairs pass when their recipes are in `good`.

    The gates that the other pairs fail are `fails`.
    """

    looks = 1

    def __init__(
        self, table: dict[str, tuple[float, float, bool]], good: set[tuple[str, str]], fails: tuple[str, ...] = ()
    ) -> None:
        self.table, self.good, self.fails = table, good, fails
        self.pairs: list[tuple[str, str]] = []

    def race(self, candidates: dict[str, Candidate]) -> dict[str, Latency]:
        return {name: Latency(self.table[one.recipe][0], 0, 12) for name, one in candidates.items()}

    def judge(self, one: Candidate, latency: Latency | None) -> Judged:
        _, shift, passed = self.table[one.recipe]
        return Judged(one, latency, (gate(passed),), Fidelity(shift, shift))

    def judge_pair(self, first: Judged, second: Judged) -> Any:
        names = (first.candidate.recipe, second.candidate.recipe)
        self.pairs.append(names)
        passed = names in self.good
        return SimpleNamespace(passed=passed, names=names, gates=[gate(passed, one) for one in self.fails])


def climb(referee: Referee, network: str, *rungs: Sequence[str | Candidate]) -> Climb:
    def built() -> Iterator[list[Candidate]]:
        for rung in rungs:
            yield [candidate(network, one) if isinstance(one, str) else one for one in rung]

    def stray(one: Candidate) -> float:
        return referee.table[one.recipe][1]

    return Climb(built(), candidate(network, "fp32"), referee, stray, lambda one: None)  # type: ignore[arg-type]


TABLE = {
    "int8": (8.0, 0.02, True),
    "int8-mse": (8.1, 0.01, True),
    "mixed-2": (12.0, 0.005, True),
    "mixed-32": (34.0, 0.001, True),
    "fp16": (30.0, 0.0001, True),
    "fp32": (30.0, 0.0, True),
}


def test_the_more_faithful_of_two_as_fast_is_taken() -> None:
    """A tenth of a millisecond would decide over how often a verdict changes."""
    pairs = in_order(
        [judged("segmenter", "int8", 8.0, 0.02), judged("segmenter", "int8-mse", 8.2, 0.01)],
        [judged("classifier", "int8", 7.0)],
    )
    assert [one.candidate.recipe for one in pairs[0]] == ["int8-mse", "int8"]


def test_the_fastest_pair_comes_first() -> None:
    """A user would get a slower bundle than the one that was proven to be as good."""
    fast, slow = (("int8", 8.0), ("fp16", 30.0))
    pairs = in_order(
        [judged("segmenter", *one) for one in (slow, fast)], [judged("classifier", *one) for one in (slow, fast)]
    )
    sums = [a.milliseconds + b.milliseconds for a, b in pairs]
    assert sums == sorted(sums)
    assert sums[0] == 16


def test_climbing_stops_at_the_first_rung_that_is_good_end_to_end() -> None:
    """Minutes would be spent on candidates that nobody needs."""
    referee = Referee(TABLE, {("int8-mse", "int8-mse")})
    sides = [climb(referee, name, ["int8", "int8-mse"], ["mixed-2"], ["fp32"]) for name in ("segmenter", "classifier")]
    found, _ = choose_pair(sides[0], sides[1], referee, lambda one: None)  # type: ignore[arg-type]
    assert found is not None
    assert found.names == ("int8-mse", "int8-mse")  # type: ignore[attr-defined]
    assert {one.candidate.recipe for one in sides[0].judged} == {"int8", "int8-mse"}


def test_of_one_speed_only_the_more_faithful_is_judged() -> None:
    """Each judging asks the whole pipeline about every validation case: minutes for a candidate that is not taken."""
    referee = Referee(TABLE, set())
    asked = []
    judge = referee.judge
    referee.judge = lambda one, latency: asked.append(one.recipe) or judge(one, latency)  # type: ignore[method-assign,func-returns-value]
    side = climb(referee, "classifier", ["int8", "int8-mse", "mixed-2"], ["fp32"])
    side.until_passed()
    assert asked == ["int8-mse"]
    assert [(one.candidate.recipe, one.passed, one.spared) for one in side.judged] == [
        ("int8-mse", True, False),
        ("int8", False, True),
    ]
    side.step()
    assert asked == ["int8-mse", "mixed-2"], "one of another speed is still there when the first fails end to end"


def test_of_one_speed_the_larger_is_judged_last_and_still_there_when_the_pair_fails() -> None:
    """A bundle would be larger for a faithfulness that no gate asks for, or refused where a larger one would pass."""
    table = TABLE | {"mixed-ends-32": (8.0, 0.001, True)}
    large = replace(candidate("classifier", "mixed-ends-32"), files=(b"x" * 110,))
    small = [replace(candidate("classifier", name), files=(b"x" * 100,)) for name in ("int8", "int8-mse")]
    referee = Referee(table, set())
    side = climb(referee, "classifier", [large, *small])
    side.until_passed()
    assert [(one.candidate.recipe, one.spared) for one in side.judged] == [("int8-mse", False), ("int8", True)]
    side.step()
    assert [one.candidate.recipe for one in side.passed] == ["int8-mse", "mixed-ends-32"]


def test_what_strays_further_than_one_that_failed_is_not_judged() -> None:
    """A minute would be spent on each of a dozen candidates that could pass by luck only."""
    table = TABLE | {"int8-mse": (8.1, 0.01, False), "int8-equal": (7.0, 0.015, True), "mixed-2": (12.0, 0.005, True)}
    side = climb(Referee(table, set()), "classifier", ["int8", "int8-mse"], ["int8-equal"], ["mixed-2"])
    side.until_passed()
    assert [(one.candidate.recipe, one.passed, one.spared) for one in side.judged] == [
        ("int8-mse", False, False),
        ("int8", False, True),
        ("int8-equal", False, True),
        ("mixed-2", True, False),
    ]
    assert "strays further from fp32 than int8-mse" in str(side.judged[1].refusal)


def test_an_end_to_end_failure_sends_the_less_faithful_network_up() -> None:
    """Two networks that pass alone and fail together would end in a refusal, or both be slowed down."""
    referee = Referee(TABLE, {("int8", "mixed-2")})
    segmenter = climb(referee, "segmenter", ["int8"], ["fp32"])
    classifier = climb(referee, "classifier", ["int8"], ["mixed-2"], ["fp32"])
    referee.table = TABLE | {"int8": (8.0, 0.004, True)}
    found, tried = choose_pair(segmenter, classifier, referee, lambda one: None)  # type: ignore[arg-type]
    assert found is not None
    assert found.names == ("int8", "mixed-2")  # type: ignore[attr-defined]
    assert len(tried) == len(set(referee.pairs)) == len(referee.pairs)


def pairs_climbed(fails: tuple[str, ...]) -> list[tuple[str, str]]:
    """What is tried when both networks pass alone, the segmenter strays more, and every pair of int8 fails `fails`."""
    referee = Referee(
        TABLE | {"int8-tuned": (7.0, 0.005, True)}, {("int8", "fp16"), ("fp16", "int8-tuned"), ("fp16", "fp16")}, fails
    )
    segmenter = climb(referee, "segmenter", ["int8"], ["fp16"])
    classifier = climb(referee, "classifier", ["int8-tuned"], ["fp16"])
    found, _ = choose_pair(segmenter, classifier, referee, lambda one: None)  # type: ignore[arg-type]
    assert found is not None
    return referee.pairs


def test_the_segmenter_climbs_when_only_outlines_failed() -> None:
    """No classifier brings back an outline."""
    table = TABLE | {"int8": (8.0, 0.001, True), "int8-tuned": (7.0, 0.005, True)}
    referee = Referee(table, {("fp16", "int8-tuned")}, ("dice_p10",))
    segmenter = climb(referee, "segmenter", ["int8"], ["fp16"])
    classifier = climb(referee, "classifier", ["int8-tuned"], ["fp16"])
    assert choose_pair(segmenter, classifier, referee, lambda one: None)[0] is not None  # type: ignore[arg-type]
    assert referee.pairs == [("int8", "int8-tuned"), ("fp16", "int8-tuned")]


@pytest.mark.parametrize("fails", [("flips",), ("malignant_sensitivity", "flips"), ("macro_f1", "dice_median")])
def test_otherwise_the_less_faithful_network_climbs(fails: tuple[str, ...]) -> None:
    """Verdicts change by what the classifier is shown as much as by what it makes of it."""
    assert pairs_climbed(fails) == [("int8", "int8-tuned"), ("fp16", "int8-tuned")]


def test_a_network_that_has_no_rung_left_is_not_blamed_for_ever() -> None:
    """The search would end, or never end, with the other network's better candidates untried."""
    referee = Referee(TABLE, {("fp16", "int8")}, ("malignant_sensitivity",))
    segmenter = climb(referee, "segmenter", ["int8"], ["fp16"])
    classifier = climb(referee, "classifier", ["int8"])
    found, _ = choose_pair(segmenter, classifier, referee, lambda one: None)  # type: ignore[arg-type]
    assert found is not None
    assert found.names == ("fp16", "int8")  # type: ignore[attr-defined]


def test_a_segmenter_that_looks_twice_counts_twice() -> None:
    """The pair called the fastest would not be: the segmenter's time is paid for each look."""
    segmenters = [judged("segmenter", "int8", 8.0), judged("segmenter", "fp16", 12.0)]
    classifiers = [judged("classifier", "int8", 8.0), judged("classifier", "fp16", 13.0)]

    def second(looks: int) -> tuple[str, str]:
        first, other = in_order(segmenters, classifiers, looks)[1]
        return first.candidate.recipe, other.candidate.recipe

    assert second(1) == ("fp16", "int8")
    assert second(2) == ("int8", "fp16")


def test_a_candidate_slower_than_fp32_is_out() -> None:
    """Mixed precision would be shipped although plain fp32 is faster and exact."""
    referee = Referee(TABLE, set())
    side = climb(referee, "classifier", ["mixed-32"], ["fp32"])
    side.until_passed()
    assert [(one.candidate.recipe, one.passed) for one in side.judged] == [("mixed-32", False), ("fp32", True)]
    assert "slower than fp32" in str(side.judged[0].refusal)


def test_half_the_size_need_not_be_faster() -> None:
    """A user who asked for 16-bit weights would be refused for a tenth of a millisecond of noise."""
    referee = Referee(TABLE | {"fp16": (33.0, 0.0001, True)}, set())
    side = climb(referee, "classifier", ["fp16"])
    side.until_passed()
    assert [(one.candidate.recipe, one.passed) for one in side.judged] == [("fp16", True)]


def test_a_network_without_hope_ends_the_search() -> None:
    """If it failed, the other network would climb to its last rung for a bundle that cannot be."""
    referee = Referee(TABLE | {"int8-bad": (8.0, 0.5, False)}, set())
    sides = [climb(referee, "segmenter", ["int8-bad"]), climb(referee, "classifier", ["int8"], ["fp16"], ["fp32"])]
    assert choose_pair(sides[0], sides[1], referee, lambda one: None) == (None, [])  # type: ignore[arg-type]
    assert not sides[1].judged


def test_nothing_good_ends() -> None:
    """A conversion that cannot succeed would never end."""
    referee = Referee(TABLE, set())
    sides = [climb(referee, name, ["int8"], ["fp16"], ["fp32"]) for name in ("segmenter", "classifier")]
    found, tried = choose_pair(sides[0], sides[1], referee, lambda one: None)  # type: ignore[arg-type]
    assert found is None
    assert ("fp16", "int8") in referee.pairs or ("int8", "fp16") in referee.pairs
    assert len(tried) == len(referee.pairs)
