"""The segmentations by rule, on pictures whose lesion nobody could miss and on pictures that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.models.metrics import dice
from bonedge.models.study.classical.segmentations import SEGMENTATIONS, see, solidity

pytestmark = pytest.mark.full
EACH = pytest.mark.parametrize("name", SEGMENTATIONS)


@EACH
@pytest.mark.parametrize("seed", range(3))
def test_a_bright_disc_on_darker_bone_is_outlined(name: str, seed: int, paint: Callable[..., Any]) -> None:
    """A rule that misses this was written down wrongly, and the study would beat a straw man."""
    picture, truth = paint(seed)
    assert dice(SEGMENTATIONS[name](picture), truth) >= 0.85


@pytest.mark.parametrize("name", [name for name in SEGMENTATIONS if name != "region growing"])
def test_a_dark_disc_is_outlined_too(name: str, paint: Callable[..., Any]) -> None:
    """Lesions that destroy bone would be left to the networks. (Region growing says itself that it misses them.)"""
    picture, truth = paint(4, lesion=0.45)
    assert dice(SEGMENTATIONS[name](picture), truth) >= 0.8


@EACH
def test_a_disc_is_outlined_at_the_size_of_the_study(name: str, paint: Callable[..., Any]) -> None:
    """Lengths would be right at one size of picture only."""
    picture, truth = paint(1, side=256, radius=22)
    assert dice(SEGMENTATIONS[name](picture), truth) >= 0.85


@EACH
def test_the_lesion_is_found_where_it_is(name: str, paint: Callable[..., Any]) -> None:
    """A rule that always marks the middle would pass for one that looks."""
    picture, truth = paint(5)
    turned = SEGMENTATIONS[name](np.ascontiguousarray(np.rot90(picture)))
    assert dice(turned, np.rot90(truth)) >= 0.85
    assert dice(turned, truth) < 0.5


@EACH
def test_nothing_is_found_in_even_bone(name: str, paint: Callable[..., Any]) -> None:
    """Everything would be a lesion."""
    picture, _ = paint(2, lesion=None)
    assert not SEGMENTATIONS[name](picture).any()


@EACH
def test_a_marker_beside_the_limb_is_no_lesion(name: str, paint: Callable[..., Any]) -> None:
    """The letter that says left or right is the brightest thing in many a picture."""
    picture, truth = paint(3)
    picture[10:22, 4:11] = 1.0
    found = SEGMENTATIONS[name](picture)
    assert not found[10:22, 4:11].any()
    assert dice(found, truth) >= 0.85


@EACH
def test_the_same_picture_gives_the_same_mask(name: str, paint: Callable[..., Any]) -> None:
    """The study's table could not be made again."""
    noise = np.random.default_rng(0).random((96, 96), np.float32)
    for picture in (noise, paint(1)[0]):
        first = SEGMENTATIONS[name](picture)
        np.random.seed(1)  # noqa: NPY002  what a library might draw from unasked
        assert np.array_equal(first, SEGMENTATIONS[name](picture.copy()))


@EACH
def test_the_picture_is_left_as_it_was(name: str, paint: Callable[..., Any]) -> None:
    """The next rule would get another picture."""
    picture, _ = paint(1)
    before = picture.copy()
    SEGMENTATIONS[name](picture)
    assert np.array_equal(picture, before)


@given(side=st.integers(1, 40), seed=st.integers(0, 2**16), kind=st.sampled_from(["noise", "even", "two greys", "dot"]))
@settings(deadline=None, max_examples=25)
def test_any_picture_has_a_mask(side: int, seed: int, kind: str) -> None:
    """One odd picture would end the whole study."""
    rng = np.random.default_rng(seed)
    picture = {
        "noise": rng.random((side, side)),
        "even": np.full((side, side), rng.choice([0.0, 0.02, 0.5, 1.0])),
        "two greys": rng.choice([0.2, 0.7], (side, side)),
        "dot": np.pad(np.ones((1, 1)), ((0, side - 1), (0, side - 1))),
    }[kind].astype(np.float32)
    for segment in SEGMENTATIONS.values():
        mask = segment(picture)
        assert mask.shape == picture.shape
        assert mask.dtype == np.bool_
        assert not (mask & (picture == 0) & (kind == "even")).any()


def test_field_and_bone_are_told_apart(paint: Callable[..., Any]) -> None:
    """Lesions would be looked for outside the bone, or in the black around the picture."""
    picture, _ = paint(1, lesion=None)
    scene = see(picture)
    assert picture[scene.field].min() > 0.1
    assert dice(scene.bone, picture > 0.4) > 0.85
    assert not (scene.bone & ~scene.field).any()


def test_solidity_by_hand() -> None:
    """Strips of cortex that wind would count as compact."""
    square = np.zeros((30, 30), np.bool_)
    square[5:25, 5:25] = True
    assert solidity(square) == pytest.approx(1, abs=0.01)
    corner = square.copy()
    corner[10:, 10:] = False  # an L of 175 of the hull's 287.5 pixels
    assert solidity(corner) == pytest.approx(175 / 287.5, abs=0.03)
    assert solidity(np.zeros((3, 3), np.bool_)) == 0
