"""What a healthy or healed bone shows that may pass for a lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Bone
from .geometry import Field
from .implants import CAST, NAIL, PLATE
from .texture import noise, smoothstep

CONFUSABLES = ("healed fracture", "bone island", "nutrient canal", "growth arrest lines", PLATE, NAIL, CAST, "plain")
FREQUENCIES = (0.22, 0.12, 0.13, 0.11, 0.05, 0.04, 0.06, 0.27)


def plate_gap(rng: np.random.Generator, across: Field, z: Field, plate_mm: float, age: float) -> tuple[Field, Field]:
    """A growth plate: (share of the ray's bone that is cartilage, 0..1; extra mineral fraction beside it).

    The plate undulates in depth as well as across, so that it projects as a band with soft, wandering edges.
    """
    openness = float(np.clip((17.5 - age) / 9, 0.0, 1.0))
    if openness <= 0:
        return np.zeros_like(z), np.zeros_like(z)
    thickness = 0.5 + 2.0 * openness
    wave = 1.3 * np.sin(across / np.float32(rng.uniform(5, 9)) + np.float32(rng.uniform(0, 6)))
    wave = wave + 0.8 * np.sin(across / np.float32(rng.uniform(2.5, 4)) + np.float32(rng.uniform(0, 6)))
    gap, rim = np.zeros_like(z), np.zeros_like(z)
    for depth in np.linspace(-1, 1, 5):
        distance = np.abs(z - np.float32(plate_mm + depth * rng.uniform(0.2, 1.6)) - wave)
        gap += smoothstep(distance, thickness / 2 + 0.5, thickness / 2 - 0.3) / np.float32(5)
        rim += smoothstep(np.abs(distance - np.float32(thickness / 2 + 0.9)), 1.0, 0.2) / np.float32(5)
    return gap * np.float32(min(1.0, 0.35 + openness)), rim * np.float32(0.16)


@dataclass(frozen=True)
class Fracture:
    """A healed fracture of a shaft: callus, a sclerotic line and a slight bend."""

    z: float
    callus_mm: float
    span_mm: float
    angle: float

    def callus(self, z: Field) -> Field:
        """Thickness of the callus around the shaft at `z`, mm."""
        distance = (z - np.float32(self.z)) / np.float32(self.span_mm)
        return np.asarray(np.float32(self.callus_mm) * np.exp(-distance * distance), np.float32)


def draw_fracture(rng: np.random.Generator, visible: tuple[float, float], scale: float) -> Fracture:
    """A fracture line somewhere in the visible part of a shaft (mm along z)."""
    low, high = visible
    return Fracture(
        float(rng.uniform(low, high)),
        float(rng.uniform(1.2, 4.5) * scale),
        float(rng.uniform(9, 24) * scale),
        float(rng.normal(0, 0.07)),
    )


def fracture_line(rng: np.random.Generator, fracture: Fracture, across: Field, z: Field, spacing_mm: float) -> Field:
    """Extra mineral fraction along the old fracture line, 0..1."""
    slope = np.float32(rng.uniform(-0.8, 0.8))
    jag = noise(rng, z.shape, 2.5 / spacing_mm)
    distance = np.abs(z - np.float32(fracture.z) - slope * across - jag)
    return smoothstep(distance, 3.2, 0.4) * np.float32(rng.uniform(0.04, 0.16))


def bone_island(rng: np.random.Generator, across: Field, along: Field, scale: float) -> Field:
    """A compact enostosis, mm of mineral: a small dense spheroid with a brush border."""
    half_x, half_z = rng.uniform(2, 4.5) * scale, rng.uniform(2.5, 7.5) * scale
    angle = np.arctan2(across, along)
    brush = 1 + 0.12 * np.sin(angle * np.float32(rng.integers(9, 17)) + np.float32(rng.uniform(0, 6)))
    reach = np.hypot(across / np.float32(half_x), along / np.float32(half_z)) / brush
    return np.asarray(1.7 * half_x * np.sqrt(np.maximum(1 - reach**2, 0)), np.float32)


def nutrient_canal(rng: np.random.Generator, across: Field, along: Field, half_width: float) -> Field:
    """Share of the cortex missing along an oblique vascular channel, 0..1."""
    side = float(rng.choice([-1, 1]))
    slope = side * rng.uniform(0.08, 0.2)
    centre = side * half_width * rng.uniform(0.2, 0.75)
    distance = np.abs(across - np.float32(centre) - np.float32(slope) * along)
    length = rng.uniform(12, 28)
    return smoothstep(distance, 1.1, 0.4) * smoothstep(np.abs(along), length, length * 0.7) * np.float32(0.3)


def arrest_lines(rng: np.random.Generator, across: Field, z: Field, bone: Bone) -> Field:
    """Extra mineral fraction on a few transverse growth-arrest lines in the metaphyses, 0..1."""
    lines = np.zeros_like(z)
    for start, stop in bone.metaphyses:
        for _ in range(int(rng.integers(1, 5))):
            at = rng.uniform(start, stop)
            bend = rng.normal(0, 0.004) * across * across
            lines += smoothstep(np.abs(z - np.float32(at) - bend.astype(np.float32)), 0.9, 0.1) * np.float32(
                rng.uniform(0.06, 0.22)
            )
    return lines
