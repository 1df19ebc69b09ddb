"""Hands: the rays spread as fingers do, and lie in flesh."""

from __future__ import annotations

import numpy as np
import pytest

from bonedge.calibration.phantom.anatomy import Bone, Limb, build_limb
from bonedge.calibration.phantom.geometry import Frame, union_length
from bonedge.calibration.phantom.hand import build_hand
from bonedge.calibration.phantom.records import Region

SEEDS = range(12)
STEP_MM = 1.0


def rays(z_mm: tuple[float, float]) -> Frame:
    """From in front, one a millimetre."""
    across = np.arange(-110, 110, STEP_MM, dtype=np.float32)
    x, z = np.meshgrid(across, np.arange(*z_mm, STEP_MM, dtype=np.float32))
    return Frame(x, z, 0.0)


def seen(bone: Bone, frame: Frame) -> np.ndarray:
    return union_length([solid.chord(bone.frame(frame)) for solid in bone.solids]) > 0


def middles(limb: Limb, z_mm: float) -> list[float]:
    """Where each metacarpal crosses a height, mm across; the thumb is left out, which ends earlier."""
    frame = rays((z_mm, z_mm + STEP_MM))
    metacarpals = [bone for bone in limb.bones if bone.name == "metacarpal"][1:]
    return [float(frame.x[seen(bone, frame)].mean()) for bone in metacarpals]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("region", [Region.HAND, Region.FOREARM])
def test_metacarpals_spread_towards_the_fingers(seed: int, region: Region) -> None:
    """They once ran towards one another, and a network would learn a hand that nobody has."""
    rng = np.random.default_rng(seed)
    limb = build_hand(rng) if region is Region.HAND else build_limb(rng, region)
    scale = max(bone.solids[0].stop for bone in limb.bones if bone.name == "metacarpal") / 95
    near, far = middles(limb, 42 * scale), middles(limb, 66 * scale)
    assert near == sorted(near)
    assert far == sorted(far)
    assert far[-1] - far[0] > near[-1] - near[0] + 2


@pytest.mark.parametrize("seed", SEEDS)
def test_bones_of_a_hand_lie_in_flesh(seed: int) -> None:
    """A finger would end in bare bone."""
    limb = build_hand(np.random.default_rng(seed))
    frame = rays((-20, 230))
    flesh = union_length([tube.chord(frame, limb.fat_mm) for tube in limb.muscle]) > 0
    for bone in limb.bones:
        assert flesh[seen(bone, frame)].all(), bone.name


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hand_has_nineteen_long_bones_beside_the_forearm_s(seed: int) -> None:
    """A ray would be one phalanx short, or a wrist bone be marked as a long one."""
    limb = build_hand(np.random.default_rng(seed))
    long = [bone.name for bone in limb.bones if bone.shaft is not None]
    assert sorted(long[:19]) == sorted(
        [*["metacarpal", "proximal phalanx", "distal phalanx"] * 5, *["middle phalanx"] * 4]
    )
    assert long[19:] == ["radius", "ulna"]
