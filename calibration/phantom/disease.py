"""A bone with its lesion on the film: destruction, matrix, rim, expansion, new bone, mass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from bonedge.edge.records import Mask

from .anatomy import Bone
from .geometry import Chord, Field, Frame, chord_about, union_length
from .lesions import Lesion, Shape, chondroid_mm, destroyed, foci, matrix_fraction, outline, septa_mm
from .texture import smoothstep


@dataclass
class Shadow:
    """What one bone puts on the film: float32 / bool "rows columns"."""

    mineral: Field
    outside_soft: Field
    """Lean tissue beyond the limb's own (a mass), mm."""
    silhouette: Mask
    lesion: Mask
    healthy: Field | None = None
    """`mineral` as it would be without the lesion."""
    metal: Field | None = None
    """Of implants, mm."""


@dataclass(frozen=True)
class Host:
    """A bone as the picture's rays meet it, before any disease."""

    bone: Bone
    frame: Frame
    """Rays in the bone's frame."""
    spacing_mm: float
    outer: list[Chord]
    """Of the bone's solids."""
    inner: list[Chord]
    """Of their medullary spaces."""
    fraction: Field
    """Volume fraction of mineral between the cortices."""
    missing: Field
    """Share of the ray's bone that a growth plate leaves out, 0..1."""
    across: Field
    """mm from the bone's axis in the picture."""

    @cached_property
    def outer_mm(self) -> Field:
        """Length of each ray inside the bone."""
        return union_length(self.outer)

    @cached_property
    def medulla_mm(self) -> Field:
        """Length of each ray between the cortices."""
        return union_length(self.inner)


@dataclass(frozen=True)
class _Site:
    """Where the lesion is in its host."""

    half_width: float
    half_length: float
    bone_half: float
    """Half the bone's width in the picture, there, mm."""
    dx: Field
    dz: Field
    """mm from the lesion's centre."""
    shape: Shape
    depth: Field
    """mm along the beam, of the lesion's centre."""
    half_depth: float

    def ball(self, scale: float, extra_mm: float = 0.0) -> Chord:
        """The lesion's body, scaled about its centre."""
        reach = np.sqrt(np.maximum(1 - (self.shape.radius / np.float32(scale)) ** 2, 0))
        half = (np.float32(self.half_depth) * np.float32(scale) + np.float32(extra_mm)) * reach
        return chord_about(self.shape.radius < scale, self.depth, half)


def diseased(rng: np.random.Generator, host: Host, lesion: Lesion, at_mm: float) -> Shadow:
    """The host bone with its lesion centred at z = `at_mm`."""
    site = _site(rng, host, lesion, at_mm)
    draw: Callable[[np.random.Generator, Host, Lesion, _Site, Shadow], None] = _body
    if lesion.matrix == "exostosis":
        draw = _exostosis
    elif lesion.matrix == "nidus":
        draw = _nidus
    elif lesion.family.several:
        draw = _punched_out
    outer_mm = host.outer_mm
    empty = np.zeros(outer_mm.shape, np.bool_)
    healthy = ((outer_mm - host.medulla_mm) + host.fraction * host.medulla_mm) * (1 - host.missing)
    shadow = Shadow(healthy, np.zeros_like(outer_mm), outer_mm > 0, empty, healthy)
    draw(rng, host, lesion, site, shadow)
    return shadow


def _site(rng: np.random.Generator, host: Host, lesion: Lesion, at_mm: float) -> _Site:
    family = lesion.family
    width = _projected_half_width(host.bone, host.frame, at_mm)
    half_length = lesion.length_mm / 2
    half_width = min(lesion.width_mm / 2, width * (1.0 if not family.malignant else 1.25))
    if family.several:
        half_width = min(half_width, 0.9 * width)
    if lesion.matrix in ("exostosis", "nidus"):
        centre_x = lesion.side * width * lesion.eccentricity
    else:
        centre_x = lesion.side * lesion.eccentricity * max(width - 0.55 * half_width, 0.2 * width)
    dx = host.across - np.float32(centre_x)
    dz = host.frame.z - np.float32(at_mm)
    shape = outline(rng, dx, dz, half_width, half_length, family.lobulation)
    shift = np.float32(rng.uniform(-0.25, 0.25) * width * (0 if lesion.matrix == "exostosis" else 1))
    depth = np.asarray(_depth_middle(host.bone, host.frame) + shift, np.float32)
    return _Site(half_width, half_length, width, dx, dz, shape, depth, min(1.15 * half_width, 1.2 * width))


def _exostosis(rng: np.random.Generator, host: Host, lesion: Lesion, site: _Site, shadow: Shadow) -> None:
    """Bone on a bone, its marrow that of the host, under a cap of cartilage."""
    outer = [*host.outer, site.ball(1.0)]
    inner = [*host.inner, site.ball(max(0.7, 1 - 1.2 / site.half_width), -0.5)]
    outer_mm, medulla_mm = union_length(outer), union_length(inner)
    cap = chondroid_mm(rng, site.dx, site.dz, site.half_width, site.half_length, 0.4)
    cap *= smoothstep(site.shape.radius, 0.6, 0.95)
    filled = np.maximum(host.fraction, 0.12) * medulla_mm
    shadow.mineral = np.asarray((outer_mm - medulla_mm + filled + cap) * (1 - host.missing), np.float32)
    shadow.silhouette = outer_mm > 0
    shadow.lesion = (site.shape.radius < 1) & (union_length(outer[-1:]) > 0)


def _nidus(rng: np.random.Generator, host: Host, lesion: Lesion, site: _Site, shadow: Shadow) -> None:
    """A lucency of a centimetre or so in much sclerosis and thickened cortex (Kransdorf et al., RadioGraphics 1991)."""
    outer_mm = host.outer_mm
    in_medulla = union_length(host.inner, site.ball(1.0))
    dense = smoothstep(site.shape.radius, 1.05, 0.25) * np.float32(rng.uniform(0.45, 0.8) * lesion.strength)
    fraction = np.maximum(host.fraction, dense)
    mineral = shadow.mineral + (fraction - host.fraction) * in_medulla * (1 - host.missing)
    new_bone, _ = _periosteum(rng, host, lesion, site, host.outer, outer_mm)
    radius = float(rng.uniform(2.2, 6.0) * np.clip(site.bone_half / 14, 0.6, 1.1))
    apart = np.hypot(site.dx, site.dz)
    nidus = chord_about(apart < radius, site.depth, np.sqrt(np.maximum(np.float32(radius**2) - apart**2, 0)))
    inside, marrow = union_length(host.outer, nidus), union_length(host.inner, nidus)
    lost = (inside - marrow) + fraction * marrow
    mineral -= np.float32(0.55 + 0.4 * lesion.strength) * lost * (1 - host.missing)
    if rng.random() < 0.5:
        mineral += 2 * np.sqrt(np.maximum(np.float32((0.4 * radius) ** 2) - apart**2, 0)) * np.float32(0.6)
    shadow.mineral = np.maximum(mineral, 0) + new_bone * (1 - np.float32(0.7) * smoothstep(apart, radius, 0.7 * radius))
    shadow.silhouette = (outer_mm > 0) | (new_bone > 0)
    shadow.lesion = (site.shape.radius < 0.9) & shadow.silhouette


def _punched_out(rng: np.random.Generator, host: Host, lesion: Lesion, site: _Site, shadow: Shadow) -> None:
    """Holes that bite into the walls of the bone from inside; what lies between close ones belongs to the lesion."""
    outer_mm, medulla_mm = host.outer_mm, host.medulla_mm
    wall = (outer_mm - medulla_mm) / 2
    holes = foci(rng, site.dx, site.dz, site.half_width, site.half_length)
    lost = np.zeros_like(outer_mm)
    for hole in holes:
        bitten = np.minimum(hole * np.float32(0.7), wall * np.float32(rng.uniform(0.7, 1.0)))
        lost += bitten + host.fraction * np.minimum(np.maximum(hole - bitten, 0), medulla_mm / 2)
    lost *= np.float32(lesion.strength)
    marked = ((np.maximum(*holes) > 0.5) & (outer_mm > 0)).astype(np.uint8)
    between = 2 * round(3.0 / host.spacing_mm) + 1
    closed = cv2.morphologyEx(marked, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (between, between)))
    shadow.mineral = np.asarray(np.maximum(shadow.mineral - lost * (1 - host.missing), 0), np.float32)
    shadow.lesion = (closed > 0) & (outer_mm > 0)


def _body(rng: np.random.Generator, host: Host, lesion: Lesion, site: _Site, shadow: Shadow) -> None:
    """Bone is destroyed and perhaps replaced, its cortex blown up or broken, the periosteum answers."""
    family = lesion.family
    outer, inner, body = list(host.outer), list(host.inner), site.ball(1.0)
    if family.expansion > 0 and lesion.margin in ("IA", "IB"):
        wall = rng.uniform(0.5, 0.9)
        grown = 1 + family.expansion * rng.uniform(0.2, 1.0)
        body = site.ball(grown)
        outer.append(body)
        inner.append(site.ball(grown - wall / site.half_width, -0.3))
    outer_mm, medulla_mm = union_length(outer), union_length(inner)
    in_outer, in_medulla = union_length(outer, body), union_length(inner, body)
    in_cortex = np.maximum(in_outer - in_medulla, 0)
    cortex_mm = outer_mm - medulla_mm
    shadow.silhouette = outer_mm > 0

    gone = destroyed(rng, lesion.margin, site.shape, site.half_width, host.spacing_mm) * np.float32(lesion.strength)
    # A benign lesion scallops the cortex from inside; a malignant one goes through it.
    cortex_share = np.float32(rng.uniform(0.7, 0.97) if family.malignant else rng.uniform(0.25, 0.6))
    made = matrix_fraction(rng, lesion.matrix, site.shape, host.spacing_mm, lesion.strength)
    mineral = cortex_mm - cortex_share * gone * in_cortex
    mineral += host.fraction * medulla_mm + (np.minimum(made, 0.9) - host.fraction) * gone * in_medulla
    if lesion.matrix == "osteoid":
        mineral += made * np.float32(0.55) * in_medulla * (1 - gone)
    grain = {"chondroid": chondroid_mm, "septated": septa_mm}.get(lesion.matrix)
    if grain is not None:
        grains = grain(rng, site.dx, site.dz, site.half_width, site.half_length, lesion.strength)
        mineral += np.minimum(grains, 0.7 * in_outer)
    if lesion.margin == "IA":
        rim_mm = rng.uniform(0.8, 2.4)
        ring = union_length(inner, site.ball(1 + rim_mm / site.half_width)) - union_length(inner, site.ball(1.0))
        mineral += np.maximum(ring, 0) * np.float32(rng.uniform(0.35, 0.7) * (0.5 + 0.5 * lesion.strength))
    periosteum, mass = _periosteum(rng, host, lesion, site, outer, outer_mm)
    support = union_length([*outer, body], body) if lesion.mass else in_outer
    shadow.lesion = (support > 0.12 * site.half_depth) & (site.shape.radius < 1.02)
    # New bone in the mass: the osteoid of an osteosarcoma does not stop at the cortex.
    if lesion.matrix == "osteoid" and lesion.mass:
        beyond = np.maximum(union_length([body]) - in_outer, 0)
        mineral += beyond * made * np.float32(0.45)
    shadow.mineral = np.maximum(mineral, 0) * (1 - host.missing) + periosteum
    shadow.outside_soft = mass


def _periosteum(
    rng: np.random.Generator, host: Host, lesion: Lesion, site: _Site, outer: list[Chord], outer_mm: Field
) -> tuple[Field, Field]:
    """(new bone outside the cortex, mm of mineral; soft-tissue mass, mm of lean tissue)."""
    assert host.bone.shaft is not None
    shaft, frame, dz, across = host.bone.shaft, host.frame, site.dz, host.across
    new = np.zeros_like(outer_mm)
    reach = np.asarray(np.abs(dz) / np.float32(site.half_length), np.float32)
    lift = np.float32(rng.uniform(0.14, 0.4) * site.bone_half)
    sided = smoothstep(across * np.float32(lesion.side), -0.6 * site.bone_half, 0.1 * site.bone_half)
    if lesion.eccentricity < 0.3 and rng.random() < 0.6:
        sided = np.ones_like(sided)

    def beyond(offset: Field) -> Field:
        return np.asarray(union_length([shaft.chord(frame, offset), *outer]) - outer_mm, np.float32)

    dome = np.maximum(1 - reach**2, 0) ** np.float32(0.5)
    kind, strength = lesion.periosteal, np.float32(0.4 + 0.6 * lesion.strength)
    if kind == "solid":
        new += beyond(lift * np.float32(0.45) * dome) * np.float32(0.8)
    if kind == "lamellated":
        layers = int(rng.integers(2, 5))
        for layer in range(1, layers + 1):
            height = lift * np.float32(0.75 * layer / layers) * dome
            new += (beyond(height) - beyond(np.maximum(height - np.float32(0.65), 0))) * np.float32(0.75)
    if "codman" in kind:
        ends = smoothstep(reach, 1.25, 1.0) * smoothstep(reach, 0.62, 0.95)
        height = lift * ends
        new += (beyond(height) - beyond(np.maximum(height - np.float32(1.2), 0))) * np.float32(0.9)
    if "sunburst" in kind:
        root = across - np.float32(lesion.side * site.bone_half * 0.2)
        spokes = np.zeros_like(new)
        for _ in range(3):
            angle = np.arctan2(dz, root) * np.float32(rng.uniform(16, 30)) + np.float32(rng.uniform(0, 6))
            spokes += smoothstep(np.sin(angle + np.float32(rng.normal(0, 0.5)) * np.sin(dz / 4)), 0.35, 0.95)
        new += beyond(lift * np.float32(1.6) * dome) * spokes * np.float32(0.16)
    mass = np.zeros_like(new)
    if lesion.mass:
        wide = np.maximum(1 - (np.abs(dz) / np.float32(1.15 * site.half_length)) ** 2, 0) ** np.float32(0.5)
        mass = beyond(np.float32(rng.uniform(0.3, 0.9) * site.bone_half) * wide) * sided * np.float32(0.45)
    return np.asarray(new * sided * strength, np.float32), np.asarray(mass, np.float32)


def _projected_half_width(bone: Bone, frame: Frame, z: float) -> float:
    assert bone.shaft is not None
    at = np.array([z], np.float32)
    ml, ap = float(bone.shaft.half_ml(at)[0]), float(bone.shaft.half_ap(at)[0])
    return float(np.hypot(ml * np.cos(frame.view), ap * np.sin(frame.view)))


def _depth_middle(bone: Bone, frame: Frame) -> Field:
    assert bone.shaft is not None
    cos, sin = np.float32(np.cos(frame.view)), np.float32(np.sin(frame.view))
    return np.asarray(bone.shaft.centre_ap(frame.z) * cos - bone.shaft.centre_ml(frame.z) * sin, np.float32)
