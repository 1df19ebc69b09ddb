"""What may happen to a training picture, and what may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.models.augmentation import GENTLE_CROP, WHOLE_PICTURE, Augmentation, augment

UNLIT = replace(
    WHOLE_PICTURE, gamma=0, contrast=0, brightness=0, shading=0, window=0, inversion=0, noise=0, blur=0, occlusion=0
)
"""Moves and shutters only."""
STILL = replace(WHOLE_PICTURE, flip=0, geometry=0, collimation=0, occlusion=0)
"""Light only."""
SEEDS = st.integers(0, 2**32)


def disc(side: int, x: float, y: float, radius: float) -> Any:
    """A soft-edged disc, float32 "side side", 0..1; places as shares of the side."""
    across, down = np.meshgrid(*2 * (np.arange(side) + 0.5,))
    distance = np.hypot(across - x * side, down - y * side)
    return np.clip(radius * side - distance + 0.5, 0, 1).astype(np.float32)


def centre(plane: Any) -> Any:
    """Centre of gravity, (x, y) as shares of the side."""
    side = len(plane)
    down, across = np.mgrid[:side, :side] + 0.5
    return np.array([(plane * across).sum(), (plane * down).sum()]) / plane.sum() / side


@given(
    side=st.integers(8, 120),
    targets=st.integers(0, 3),
    seed=SEEDS,
    chosen=st.sampled_from([WHOLE_PICTURE, GENTLE_CROP]),
    # More than any preset does, so that each part meets each other part.
    wild=st.fixed_dictionaries(
        {name: st.sampled_from([0.0, 1.0]) for name in ("flip", "geometry", "window", "inversion", "blur")}
        | {name: st.sampled_from([0.0, 1.0]) for name in ("collimation", "occlusion")}
    ),
)
@settings(max_examples=60, deadline=None)
def test_keeps_shapes_kinds_and_ranges_and_leaves_its_arguments_alone(
    side: int, targets: int, seed: int, chosen: Augmentation, wild: dict[str, float]
) -> None:
    """If it failed, some picture would crash an epoch, feed the network impossible greys, or spoil the cache."""
    rng = np.random.default_rng(seed)
    planes = rng.random((targets + 1, side, side), np.float32)
    planes[0, : side // 3] = 0
    # As a crop comes back from its normalisation.
    planes[0] += rng.uniform(-1e-6, 1e-6, (side, side)).astype(np.float32)
    planes[0, 0] = np.float32(1 + 1e-6)
    before = planes.copy()
    picture, moved = augment(planes[0], list(planes[1:]), rng, replace(chosen, **wild))
    assert np.array_equal(planes, before)
    assert len(moved) == targets
    for plane in (picture, *moved):
        assert plane.shape == (side, side)
        assert plane.dtype == np.float32
        assert plane.min() >= 0
        assert plane.max() <= 1
        assert not any(np.shares_memory(plane, original) for original in planes)


@given(seed=SEEDS, chosen=st.sampled_from([WHOLE_PICTURE, GENTLE_CROP]))
@settings(max_examples=20, deadline=None)
def test_the_same_numbers_give_the_same_picture(seed: int, chosen: Augmentation) -> None:
    """If it failed, an interrupted training would not go on as it would have gone on."""
    planes = np.random.default_rng(0).random((2, 64, 64), np.float32)
    # The global generator must not matter.
    first = augment(planes[0], [planes[1]], np.random.default_rng(seed), chosen)
    np.random.random(3)  # noqa: NPY002 - the very generator that must not be drawn from
    second = augment(planes[0], [planes[1]], np.random.default_rng(seed), chosen)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1][0], second[1][0])


def test_other_numbers_give_another_picture() -> None:
    """If it failed, a network would see the same pictures in every epoch and learn them by heart."""
    picture = disc(64, 0.4, 0.6, 0.3)
    made = [augment(picture, [], np.random.default_rng(seed), WHOLE_PICTURE)[0] for seed in range(10)]
    assert all(not np.array_equal(a, b) for n, a in enumerate(made) for b in made[:n])


@given(x=st.floats(0.3, 0.7), y=st.floats(0.3, 0.7), radius=st.floats(0.05, 0.2), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_masks_go_where_the_picture_goes(x: float, y: float, radius: float, seed: int) -> None:
    """If it failed, the segmenter would learn to draw beside the lesion."""
    painted = disc(96, x, y, radius)
    # The picture is its own mask, so they must come out alike, shutters included.
    picture, (mask,) = augment(painted, [painted], np.random.default_rng(seed), UNLIT)
    assert np.allclose(picture, mask, atol=1e-5)


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_in_a_relit_picture_the_lesion_is_still_under_its_mask(seed: int) -> None:
    """If it failed, what happens to greys would shift them against the masks."""
    painted = disc(96, 0.45, 0.55, 0.2)
    settings_ = replace(WHOLE_PICTURE, inversion=0, collimation=0, occlusion=0)
    picture, (mask,) = augment(0.3 + 0.4 * painted, [painted], np.random.default_rng(seed), settings_)
    seen = picture > 0
    inside, outside = picture[(mask > 0.9) & seen], picture[(mask < 0.1) & seen]
    assert np.median(inside) > np.median(outside)
    # Shading may brighten one side, not turn the contrast round at the mask's edge.
    near = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0.9
    ring = picture[near & (mask < 0.1) & seen]
    assert np.median(inside) > np.median(ring) + 0.05


def test_flips_and_turns_happen_and_stay_small() -> None:
    """If it failed, sides would never change places, or a lesion would leave the picture or shrink to nothing."""
    corner = disc(96, 0.3, 0.35, 0.1)
    flips = replace(UNLIT, geometry=0, collimation=0, flip=0.5)
    places = {
        tuple(np.round(centre(augment(corner, [], np.random.default_rng(seed), flips)[0]), 2)) for seed in range(40)
    }
    assert places == {(0.3, 0.35), (0.7, 0.35), (0.3, 0.65), (0.7, 0.65)}

    turns = replace(UNLIT, geometry=1, collimation=0, flip=0)
    middle = disc(96, 0.5, 0.5, 0.15)
    moved = [augment(middle, [], np.random.default_rng(seed), turns)[0] for seed in range(200)]
    areas = np.array([plane.sum() for plane in moved]) / middle.sum()
    shifts = np.array([np.abs(centre(plane) - 0.5).max() for plane in moved])
    assert 0.45 < areas.min() < 0.75
    assert 1.35 < areas.max() < 2.3
    assert 0.05 < shifts.max() < 0.2
    # As many larger as smaller ones: the scale is drawn evenly in its logarithm.
    assert abs(float(np.median(areas)) - 1) < 0.1

    bar = np.zeros((96, 96), np.float32)
    bar[10:86, 44:52] = 1
    angles = []
    for seed in range(200):
        points = np.argwhere(augment(bar, [], np.random.default_rng(seed), turns)[0] > 0.5).astype(np.float64)
        along = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][0]
        angles.append(np.degrees(np.arctan2(along[1], along[0]) + np.pi / 2) % 180 - 90)
    assert min(angles) < -15
    assert max(angles) > 15
    assert np.abs(angles).max() < 35


@given(seed=SEEDS, chosen=st.sampled_from([STILL, replace(STILL, blur=1, inversion=1, window=1, noise=0.3)]))
@settings(max_examples=40, deadline=None)
def test_black_stays_black(seed: int, chosen: Augmentation) -> None:
    """If it failed, padding and shutters would look different in training from how they look on the workstation."""
    painted = disc(64, 0.5, 0.5, 0.3)
    picture, _ = augment(painted, [], np.random.default_rng(seed), chosen)
    assert (picture[painted == 0] == 0).all()
    assert picture[painted > 0].any()


def test_what_is_hidden_is_no_target() -> None:
    """If it failed, the segmenter would be taught to see through lead."""
    bright = np.full((80, 80), 0.5, np.float32)
    shut = replace(UNLIT, flip=0, geometry=0, collimation=1)
    some = 0
    for seed in range(30):
        picture, (mask,) = augment(bright, [np.ones_like(bright)], np.random.default_rng(seed), shut)
        assert np.array_equal(picture == 0, mask == 0)
        assert (mask == 0).mean() <= 1 - (1 - 2 * shut.collimation_depth) ** 2
        some += (mask == 0).any()
    assert some > 20
    patched = replace(UNLIT, flip=0, geometry=0, collimation=0, occlusion=1)
    for seed in range(30):
        picture, (mask,) = augment(bright, [np.ones_like(bright)], np.random.default_rng(seed), patched)
        hidden = mask == 0
        assert 0 < hidden.mean() <= 0.15**2
        assert np.ptp(picture[hidden]) == 0
        assert np.allclose(picture[~hidden], 0.5)


@pytest.mark.parametrize("part", ["gamma", "contrast", "brightness", "shading", "window", "inversion", "noise", "blur"])
def test_each_kind_of_light_changes_greys_and_no_mask(part: str) -> None:
    """If it failed, a kind of variety would be switched off unnoticed, or the truth changed with the light."""
    rng = np.random.default_rng(1)
    picture = (0.2 + 0.6 * rng.random((64, 64))).astype(np.float32)
    mask = (picture > 0.5).astype(np.float32)
    only = replace(UNLIT, flip=0, geometry=0, collimation=0, **{part: 1.0 if part != "noise" else 0.1})
    changes = []
    for seed in range(8):
        changed, (same,) = augment(picture, [mask], np.random.default_rng(seed), only)
        assert np.array_equal(same, mask)
        changes.append(float(np.abs(changed - picture).mean()))
    assert np.median(changes) > 0.01


@given(seed=SEEDS, chosen=st.sampled_from([WHOLE_PICTURE, GENTLE_CROP]))
@settings(max_examples=20, deadline=None)
def test_gentler_is_nearer_to_the_picture(seed: int, chosen: Augmentation) -> None:
    """If it failed, the last epochs would show what the first ones did."""
    picture = disc(96, 0.5, 0.5, 0.3)
    still = replace(chosen, flip=0, inversion=0)  # a negative is as far away as all else together
    changed = [
        np.mean(
            [np.abs(augment(picture, [], np.random.default_rng((seed, n)), one)[0] - picture).mean() for n in range(20)]
        )
        for one in (still.gentler(0), still.gentler(0.25), still)
    ]
    assert changed[0] < 1e-6
    assert changed[1] < 0.5 * changed[2]


def test_gentler_by_nothing_is_the_same_and_turns_over_as_often() -> None:
    assert WHOLE_PICTURE.gentler(1) == WHOLE_PICTURE
    assert WHOLE_PICTURE.gentler(0.1).flip == WHOLE_PICTURE.flip
