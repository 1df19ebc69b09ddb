"""Which features a classifier does best with, by a genetic algorithm: DEAP breeds, cross-validation judges."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from deap import algorithms, base, tools
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedKFold, cross_val_score

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Mask


@dataclass(frozen=True)
class Breeding:
    """How long and how wildly."""

    population: int = 20
    generations: int = 15
    crossover: float = 0.7
    """Probability that two parents mix their features."""
    mutation: float = 0.4
    """Probability that a child is changed at all."""
    flips: float = 2.0
    """How many of its features are then turned on or off, on average."""
    contestants: int = 3
    """Of a tournament whose winner becomes a parent."""
    folds: int = 3
    price: float = 0.02
    """What keeping all features costs, of the area under the ROC curve; keeping half of them costs half."""


def select(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    classifier: Callable[[], ClassifierMixin],
    seed: int,
    breeding: Breeding = Breeding(),
) -> Mask:
    """The subset of features with which `classifier` did best.

    Siedlecki and Sklansky, A note on genetic algorithms for large-scale feature selection, Pattern Recognition Letters
    10:335, 1989. Fitness: mean area under the ROC curve over stratified folds, less the price of the features.

    Args:
        features: float64 "n features".
        labels: int64 "n", 0 or 1.
        classifier: makes an unfitted one; it must have `decision_function` or `predict_proba`.
        seed: of the folds and of everything that is bred.
        breeding: how.

    Returns:
        bool "features", at least one of them True.

    Raises:
        InvalidConfiguration: fewer pictures of a class than folds.
    """
    rarest = min(int((labels == label).sum()) for label in (0, 1))
    if rarest < breeding.folds:
        raise InvalidConfiguration(
            f"features are selected on {breeding.folds} folds, but there are only {rarest} pictures of one class; "
            "give more pictures"
        )
    folds = StratifiedKFold(breeding.folds, shuffle=True, random_state=seed)
    known: dict[tuple[bool, ...], float] = {}

    def fitness(subset: list[bool]) -> tuple[float]:
        key = tuple(subset)
        if key not in known:
            chosen = features[:, np.flatnonzero(key)]
            area = cross_val_score(classifier(), chosen, labels, cv=folds, scoring="roc_auc").mean() if any(key) else 0
            known[key] = float(area) - breeding.price * sum(key) / len(key)
        return (known[key],)

    _breed(features.shape[1], fitness, seed, breeding)
    # Of equals the smaller, then the first bred.
    return np.array(max(known, key=lambda key: (known[key], -sum(key))), np.bool_)


class _Fitness(base.Fitness):  # type: ignore[misc]  # DEAP ships no types
    weights = (1.0,)


class _Subset(list[bool]):
    """An individual, as DEAP wants it."""

    def __init__(self, kept: list[bool]) -> None:
        super().__init__(kept)
        self.fitness = _Fitness()


def _breed(count: int, fitness: Callable[[list[bool]], tuple[float]], seed: int, breeding: Breeding) -> None:
    toolbox = base.Toolbox()
    toolbox.register("evaluate", fitness)
    toolbox.register("mate", tools.cxUniform, indpb=0.5)
    toolbox.register("mutate", tools.mutFlipBit, indpb=min(1.0, breeding.flips / count))
    toolbox.register("select", tools.selTournament, tournsize=breeding.contestants)
    rng = np.random.default_rng(seed)
    # All features first, so that selection never does worse in cross-validation than doing without it.
    population = [_Subset([True] * count)]
    for share in rng.uniform(0.2, 0.8, breeding.population - 1):
        population.append(_Subset([bool(kept) for kept in rng.random(count) < share]))
    # DEAP draws from Python's own generator, which is everybody's.
    state = random.getstate()
    random.seed(seed)
    try:
        algorithms.eaSimple(
            population, toolbox, breeding.crossover, breeding.mutation, breeding.generations, verbose=False
        )
    finally:
        random.setstate(state)
