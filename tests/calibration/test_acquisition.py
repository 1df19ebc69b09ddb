"""The console: what may vary, and what must not be lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bonedge.calibration.phantom.acquisition import acquire

SEEDS = range(60)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_is_bit_identical_for_a_seed(shaft: Callable[..., Any]) -> None:
    """A training run could not be repeated."""
    first, second = acquire(shaft(), rng(3)), acquire(shaft(), rng(3))
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert first.lesion_mask.tobytes() == second.lesion_mask.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_stays_within_the_grey_scale(shaft: Callable[..., Any], seed: int) -> None:
    """A file written from it would wrap around or hold nothing."""
    phantom = acquire(shaft(), rng(seed))
    assert phantom.pixels.dtype == np.float32
    assert np.isfinite(phantom.pixels).all()
    assert 0 <= phantom.pixels.min() < phantom.pixels.max() <= 1
    assert phantom.lesion_mask.shape == phantom.bone_mask.shape == phantom.pixels.shape
    assert phantom.lesion_mask.dtype == phantom.bone_mask.dtype == np.bool_


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shift", [0, 80])
def test_never_collimates_a_lesion_away(shaft: Callable[..., Any], seed: int, shift: int) -> None:
    """A picture labelled as a tumour would show none, and the model would be taught to invent."""
    scene = shaft(shift=shift)
    phantom = acquire(scene, rng(seed))
    before = scene.lesion_mask.sum() * scene.spacing_mm**2
    after = phantom.lesion_mask.sum() * phantom.spacing_mm**2
    assert after == pytest.approx(before, rel=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_shows_the_lesion_where_the_mask_says(shaft: Callable[..., Any], seed: int) -> None:
    """Pictures and masks would be turned differently, and Dice would measure nothing."""
    with_lesion, without = shaft(), shaft(lesion=False)
    # The same console for both: the lesion changes the signal, not what is drawn from the generator.
    sick = acquire(replace(with_lesion, bone_mask=without.bone_mask), rng(seed))
    well = acquire(replace(with_lesion, signal=without.signal), rng(seed))
    difference = np.abs(sick.pixels - well.pixels)
    inside = difference[sick.lesion_mask].mean()
    outside = difference[~sick.lesion_mask].mean()
    assert inside > 3 * outside


def test_bone_is_bright(shaft: Callable[..., Any]) -> None:
    """The picture would be a negative of what the runtime shows the networks."""
    for seed in SEEDS:
        phantom = acquire(shaft(lesion=False), rng(seed), plain=True)
        soft = phantom.pixels[:, 50:80]
        assert np.median(phantom.pixels[phantom.bone_mask]) > np.median(soft)


def test_does_not_depend_on_the_exposure(shaft: Callable[..., Any]) -> None:
    """An underexposed film would look black, which no console has shown since film."""
    scene = shaft()
    dim = replace(scene, signal=(scene.signal * 0.25).astype(np.float32))
    bright = acquire(scene, rng(0), plain=True).pixels
    assert np.abs(acquire(dim, rng(0), plain=True).pixels - bright)[scene.bone_mask].mean() < 0.2


def test_plain_keeps_the_geometry(shaft: Callable[..., Any]) -> None:
    """What is measured on the plain picture would not be the anatomy's own."""
    scene = shaft()
    phantom = acquire(scene, rng(0), plain=True)
    assert np.array_equal(phantom.lesion_mask, scene.lesion_mask)
    assert np.array_equal(phantom.bone_mask, scene.bone_mask)
    assert phantom.spacing_mm == scene.spacing_mm


def test_varies(shaft: Callable[..., Any]) -> None:
    """A model would learn one console, one orientation and one collimation by heart."""
    phantoms = [acquire(shaft(), rng(seed)) for seed in SEEDS]
    assert {phantom.pixels.shape for phantom in phantoms} == {(320, 240), (240, 320)}
    covered = [phantom.bone_mask.mean() for phantom in phantoms]
    assert max(covered) - min(covered) > 0.01
    middles = [float(np.median(phantom.pixels[phantom.bone_mask])) for phantom in phantoms]
    assert np.std(middles) > 0.05
