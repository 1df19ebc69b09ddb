"""Which pictures calibrate, and which judge."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.convert.cases import Purpose, check_disjoint, draw, open_set
from bonedge.edge.manifest import Preprocessing

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
