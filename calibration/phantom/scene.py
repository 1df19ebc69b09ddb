"""A limb, perhaps diseased, exposed: anatomy and lesions become millimetres of material, then detected energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bonedge.edge.records import Label, Mask

from . import confusables
from .anatomy import Bone, Limb, build_limb
from .conspicuity import LEAST_CONSPICUITY, Change, conspicuity
from .geometry import Chord, Field, Frame, union_length
from .girdles import build_hip, build_shoulder
from .hand import build_hand
from .lesions import FAMILIES, Family, Lesion, chondroid_mm, destroyed, draw_lesion, matrix_fraction, outline
from .physics import Paths, expose, primary, random_exposure
from .records import Regime, Region, Scene
from .texture import noise, smoothstep, trabeculae

REGIONS = {Region.KNEE: 0.36, Region.LEG: 0.22, Region.ANKLE: 0.2, Region.FOREARM: 0.22}
"""What the released models are trained on, and how often; others are simulated when they are asked for."""
FRONTAL = {Region.SHOULDER: build_shoulder, Region.HIP: build_hip, Region.HAND: build_hand}
"""What is never seen from the side, and who builds it."""
ASPECTS = (0.42, 0.5, 0.6, 0.75, 0.83, 0.83, 1.0)
"""Width over height of the common cassette formats and collimations."""


@dataclass(frozen=True)
class Patient:
    """A limb on the cassette, and what is the matter with it."""

    limb: Limb
    host: Bone
    """The bone that carries the lesion or the confusable."""
    at_mm: float
    """z of the lesion's or the confusable's centre."""
    lesion: Lesion | None
    confusable: str


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


def limb_scene(
    rng: np.random.Generator, label: Label, regime: Regime, size: int, region: Region | None = None
) -> Scene:
    """A limb radiograph's signal before the console.

    Args:
        rng: source of randomness.
        label: normal, benign or malignant.
        regime: how hard the lesion is to see.
        size: long side, pixels.
        region: what is in the field; by default one of `REGIONS`.
    """
    family = None
    while True:
        patient = _draw_patient(rng, label, regime, region, family)
        scene, seen = _radiograph(rng, patient, label, regime, size)
        if seen >= LEAST_CONSPICUITY[regime]:
            return scene
        # Another patient with the same kind of lesion: the families stay in proportion.
        family = patient.lesion.family if patient.lesion else None


def _radiograph(
    rng: np.random.Generator, patient: Patient, label: Label, regime: Regime, size: int
) -> tuple[Scene, float]:
    """A patient's scene, and how conspicuous the lesion is in it (infinite when there is none)."""
    spacing = patient.limb.length_mm / size
    frame = _rays(rng, patient.limb, size, spacing)
    soft, fat = _soft_tissue(rng, patient.limb, frame, spacing)
    mineral = np.zeros_like(soft)
    bones = np.zeros(soft.shape, np.bool_)
    lesion = np.zeros(soft.shape, np.bool_)
    change = Change(np.zeros_like(soft), np.zeros_like(soft), bones)
    for bone in patient.limb.bones:
        diseased = patient if bone is patient.host else None
        shadow = _shadow(rng, bone, patient.limb, frame, spacing, diseased)
        if shadow is None:
            continue
        mineral += shadow.mineral
        soft += shadow.outside_soft
        if bone.shaft is not None:
            bones |= shadow.silhouette
        lesion |= shadow.lesion
        if shadow.healthy is not None:
            change = Change(shadow.mineral - shadow.healthy, shadow.outside_soft, shadow.healthy > 0)
    paths = Paths(soft, fat, mineral, np.zeros_like(soft))
    passed, exposure = primary(paths), random_exposure(rng)
    exposure = replace(exposure, photons=exposure.photons * patient.limb.exposure)
    signal = expose(passed, exposure, spacing, rng)
    seen = conspicuity(paths, passed, change, lesion, exposure, spacing) if patient.lesion else np.inf
    family = patient.lesion.family.name if patient.lesion else patient.confusable
    semiology = patient.lesion.semiology if patient.lesion else {}
    return Scene(signal, lesion, bones, spacing, label, patient.limb.region, family, regime, semiology), seen


def _draw_patient(
    rng: np.random.Generator, label: Label, regime: Regime, region: Region | None, wanted: Family | None
) -> Patient:
    """A person whose field shows a place where the wanted thing can be; `wanted`: of this family."""
    while True:
        shown = region or Region(rng.choice([one.value for one in REGIONS], p=list(REGIONS.values())))
        limb = FRONTAL[shown](rng) if shown in FRONTAL else build_limb(rng, shown)
        span = 0.36 * limb.length_mm
        window = (limb.centre_mm - span, limb.centre_mm + span)
        if label is Label.NORMAL:
            confusable = str(rng.choice(confusables.CONFUSABLES, p=confusables.FREQUENCIES))
            found = _places(
                limb, ("diaphysis",) if "fracture" in confusable else ("diaphysis", "metaphysis"), window, 25
            )
            if found:
                host, low, high = found[int(rng.integers(len(found)))]
                return Patient(limb, host, float(rng.uniform(low, high)), None, confusable)
            continue
        families = [family for family in FAMILIES if family.malignant is (label is Label.MALIGNANT)]
        family = wanted or families[int(rng.integers(len(families)))]
        if family.young and limb.age > 25 and rng.random() < 0.8:
            continue
        if family.name == "giant cell tumour" and limb.age < 17:
            continue
        found = _places(limb, family.sites, window, 10)
        if not found:
            continue
        host, low, high = found[int(rng.integers(len(found)))]
        at = float(rng.uniform(low, high))
        width = _half_width(host, at)
        lesion = draw_lesion(rng, family, regime, float(np.clip(width / 17, 0.45, 1.15)))
        return Patient(limb, host, at, lesion, "")


def _places(
    limb: Limb, sites: Sequence[str], window: tuple[float, float], least_mm: float
) -> list[tuple[Bone, float, float]]:
    """Stretches of long bones of the wanted kind that lie in the window: (bone, from, to), mm along z."""
    found = []
    for bone in limb.bones:
        spans: list[tuple[float, float]] = []
        if "diaphysis" in sites and bone.diaphysis:
            spans.append(bone.diaphysis)
        if "metaphysis" in sites:
            spans.extend(bone.metaphyses)
        if "epiphysis" in sites:
            spans.extend(bone.epiphyses)
        for start, stop in spans:
            low, high = max(start, window[0]), min(stop, window[1])
            if high - low >= min(least_mm, (stop - start) * 0.5):
                found.append((bone, low, high))
    return found


def _half_width(bone: Bone, z: float) -> float:
    assert bone.shaft is not None
    return float(bone.shaft.half_ml(np.array([z], np.float32))[0])


def _rays(rng: np.random.Generator, limb: Limb, size: int, spacing: float) -> Frame:
    """One ray per pixel, the limb turned and shifted as it lies on the cassette."""
    aspect = float(rng.choice(ASPECTS))
    columns = max(200, round(size * aspect))
    view = float(
        rng.choice([rng.normal(0, 0.12), np.pi / 2 + rng.normal(0, 0.12), rng.uniform(0, np.pi)], p=[0.5, 0.35, 0.15])
    )
    if limb.region in FRONTAL:
        # Flat on the cassette, or turned by up to 31 degrees.
        view = 0.35 * min(view, np.pi - view)
    tilt = float(rng.normal(0, 0.06))
    across = (np.arange(columns, dtype=np.float32) - np.float32(columns / 2)) * np.float32(spacing)
    along = (np.arange(size, dtype=np.float32) - np.float32(size / 2)) * np.float32(spacing) + np.float32(
        limb.centre_mm
    )
    x, z = np.meshgrid(across, along)
    frame = Frame(x, z, view)
    return frame.moved(shift_mm=float(rng.normal(0, 0.05) * columns * spacing), tilt=tilt, pivot_mm=limb.centre_mm)


def _soft_tissue(rng: np.random.Generator, limb: Limb, frame: Frame, spacing: float) -> tuple[Field, Field]:
    """(lean, fat) mm along each ray."""
    lean = union_length([tube.chord(frame) for tube in limb.muscle])
    whole = union_length([tube.chord(frame, limb.fat_mm) for tube in limb.muscle])
    planes = noise(rng, lean.shape, 5 / spacing, 40 / spacing)
    marbled = np.clip(0.06 + 0.05 * planes, 0, 0.3)
    return np.asarray(lean * (1 - marbled), np.float32), np.asarray(whole - lean + lean * marbled, np.float32)


def _shadow(
    rng: np.random.Generator, bone: Bone, limb: Limb, frame: Frame, spacing: float, patient: Patient | None
) -> Shadow | None:
    """One bone, with its lesion when it is the patient's host; None when it is outside the field."""
    frame = bone.frame(frame)
    fracture = None
    if patient and patient.confusable == "healed fracture":
        fracture = confusables.draw_fracture(
            rng, (patient.at_mm - 15, patient.at_mm + 15), _half_width(bone, patient.at_mm) / 14
        )
        kink = np.where(frame.z > fracture.z, (frame.z - fracture.z) * np.float32(fracture.angle), 0).astype(np.float32)
        frame = replace(frame, x=frame.x - kink)
    outer = [solid.chord(frame) for solid in bone.solids]
    touched = np.flatnonzero(np.any([chord.exit > chord.entry for chord in outer], axis=(0, 2)))
    if not len(touched):
        return None
    cortex = bone.cortex_mm(frame.z)
    inner = [solid.chord(frame, -cortex) for solid in bone.solids]
    fraction = bone.cancellous(frame.z) * (1 + np.float32(0.2) * trabeculae(rng, frame.z.shape, spacing))
    outer_mm, medulla_mm = union_length(outer), union_length(inner)
    middle = bone.shaft.centre_ml(frame.z) * np.float32(np.cos(frame.view)) if bone.shaft else np.float32(0)
    if bone.shaft:
        middle = middle + bone.shaft.centre_ap(frame.z) * np.float32(np.sin(frame.view))
    across = np.asarray(frame.x - middle, np.float32)
    dense = np.zeros_like(fraction)
    shell_mm = np.zeros_like(fraction)
    missing = np.zeros_like(fraction)
    for plate in bone.plates:
        gap, rim = confusables.plate_gap(rng, across, frame.z, plate, limb.age)
        missing, dense = np.maximum(missing, gap), dense + rim
    shadow = Shadow(np.zeros_like(fraction), np.zeros_like(fraction), outer_mm > 0, np.zeros(fraction.shape, np.bool_))
    if patient and patient.lesion:
        shadow.healthy = ((outer_mm - medulla_mm) + (fraction + dense) * medulla_mm) * (1 - missing)
        return _diseased(rng, bone, frame, spacing, patient, outer, inner, fraction + dense, missing, across, shadow)
    if patient:
        along = frame.z - np.float32(patient.at_mm)
        half = _half_width(bone, patient.at_mm)
        if fracture and bone.shaft:
            callus = union_length([bone.shaft.chord(frame, fracture.callus(frame.z)), *outer]) - outer_mm
            shell_mm += callus * np.float32(rng.uniform(0.5, 0.9))
            dense += confusables.fracture_line(rng, fracture, across, frame.z, spacing)
        elif patient.confusable == "bone island":
            offset = np.float32(rng.uniform(-0.5, 0.5) * half)
            shell_mm += np.minimum(confusables.bone_island(rng, across - offset, along, half / 14), medulla_mm)
        elif patient.confusable == "nutrient canal":
            missing = np.maximum(missing, confusables.nutrient_canal(rng, across, along, half))
        elif patient.confusable == "growth arrest lines":
            dense += confusables.arrest_lines(rng, across, frame.z, bone)
    shadow.mineral = ((outer_mm - medulla_mm) + (fraction + dense) * medulla_mm + shell_mm) * (1 - missing)
    return shadow


def _diseased(
    rng: np.random.Generator,
    bone: Bone,
    frame: Frame,
    spacing: float,
    patient: Patient,
    outer: list[Chord],
    inner: list[Chord],
    fraction: Field,
    missing: Field,
    across: Field,
    shadow: Shadow,
) -> Shadow:
    """The host bone with its lesion: destruction, matrix, rim, expansion, periosteum, mass."""
    lesion = patient.lesion
    assert lesion is not None
    assert bone.shaft is not None
    family = lesion.family
    host = _projected_half_width(bone, frame, patient.at_mm)
    half_length = lesion.length_mm / 2
    half_width = min(lesion.width_mm / 2, host * (1.0 if not family.malignant else 1.25))
    if lesion.matrix == "exostosis":
        centre_x = lesion.side * host * lesion.eccentricity
    else:
        centre_x = lesion.side * lesion.eccentricity * max(host - 0.55 * half_width, 0.2 * host)
    dx = across - np.float32(centre_x)
    dz = frame.z - np.float32(patient.at_mm)
    shape = outline(rng, dx, dz, half_width, half_length, family.lobulation)
    depth_middle = _depth_middle(bone, frame)
    half_depth = np.float32(min(1.15 * half_width, 1.2 * host))
    depth_shift = np.float32(rng.uniform(-0.25, 0.25) * host * (0 if lesion.matrix == "exostosis" else 1))

    def ball(scale: float, extra_mm: float = 0.0) -> Chord:
        reach = np.sqrt(np.maximum(1 - (shape.radius / np.float32(scale)) ** 2, 0))
        half = (half_depth * np.float32(scale) + np.float32(extra_mm)) * reach
        hit = shape.radius < scale
        centre = depth_middle + depth_shift
        return Chord(
            np.where(hit, centre - half, 1e3).astype(np.float32), np.where(hit, centre + half, -1e3).astype(np.float32)
        )

    body = ball(1.0)
    if lesion.matrix == "exostosis":
        outer, inner = [*outer, body], [*inner, ball(max(0.7, 1 - 1.2 / half_width), -0.5)]
    elif family.expansion > 0 and lesion.margin in ("IA", "IB"):
        wall = rng.uniform(0.5, 0.9)
        grown = 1 + family.expansion * rng.uniform(0.2, 1.0)
        outer = [*outer, ball(grown)]
        inner = [*inner, ball(grown - wall / half_width, -0.3)]
        body = ball(grown)
    outer_mm, medulla_mm = union_length(outer), union_length(inner)
    in_outer, in_medulla = union_length(outer, body), union_length(inner, body)
    in_cortex = np.maximum(in_outer - in_medulla, 0)
    cortex_mm = outer_mm - medulla_mm
    shadow.silhouette = outer_mm > 0

    if lesion.matrix == "exostosis":
        cap = chondroid_mm(rng, dx, dz, half_width, half_length, 0.4) * smoothstep(shape.radius, 0.6, 0.95)
        shadow.mineral = (cortex_mm + np.maximum(fraction, 0.12) * medulla_mm + cap) * (1 - missing)
        shadow.lesion = (shape.radius < 1) & (union_length(outer[-1:]) > 0)
        return shadow

    gone = destroyed(rng, lesion.margin, shape, half_width, spacing) * np.float32(lesion.strength)
    # A benign lesion scallops the cortex from inside; a malignant one goes through it.
    cortex_share = np.float32(rng.uniform(0.7, 0.97) if family.malignant else rng.uniform(0.25, 0.6))
    made = matrix_fraction(rng, lesion.matrix, shape, spacing, lesion.strength)
    mineral = cortex_mm - cortex_share * gone * in_cortex
    mineral += fraction * medulla_mm + (np.minimum(made, 0.9) - fraction) * gone * in_medulla
    if lesion.matrix == "osteoid":
        mineral += made * np.float32(0.55) * in_medulla * (1 - gone)
    if lesion.matrix == "chondroid":
        mineral += np.minimum(chondroid_mm(rng, dx, dz, half_width, half_length, lesion.strength), 0.7 * in_outer)
    if lesion.margin == "IA":
        rim_mm = rng.uniform(0.8, 2.4)
        ring = union_length(inner, ball(1 + rim_mm / half_width)) - union_length(inner, ball(1.0))
        mineral += np.maximum(ring, 0) * np.float32(rng.uniform(0.35, 0.7) * (0.5 + 0.5 * lesion.strength))
    periosteum, mass = _periosteum(rng, bone, frame, lesion, outer, outer_mm, dx, dz, across, half_length, host)
    support = union_length([*outer, body], body) if lesion.mass else in_outer
    shadow.lesion = (support > 0.12 * half_depth) & (shape.radius < 1.02)
    # New bone in the mass: the osteoid of an osteosarcoma does not stop at the cortex.
    if lesion.matrix == "osteoid" and lesion.mass:
        beyond = np.maximum(union_length([body]) - in_outer, 0)
        mineral += beyond * made * np.float32(0.45)
    shadow.mineral = np.maximum(mineral, 0) * (1 - missing) + periosteum
    shadow.outside_soft = mass
    return shadow


def _periosteum(
    rng: np.random.Generator,
    bone: Bone,
    frame: Frame,
    lesion: Lesion,
    outer: list[Chord],
    outer_mm: Field,
    dx: Field,
    dz: Field,
    across: Field,
    half_length: float,
    host: float,
) -> tuple[Field, Field]:
    """(new bone outside the cortex, mm of mineral; soft-tissue mass, mm of lean tissue)."""
    assert bone.shaft is not None
    shaft = bone.shaft
    new = np.zeros_like(outer_mm)
    reach = np.asarray(np.abs(dz) / np.float32(half_length), np.float32)
    lift = np.float32(rng.uniform(0.14, 0.4) * host)
    sided = smoothstep(across * np.float32(lesion.side), -0.6 * host, 0.1 * host)
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
        root = across - np.float32(lesion.side * host * 0.2)
        spokes = np.zeros_like(new)
        for _ in range(3):
            angle = np.arctan2(dz, root) * np.float32(rng.uniform(16, 30)) + np.float32(rng.uniform(0, 6))
            spokes += smoothstep(np.sin(angle + np.float32(rng.normal(0, 0.5)) * np.sin(dz / 4)), 0.35, 0.95)
        new += beyond(lift * np.float32(1.6) * dome) * spokes * np.float32(0.16)
    mass = np.zeros_like(new)
    if lesion.mass:
        wide = np.maximum(1 - (np.abs(dz) / np.float32(1.15 * half_length)) ** 2, 0) ** np.float32(0.5)
        mass = beyond(np.float32(rng.uniform(0.3, 0.9) * host) * wide) * sided * np.float32(0.45)
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
