"""What surgeons and plaster rooms leave on a film: plates with screws, nails, casts.

Sizes are those of the AO Foundation's small- and large-fragment sets (Rüedi, Buckley and Moran, AO Principles of
Fracture Management, 2007), made to fit the bone. A cast is thick where the bandage's turns overlap.
"""

from __future__ import annotations

import numpy as np

from .anatomy import Bone, Limb
from .geometry import Field, Frame, union_length
from .texture import noise, smoothstep

PLATE, NAIL, CAST = "plate and screws", "intramedullary nail", "plaster cast"
IMPLANTS = (PLATE, NAIL, CAST)
PLASTER = 0.3
"""Share of cortical bone's attenuation that dry gypsum bandage has (about 1 g/cm3, calcium a quarter of it)."""


def metal_mm(
    rng: np.random.Generator, implant: str, bone: Bone, frame: Frame, across: Field, at_mm: float, half_mm: float
) -> Field:
    """Steel or titanium along each ray, mm of steel.

    Args:
        rng: source of randomness.
        implant: `PLATE` or `NAIL`.
        bone: that it holds; it has a diaphysis.
        frame: rays in the bone's frame.
        across: mm from the bone's axis in the picture.
        at_mm: z of what is held.
        half_mm: half the bone's width there.
    """
    steel = float(rng.choice([1.0, 0.35]))
    if implant == PLATE:
        return _plate(rng, frame, across, at_mm, half_mm) * np.float32(steel)
    return _nail(rng, bone, frame, across, half_mm) * np.float32(steel)


def cast_mm(rng: np.random.Generator, limb: Limb, frame: Frame, spacing_mm: float) -> Field:
    """A cast around the limb, mm of plaster along each ray; it may end within the field."""
    padding = limb.fat_mm + float(rng.uniform(1.5, 5))
    turns = noise(rng, frame.z.shape, 60 / spacing_mm, 14 / spacing_mm)
    thickness = np.float32(rng.uniform(3, 6.5)) * np.maximum(1 + np.float32(0.22) * turns, 0.4)
    outer = union_length([tube.chord(frame, padding + thickness) for tube in limb.muscle])
    inner = union_length([tube.chord(frame, padding) for tube in limb.muscle])
    weave = 1 + np.float32(0.12) * noise(rng, frame.z.shape, 1.1 / spacing_mm)
    edge = limb.centre_mm + float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.9)) * limb.length_mm
    side = 1 if edge < limb.centre_mm else -1
    wrapped = smoothstep((frame.z - np.float32(edge)) * np.float32(side), 0, 4)
    return np.asarray(np.maximum(outer - inner, 0) * weave * wrapped, np.float32)


def _plate(rng: np.random.Generator, frame: Frame, across: Field, at_mm: float, half_mm: float) -> Field:
    """A plate on the bone's surface, its screws through the bone."""
    size = float(np.clip(half_mm / 14, 0.4, 1.15))
    bearing = float(rng.choice([0, np.pi / 2, -np.pi / 2])) + float(rng.normal(0, 0.15)) - frame.view
    sine, cosine = np.sin(bearing), np.cos(bearing)
    thick, wide = 4.0 * size, float(rng.uniform(10, 14)) * size
    holes = int(rng.integers(5, 10))
    pitch = 14.0 * size
    length = holes * pitch
    z = np.asarray(frame.z - np.float32(at_mm + rng.uniform(-0.2, 0.2) * length), np.float32)
    middle = np.float32(sine * (half_mm + thick / 2))
    reach = np.float32((abs(cosine) * wide + abs(sine) * thick) / 2)
    edge = np.maximum(np.abs(across - middle) - reach, np.abs(z) - np.float32(length / 2))
    metal = smoothstep(edge, 0.3, -0.3) * np.float32(min(thick / max(abs(cosine), 0.3), wide))
    for number in range(holes):
        if rng.random() < 0.2:
            continue
        at = (number - (holes - 1) / 2) * pitch
        metal = np.maximum(metal, _screw(z - np.float32(at), across, sine, half_mm, 1.75 * size, rng.normal(0, 0.05)))
        if abs(cosine) > 0.6:  # seen from above: the hole around the screw's head
            ring = np.hypot(across - middle, z - np.float32(at))
            metal *= 1 - np.float32(0.8) * smoothstep(np.abs(ring - np.float32(3.4 * size)), 0.9 * size, 0.4 * size)
    return np.asarray(metal, np.float32)


def _screw(z: Field, across: Field, sine: float, half_mm: float, radius: float, lean: float) -> Field:
    """A bicortical screw, from the plate's side to just beyond the other: mm along the ray."""
    start, stop = sine * (half_mm + 2), -sine * (half_mm + 2.5)
    low, high = min(start, stop) - radius, max(start, stop) + radius
    off = z - np.float32(lean) * across
    thread = 1 + np.float32(0.14) * np.sin(across * np.float32(2 * np.pi / 1.75))
    body = 2 * np.sqrt(np.maximum((np.float32(radius) * thread) ** 2 - off * off, 0))
    inside = (across > np.float32(low)) & (across < np.float32(high))
    return np.where(inside, body, 0).astype(np.float32)


def _nail(rng: np.random.Generator, bone: Bone, frame: Frame, across: Field, half_mm: float) -> Field:
    """A hollow nail along the marrow with up to two locking screws near each end."""
    assert bone.diaphysis is not None
    low, high = bone.diaphysis
    spare = 0.3 * (high - low)
    start, stop = low - spare * rng.uniform(0, 1), high + spare * rng.uniform(0, 1)
    radius = float(np.clip(0.42 * half_mm, 1.2, 5.5))
    lateral = across - np.float32(rng.normal(0, 0.06) * half_mm)
    solid = np.sqrt(np.maximum(np.float32(radius**2) - lateral**2, 0))
    hollow = np.sqrt(np.maximum(np.float32((0.45 * radius) ** 2) - lateral**2, 0))
    along = smoothstep(np.minimum(frame.z - np.float32(start), np.float32(stop) - frame.z), 0, 2)
    metal = 2 * (solid - hollow) * along
    for at in (start + 12, start + 24, stop - 12, stop - 24):
        sine = float(np.sin(rng.choice([0.2, np.pi / 2]) - frame.view))
        if rng.random() < 0.75:
            metal = np.maximum(metal, _screw(frame.z - np.float32(at), across, sine, half_mm, 0.45 * radius, 0.0))
    return np.asarray(metal, np.float32)
