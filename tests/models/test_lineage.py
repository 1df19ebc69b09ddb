"""What a network learned from, kept beside it; nothing is trained here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.datasets import REAL, TRAINING_PICTURES, training_pictures
from bonedge.models.lineage import Lineage, lineage_of_weights, read_lineage, together
from bonedge.models.train import _beginning

NAMES = [f"{place:064x}"[::-1] for place in range(6)]
SHORT = [name[:32] for name in NAMES]
LINEAGES = st.builds(
    Lineage,
    phantom_seeds=st.frozensets(st.integers(0, 9)),
    learned=st.frozensets(st.sampled_from(SHORT)),
    seen=st.frozensets(st.sampled_from(SHORT)),
    real=st.booleans(),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """If it failed, a network would forget its pictures with the process that trained it."""
    lineage = Lineage(phantom_seeds={7, 3}, learned={SHORT[0]}, seen={SHORT[1]}, real=True)
    lineage.save(tmp_path, "segmenter")
    assert read_lineage(tmp_path, "segmenter") == lineage
    assert lineage_of_weights(tmp_path / "segmenter.keras") == lineage
    first = (tmp_path / "segmenter.lineage.json").read_bytes()
    lineage.save(tmp_path, "segmenter")
    assert (tmp_path / "segmenter.lineage.json").read_bytes() == first


@pytest.mark.parametrize(("data", "real"), [("phantoms", False), ("40 real radiographs (COCO)", True)])
def test_a_pair_that_says_less_is_believed(tmp_path: Path, data: str, real: bool) -> None:
    """If it failed, who trains on from the released pair would lose what that was trained on."""
    (tmp_path / TRAINING_PICTURES).write_bytes(training_pictures(NAMES[:3]))
    training = {"data": data, "phantom_seeds": [4, 5]}
    (tmp_path / "operation.json").write_text(json.dumps({"decision": {}, "training": training}))
    lineage = lineage_of_weights(tmp_path / "classifier.keras")
    assert lineage == Lineage(phantom_seeds={4, 5}, seen=SHORT[:3], real=real)
    lineage.check_unknown(NAMES)  # some of those were only held out, and may be again


@pytest.mark.parametrize("operation", [None, "", "{}", '{"training": {"phantom_seeds": "all"}}'])
def test_of_weights_from_elsewhere_nothing_is_known(tmp_path: Path, operation: str | None) -> None:
    """If it failed, nobody could begin from weights that another tool made."""
    if operation is not None:
        (tmp_path / "operation.json").write_text(operation)
    assert lineage_of_weights(tmp_path / "imagenet.weights.h5") == lineage_of_weights(None) == Lineage()


@pytest.mark.parametrize("content", ["", "{", '{"learned": 3}', '{"phantom_seed": [3]}'])
def test_a_damaged_one_is_refused(tmp_path: Path, content: str) -> None:
    """If it failed, a network would be proved on pictures that nobody remembers."""
    (tmp_path / "segmenter.lineage.json").write_text(content)
    with pytest.raises(InvalidConfiguration, match=r"segmenter\.lineage\.json: cannot be read"):
        read_lineage(tmp_path, "segmenter")


def test_pictures_known_by_heart_are_refused() -> None:
    """If it failed, thresholds would be fitted to what the network knows by heart."""
    lineage = Lineage(learned=SHORT[:2], seen=SHORT[2:])
    lineage.check_unknown(NAMES[2:])
    with pytest.raises(InvalidConfiguration, match="on 1 of the 3 pictures"):
        lineage.check_unknown(NAMES[1:4])


def test_real_radiographs_are_not_forgotten() -> None:
    """If it failed, the card of a pair that began with patients' radiographs would say that there are none in it."""
    assert REAL in _beginning(3, (), real=True)
    assert REAL not in _beginning(3, (5, 2), real=False)
    assert _beginning(0, (), real=False) == ""


@given(st.lists(LINEAGES, max_size=4))
def test_together_nothing_is_lost_and_nothing_is_twice(lineages: list[Lineage]) -> None:
    """If it failed, the mean of two networks would know less than they do."""
    whole = together(lineages)
    for one in lineages:
        assert one.pictures <= whole.pictures
        assert one.learned <= whole.learned
        assert one.phantom_seeds <= whole.phantom_seeds
        assert whole.real or not one.real
    assert not whole.learned & whole.seen
    assert whole.pictures <= frozenset(SHORT)
    assert together([whole]) == whole
