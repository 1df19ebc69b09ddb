"""Bones, joints and soft tissue of the limbs that can be in the field.

Dimensions are those of an adult (femoral condyles about 80 mm wide, tibial shaft 27 mm, radius 14 mm), scaled by
age; `z` is 0 at the knee (leg) or at the wrist (forearm), positive distally.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .geometry import Ellipsoid, Frame, Profile, Solid, Tube
from .records import Region


@dataclass(frozen=True)
class Bone:
    """One bone: what encloses it, and where things happen in it."""

    name: str
    solids: tuple[Solid, ...]
    cortex_mm: Profile
    """Thickness of the cortex along z."""
    cancellous: Profile
    """Volume fraction of mineral in the medullary space along z, 0..1."""
    shaft: Tube | None = None
    """The long tube, host of shaft lesions; None for small bones."""
    diaphysis: tuple[float, float] | None = None
    metaphyses: tuple[tuple[float, float], ...] = ()
    epiphyses: tuple[tuple[float, float], ...] = ()
    plates: tuple[float, ...] = ()
    """z of the growth plates, open in the young."""
    shift_mm: float = 0.0
    tilt: float = 0.0
    pivot_mm: float = 0.0
    """Placement on the film: moved across, and tilted about `pivot_mm`."""

    def frame(self, frame: Frame) -> Frame:
        """The picture's rays in this bone's frame."""
        return frame.moved(shift_mm=self.shift_mm, tilt=self.tilt, pivot_mm=self.pivot_mm)


@dataclass(frozen=True)
class Limb:
    """Everything in the field before any disease."""

    region: Region
    bones: tuple[Bone, ...]
    muscle: tuple[Tube, ...]
    """Envelopes of lean tissue."""
    fat_mm: float
    """Thickness of the subcutaneous fat around them."""
    centre_mm: float
    """z in the middle of the field."""
    length_mm: float
    """Field of view along z."""
    age: float
    """Years."""
    exposure: float = 1.0
    """How many times the photons of an extremity's exposure such thick parts are given."""


def build_limb(rng: np.random.Generator, region: Region) -> Limb:
    """A healthy limb of a random person.

    Args:
        rng: source of randomness.
        region: knee, leg, ankle or forearm.
    """
    age, scale, build = draw_person(rng)
    if region is Region.FOREARM:
        length = 245 * scale
        bones = _forearm(rng, scale, build, age, length)
        muscle = _forearm_muscle(rng, scale * build, length)
        field = float(rng.choice([rng.uniform(130, 190), rng.uniform(200, 290)])) * max(scale, 0.75)
        centre = float(rng.uniform(-0.35, 0.1) * field) if field < 190 * scale else -length * rng.uniform(0.35, 0.6)
    else:
        length = 345 * scale
        bones = _lower_limb(rng, scale, build, age, length)
        muscle = _leg_muscle(rng, scale * build, length)
        if region is Region.LEG:
            field, centre = rng.uniform(230, 390) * scale, length * rng.uniform(0.38, 0.62)
        elif region is Region.KNEE:
            field, centre = rng.uniform(190, 330) * scale, rng.uniform(-32, 32) * scale
        else:
            field, centre = rng.uniform(170, 280) * scale, length - rng.uniform(5, 60) * scale
    return Limb(region, bones, muscle, float(rng.uniform(3, 16) * scale), float(centre), float(field), age)


def draw_person(rng: np.random.Generator) -> tuple[float, float, float]:
    """(age in years, scale of all lengths, scale of all widths besides); both scales are about 1 in adults."""
    age = float(rng.choice([rng.uniform(6, 13), rng.uniform(13, 18), rng.uniform(18, 80)], p=[0.22, 0.25, 0.53]))
    scale = float(np.interp(age, [5, 10, 14, 18], [0.58, 0.74, 0.92, 1.0]) * rng.normal(1, 0.05))
    build = float(np.clip(rng.normal(1, 0.07), 0.84, 1.16))
    return age, scale, build


def draw_mineral(rng: np.random.Generator, age: float, scale: float, aged: tuple[float, float]) -> tuple[float, float]:
    """(thickness of cortices, mineral between them) in units of an adult's; `aged`: what is left of each at 80."""
    cortex = float(np.interp(age, [6, 18, 50, 80], [0.75, 1.0, 1.0, aged[0]]) * rng.normal(1, 0.1)) * scale
    density = float(np.interp(age, [6, 20, 50, 80], [0.9, 1.05, 1.0, aged[1]]) * rng.normal(1, 0.12))
    return cortex, density


def profile(scale: float, knots: list[tuple[float, float]], values: float = 1.0, smooth: float = 5.0) -> Profile:
    """Knots in an adult's millimetres, made to fit: `z` and smoothing by `scale`, the values by `values`."""
    return Profile(tuple((z * scale, value * values) for z, value in knots), smooth * scale)


def constant(value: float) -> Profile:
    """The same everywhere."""
    return Profile(((0.0, value), (1.0, value)), 0.0)


def build_carpals(rng: np.random.Generator, s: float, w: float, age: float, density: float) -> tuple[Bone, ...]:
    """The eight bones of a wrist, at 0 to 29 mm; `s`, `w`: scale of lengths and of widths."""
    rows = (
        ((-17, 8, 6.5, 8), (-5, 7, 6.5, 6.5), (7, 8, 6, 6.5), (14, 9, 4, 5)),
        ((-19, 21, 6, 6), (-9, 21, 5.5, 6), (1, 20, 6.5, 8.5), (12, 21, 6.5, 7)),
    )
    grown = float(np.interp(age, [5, 12], [0.6, 1.0]))
    return tuple(
        Bone(
            "carpal",
            (Ellipsoid((ml * w, rng.normal(0, 1.5) * s, z * s), (a * w * grown, 7 * w * grown, b * s * grown)),),
            constant(0.8 * s),
            constant(0.2 * density),
        )
        for row in rows
        for ml, z, a, b in row
    )


def _lower_limb(rng: np.random.Generator, s: float, build: float, age: float, length: float) -> tuple[Bone, ...]:
    w = s * build
    cortex, density = draw_mineral(rng, age, s, (0.72, 0.62))
    flare = float(rng.normal(1, 0.05))
    bow = float(rng.normal(0, 3)) * s

    femur_shaft = Tube(
        -400 * s,
        -8 * s,
        profile(
            s, [(-400, 14), (-130, 14.5), (-95, 17), (-65, 24), (-42, 33), (-30, 38 * flare), (-16, 36), (-8, 30)], w
        ),
        profile(s, [(-400, 14), (-130, 15), (-90, 16.5), (-55, 20), (-30, 25), (-8, 22)], w),
        profile(s, [(-400, 12), (-150, 3), (-60, 0), (0, 0)], s),
        profile(s, [(-400, 14), (-150, 6), (-50, 0), (0, -4)], s),
        14 * s,
    )
    femur = Bone(
        "femur",
        (
            femur_shaft,
            Ellipsoid((-20.5 * w, -9 * w, -20 * s), (19.5 * w, 30 * w, 20 * s)),
            Ellipsoid((20.5 * w, -8 * w, -20.5 * s), (19.5 * w, 29 * w, 19 * s)),
        ),
        profile(s, [(-400, 6), (-140, 5), (-90, 2.6), (-60, 1.3), (-20, 1.0), (0, 1.1)], cortex / s, 6),
        profile(s, [(-400, 0.015), (-150, 0.02), (-90, 0.07), (-50, 0.14), (-15, 0.2), (0, 0.24)], density, 8),
        femur_shaft,
        (-320 * s, -105 * s),
        ((-95 * s, -42 * s),),
        ((-30 * s, -8 * s),),
        (-36 * s,),
    )
    patella = Bone(
        "patella",
        (Ellipsoid((0, 40 * w, -34 * s), (21 * w, 10 * w, 21 * s)),),
        constant(1.2 * s),
        constant(0.17 * density),
    )
    end = length / s
    tibia_shaft = Tube(
        5 * s,
        length - 3 * s,
        profile(
            s,
            [
                (0, 35),
                (10, 37.5 * flare),
                (20, 35),
                (38, 25),
                (65, 17.5),
                (110, 13.5),
                (end - 110, 11.5),
                (end - 60, 13),
                (end - 25, 20),
                (end - 8, 24),
                (end, 22),
            ],
            w,
        ),
        profile(
            s,
            [
                (0, 22),
                (12, 25),
                (30, 22),
                (60, 18),
                (110, 15),
                (end - 110, 12),
                (end - 50, 13.5),
                (end - 15, 19),
                (end, 18),
            ],
            w,
        ),
        profile(s, [(0, 0), (90, -2), (end / 2, bow / s), (end - 40, -2), (end, -3)], s),
        profile(s, [(0, -4), (60, 0), (end, 0)], s),
        4.5 * s,
    )
    tibia = Bone(
        "tibia",
        (
            tibia_shaft,
            Ellipsoid((-5.5 * w, -2 * w, 6 * s), (4 * w, 9 * w, 7.5 * s)),
            Ellipsoid((5 * w, -3 * w, 6 * s), (4 * w, 8 * w, 6.5 * s)),
            Ellipsoid((-21 * w, 0, length + 1 * s), (7 * w, 11 * w, 12 * s)),
        ),
        profile(
            s,
            [(0, 1.2), (25, 1.1), (55, 2.2), (100, 4.6), (end / 2, 5.6), (end - 90, 4.2), (end - 40, 1.6), (end, 1.2)],
            cortex / s,
            6,
        ),
        profile(
            s,
            [
                (0, 0.27),
                (12, 0.2),
                (40, 0.12),
                (80, 0.04),
                (120, 0.015),
                (end - 110, 0.015),
                (end - 50, 0.08),
                (end - 15, 0.18),
                (end, 0.26),
            ],
            density,
            7,
        ),
        tibia_shaft,
        (100 * s, length - 75 * s),
        ((28 * s, 85 * s), (length - 62 * s, length - 22 * s)),
        ((6 * s, 18 * s), (length - 12 * s, length - 4 * s)),
        (20 * s, length - 14 * s),
    )
    lateral = 27.0
    fibula_shaft = Tube(
        16 * s,
        length + 24 * s,
        profile(
            s,
            [(14, 8), (26, 10.5), (45, 7), (80, 6), (end - 60, 6.2), (end - 20, 8.5), (end + 4, 10), (end + 24, 7)],
            w,
        ),
        profile(s, [(14, 9), (26, 11), (45, 7.5), (80, 6.5), (end - 30, 7.5), (end + 6, 10), (end + 24, 8)], w),
        profile(
            s, [(14, lateral + 4), (50, lateral), (end / 2, lateral - 5), (end - 50, 23), (end, 26), (end + 24, 27)], w
        ),
        profile(s, [(14, -16), (60, -15), (end / 2, -12), (end - 40, -8), (end + 24, -6)], s),
        7 * s,
    )
    fibula = Bone(
        "fibula",
        (fibula_shaft,),
        profile(s, [(14, 0.9), (40, 1.5), (90, 2.7), (end - 80, 2.7), (end - 20, 1.4), (end + 24, 1.0)], cortex / s, 6),
        profile(
            s, [(14, 0.17), (40, 0.08), (80, 0.02), (end - 60, 0.02), (end - 10, 0.13), (end + 24, 0.18)], density, 6
        ),
        fibula_shaft,
        (60 * s, length - 60 * s),
        ((32 * s, 60 * s), (length - 45 * s, length - 14 * s)),
        ((18 * s, 26 * s),),
        (30 * s, length - 2 * s),
    )
    foot = (
        Bone(
            "talus",
            (
                Ellipsoid((0, 2 * w, length + 16 * s), (19 * w, 22 * w, 13.5 * s)),
                Ellipsoid((-2 * w, 26 * w, length + 20 * s), (13 * w, 14 * w, 10 * s)),
            ),
            constant(1.1 * s),
            constant(0.22 * density),
        ),
        Bone(
            "calcaneus",
            (
                Ellipsoid((2 * w, -14 * w, length + 43 * s), (15 * w, 34 * w, 14 * s)),
                Ellipsoid((2 * w, -34 * w, length + 47 * s), (14 * w, 15 * w, 17 * s)),
            ),
            constant(1.0 * s),
            constant(0.16 * density),
        ),
        Bone(
            "navicular and cuneiforms",
            (
                Ellipsoid((-4 * w, 44 * w, length + 27 * s), (19 * w, 9 * w, 11 * s)),
                Ellipsoid((0, 60 * w, length + 31 * s), (22 * w, 10 * w, 11 * s)),
                Ellipsoid((2 * w, 88 * w, length + 42 * s), (24 * w, 26 * w, 8 * s)),
            ),
            constant(1.0 * s),
            constant(0.14 * density),
        ),
    )
    varus = float(rng.normal(0, 0.035))
    femur = replace(femur, tilt=varus, pivot_mm=0.0)
    patella = replace(patella, shift_mm=float(rng.normal(0, 2)) * s)
    tilted = tuple(replace(bone, tilt=float(rng.normal(0, 0.02)), pivot_mm=length) for bone in foot)
    return (femur, patella, tibia, fibula, *tilted)


def _forearm(rng: np.random.Generator, s: float, build: float, age: float, length: float) -> tuple[Bone, ...]:
    w = s * build
    cortex, density = draw_mineral(rng, age, s, (0.7, 0.65))
    top = -length / s
    radius_shaft = Tube(
        -length + 8 * s,
        -1 * s,
        profile(
            s,
            [
                (top + 8, 11),
                (top + 18, 10.5),
                (top + 32, 6.5),
                (top + 60, 7.2),
                (-90, 7),
                (-45, 8.5),
                (-22, 14),
                (-6, 17),
                (0, 15),
            ],
            w,
        ),
        profile(s, [(top + 8, 10.5), (top + 30, 6.5), (top + 60, 6.5), (-60, 6.5), (-25, 9.5), (-6, 12), (0, 11)], w),
        profile(s, [(top, -9), (top + 45, -7), (-120, -14), (-60, -12), (0, -8)], w),
        constant(0.0),
        4 * s,
    )
    radius = Bone(
        "radius",
        (radius_shaft, Ellipsoid((-18 * w, 0, 1 * s), (6 * w, 8 * w, 10 * s))),
        profile(s, [(top, 1.0), (top + 40, 2.4), (-110, 2.9), (-55, 1.8), (-20, 0.9), (0, 1.0)], cortex / s, 5),
        profile(s, [(top, 0.2), (top + 40, 0.04), (-100, 0.02), (-45, 0.09), (-15, 0.16), (0, 0.22)], density, 5),
        radius_shaft,
        (-length + 60 * s, -58 * s),
        ((-48 * s, -15 * s), (-length + 20 * s, -length + 48 * s)),
        ((-9 * s, -4 * s),),
        (-12 * s,),
    )
    ulna_shaft = Tube(
        -length - 14 * s,
        -4 * s,
        profile(
            s,
            [(top - 14, 10), (top, 12), (top + 25, 9), (top + 70, 7.2), (-90, 6.2), (-25, 6), (-10, 8.5), (-4, 8.5)],
            w,
        ),
        profile(s, [(top - 14, 12), (top, 14), (top + 30, 10), (-120, 7), (-40, 5.5), (-4, 8)], w),
        profile(s, [(top, 9), (top + 60, 9), (-120, 10), (-40, 14), (0, 16)], w),
        profile(s, [(top, -4), (-100, 0), (0, 1)], s),
        4 * s,
    )
    ulna = Bone(
        "ulna",
        (ulna_shaft, Ellipsoid((19 * w, -3 * w, -1 * s), (3 * w, 3 * w, 7 * s))),
        profile(s, [(top, 1.2), (top + 40, 2.5), (-110, 2.8), (-40, 1.8), (-4, 0.9)], cortex / s, 5),
        profile(s, [(top, 0.2), (top + 50, 0.05), (-100, 0.02), (-30, 0.07), (-4, 0.17)], density, 5),
        ulna_shaft,
        (-length + 50 * s, -50 * s),
        ((-42 * s, -14 * s),),
        (),
        (-11 * s,),
    )
    carpals = build_carpals(rng, s, w, age, density)
    metacarpals = []
    for ml, end, fan in ((-21, 62, 0.5), (-15, 92, 0.1), (-3, 90, 0.0), (8, 84, -0.1), (17, 76, -0.2)):
        shaft = Tube(
            28 * s,
            end * s,
            profile(s, [(28, 6.5), (40, 4.6), (end - 14, 4.6), (end - 4, 6.5)], w, 3),
            profile(s, [(28, 7), (40, 4.5), (end - 14, 4.5), (end - 4, 7)], w, 3),
            constant(ml * w),
            constant(0.0),
            4 * s,
        )
        metacarpals.append(
            Bone(
                "metacarpal",
                (shaft,),
                profile(s, [(28, 0.8), (48, 1.7), (end - 18, 1.6), (end, 0.8)], cortex / s, 4),
                profile(s, [(28, 0.18), (50, 0.04), (end, 0.18)], density, 4),
                tilt=fan,
                pivot_mm=28 * s,
            )
        )
    humerus_shaft = Tube(
        -length - 200 * s,
        -length - 8 * s,
        profile(s, [(top - 200, 11), (top - 60, 12), (top - 25, 26), (top - 10, 27)], w),
        profile(s, [(top - 200, 11), (top - 60, 9), (top - 20, 9), (top - 8, 11)], w),
        constant(0.0),
        constant(6.0 * s),
        8 * s,
    )
    humerus = Bone(
        "humerus",
        (humerus_shaft,),
        profile(s, [(top - 200, 4), (top - 60, 3), (top - 10, 1.1)], cortex / s, 5),
        profile(s, [(top - 200, 0.02), (top - 50, 0.05), (top - 8, 0.17)], density, 6),
    )
    return (radius, ulna, *carpals, *metacarpals, humerus)


def _leg_muscle(rng: np.random.Generator, w: float, length: float) -> tuple[Tube, ...]:
    girth = w * rng.uniform(0.88, 1.15)
    end = length / w
    return (
        Tube(
            -500 * w,
            length + 60 * w,
            profile(
                w,
                [
                    (-300, 74),
                    (-150, 66),
                    (-40, 53),
                    (10, 49),
                    (90, 56),
                    (end * 0.65, 38),
                    (end - 30, 30),
                    (end + 30, 31),
                ],
                girth,
                18,
            ),
            profile(
                w,
                [
                    (-300, 78),
                    (-150, 70),
                    (-40, 56),
                    (10, 52),
                    (90, 60),
                    (end * 0.65, 40),
                    (end - 30, 34),
                    (end + 40, 40),
                ],
                girth,
                18,
            ),
            constant(4.0 * w),
            profile(w, [(-200, 0), (0, -2), (90, -18), (end - 30, -10), (end, 0)], girth, 18),
            30 * w,
        ),
        Tube(
            length - 10 * w,
            length + 66 * w,
            profile(w, [(end, 34), (end + 60, 38)], girth, 10),
            profile(w, [(end, 40), (end + 30, 85), (end + 60, 95)], girth, 10),
            constant(2.0 * w),
            profile(w, [(end, 0), (end + 50, 30)], girth, 10),
            16 * w,
        ),
    )


def _forearm_muscle(rng: np.random.Generator, w: float, length: float) -> tuple[Tube, ...]:
    girth = w * rng.uniform(0.88, 1.15)
    top = -length / w
    return (
        Tube(
            -length - 260 * w,
            110 * w,
            profile(
                w, [(top - 200, 46), (top, 46), (top + 60, 43), (-90, 31), (-20, 28), (25, 36), (90, 42)], girth, 14
            ),
            profile(
                w, [(top - 200, 46), (top, 40), (top + 60, 38), (-90, 26), (-20, 20), (25, 17), (90, 14)], girth, 14
            ),
            constant(0.0),
            constant(0.0),
            14 * w,
        ),
    )
