"""A limb, perhaps diseased, exposed: anatomy and lesions become millimetres of material, then detected energy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bonedge.edge.records import Label

from . import confusables, implants
from .anatomy import Bone, Limb, build_limb
from .conspicuity import LEAST_CONSPICUITY, Change, conspicuity
from .disease import Host, Shadow, diseased
from .geometry import Field, Frame, union_extent, union_length
from .girdles import build_hip, build_shoulder
from .hand import build_hand
from .lesions import FAMILIES, Lesion, draw_lesion
from .physics import Paths, expose, primary, random_exposure
from .records import Regime, Region, Scene
from .texture import noise, trabeculae

REGIONS = {Region.KNEE: 0.36, Region.LEG: 0.22, Region.ANKLE: 0.2, Region.FOREARM: 0.22}
"""What the released models are trained on, and how often; others are simulated when they are asked for."""
FRONTAL = {Region.SHOULDER: build_shoulder, Region.HIP: build_hip, Region.HAND: build_hand}
"""What is never seen from the side, and who builds it."""
FINDINGS: Mapping[str, Label] = dict.fromkeys(confusables.CONFUSABLES, Label.NORMAL) | {
    family.name: Label.MALIGNANT if family.malignant else Label.BENIGN for family in FAMILIES
}
"""What a bone can show, and what its radiograph is then called."""
_FAMILIES = {family.name: family for family in FAMILIES}
_PATIENTS = 12
"""How many with a lesion of one family are tried before another is taken: in a finger, some never show so well."""
_ROUNDS = 20
"""How often so many are tried before what was asked for is given up."""
_DRAWN = 10_000
"""How many patients are drawn before it is clear that what is wanted cannot be where it is wanted."""
_TREATED = 0.05
"""Share of the lesions' bones that carry an implant or a cast."""
ASPECTS = (0.42, 0.5, 0.6, 0.75, 0.83, 0.83, 1.0)
"""Width over height of the common cassette formats and collimations."""


class DoesNotOccur(ValueError):
    """What was asked for cannot be simulated."""


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
    """Empty with a lesion."""
    fractured: bool = False
    """Once, and healed."""
    implant: str = ""
    """On or in the host, or around the limb; empty for none."""


def limb_scene(
    rng: np.random.Generator,
    label: Label,
    regime: Regime,
    size: int,
    region: Region | None = None,
    finding: str | None = None,
) -> Scene:
    """A limb radiograph's signal before the console.

    Args:
        rng: source of randomness.
        label: normal, benign or malignant.
        regime: how hard the lesion is to see.
        size: long side, pixels.
        region: what is in the field; by default one of `REGIONS`.
        finding: one of `FINDINGS` that goes with the label; by default chance decides.

    Raises:
        DoesNotOccur: the finding cannot be in that region, or never shows well there.
    """
    for _ in range(_ROUNDS) if finding else itertools.count():
        wanted = finding
        for _ in range(_PATIENTS):
            patient = _draw_patient(rng, label, regime, region, wanted)
            taken = _radiograph(rng, patient, label, regime, size)
            if taken is not None and taken[1] >= LEAST_CONSPICUITY[regime]:
                return taken[0]
            # Another patient with the same finding: they stay in proportion.
            wanted = patient.lesion.family.name if patient.lesion else patient.confusable
    raise DoesNotOccur(f"{finding} does not show well enough in {region or 'any region'}")


def _radiograph(
    rng: np.random.Generator, patient: Patient, label: Label, regime: Regime, size: int
) -> tuple[Scene, float] | None:
    """A patient's scene, and how conspicuous the lesion is in it (infinite when there is none).

    None when the place of the finding is not in the field: a thumb lies beside a narrow one.
    """
    spacing = patient.limb.length_mm / size
    frame = _rays(rng, patient.limb, size, spacing)
    if not _in_field(patient, patient.host.frame(frame), spacing):
        return None
    soft, fat = _soft_tissue(rng, patient.limb, frame, spacing)
    mineral = np.zeros_like(soft)
    bones = np.zeros(soft.shape, np.bool_)
    lesion = np.zeros(soft.shape, np.bool_)
    metal = np.zeros_like(soft)
    change = Change(np.zeros_like(soft), np.zeros_like(soft), bones)
    for bone in patient.limb.bones:
        hosts = bone is patient.host
        own = bone.frame(frame)
        # What happens to a host may reach beyond it; every other bone is looked for where it can be.
        window = (slice(None), slice(None)) if hosts else _window(bone, own)
        shadow = _shadow(rng, bone, patient.limb, own.part(window), spacing, patient if hosts else None)
        if shadow is None:
            continue
        mineral[window] += shadow.mineral
        soft[window] += shadow.outside_soft
        if shadow.metal is not None:
            metal += shadow.metal
        if bone.shaft is not None:
            bones[window] |= shadow.silhouette
        lesion[window] |= shadow.lesion
        if shadow.healthy is not None:
            change = Change(shadow.mineral - shadow.healthy, shadow.outside_soft, shadow.healthy > 0)
    if patient.implant == implants.CAST:
        # Beside the limb there is no lean tissue for the mineral to displace.
        plaster = implants.cast_mm(rng, patient.limb, frame, spacing) * np.float32(implants.PLASTER)
        soft, mineral = soft + plaster, mineral + plaster
    paths = Paths(soft, fat, mineral, metal)
    passed, exposure = primary(paths), random_exposure(rng)
    exposure = replace(exposure, photons=exposure.photons * patient.limb.exposure)
    signal = expose(passed, exposure, spacing, rng)
    seen = conspicuity(paths, passed, change, lesion, exposure, spacing) if patient.lesion else np.inf
    family = patient.lesion.family.name if patient.lesion else patient.confusable
    semiology = patient.lesion.semiology | {"implant": patient.implant or "none"} if patient.lesion else {}
    return Scene(signal, lesion, bones, spacing, label, patient.limb.region, family, regime, semiology), seen


def _draw_patient(
    rng: np.random.Generator, label: Label, regime: Regime, region: Region | None, wanted: str | None
) -> Patient:
    """A person whose field shows a place where the wanted thing can be; `wanted`: one of `FINDINGS`."""
    for _ in range(_DRAWN):
        shown = region or Region(rng.choice([one.value for one in REGIONS], p=list(REGIONS.values())))
        limb = FRONTAL[shown](rng) if shown in FRONTAL else build_limb(rng, shown)
        span = 0.36 * limb.length_mm
        window = (limb.centre_mm - span, limb.centre_mm + span)
        if label is Label.NORMAL:
            confusable = wanted or str(rng.choice(confusables.CONFUSABLES, p=confusables.FREQUENCIES))
            implant = confusable if confusable in implants.IMPLANTS else ""
            fractured = confusable == "healed fracture" or bool(implant and rng.random() < 0.6)
            found = _places(limb, ("diaphysis",) if fractured or implant else ("diaphysis", "metaphysis"), window, 25)
            if found:
                host, low, high = found[int(rng.integers(len(found)))]
                return Patient(limb, host, float(rng.uniform(low, high)), None, confusable, fractured, implant)
            continue
        families = [family for family in FAMILIES if family.malignant is (label is Label.MALIGNANT)]
        family = _FAMILIES[wanted] if wanted else families[int(rng.integers(len(families)))]
        if family.young and limb.age > 25 and rng.random() < 0.8:
            continue
        if limb.age < family.least_age:
            continue
        found = _places(limb, family.sites, window, 10)
        if not found:
            continue
        host, low, high = found[int(rng.integers(len(found)))]
        at = float(rng.uniform(low, high))
        width = _half_width(host, at)
        lesion = draw_lesion(rng, family, regime, float(np.clip(width / 17, 0.45, 1.15)))
        # Lesions, too, are curetted, nailed and put in plaster: metal must not mean that a bone is healthy.
        implant = str(rng.choice(implants.IMPLANTS)) if host.diaphysis and rng.random() < _TREATED else ""
        return Patient(limb, host, at, lesion, "", implant=implant)
    raise DoesNotOccur(f"{wanted or label} does not occur in {region or 'any region'}")


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


def _in_field(patient: Patient, frame: Frame, spacing: float) -> bool:
    """Whether the field shows the whole width of the host where the finding is; `frame`: rays in the host's frame."""
    assert patient.host.shaft is not None
    middle = patient.host.shaft.middle(np.array([patient.at_mm], np.float32), frame.view)
    away = np.hypot(frame.x - middle, frame.z - np.float32(patient.at_mm))
    nearest = np.unravel_index(np.argmin(away), away.shape)
    from_side = min(min(place, length - 1 - place) for place, length in zip(nearest, away.shape, strict=True))
    return bool(away[nearest] <= spacing and from_side * spacing >= _half_width(patient.host, patient.at_mm))


def _soft_tissue(rng: np.random.Generator, limb: Limb, frame: Frame, spacing: float) -> tuple[Field, Field]:
    """(lean, fat) mm along each ray."""
    lean = union_length([tube.chord(frame) for tube in limb.muscle])
    whole = union_length([tube.chord(frame, limb.fat_mm) for tube in limb.muscle])
    planes = noise(rng, lean.shape, 5 / spacing, 40 / spacing)
    marbled = np.clip(0.06 + 0.05 * planes, 0, 0.3)
    return np.asarray(lean * (1 - marbled), np.float32), np.asarray(whole - lean + lean * marbled, np.float32)


def _window(bone: Bone, frame: Frame) -> tuple[slice, slice]:
    """Rows and columns outside which no ray of its frame meets the bone."""
    return union_extent([solid.extent(frame.view) for solid in bone.solids]).window(frame)


def _shadow(
    rng: np.random.Generator, bone: Bone, limb: Limb, frame: Frame, spacing: float, patient: Patient | None
) -> Shadow | None:
    """One bone, with what is the matter with it when it is the patient's host; None when it is outside the field.

    `frame`: rays in the bone's frame.
    """
    half = _half_width(bone, patient.at_mm) if patient else 0.0
    fracture = None
    if patient and patient.fractured:
        fracture = confusables.draw_fracture(rng, (patient.at_mm - 15, patient.at_mm + 15), half / 14)
        kink = np.where(frame.z > fracture.z, (frame.z - fracture.z) * np.float32(fracture.angle), 0).astype(np.float32)
        frame = replace(frame, x=frame.x - kink)
    outer = [solid.chord(frame) for solid in bone.solids]
    if not any(np.any(chord.exit > chord.entry) for chord in outer):
        return None
    cortex = bone.cortex_mm(frame.z)
    inner = [solid.chord(frame, -cortex) for solid in bone.solids]
    fraction = bone.cancellous(frame.z) * (1 + np.float32(0.2) * trabeculae(rng, frame.z.shape, spacing))
    middle = bone.shaft.middle(frame.z, frame.view) if bone.shaft else np.float32(0)
    across = np.asarray(frame.x - middle, np.float32)
    missing = np.zeros_like(fraction)
    for plate in bone.plates:
        gap, rim = confusables.plate_gap(rng, across, frame.z, plate, limb.age)
        missing, fraction = np.maximum(missing, gap), fraction + rim
    host = Host(bone, frame, spacing, outer, inner, fraction, missing, across)
    if patient and patient.lesion:
        shadow = diseased(rng, host, patient.lesion, patient.at_mm)
    else:
        shadow = _healthy(rng, host, fracture, patient.confusable if patient else "", patient.at_mm if patient else 0.0)
    if patient and patient.implant in (implants.PLATE, implants.NAIL):
        shadow.metal = implants.metal_mm(rng, patient.implant, bone, frame, across, patient.at_mm, half)
    return shadow


def _healthy(
    rng: np.random.Generator, host: Host, fracture: confusables.Fracture | None, confusable: str, at_mm: float
) -> Shadow:
    """A bone without a lesion, and what may pass for one: that, if any, is centred at z = `at_mm`."""
    bone, frame, across = host.bone, host.frame, host.across
    outer_mm, medulla_mm = host.outer_mm, host.medulla_mm
    fraction, missing = host.fraction, host.missing
    shell_mm = np.zeros_like(fraction)
    if fracture and bone.shaft:
        callus = union_length([bone.shaft.chord(frame, fracture.callus(frame.z)), *host.outer]) - outer_mm
        shell_mm += callus * np.float32(rng.uniform(0.5, 0.9))
        fraction = fraction + confusables.fracture_line(rng, fracture, across, frame.z, host.spacing_mm)
    elif confusable == "bone island":
        half = _half_width(bone, at_mm)
        offset = np.float32(rng.uniform(-0.5, 0.5) * half)
        island = confusables.bone_island(rng, across - offset, frame.z - np.float32(at_mm), half / 14)
        shell_mm += np.minimum(island, medulla_mm)
    elif confusable == "nutrient canal":
        canal = confusables.nutrient_canal(rng, across, frame.z - np.float32(at_mm), _half_width(bone, at_mm))
        missing = np.maximum(missing, canal)
    elif confusable == "growth arrest lines":
        fraction = fraction + confusables.arrest_lines(rng, across, frame.z, bone)
    mineral = ((outer_mm - medulla_mm) + fraction * medulla_mm + shell_mm) * (1 - missing)
    empty = np.zeros(fraction.shape, np.bool_)
    return Shadow(mineral, np.zeros_like(fraction), outer_mm > 0, empty)
