"""Bone lesions after the radiological semiology: family, margin, matrix, periosteal reaction, soft tissue.

Margins are Lodwick's (IA sclerotic rim, IB sharp without rim, IC ill-defined, II moth-eaten, III permeative;
Lodwick et al., Radiology 134:577, 1980, as modified by Madewell 1981). Where a family sits, what it makes and how the
periosteum answers follow Resnick and the WHO classification of bone tumours, simplified to what a film shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Field
from .records import Regime
from .texture import noise, smoothstep


@dataclass(frozen=True)
class Family:
    """How one kind of lesion looks, as ranges to draw from. Lengths are for an adult, in mm."""

    name: str
    malignant: bool
    sites: tuple[str, ...]
    """Where it sits: diaphysis, metaphysis, epiphysis."""
    length_mm: tuple[float, float]
    slenderness: tuple[float, float]
    """Length along the bone over width."""
    eccentricity: tuple[float, float]
    """0 central, 1 centred in the cortex, more: outside."""
    margins: tuple[str, ...]
    matrices: tuple[str, ...]
    periosteal: tuple[str, ...]
    lobulation: float
    """Amplitude of the outline's lobes, relative to its radius."""
    expansion: float
    """How far it may blow the cortex up, as a share of its radius, leaving a thin shell."""
    soft_tissue: float
    """Chance of a mass outside the bone."""
    young: bool = False
    """Before the plates close, mostly."""
    least_age: float = 0.0
    """Years; never before."""
    several: bool = False
    """Many foci side by side instead of one."""


FAMILIES: tuple[Family, ...] = (
    Family(
        "non-ossifying fibroma", False, ("metaphysis",), (18, 48), (1.5, 2.6), (0.55, 0.9),
        ("IA",), ("lytic", "septated"), ("none",), 0.16, 0.1, 0, True,
    ),
    Family(
        "simple bone cyst", False, ("metaphysis", "diaphysis"), (35, 80), (1.5, 2.6), (0, 0.1),
        ("IA", "IB"), ("lytic",), ("none",), 0.06, 0.18, 0, True,
    ),
    Family(
        "enchondroma", False, ("metaphysis", "diaphysis"), (22, 55), (1.2, 2.2), (0, 0.25),
        ("IB", "IA"), ("chondroid",), ("none",), 0.14, 0.04, 0,
    ),
    Family(
        "fibrous dysplasia", False, ("diaphysis", "metaphysis"), (45, 110), (2.2, 4.0), (0, 0.25),
        ("IA",), ("ground-glass",), ("none", "solid"), 0.1, 0.12, 0,
    ),
    Family(
        "giant cell tumour", False, ("epiphysis",), (28, 55), (0.9, 1.3), (0.25, 0.6),
        ("IB",), ("lytic",), ("none",), 0.1, 0.15, 0, least_age=17,
    ),
    Family(
        "osteochondroma", False, ("metaphysis",), (20, 42), (0.8, 1.3), (1.0, 1.12),
        ("IB",), ("exostosis",), ("none",), 0.16, 0, 0,
    ),
    Family(
        "aneurysmal bone cyst", False, ("metaphysis",), (32, 68), (1.1, 1.8), (0.5, 0.95),
        ("IB", "IA"), ("septated",), ("none",), 0.07, 0.5, 0, True,
    ),
    Family(
        "osteoid osteoma", False, ("diaphysis", "metaphysis"), (26, 55), (1.6, 2.6), (0.7, 0.95),
        ("IA",), ("nidus",), ("solid",), 0.06, 0, 0, True,
    ),
    Family(
        "osteosarcoma", True, ("metaphysis",), (45, 100), (1.1, 1.9), (0.1, 0.6),
        ("IC", "II"), ("osteoid", "osteoid", "lytic"), ("sunburst", "codman", "sunburst and codman"), 0.14, 0, 0.85,
    ),
    Family(
        "Ewing sarcoma", True, ("diaphysis", "metaphysis"), (55, 130), (2.4, 4.5), (0, 0.2),
        ("III", "II"), ("lytic",), ("lamellated", "lamellated", "codman"), 0.1, 0, 0.85, True,
    ),
    Family(
        "chondrosarcoma", True, ("metaphysis", "diaphysis"), (55, 110), (1.3, 2.4), (0.1, 0.5),
        ("IC", "II"), ("chondroid",), ("solid", "none"), 0.2, 0, 0.6, least_age=20,
    ),
    Family(
        "metastasis", True, ("diaphysis", "metaphysis"), (25, 70), (1.2, 2.4), (0.1, 0.7),
        ("IC", "II", "III"), ("lytic", "lytic", "osteoid"), ("none", "none", "codman"), 0.14, 0, 0.35, least_age=30,
    ),
    Family(
        "myeloma", True, ("diaphysis", "metaphysis"), (45, 115), (2.2, 4.2), (0, 0.2),
        ("IB",), ("lytic",), ("none",), 0.1, 0, 0.1, least_age=40, several=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Lesion:
    """One lesion, drawn from its family."""

    family: Family
    margin: str
    matrix: str
    periosteal: str
    length_mm: float
    width_mm: float
    eccentricity: float
    side: float
    """-1 or 1: which side of the bone in the picture."""
    mass: bool
    strength: float
    """How complete the destruction and how rich the matrix is, 0..1."""
    regime: Regime

    @property
    def semiology(self) -> dict[str, str]:
        """As a report would name it."""
        return {
            "margin": self.margin,
            "matrix": self.matrix,
            "periosteal reaction": self.periosteal,
            "soft-tissue mass": "yes" if self.mass else "no",
            "foci": "several" if self.family.several else "one",
        }


STRENGTH = {Regime.OVERT: (0.9, 1.0), Regime.TYPICAL: (0.72, 0.92), Regime.SUBTLE: (0.5, 0.72)}
SIZE = {Regime.OVERT: (1.0, 1.3), Regime.TYPICAL: (0.85, 1.1), Regime.SUBTLE: (0.65, 0.9)}


def draw_lesion(rng: np.random.Generator, family: Family, regime: Regime, scale: float) -> Lesion:
    """A random member of `family`; `scale` shrinks it with the bone (1 for an adult's femur)."""
    length = float(rng.uniform(*family.length_mm) * rng.uniform(*SIZE[regime]) * scale)
    matrix = str(rng.choice(family.matrices))
    return Lesion(
        family,
        str(rng.choice(family.margins)),
        matrix,
        str(rng.choice(family.periosteal)) if regime is not Regime.SUBTLE or rng.random() < 0.6 else "none",
        length,
        length / float(rng.uniform(*family.slenderness)),
        float(rng.uniform(*family.eccentricity)),
        float(rng.choice([-1.0, 1.0])),
        bool(rng.random() < family.soft_tissue),
        float(rng.uniform(*STRENGTH[regime])),
        regime,
    )


@dataclass(frozen=True)
class Shape:
    """A lesion's outline in the picture."""

    radius: Field
    """float32 "rows columns": distance from the centre over the outline's own radius; 1 on the outline."""
    angle: Field
    """float32 "rows columns", radians, about the centre."""


def outline(
    rng: np.random.Generator, across: Field, along: Field, half_width: float, half_length: float, lobulation: float
) -> Shape:
    """A lobulated ellipse about (0, 0) of the given coordinates (mm); lobes are a random Fourier series in angle."""
    angle = np.arctan2(across / np.float32(half_width), along / np.float32(half_length))
    radius = np.ones_like(angle)
    for order in range(2, 9):
        amplitude = lobulation * rng.normal() / np.sqrt(order)
        radius += np.float32(amplitude) * np.cos(order * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    reach = np.hypot(across / np.float32(half_width), along / np.float32(half_length))
    return Shape(np.asarray(reach / np.maximum(radius, 0.35), np.float32), np.asarray(angle, np.float32))


def destroyed(rng: np.random.Generator, margin: str, shape: Shape, half_width: float, spacing_mm: float) -> Field:
    """Share of the bone that is gone inside the lesion, 0..1, by its margin."""
    radius = shape.radius
    if margin in ("IA", "IB"):
        edge = 0.6 / half_width
        return smoothstep(radius, 1 + edge, 1 - edge)
    size = radius.shape
    wander = noise(rng, size, 5.0 / spacing_mm) * np.float32(0.1)
    if margin == "IC":
        return smoothstep(radius + wander, 1.1, 0.62)
    hole_mm, share, floor = (2.2, 0.1, 0.55) if margin == "II" else (1.2, 0.0, 0.42)
    holes = np.zeros(size, np.float32)
    for _ in range(3):  # layers through the depth of the bone
        stretched = noise(rng, size, hole_mm / spacing_mm, 1.7 * hole_mm / spacing_mm)
        holes += smoothstep(stretched, share, share + 0.7) / np.float32(3)
    fade = smoothstep(radius + 1.6 * wander, 1.15, 0.7)
    return np.asarray(fade * np.minimum(floor + holes * np.float32(1.1), 1), np.float32)


def matrix_fraction(rng: np.random.Generator, matrix: str, shape: Shape, spacing_mm: float, strength: float) -> Field:
    """Mineral that the lesion itself makes, as volume fraction 0..1 (rings and arcs come from `chondroid_mm`)."""
    size = shape.radius.shape
    inside = smoothstep(shape.radius, 1.02, 0.9)
    if matrix == "ground-glass":
        haze = (
            0.15 + 0.09 * strength + 0.02 * noise(rng, size, 0.8 / spacing_mm) + 0.03 * noise(rng, size, 7 / spacing_mm)
        )
        return np.asarray(np.maximum(haze, 0) * inside, np.float32)
    if matrix == "osteoid":
        cloud = noise(rng, size, 5.5 / spacing_mm) + 0.5 * noise(rng, size, 2.0 / spacing_mm)
        return np.asarray((0.12 + 0.62 * smoothstep(cloud, -0.4, 1.3)) * inside * np.float32(strength), np.float32)
    if matrix == "chondroid":
        return np.asarray(0.03 * inside, np.float32)
    return np.zeros(size, np.float32)


def chondroid_mm(
    rng: np.random.Generator, across: Field, along: Field, half_width: float, half_length: float, strength: float
) -> Field:
    """Rings, arcs and stipples of calcified cartilage, mm of mineral along the ray: thin, partly calcified shells."""
    mineral = np.zeros_like(across)
    count = int(np.clip(half_width * half_length / 7 * rng.uniform(0.8, 1.6), 10, 90) * (0.4 + 0.6 * strength))
    for _ in range(count):
        bearing, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * 0.86
        dx = across - np.float32(reach * half_width * np.sin(bearing))
        dz = along - np.float32(reach * half_length * np.cos(bearing))
        pixels, shell = _shell(dx, dz, rng.uniform(1.0, 3.6), rng.uniform(0.35, 0.8))
        bearings = np.arctan2(dx.ravel()[pixels], dz.ravel()[pixels])
        arc = np.clip(0.5 + 1.2 * np.cos(bearings - rng.uniform(0, 2 * np.pi)), 0.15, 1)
        mineral.ravel()[pixels] += (shell * arc * rng.uniform(0.4, 1.0)).astype(np.float32)
    return mineral * np.float32(0.6 + 0.9 * strength)


def septa_mm(
    rng: np.random.Generator, across: Field, along: Field, half_width: float, half_length: float, strength: float
) -> Field:
    """Walls between the chambers of a cyst, or ridges that look like them, mm of mineral along the ray.

    Chambers are balls of about the lesion's own depth, so that their walls cross the picture as long thin arcs
    (Kransdorf and Sweet, AJR 164:573, 1995).
    """
    mineral = np.zeros_like(across)
    for _ in range(int(rng.integers(4, 10))):
        bearing, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.95)
        dx = across - np.float32(reach * half_width * np.sin(bearing))
        dz = along - np.float32(reach * half_length * np.cos(bearing))
        pixels, shell = _shell(dx, dz, half_width * rng.uniform(0.4, 0.85), rng.uniform(0.25, 0.55))
        mineral.ravel()[pixels] += shell * np.float32(rng.uniform(0.5, 1.0))
    return mineral * np.float32(0.4 + 0.6 * strength)


def foci(
    rng: np.random.Generator, across: Field, along: Field, half_width: float, half_length: float
) -> tuple[Field, Field]:
    """Round holes side by side: mm of the longest chord in the (front, back) half of the bone, 0 outside them.

    Punched-out: the edge is that of a ball, sharp and without a rim (Angtuaco et al., Radiology 231:11, 2004).
    """
    halves = (np.zeros_like(across), np.zeros_like(across))
    for number in range(int(rng.integers(5, 14))):
        bearing, reach = rng.uniform(0, 2 * np.pi), 0.85 * np.sqrt(rng.random()) if number else 0.0
        radius = float(np.clip(half_width * rng.uniform(0.2, 0.62), 1.5, 9.0))
        dx = across - np.float32(reach * half_width * np.sin(bearing))
        dz = along - np.float32(reach * half_length * np.cos(bearing))
        hole = halves[number % 2]
        chord = 2 * np.sqrt(np.maximum(np.float32(radius**2) - dx * dx - dz * dz, 0))
        np.maximum(hole, chord, out=hole)
    return halves


def _shell(dx: Field, dz: Field, radius: float, wall: float) -> tuple[NDArray[np.int64], Field]:
    """Flat indices of the pixels that meet a spherical shell about (0, 0), and mm of the ray within it.

    The chord through a shell of radii r and r - t is 2 (sqrt(r^2 - d^2) - sqrt((r - t)^2 - d^2)).
    """
    pixels = np.flatnonzero((np.abs(dx) < radius) & (np.abs(dz) < radius))
    x, z = dx.ravel()[pixels], dz.ravel()[pixels]
    d2 = x * x + z * z
    within = max(radius - wall, 0)
    chord = 2 * (np.sqrt(np.maximum(radius**2 - d2, 0)) - np.sqrt(np.maximum(within**2 - d2, 0)))
    return pixels, np.asarray(chord, np.float32)
