"""Fit each classical system, once per seed, on the pictures that the networks were trained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as remembered
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from .classical.features import Features
from .classical.systems import SYSTEMS, Recipe
from .cost import Cost
from .examples import Examples
from .protocol import Protocol
from .results import Result, Wanted, plan

_TIMED = 20
"""Pictures for the latency."""


def classical_tasks(
    protocol: Protocol,
    training: Examples,
    chosen: NDArray[np.int64],
    test: Examples,
    data: str,
    on_begin: Callable[[str], None],
    processes: int,
) -> list[Wanted]:
    """Every system with every seed.

    Args:
        protocol: its seeds.
        training: the set that is learned from.
        chosen: which pictures of it.
        test: the set that is asked about.
        data: identifies all of these.
        on_begin: told the title of each system that is fitted.
        processes: how many measure pictures at once.
    """

    def of(recipe: Recipe) -> list[Wanted]:
        @remembered
        def measured() -> tuple[Features, Features, float]:
            """Of both sets, and the seconds that the first took. Features do not depend on the seed."""
            begun = perf_counter()
            learned = recipe.system(processes).measure(training.cache.picture[chosen])
            seconds = perf_counter() - begun
            return learned, recipe.system(processes).measure(test.cache.picture[test.limbs]), seconds

        def task(seed: int) -> Wanted:
            def fit() -> Result:
                on_begin(f"{recipe.name}, seed {seed}")
                learned, asked, seconds = measured()
                begun = perf_counter()
                system = recipe.system(processes)
                system.learn(learned, training.truths(chosen), seed)
                return Result(
                    plan=wanted,
                    group="classical",
                    system=recipe.name,
                    shown="",
                    start="",
                    augmented=True,
                    seed=seed,
                    probabilities=system.judge(asked).round(6).tolist(),
                    seconds=round(seconds + perf_counter() - begun, 1),
                    pictures_per_second=None,
                )

            wanted = plan("classical", data, protocol.training, recipe, seed)
            # One process takes all seeds, so that features are measured once.
            return Wanted(f"{_name(recipe)}-{seed}", wanted, fit, claim=_name(recipe))

        return [task(seed) for seed in protocol.seeds]

    return [task for recipe in SYSTEMS for task in of(recipe)]


def classical_costs(test: Examples) -> dict[str, Cost]:
    """Of each system: outlining and measuring one picture, which is nearly all that a verdict takes; one process."""
    pictures = test.cache.picture[test.limbs[:_TIMED]]
    return {recipe.name: Cost(None, None, _milliseconds(recipe, pictures)) for recipe in SYSTEMS}


def _name(recipe: Recipe) -> str:
    return f"classical-{recipe.segmentation}{'-selected' if recipe.selected else ''}".lower().replace(" ", "-")


def _milliseconds(recipe: Recipe, pictures: NDArray[np.uint8]) -> float:
    begun = perf_counter()
    recipe.system().measure(pictures)
    return 1000 * (perf_counter() - begun) / len(pictures)
