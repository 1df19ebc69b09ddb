"""Pictures without a limb."""

from __future__ import annotations

import numpy as np
import pytest

from bonedge.calibration.phantom.nonlimb import KINDS, nonlimb_scene
from bonedge.calibration.phantom.records import Region
from bonedge.edge.records import Label

SIZE = 256


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_is_a_picture_to_abstain_on(kind: str, seed: int) -> None:
    """The model would be taught that a chest has long bones, or a tumour."""
    scene = nonlimb_scene(np.random.default_rng(seed), SIZE, kind)
    assert scene.label is Label.ABSTAIN
    assert scene.region is Region.NON_LIMB
    assert scene.family == kind
    assert not scene.bone_mask.any()
    assert not scene.lesion_mask.any()
    assert scene.bone_mask.shape == scene.lesion_mask.shape == scene.signal.shape
    assert max(scene.signal.shape) == SIZE
    assert scene.signal.dtype == np.float32
    assert np.isfinite(scene.signal).all()
    assert scene.signal.min() > 0
    assert scene.signal.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_is_bit_identical_for_a_seed_and_another_for_another(kind: str) -> None:
    """A training run could not be repeated, or one chest would stand for all."""
    first, again, other = (nonlimb_scene(np.random.default_rng(seed), SIZE, kind) for seed in (1, 1, 2))
    assert first.signal.tobytes() == again.signal.tobytes()
    assert first.signal.tobytes() != other.signal.tobytes()


def test_draws_every_kind() -> None:
    """Abstention would be fitted on a part of what it is for."""
    kinds = {nonlimb_scene(np.random.default_rng(seed), 64).family for seed in range(160)}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("seed", range(4))
def test_lungs_let_more_through_than_the_mediastinum(seed: int) -> None:
    """A chest that is not dark where the lungs are teaches nothing about chests."""
    scene = nonlimb_scene(np.random.default_rng(seed), SIZE, "chest")
    rows, columns = scene.signal.shape
    band = slice(round(0.4 * rows), round(0.55 * rows))
    middle = np.median(scene.signal[band, round(0.47 * columns) : round(0.53 * columns)])
    sides = np.median(scene.signal[band, round(0.28 * columns) : round(0.38 * columns)])
    assert sides > 1.5 * middle
