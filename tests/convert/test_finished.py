"""An interrupted conversion goes on; a damaged leftover is not trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonedge.convert.cases import Case, CaseSet
from bonedge.convert.conversion import decisive
from bonedge.convert.evidence import Request
from bonedge.convert.finished import Finished
from bonedge.convert.trained import Operation, TrainedPair
from bonedge.edge.records import Label, Source


def test_a_finished_candidate_is_not_made_again(tmp_path: Path) -> None:
    """After an interruption everything would be quantized once more."""
    finished = Finished.under(tmp_path, {"models": "a"})
    assert finished.get("classifier.openvino.int8", lambda: (b"xml", b"bin")) == (b"xml", b"bin")
    again = Finished.under(tmp_path, {"models": "a"})
    assert again.get("classifier.openvino.int8", pytest.fail) == (b"xml", b"bin")


def test_another_model_set_or_seed_is_another_folder(tmp_path: Path) -> None:
    """A candidate of other weights or other calibration pictures would be shipped."""
    Finished.under(tmp_path, {"models": "a", "seed": 1}).get("x", lambda: (b"old",))
    for identity in ({"models": "b", "seed": 1}, {"models": "a", "seed": 2}):
        assert Finished.under(tmp_path, identity).get("x", lambda: (b"new",)) == (b"new",)


def test_other_order_or_another_first_engine_is_another_folder(tmp_path: Path, operation: Operation) -> None:
    """Of some recipes only the first pictures are looked at, and the first engine finds the classifier's regions: what
    an earlier conversion had finished would be shipped as made from this one's.
    """
    request = Request(tmp_path, tmp_path, tmp_path, "2026-12-01T00:00:00Z")
    trained = TrainedPair(None, None, operation, {"segmenter.keras": "a"}, frozenset())
    grey = np.zeros((8, 8), np.uint8)
    cases = [
        Case(name, "normal", Label.NORMAL, Source(name, 8, 8), grey, None, fingerprint=name) for name in ("1", "2", "3")
    ]
    pictures = CaseSet("folder", tuple(cases), ())
    kept = Finished.under(tmp_path, decisive(request, trained, pictures, None))
    assert Finished.under(tmp_path, decisive(request, trained, pictures, None)) == kept
    turned = replace(pictures, cases=pictures.cases[::-1])
    assert turned.digest == pictures.digest, "the passport names a set whatever its order"
    first = replace(request, engines=("openvino", "tflite"))
    others = [
        decisive(request, trained, turned, None),
        decisive(first, trained, pictures, None),
        decisive(request, trained, pictures, pictures),
        decisive(replace(request, seed=1), trained, pictures, None),
    ]
    folders = {Finished.under(tmp_path, identity).folder for identity in others}
    assert len(folders - {kept.folder}) == len(others)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "marker"])
def test_damage_is_made_good(tmp_path: Path, damage: str) -> None:
    """A half-written file of a killed conversion would go into a bundle."""
    finished = Finished.under(tmp_path, {})
    finished.get("x", lambda: (b"first", b"second"))
    file = finished.folder / "x.1"
    if damage == "truncate":
        file.write_bytes(b"sec")
    elif damage == "flip":
        file.write_bytes(b"sfcond")
    elif damage == "remove":
        file.unlink()
    else:
        (finished.folder / "x.json").write_text("[")
    assert finished.get("x", lambda: (b"first", b"second")) == (b"first", b"second")
    assert file.read_bytes() == b"second"


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """A candidate that could not be made would be taken for one that has no files."""
    finished = Finished.under(tmp_path, {})

    def fail() -> tuple[bytes, ...]:
        raise ValueError("no such operator")

    with pytest.raises(ValueError, match="operator"):
        finished.get("x", fail)
    assert finished.get("x", lambda: (b"made",)) == (b"made",)
