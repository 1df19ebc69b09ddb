"""Fit each classical system, once per seed, on the pictures that the networks were trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from .classical.features import Features
from .classical.systems import SYSTEMS, Recipe
from .examples import Examples
from .protocol import Protocol
from .results import Result, Store, plan

_TIMED = 20
"""Pictures for the latency."""


def classical_results(
    protocol: Protocol,
    training: Examples,
    chosen: NDArray[np.int64],
    test: Examples,
    store: Store,
    data: str,
    on_begin: Callable[[str], None],
    processes: int,
) -> Iterator[Result]:
    """Every system with every seed: taken up when it is finished, fitted when it is not.

    Args:
        protocol: its seeds.
        training: the set that is learned from.
        chosen: which pictures of it.
        test: the set that is asked about.
        store: of finished results.
        data: identifies all of these.
        on_begin: told the title of each system that is fitted.
        processes: how many measure pictures at once.
    """
    for recipe in SYSTEMS:
        wanted = {seed: plan("classical", data, protocol.text, recipe, seed) for seed in protocol.seeds}
        kept = {seed: store.get(_name(recipe, seed), wanted[seed]) for seed in protocol.seeds}
        measured: tuple[Features, Features] | None = None
        seconds = latency = 0.0
        for seed, result in kept.items():
            if result is None:
                on_begin(f"{recipe.name}, seed {seed}")
                if measured is None:
                    # Features do not depend on the seed: measured once for all of them, and counted for each.
                    begun = perf_counter()
                    learned, asked = training.cache.picture[chosen], test.cache.picture[test.limbs]
                    features = recipe.system(processes).measure(learned)
                    seconds = perf_counter() - begun
                    measured = features, recipe.system(processes).measure(asked)
                    latency = _milliseconds(recipe, asked[:_TIMED])
                begun = perf_counter()
                system = recipe.system(processes)
                system.learn(measured[0], training.truths(chosen), seed)
                result = Result(
                    plan=wanted[seed],
                    group="classical",
                    system=recipe.name,
                    shown="",
                    start="",
                    augmented=True,
                    seed=seed,
                    probabilities=system.judge(measured[1]).round(6).tolist(),
                    seconds=round(seconds + perf_counter() - begun, 1),
                    pictures_per_second=None,
                    parameters=None,
                    operations=None,
                    latency_ms=round(latency, 2),
                )
                store.put(_name(recipe, seed), result)
            yield result


def _name(recipe: Recipe, seed: int) -> str:
    return f"classical-{recipe.segmentation}{'-selected' if recipe.selected else ''}-{seed}".lower().replace(" ", "-")


def _milliseconds(recipe: Recipe, pictures: NDArray[np.uint8]) -> float:
    """Of outlining and measuring one picture, which is nearly all that a verdict takes; mean, one process."""
    begun = perf_counter()
    recipe.system().measure(pictures)
    return 1000 * (perf_counter() - begun) / len(pictures)
