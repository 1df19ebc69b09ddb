"""Which pictures calibrate, and which judge."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.calibration.phantom.dicom import as_png
from bonedge.calibration.phantom.generate import generate
from bonedge.convert.pictures import Picture, draw, from_folder, simulated
from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.datasets import held_out


def numbered(sizes: list[int]) -> list[Picture]:
    return [Picture(f"{s}/{n}", f"stratum {s}", bytes) for s, size in enumerate(sizes) for n in range(size)]


@given(sizes=st.lists(st.integers(0, 30), max_size=7), count=st.integers(0, 100), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_draws_as_many_of_each_kind_as_there_are(sizes: list[int], count: int, seed: int) -> None:
    """If it failed, ranges would be measured on mostly one kind of picture, or one picture count twice."""
    pictures = numbered(sizes)
    drawn = draw(pictures, count, np.random.default_rng(seed))
    assert len(drawn) == min(count, len(pictures))
    assert len({picture.name for picture in drawn}) == len(drawn)
    counts = Counter(picture.stratum for picture in drawn)
    most = max(counts.values(), default=0)
    for number, size in enumerate(sizes):
        assert counts[f"stratum {number}"] >= min(size, most - 1)
    assert drawn == draw(pictures, count, np.random.default_rng(seed))


def test_another_seed_draws_others() -> None:
    """If it failed, the seed would do nothing."""
    pictures = numbered([30, 30])
    draws = {tuple(p.name for p in draw(pictures, 10, np.random.default_rng(seed))) for seed in range(5)}
    assert len(draws) == 5


def test_what_judges_was_not_trained_on() -> None:
    """If it failed, int8 would be calibrated and judged on the same pictures."""
    both = simulated((3, 4))
    training, others = ({picture.name for picture in part} for part in (both.training, both.held_out))
    assert not training & others
    assert training
    assert all(held_out(int(name.rpartition("/")[2])) for name in others)
    assert not any(held_out(int(name.rpartition("/")[2])) for name in training)
    assert {p.stratum for p in both.held_out} == {p.stratum for p in both.training}


@pytest.mark.parametrize("place", [0, 30])
def test_simulates_the_very_bytes_that_training_read(place: int) -> None:
    """If it failed, calibration would see other pictures than the training did."""
    picture = simulated((9,)).training[place]
    index = int(picture.name.rpartition("/")[2])
    phantom = generate(9, index)
    assert picture.read() == as_png(phantom)
    assert picture.stratum.startswith(phantom.label.value)
    if phantom.label.value in ("benign", "malignant"):
        assert picture.stratum.endswith(phantom.regime.value)


def index(folder: Path, count: int, **changed: Any) -> Path:
    rows = [
        {"file": f"{n}.png", "label": "benign", "regime": "subtle", "seed": 1, "index": n, "lesion_mask": "m"}
        for n in range(count)
    ]
    rows[2] |= changed
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_folder_is_split_as_training_splits_it(tmp_path: Path) -> None:
    """If it failed, pictures that were trained on would judge the int8 model."""
    both = from_folder(index(tmp_path, 15))
    assert [picture.name for picture in both.held_out] == ["0.png", "7.png", "14.png"]
    assert len(both.training) == 12
    assert {picture.stratum for picture in both.training} == {"benign subtle"}


@pytest.mark.parametrize(
    "changed", [{"regime": "easy"}, {"regime": None}, {"file": "../2.png"}, {"file": "/etc/hostname"}], ids=str
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    """If it failed, an index could name any file of the machine, or end in a Python error."""
    with pytest.raises(InvalidConfiguration, match=r"index\.jsonl, line 3"):
        from_folder(index(tmp_path, 8, **changed))
