"""Lesions and implants: each kind shows the signs that a radiologist tells it by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bonedge.calibration.phantom.anatomy import build_limb
from bonedge.calibration.phantom.disease import Shadow
from bonedge.calibration.phantom.generate import generate
from bonedge.calibration.phantom.geometry import Field, Frame, union_length
from bonedge.calibration.phantom.implants import CAST, IMPLANTS, NAIL, PLATE, cast_mm
from bonedge.calibration.phantom.lesions import FAMILIES
from bonedge.calibration.phantom.records import Regime, Region
from bonedge.calibration.phantom.scene import Patient, _draw_patient, _radiograph, _shadow
from bonedge.edge.records import Label

SPACING_MM = 0.4
BY_NAME = {family.name: family for family in FAMILIES}


def drawn(name: str, seed: int) -> Patient:
    """A knee, leg, ankle or forearm with an overt lesion of the family, without metal."""
    family = BY_NAME[name]
    rng = np.random.default_rng(seed)
    label = Label.MALIGNANT if family.malignant else Label.BENIGN
    while True:
        patient = _draw_patient(rng, label, Regime.OVERT, None, family.name)
        if not patient.implant:
            return patient


def shadow(patient: Patient, seed: int) -> tuple[Shadow, Frame]:
    """The host's shadow in a straight frontal view, and the rays."""
    rows = int(180 / SPACING_MM)
    across = (np.arange(rows, dtype=np.float32) - rows / 2) * np.float32(SPACING_MM)
    x, z = np.meshgrid(across, across + np.float32(patient.at_mm))
    frame = Frame(x, z, 0.0)
    own = patient.host.frame(frame)
    found = _shadow(np.random.default_rng(seed), patient.host, patient.limb, own, SPACING_MM, patient)
    assert found is not None
    return found, frame


def change(found: Shadow) -> Field:
    """mm of mineral that the lesion added."""
    assert found.healthy is not None
    return np.asarray(found.mineral - found.healthy, np.float32)


def pieces(mask: np.ndarray) -> int:
    """Connected ones of at least 4 square mm."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return int(np.sum(stats[1:, cv2.CC_STAT_AREA] * SPACING_MM**2 >= 4))


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_family_changes_its_bone_where_its_mask_is(name: str) -> None:
    """A family would be taught and tested by masks that lie beside what can be seen."""
    for seed in range(3):
        found, _ = shadow(drawn(name, seed), seed)
        assert found.lesion.any()
        altered = np.abs(change(found)) + found.outside_soft
        assert altered[found.lesion].mean() > 5 * altered[~found.lesion].mean()


def test_an_aneurysmal_bone_cyst_blows_its_bone_up_and_has_walls_inside() -> None:
    """It would look like a simple cyst."""
    outside, walls = [], []
    for seed in range(6):
        found, _ = shadow(drawn("aneurysmal bone cyst", seed), seed)
        assert found.healthy is not None
        outside.append((found.lesion & (found.healthy == 0)).sum() / found.lesion.sum())
        inside = cv2.erode(found.lesion.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        # Thin and bright against their surroundings: what an opening takes away.
        ridges = found.mineral - cv2.morphologyEx(found.mineral, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        walls.append(ridges[inside].max(initial=0))
    assert np.median(outside) > 0.05
    assert np.median(walls) > 2


def test_an_osteoid_osteoma_is_a_small_lucency_in_much_new_bone() -> None:
    """A nidus without sclerosis is another lesion, and sclerosis without one a stress fracture."""
    denser, nidus = [], []
    for seed in range(6):
        found, _ = shadow(drawn("osteoid osteoma", seed), seed)
        added = change(found)
        denser.append((added[found.lesion] > 0.2).mean())
        nidus.append((added < -0.5).sum() * SPACING_MM**2)
    assert np.median(denser) > 0.4
    assert 3 < np.median(nidus) < 120


def test_myeloma_has_several_holes_and_makes_no_bone() -> None:
    """One hole is a metastasis, and myeloma has no sclerosis."""
    holes = []
    for seed in range(6):
        found, _ = shadow(drawn("myeloma", seed), seed)
        assert change(found).max() <= 1e-4
        holes.append(pieces(change(found) < -0.3))
    assert max(holes) >= 4
    assert min(holes) >= 2


def test_tumours_of_the_old_are_not_given_to_children() -> None:
    """The networks would learn what no clinic sees: a myeloma beside an open growth plate."""
    for name, family in BY_NAME.items():
        ages = [drawn(name, seed).limb.age for seed in range(5)]
        assert min(ages) >= family.least_age


@pytest.mark.parametrize("implant", [PLATE, NAIL])
def test_metal_stops_the_beam_along_the_bone_that_it_holds(implant: str) -> None:
    """Metal beside the bone, or metal that bone shines through."""
    patient = drawn("fibrous dysplasia", 2)
    assert patient.host.diaphysis
    held = Patient(patient.limb, patient.host, float(np.mean(patient.host.diaphysis)), None, implant, implant=implant)
    found, frame = shadow(held, 5)
    assert found.metal is not None
    assert found.metal.max() > 0.8
    hit = found.metal > 0.3
    assert np.ptp(frame.z[hit]) > 30
    outer = union_length([solid.chord(frame, 8.0) for solid in patient.host.solids])
    assert (outer[hit] > 0).mean() > 0.9
    assert not found.lesion.any()


def test_a_cast_lies_around_the_limb_and_not_in_it() -> None:
    """Plaster in the muscle, or none at the edges, where a reader sees it."""
    limb = build_limb(np.random.default_rng(4), Region.LEG)
    across = (np.arange(600, dtype=np.float32) - 300) * np.float32(SPACING_MM)
    x, z = np.meshgrid(across, across + np.float32(limb.centre_mm))
    frame = Frame(x, z, 0.0)
    for seed in range(3):
        plaster = cast_mm(np.random.default_rng(seed), limb, frame, SPACING_MM)
        skin = union_length([tube.chord(frame, limb.fat_mm) for tube in limb.muscle])
        wrapped = plaster.max(axis=1) > 1
        assert wrapped.mean() > 0.2
        middle, edge = plaster[wrapped & (skin.max(axis=1) > 0)][:, 295:305].mean(), plaster[(skin == 0)].max()
        assert 3 < middle < 20
        assert edge > middle


def test_what_a_patient_wears_is_told_and_does_not_give_the_class_away() -> None:
    """Metal that only healthy bones carry teaches that metal is healthy."""
    rng = np.random.default_rng(3)
    seen = {label: set() for label in (Label.NORMAL, Label.BENIGN, Label.MALIGNANT)}  # type: dict[Label, set[str]]
    for label, implants in seen.items():
        for _ in range(260):
            implants.add(_draw_patient(rng, label, Regime.OVERT, None, None).implant)
    assert seen[Label.NORMAL] == {"", *IMPLANTS}
    assert seen[Label.BENIGN] & set(IMPLANTS)
    assert seen[Label.MALIGNANT] & set(IMPLANTS)


def test_a_treated_lesion_names_its_implant() -> None:
    """Results could not be sliced by it."""
    patient = drawn("giant cell tumour", 1)
    treated = Patient(patient.limb, patient.host, patient.at_mm, patient.lesion, "", implant=CAST)
    scene, _ = _radiograph(np.random.default_rng(1), treated, Label.BENIGN, Regime.OVERT, 320)
    assert scene.semiology["implant"] == CAST
    assert generate(2, 1, size=256, label=Label.MALIGNANT).semiology["implant"] in {"none", *IMPLANTS}
