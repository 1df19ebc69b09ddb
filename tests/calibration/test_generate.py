"""Phantoms: the same for the same seed, labelled truly, masked exactly."""

from __future__ import annotations

import numpy as np
import pytest

from bonedge.calibration.phantom.anatomy import build_limb
from bonedge.calibration.phantom.generate import LABEL_MIX, generate
from bonedge.calibration.phantom.geometry import Frame, union_length
from bonedge.calibration.phantom.lesions import FAMILIES
from bonedge.calibration.phantom.records import Regime, Region
from bonedge.calibration.phantom.scene import FRONTAL, REGIONS, _draw_patient, _window
from bonedge.edge.records import Label

SIZE = 320


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    """A published result could not be reproduced."""
    first, again, other = generate(3, 4, size=SIZE), generate(3, 4, size=SIZE), generate(4, 4, size=SIZE)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.lesion_mask, again.lesion_mask)
    assert first.semiology == again.semiology
    assert first.pixels.shape != other.pixels.shape or not np.array_equal(first.pixels, other.pixels)


def test_labels_come_in_fixed_proportions_and_every_regime() -> None:
    """A training set would lack a class or a difficulty."""
    phantoms = [generate(1, index, size=SIZE) for index in range(len(LABEL_MIX))]
    for label in Label:
        assert sum(phantom.label is label for phantom in phantoms) == LABEL_MIX.count(label)
    assert {generate(1, index * len(LABEL_MIX), size=SIZE).regime for index in range(3)} == set(Regime)


@pytest.mark.parametrize("label", [Label.BENIGN, Label.MALIGNANT])
@pytest.mark.parametrize("regime", list(Regime))
def test_a_tumour_has_a_mask_on_its_bone_and_the_pixels_differ_there(label: Label, regime: Regime) -> None:
    """The segmenter would be taught from masks that mark nothing."""
    for index in range(3):
        phantom = generate(7, index, size=SIZE, label=label, regime=regime)
        assert phantom.pixels.dtype == np.float32
        assert 0 <= phantom.pixels.min() < phantom.pixels.max() <= 1
        assert phantom.lesion_mask.sum() >= 12
        assert (phantom.lesion_mask & phantom.bone_mask).any()
        assert phantom.family in {family.name for family in FAMILIES if family.malignant is (label is Label.MALIGNANT)}
        assert set(phantom.semiology) == {
            "margin",
            "matrix",
            "periosteal reaction",
            "soft-tissue mass",
            "foci",
            "implant",
        }


@pytest.mark.parametrize("region", [region for region in Region if region is not Region.NON_LIMB])
def test_every_region_has_its_long_bone_and_lesions_on_it(region: Region) -> None:
    """A region would be simulated that teaches nothing, or lesions beside the bone."""
    normal = generate(11, 0, size=SIZE, label=Label.NORMAL, region=region)
    assert normal.region is region
    assert 0.01 < normal.bone_mask.mean() < 0.6
    # Behind blades and in the open beam a picture is of one grey, white or black.
    greys, counts = np.unique(normal.pixels, return_counts=True)
    lit = normal.pixels != greys[counts.argmax()]
    bone, other = (normal.pixels[one & lit] for one in (normal.bone_mask, ~normal.bone_mask))
    assert np.median(bone) > np.median(other)
    tumour = generate(11, 1, size=SIZE, label=Label.BENIGN, regime=Regime.OVERT, region=region)
    assert tumour.region is region
    assert (tumour.lesion_mask & tumour.bone_mask).sum() > 0.5 * tumour.lesion_mask.sum()


@pytest.mark.parametrize("region", [region for region in Region if region is not Region.NON_LIMB])
def test_no_bone_is_met_outside_its_window(region: Region) -> None:
    """Bones would be cut off where the search for them ends."""
    rng = np.random.default_rng(17)
    for _ in range(3):
        limb = FRONTAL[region](rng) if region in FRONTAL else build_limb(rng, region)
        x, z = np.meshgrid(np.arange(-260, 260, 2, dtype=np.float32), np.arange(-260, 260, 2, dtype=np.float32))
        tilted = Frame(x, z + np.float32(limb.centre_mm), float(rng.uniform(0, np.pi)))
        frame = tilted.moved(shift_mm=20, tilt=float(rng.normal(0, 0.1)), pivot_mm=limb.centre_mm)
        met = 0
        for bone in limb.bones:
            own = bone.frame(frame)
            everywhere = union_length([solid.chord(own) for solid in bone.solids])
            window = _window(bone, own)
            inside = np.zeros_like(everywhere)
            inside[window] = union_length([solid.chord(own.part(window)) for solid in bone.solids])
            assert np.array_equal(everywhere, inside), bone.name
            met += bool(everywhere.any())
        assert met >= 2


def test_a_family_that_cannot_be_seen_so_well_gives_way_to_another() -> None:
    """Simulating would never end: no myeloma in a small bone of a hand is overt."""
    phantom = generate(8, 2, size=SIZE, label=Label.MALIGNANT, regime=Regime.OVERT, region=Region.HAND)
    assert phantom.lesion_mask.any()


@pytest.mark.parametrize("index", [2, 299, 1476])
def test_a_lesion_of_the_thumb_is_in_the_field(index: int) -> None:
    """Pictures with a few pixels of a lesion at their side would be called tumours; these were."""
    lesion = generate(35, index, region=Region.HAND).lesion_mask
    assert lesion.sum() > 500
    assert not any(side.any() for side in (lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]))


def test_the_regions_of_the_released_models_come_unasked() -> None:
    """Figures would be measured on parts of the body that the models have never seen."""
    rng = np.random.default_rng(1)
    drawn = {_draw_patient(rng, Label.NORMAL, Regime.OVERT, None, None).limb.region for _ in range(40)}
    assert drawn == set(REGIONS)


def test_a_normal_limb_has_bones_and_no_lesion_and_a_chest_has_neither() -> None:
    """Normals would teach lesions, or pictures of other parts would pass for limbs."""
    normal = generate(9, 0, size=SIZE, label=Label.NORMAL)
    assert normal.bone_mask.any()
    assert not normal.lesion_mask.any()
    other = generate(9, 0, size=SIZE, label=Label.ABSTAIN)
    assert not other.bone_mask.any()
    assert not other.lesion_mask.any()
