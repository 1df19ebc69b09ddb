"""The classical systems as the study uses them: fit, predict, segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.metrics import dice
from bonedge.models.study.classical.features import FEATURES
from bonedge.models.study.classical.segmentations import SEGMENTATIONS
from bonedge.models.study.classical.systems import SYSTEMS, ClassicalSystem, Recipe
from bonedge.models.study.figures import verdicts

pytestmark = pytest.mark.full
LEARNT, ASKED = 36, 24
GREYS = (None, 0.75, 0.95)
"""Of the lesion: normal has none, benign a faint one, malignant a bright one."""


def painted(paint: Callable[..., Any], count: int, first: int) -> tuple[Any, Any]:
    labels = np.arange(count) % 3
    pictures = [paint(first + index, lesion=GREYS[label], side=64, radius=6)[0] for index, label in enumerate(labels)]
    return np.stack(pictures), labels


@pytest.fixture(scope="module")
def learnt(paint: Callable[..., Any]) -> tuple[Any, Any]:
    return painted(paint, LEARNT, 1000)


@pytest.fixture(scope="module")
def asked(paint: Callable[..., Any]) -> tuple[Any, Any]:
    return painted(paint, ASKED, 2000)


@pytest.fixture(scope="module")
def fitted(learnt: tuple[Any, Any]) -> ClassicalSystem:
    system = ClassicalSystem("k-means")
    system.fit(*learnt, seed=1)
    return system


@pytest.mark.parametrize("recipe", SYSTEMS, ids=lambda recipe: recipe.segmentation)
def test_each_system_learns_what_is_plain_to_see(recipe: Recipe, learnt: Any, asked: Any) -> None:
    """The networks would be compared with something that is broken."""
    system = recipe.system()
    system.fit(*learnt, seed=1)
    pictures, truths = asked
    probabilities = system.predict(pictures)
    assert probabilities.shape == (ASKED, 3)
    assert probabilities.dtype == np.float64
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(ASKED))
    found = verdicts(probabilities)
    # Chance is a third, and five ninths for tumour or not.
    assert np.mean(found == truths) >= 0.85
    assert np.mean((found > 0) == (truths > 0)) >= 0.9


def test_labels_that_say_nothing_teach_nothing(learnt: Any, asked: Any) -> None:
    """A system that looks good without having learnt would have seen the answers."""
    system = ClassicalSystem("k-means")
    pictures, labels = learnt
    system.fit(pictures, np.random.default_rng(0).permutation(labels), seed=1)
    assert np.mean(verdicts(system.predict(asked[0])) == asked[1]) < 0.7


def test_bytes_and_floats_are_the_same_pictures(fitted: ClassicalSystem, asked: Any) -> None:
    """Pictures from the cache, 0..255, would be all white."""
    small = np.rint(255 * asked[0][:6]).astype(np.uint8)
    from_floats = fitted.predict(small.astype(np.float32) / np.float32(255))
    assert np.array_equal(fitted.predict(small), from_floats)
    assert np.array_equal(fitted.segment(small[1]), fitted.segment(small[1].astype(np.float32) / np.float32(255)))


def test_the_same_seed_makes_the_same_system(learnt: Any, asked: Any) -> None:
    """The study's table could not be made again."""
    answers = []
    for _ in range(2):
        system = ClassicalSystem("wavelet k-means", selected=True)
        system.fit(*learnt, seed=3)
        answers.append((system.kept, system.predict(asked[0])))
        np.random.seed(7)  # noqa: NPY002  what a library might draw from unasked
    assert answers[0][0] == answers[1][0]
    assert np.array_equal(answers[0][1], answers[1][1])


def test_selection_drops_features_and_names_those_it_keeps(fitted: ClassicalSystem, learnt: Any) -> None:
    """The report would say that features were selected when none was."""
    system = ClassicalSystem("k-means", selected=True)
    system.fit(*learnt, seed=1)
    assert 0 < len(system.kept) < len(FEATURES)
    assert set(system.kept) < set(FEATURES)
    assert fitted.kept == FEATURES


def test_processes_measure_what_one_process_measures(learnt: Any) -> None:
    """Figures would depend on the machine, or features would belong to other pictures."""
    # So many that it is worth starting two.
    pictures = np.concatenate([learnt[0] * np.float32(strength) for strength in (1, 0.9, 0.8, 0.7)])
    assert np.array_equal(
        ClassicalSystem("k-means", processes=2).measure(pictures), ClassicalSystem("k-means").measure(pictures)
    )


def test_what_was_measured_once_serves_two_systems(fitted: ClassicalSystem, learnt: Any, asked: Any) -> None:
    """Measuring once for several systems would give other figures than measuring for each."""
    system = ClassicalSystem("k-means")
    system.learn(system.measure(learnt[0]), learnt[1], seed=1)
    assert np.array_equal(system.judge(system.measure(asked[0])), fitted.predict(asked[0]))


def test_the_lesion_that_is_judged_is_the_one_that_is_shown(fitted: ClassicalSystem, paint: Callable[..., Any]) -> None:
    """The study's Dice would be of another segmentation than its verdicts."""
    picture, truth = paint(1)
    assert np.array_equal(fitted.segment(picture), SEGMENTATIONS["k-means"](picture))
    assert dice(fitted.segment(picture), truth) > 0.85


def test_predictions_do_not_depend_on_the_company(fitted: ClassicalSystem, asked: Any) -> None:
    """Pictures would be judged by their neighbours in the test set."""
    together = fitted.predict(asked[0][:20])
    assert np.allclose(fitted.predict(asked[0][7:9]), together[7:9], atol=1e-12)
    assert fitted.predict(asked[0][:0]).shape == (0, 3)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_class_is_named(missing: int, learnt: Any) -> None:
    """The error would come from the depths of scikit-learn, after minutes of measuring."""
    pictures, labels = learnt
    kept = labels != missing
    name = ("normal", "benign", "malignant")[missing]
    with pytest.raises(InvalidConfiguration, match=f"no pictures of class '{name}'; .* at least 5 of each"):
        ClassicalSystem("k-means").fit(pictures[kept], labels[kept], seed=0)


def test_too_few_of_a_class_are_counted(learnt: Any) -> None:
    """Folds without a class would give probabilities that mean nothing."""
    pictures, labels = learnt
    chosen = np.flatnonzero((labels != 1) | (np.arange(LEARNT) < 2))
    with pytest.raises(InvalidConfiguration, match="1 picture of class 'benign'"):
        ClassicalSystem("k-means").fit(pictures[chosen], labels[chosen], seed=0)


def test_wrong_labels_and_shapes_are_refused(learnt: Any) -> None:
    """Pictures to abstain on (3) would be learnt as a tumour, or labels would slip by one picture."""
    pictures, labels = learnt
    system = ClassicalSystem("k-means")
    with pytest.raises(InvalidConfiguration, match="0 normal, 1 benign or 2 malignant, not 3"):
        system.fit(pictures, np.where(labels == 2, 3, labels), seed=0)
    with pytest.raises(InvalidConfiguration, match=r"36 pictures, but labels of shape \(35,\)"):
        system.fit(pictures, labels[1:], seed=0)
    with pytest.raises(InvalidConfiguration, match="2 axes instead of 3"):
        system.measure(pictures[0])


def test_an_unknown_segmentation_is_refused_with_the_known_ones() -> None:
    """A typing error in a plan would surface after the networks were trained."""
    with pytest.raises(InvalidConfiguration, match="'watershed'; choose from k-means, Sobel"):
        ClassicalSystem("watershed")


def test_before_fitting_there_is_no_verdict(learnt: Any) -> None:
    """Figures of an untrained system would end in the table."""
    with pytest.raises(NotFittedError, match="call fit first"):
        ClassicalSystem("k-means").predict(learnt[0][:1])


def test_verdicts_are_taken_in_two_steps() -> None:
    """A tumour that the tree is in doubt about would be called normal."""
    probabilities = np.array([[0.4, 0.31, 0.29], [0.45, 0.2, 0.35], [0.51, 0.0, 0.49], [0.6, 0.3, 0.1]])
    assert verdicts(probabilities).tolist() == [1, 2, 0, 0]


def test_the_table_names_each_system_once() -> None:
    """Two rows of the report could not be told apart, or one of the segmentations would be missing."""
    assert len({recipe.name for recipe in SYSTEMS}) == len(SYSTEMS)
    assert {recipe.segmentation for recipe in SYSTEMS} == set(SEGMENTATIONS)
    assert any(recipe.selected for recipe in SYSTEMS)


@given(
    seed=st.integers(0, 2**16), kind=st.sampled_from(["noise", "black", "white", "two greys"]), side=st.integers(1, 40)
)
@settings(deadline=None, max_examples=25)
def test_any_picture_gets_probabilities(fitted: ClassicalSystem, seed: int, kind: str, side: int) -> None:
    """One odd picture would end the whole study."""
    rng = np.random.default_rng(seed)
    picture = {
        "noise": rng.random((1, side, side)),
        "black": np.zeros((1, side, side)),
        "white": np.ones((1, side, side)),
        "two greys": rng.choice([0.2, 0.7], (1, side, side)),
    }[kind].astype(np.float32)
    probabilities = fitted.predict(picture)
    assert np.isfinite(probabilities).all()
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1)
