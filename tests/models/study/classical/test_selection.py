"""Genetic selection, on features of which it is known which ones matter."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.study.classical.selection import Breeding, select

pytestmark = pytest.mark.full
INFORMATIVE = 4
QUICK = Breeding(population=6, generations=2)


def examples(seed: int, count: int = 120, noise: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """The first four features differ between the labels by one standard deviation, the others are noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.normal(size=(count, INFORMATIVE + noise))
    features[:, :INFORMATIVE] += labels[:, None]
    return features, labels.astype(np.int64)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_matters_is_kept_and_noise_is_not(seed: int) -> None:
    """Selection would be a lottery."""
    kept = select(*examples(seed), GaussianNB, seed)
    assert kept.dtype == np.bool_
    assert kept[:INFORMATIVE].sum() >= INFORMATIVE - 1
    assert kept[:INFORMATIVE].mean() >= kept[INFORMATIVE:].mean() + 0.4


def test_breeding_improves_on_the_first_generation() -> None:
    """The algorithm would be random search, whatever it is called."""
    features, labels = examples(3, noise=40)
    noise = [
        int(select(features, labels, GaussianNB, 5, Breeding(generations=generations))[INFORMATIVE:].sum())
        for generations in (0, 20)
    ]
    assert noise[1] < noise[0]


def test_the_same_seed_selects_the_same() -> None:
    """The study's table could not be made again."""
    features, labels = examples(1)
    first = select(features, labels, GaussianNB, 7, QUICK)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002  what a library might draw from unasked
    assert np.array_equal(select(features, labels, GaussianNB, 7, QUICK), first)
    others = [select(features, labels, GaussianNB, seed, QUICK) for seed in range(8, 12)]
    assert not all(np.array_equal(other, first) for other in others)


def test_everybodys_random_numbers_go_on_as_if_nothing_had_been() -> None:
    """What else draws from Python's generator would repeat itself after each selection."""
    random.seed(5)
    expected = random.random()
    random.seed(5)
    select(*examples(0, count=40, noise=2), GaussianNB, 0, QUICK)
    assert random.random() == expected


def test_one_feature_alone_is_kept() -> None:
    """A subset of nothing would reach the classifier."""
    features, labels = examples(0, count=40, noise=0)
    assert select(features[:, :1], labels, GaussianNB, 0, QUICK).tolist() == [True]


def test_constant_features_do_no_harm() -> None:
    """Features that a segmentation never fills would end the selection."""
    features, labels = examples(0, count=60, noise=2)
    features[:, -2:] = 0.0
    kept = select(features, labels, lambda: make_pipeline(StandardScaler(), SVC()), 0, QUICK)
    assert kept[:INFORMATIVE].any()


def test_a_class_with_too_few_pictures_is_refused() -> None:
    """A fold without one of the classes would be judged by nothing."""
    features, labels = examples(0, count=20, noise=0)
    labels[:] = 0
    labels[:2] = 1
    with pytest.raises(InvalidConfiguration, match="3 folds, but there are only 2 pictures of one class"):
        select(features, labels, GaussianNB, 0)
