"""What the source paper's table says against itself."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bonedge.models.study.paper import TABLE, Row, contradictions


def test_the_paper_contradicts_itself_where_it_does() -> None:
    """If it failed, the study would accuse a true row, or print an impossible one without a word."""
    found = {row.network: contradictions(row) for row in TABLE}
    assert {network: len(texts) for network, texts in found.items()} == {
        "EfficientNetB0": 0,
        "ResNet-50": 1,
        "VGG16": 1,
        "10-layer CNN": 2,
    }
    assert "an F1 of 85.9, not 83.6" in found["ResNet-50"][0]
    assert "the accuracy is at least 86" in found["VGG16"][0]
    assert "not 75.31" in found["10-layer CNN"][1]


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_figures_of_one_set_of_pictures_never_contradict(found: int, missed: int, alarms: int, quiet: int) -> None:
    """If it failed, a table of plain counts could be called impossible."""
    assume(found > 0)
    total = found + missed + alarms + quiet
    precision, recall = found / (found + alarms), found / (found + missed)
    f1 = 2 * found / (2 * found + missed + alarms)
    row = Row("any", 100 * (found + quiet) / total, 100 * precision, 100 * recall, 100 * f1)
    assert contradictions(row) == []


@pytest.mark.parametrize("accuracy", [60.0, 69.0])
def test_too_low_an_accuracy_is_said(accuracy: float) -> None:
    """If it failed, an accuracy that no share of tumours explains would pass."""
    assert contradictions(Row("any", accuracy, 90, 90, 90))
