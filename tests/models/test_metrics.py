"""The figures, against small sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bonedge.models.metrics import (
    NOTHING,
    binary,
    binary_f1,
    confusion,
    dice,
    macro_f1,
    segmentation,
    three_class,
    wilson,
)

NORMAL, BENIGN, MALIGNANT, ABSTAIN = range(4)


def counts(*pairs: tuple[int, int]) -> np.ndarray:
    truths, verdicts = zip(*pairs, strict=True)
    return confusion(np.array(truths), np.array(verdicts))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_counts_truth_by_verdict() -> None:
    """Misses and false alarms would change places."""
    table = counts((NORMAL, BENIGN), (MALIGNANT, ABSTAIN), (MALIGNANT, ABSTAIN))
    assert table.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]]


def test_binary_by_hand() -> None:
    """The headline figures would be wrong."""
    # Normals: 3 right, 1 alarm. Tumours: 4 found (one as the wrong kind), 1 missed.
    table = counts(
        *[(NORMAL, NORMAL)] * 3,
        (NORMAL, MALIGNANT),
        *[(BENIGN, BENIGN)] * 2,
        (BENIGN, MALIGNANT),
        (MALIGNANT, MALIGNANT),
        (MALIGNANT, NORMAL),
    )
    figures = {name: estimate.value for name, estimate in binary(table, rng()).items()}
    assert figures == {
        "accuracy": pytest.approx(7 / 9),
        "precision": pytest.approx(4 / 5),
        "recall": pytest.approx(4 / 5),
        "f1": pytest.approx(4 / 5),
    }


def test_an_abstained_tumour_is_missed_and_an_abstained_normal_is_wrong() -> None:
    """A model could improve its figures by saying nothing about what is hard."""
    figures = binary(counts((NORMAL, ABSTAIN), (NORMAL, NORMAL), (BENIGN, ABSTAIN), (MALIGNANT, MALIGNANT)), rng())
    assert figures["accuracy"].value == 0.5
    assert figures["recall"].value == 0.5
    assert figures["precision"].value == 1.0
    assert three_class(counts((MALIGNANT, ABSTAIN)), rng())["malignant_sensitivity"].value == 0.0


def test_macro_f1_by_hand() -> None:
    """A class that is never called right would not weigh as much as the others."""
    table = counts((NORMAL, NORMAL), (NORMAL, NORMAL), (BENIGN, BENIGN), (BENIGN, NORMAL), (MALIGNANT, BENIGN))
    assert float(macro_f1(table)) == pytest.approx((4 / 5 + 2 / 4 + 0) / 3)


def test_malignant_called_benign_is_not_sensitive() -> None:
    """A malignant tumour taken for a benign one would count as recognised."""
    figure = three_class(counts((MALIGNANT, BENIGN), (MALIGNANT, MALIGNANT)), rng())["malignant_sensitivity"]
    assert figure.value == 0.5


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_newcombe(successes: int, trials: int, low: float, high: float) -> None:
    """Every interval in the report would be off."""
    interval = wilson(successes, trials)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_bootstrap_of_a_proportion_agrees_with_wilson() -> None:
    """The intervals of F1, macro-F1 and Dice would be too narrow or too wide."""
    table = np.zeros((3, 4), np.int64)
    table[BENIGN] = [40, 160, 0, 0]
    interval = binary(table, rng())["f1"]
    recall = wilson(160, 200)
    assert recall.low is not None
    assert recall.high is not None
    # With no false alarm, F1 = 2 r / (1 + r), which is monotonic in the recall r.
    assert interval.low == pytest.approx(2 * recall.low / (1 + recall.low), abs=0.015)
    assert interval.high == pytest.approx(2 * recall.high / (1 + recall.high), abs=0.015)


def test_resampling_is_vectorised_like_the_single_case() -> None:
    """The interval would be of another figure than the value."""
    table = counts((NORMAL, NORMAL), (BENIGN, MALIGNANT), (MALIGNANT, ABSTAIN))
    stacked = np.stack([table, table])
    assert binary_f1(stacked).tolist() == [float(binary_f1(table))] * 2
    assert macro_f1(stacked).tolist() == [float(macro_f1(table))] * 2


def test_is_repeatable() -> None:
    """Two reports on one run would differ."""
    dices = np.linspace(0, 1, 30)
    assert segmentation(dices, rng()) == segmentation(dices, rng())


def test_dice_by_hand() -> None:
    """Overlap would be measured wrong, or fail on an empty mask."""
    left, right, none = (np.array([values], np.bool_) for values in ([1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]))
    assert dice(left, right) == 0.5
    assert dice(left, left) == 1.0
    assert dice(none, right) == 0.0
    assert dice(none, none) == 1.0


def test_segmentation_by_hand() -> None:
    """The median would hide, or be, the tail."""
    figures = segmentation(np.linspace(0, 1, 101), rng())
    assert figures["dice_median"].value == pytest.approx(0.5)
    assert figures["dice_p10"].value == pytest.approx(0.1)
    for figure in figures.values():
        assert figure.low is not None
        assert figure.value is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high


def test_nothing_to_measure_is_said_so() -> None:
    """A regime without pictures would show up as zero, or end the report with an error."""
    assert wilson(0, 0) == NOTHING
    assert segmentation(np.array([]), rng())["dice_p10"] == NOTHING
    assert binary(np.zeros((3, 4), np.int64), rng())["f1"] == NOTHING
