"""What a set must be for a verdict on it to prove anything."""

from __future__ import annotations

import numpy as np
import pytest

from bonedge.convert.cases import CaseSet
from bonedge.convert.gates import Outcome
from bonedge.convert.refusal import check_telling
from bonedge.edge.errors import GateFailed
from bonedge.edge.records import CLASSES, Label

pytestmark = pytest.mark.full

NOTHING = CaseSet("ours", (), ())
"""Only named in what is said."""


def answers(silent: int, of: int, verdict: Label | None = None, dice: float = 0.8) -> list[Outcome]:
    """The first `silent` abstain; the others say `verdict`, or the truth."""
    found = []
    for index in range(of):
        truth = CLASSES[index % 3]
        said = Label.ABSTAIN if index < silent else verdict or truth
        lesion = None if truth is CLASSES[0] else dice
        found.append(Outcome(truth, said, np.full(3, 1 / 3, np.float32), lesion))
    return found


def test_silence_proves_nothing() -> None:
    """If it failed, any classifier whatever would pass on pictures that the runtime gives no verdict on."""
    assert check_telling(NOTHING, answers(60, 300)) == []
    with pytest.raises(GateFailed, match=r"abstains on 61 of 300 .*--validation"):
        check_telling(NOTHING, answers(61, 300))


def test_what_knows_nothing_is_said_to() -> None:
    """If it failed, a pair whose labels were named in the wrong order would be proved to have lost nothing."""
    (warning,) = check_telling(NOTHING, answers(0, 300, verdict=CLASSES[1]))
    assert "macro-F1 is 0.17" in warning
    assert "order of the classifier's labels" in warning
    (warning,) = check_telling(NOTHING, answers(0, 300, dice=0.0))
    assert "median Dice is 0.00" in warning
