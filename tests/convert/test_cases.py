"""Which pictures calibrate, and which judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.calibration.phantom.command import Order, make
from bonedge.convert.cases import CaseSet, Purpose, check_disjoint, draw, open_set, without_copies
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import CLASSES
from bonedge.models.datasets import training_pictures

Item = tuple[int, int]
"""(stratum, number)."""


def numbered(sizes: list[int]) -> list[Item]:
    return [(stratum, number) for stratum, size in enumerate(sizes) for number in range(size)]


def drawn_from(items: list[Item], count: int, seed: int) -> tuple[Item, ...]:
    return draw(items, lambda item: str(item[0]), count, np.random.default_rng(seed))


@given(sizes=st.lists(st.integers(0, 30), max_size=7), count=st.integers(0, 100), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_draws_as_many_of_each_kind_as_there_are(sizes: list[int], count: int, seed: int) -> None:
    """If it failed, ranges would be measured on mostly one kind of picture, or one picture count twice."""
    pictures = numbered(sizes)
    drawn = drawn_from(pictures, count, seed)
    assert len(drawn) == min(count, len(pictures))
    assert len(set(drawn)) == len(drawn)
    counts = Counter(stratum for stratum, _ in drawn)
    most = max(counts.values(), default=0)
    for number, size in enumerate(sizes):
        assert counts[number] >= min(size, most - 1)
    assert drawn == drawn_from(pictures, count, seed)


def test_another_seed_draws_others() -> None:
    """If it failed, the seed would do nothing."""
    pictures = numbered([30, 30])
    draws = {drawn_from(pictures, 10, seed) for seed in range(5)}
    assert len(draws) == 5


def test_a_set_that_holds_pictures_back_calibrates_and_judges(tmp_path: Path) -> None:
    """A user with one real set could not convert: the gates would judge what the ranges were fitted to."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    rows = ["file,label,split"]
    for number in range(30):
        label, split = ("normal", "benign", "malignant")[number % 3], "test" if number >= 21 else ""
        pixels = np.random.default_rng(number).integers(0, 255, (90, 70), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), pixels)
        if label != "normal":
            cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), np.full((90, 70), 255, np.uint8))
        rows.append(f"{number}.png,{label},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    calibration, validation = (
        open_set(str(tmp_path), 100, purpose, Preprocessing(), cache=tmp_path / "cache", seed=0)
        for purpose in (Purpose.CALIBRATION, Purpose.VALIDATION)
    )
    assert {int(case.name.removesuffix(".png")) for case in calibration.cases} == set(range(21))
    assert {int(case.name.removesuffix(".png")) for case in validation.cases} == set(range(21, 30))
    check_disjoint(validation, {Purpose.CALIBRATION: calibration}, (), ())
    one = validation.cases[3].fingerprint
    for known in ([one], training_pictures([one]).decode().split()):
        with pytest.raises(InvalidConfiguration, match=r"1 of 9 validation pictures .* were trained on"):
            check_disjoint(validation, {Purpose.CALIBRATION: calibration}, (), known)


def test_phantoms_in_another_format_are_the_same(tmp_path: Path) -> None:
    """If it failed, the gates would judge on what candidates were fitted to, as long as the files differ."""
    sets = []
    for number, style in enumerate(("dicom", "png")):
        make(Order(tmp_path / style, 8, 256, style, CLASSES, (), sheet=False), 9, jobs=1)
        purpose = (Purpose.VALIDATION, Purpose.CALIBRATION)[number]
        sets.append(open_set(str(tmp_path / style), 9, purpose, Preprocessing(), cache=tmp_path, seed=0))
    assert not {one.fingerprint for one in sets[0].cases} & {one.fingerprint for one in sets[1].cases}
    with pytest.raises(InvalidConfiguration, match="phantoms of seed 8, which are the same in whatever format"):
        check_disjoint(sets[0], {Purpose.CALIBRATION: sets[1]}, (), ())


@pytest.mark.full
def test_a_copy_is_no_further_case(tmp_path: Path) -> None:
    """If it failed, twelve pictures fifty times over would be taken for six hundred."""
    make(Order(tmp_path, 8, 256, "png", CLASSES, (), sheet=False), 9, jobs=1)
    simulated = open_set(str(tmp_path), 3, Purpose.VALIDATION, Preprocessing(), cache=tmp_path, seed=0)
    first, second, third = simulated.cases
    smaller = replace(second, grey=cv2.resize(second.grey, None, fx=0.8, fy=0.8), fingerprint="of other pixels")
    found = CaseSet("ours", (first, second, first, third, smaller), ())
    kept, dropped = without_copies(found)
    assert dropped == 2
    assert kept.cases == (first, second, third)
    assert without_copies(kept) == (kept, 0)
