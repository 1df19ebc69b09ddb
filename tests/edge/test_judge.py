"""The verdict's table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bonedge.edge.judge import feature_distance, judge, outside_limbs
from bonedge.edge.manifest import Abstention, Decision
from bonedge.edge.records import (
    BoundingBox,
    Classification,
    Label,
    Lesion,
    Segmentation,
    Source,
    Verdict,
)

ABSTENTION = Abstention(
    minimum_bone_fraction=0.05, feature_mean=(1.0, 2.0), feature_basis=((2.0, 0.0), (0.0, 1.0)), maximum_distance=3.0
)


def verdict(
    probabilities: tuple[float, float, float] = (0.9, 0.06, 0.04),
    *,
    modality: str | None = "DX",
    body_part: str | None = "KNEE",
    size: tuple[int, int] = (640, 480),
    bone_fraction: float = 0.3,
    features: tuple[float, float] = (1.0, 2.0),
    lesions: tuple[Lesion, ...] = (),
    **decision: Any,
) -> Verdict:
    flat = np.zeros((256, 256), np.float32)
    return judge(
        Source("0" * 64, *size, modality=modality, body_part=body_part),
        Segmentation(flat > 0, lesions, flat, flat, np.array(features, np.float32), None, bone_fraction),
        Classification(np.array(probabilities, np.float32), BoundingBox(0, 0, 1, 1)),
        Decision(**decision),
        ABSTENTION,
    )


@pytest.mark.parametrize(
    ("size", "judged"),
    [
        ((640, 480), True),
        ((256, 100), True),
        ((100, 256), True),
        ((255, 200), False),
        ((640, 99), False),
        ((3, 5), False),
    ],
)
def test_a_preview_gets_no_verdict(size: tuple[int, int], judged: bool) -> None:
    """If it failed, a thumbnail that shows nothing would be called normal."""
    said = verdict(size=size)
    assert (said.label is not Label.ABSTAIN) == judged
    assert judged or said.reasons[0].startswith(f"The picture has {size[1]} x {size[0]} pixels")


@pytest.mark.parametrize(
    ("probabilities", "decision", "label"),
    [
        ((0.9, 0.06, 0.04), {}, Label.NORMAL),
        ((0.4, 0.35, 0.25), {}, Label.BENIGN),
        ((0.4, 0.25, 0.35), {}, Label.MALIGNANT),
        ((0.6, 0.3, 0.1), {"tumour_threshold": 0.3}, Label.BENIGN),
        ((0.6, 0.3, 0.1), {"tumour_threshold": 0.45}, Label.NORMAL),
        ((0.1, 0.6, 0.3), {"malignant_threshold": 0.3}, Label.MALIGNANT),
        ((0.1, 0.6, 0.3), {"malignant_threshold": 0.4}, Label.BENIGN),
        ((0.0, 0.0, 1.0), {}, Label.MALIGNANT),
        ((1.0, 0.0, 0.0), {}, Label.NORMAL),
    ],
)
def test_the_operating_point_decides(
    probabilities: tuple[float, float, float], decision: dict[str, float], label: Label
) -> None:
    """If it failed, the bundle's operating point would not be what decides tumour and malignant."""
    found = verdict(probabilities, **decision)
    assert found.label is label
    assert list(found.probabilities) == [Label.NORMAL, Label.BENIGN, Label.MALIGNANT]
    assert list(found.probabilities.values()) == pytest.approx(probabilities)


@pytest.mark.parametrize("modality", [None, "CR", "DX", "RG", "OT"])
@pytest.mark.parametrize("body_part", [None, "", "KNEE", "LEG", "RADIAL HEAD", "FEMORAL NECK", "HIP", "HAND"])
def test_limbs_get_a_verdict(modality: str | None, body_part: str | None) -> None:
    """If it failed, radiographs of limbs would be turned away for what their header says."""
    assert verdict(modality=modality, body_part=body_part).label is Label.NORMAL


@pytest.mark.parametrize(
    ("modality", "words"),
    [("MG", "mammogram"), ("PX", "dental"), ("IO", "dental"), ("RF", "fluoro"), ("ZZ", "ZZ")],
)
def test_other_modalities_abstain(modality: str, words: str) -> None:
    """If it failed, a mammogram or a jaw would get a bone tumour verdict."""
    found = verdict(modality=modality)
    assert found.label is Label.ABSTAIN
    assert words in found.reasons[0]


@pytest.mark.parametrize(
    "body_part",
    ["CHEST", "JAW", "SKULL", "ABDOMEN", "PELVIS", "SPINE", "LSPINE", "L SPINE", "C-SPINE", "TSPINE", "CSPINE", "chest",
     "CHEST PA", "HEAD", "NECK", "CERVICAL SPINE", "TEETH", "RIBS", "SACRUM", "HEAD/NECK", "LUMBAR", "THORAX_AP"],
)  # fmt: skip
def test_other_body_parts_abstain(body_part: str) -> None:
    """If it failed, a chest film would get a bone tumour verdict."""
    found = verdict((0.0, 0.0, 1.0), body_part=body_part)
    assert found.label is Label.ABSTAIN
    assert outside_limbs(body_part) in found.reasons[0]
    assert found.probabilities[Label.MALIGNANT] == 1.0


def test_too_little_bone_abstains() -> None:
    """If it failed, an empty plate would be called normal."""
    assert verdict(bone_fraction=0.049).label is Label.ABSTAIN
    assert verdict(bone_fraction=0.05).label is Label.NORMAL


@pytest.mark.parametrize(("features", "abstains"), [((2.4, 2.0), False), ((2.6, 2.0), True), ((1.0, 4.9), False),
                                                    ((1.0, 5.1), True), ((float("nan"), 2.0), True)])  # fmt: skip
def test_what_is_unlike_the_training_pictures_abstains(features: tuple[float, float], abstains: bool) -> None:
    """If it failed, pictures that the models know nothing about would get a confident verdict."""
    assert (verdict(features=features).label is Label.ABSTAIN) is abstains


def test_the_distance_is_the_whitened_norm() -> None:
    """If it failed, the limit fitted in training would mean something else on the workstation."""
    assert feature_distance(np.array([2.0, 4.0], np.float32), ABSTENTION) == pytest.approx(np.hypot(2, 2))


def test_all_reasons_to_abstain_are_given() -> None:
    """If it failed, a user would fix one reason only to meet the next."""
    found = verdict(modality="MG", body_part="BREAST", bone_fraction=0, features=(99, 0))
    assert len(found.reasons) == 4


@pytest.mark.parametrize("lesions", [(), (Lesion(BoundingBox(0, 0, 9, 9), 81, 0.9, 5.0, 3.2),) * 2])
@pytest.mark.parametrize("probabilities", [(0.9, 0.05, 0.05), (0.0, 0.9, 0.1)])
def test_reasons_are_whole_sentences(probabilities: tuple[float, float, float], lesions: tuple[Lesion, ...]) -> None:
    """If it failed, the result would show fragments to a reader."""
    for found in (verdict(probabilities, lesions=lesions), verdict(modality="XA", body_part="SKULL", bone_fraction=0)):
        assert found.reasons
        assert all(reason[0] == reason[0].upper() and reason.endswith(".") for reason in found.reasons)
