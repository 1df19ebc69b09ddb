"""Shoulder and hip: the upper ends of humerus and femur, and what lies beside them.

Dimensions are those of an adult (humeral head 46 mm and femoral head 48 mm across, neck of the femur at about 127
degrees to its shaft: Gray's Anatomy), scaled by age; `z` is 0 at the joint and positive distally, `ml` negative towards
the trunk. Neither is ever seen from the side, where the trunk is in the way: `scene` turns them by 31 degrees at most.
"""

from __future__ import annotations

import numpy as np

from .anatomy import Bone, Limb, constant, draw_mineral, draw_person, profile
from .geometry import Ellipsoid, Tube
from .records import Region


def build_shoulder(rng: np.random.Generator) -> Limb:
    """A random person's healthy shoulder: proximal humerus, scapula, clavicle, ribs."""
    age, s, build = draw_person(rng)
    w = s * build
    cortex, density = draw_mineral(rng, age, s, (0.7, 0.62))
    shaft = Tube(
        -21 * s,
        310 * s,
        profile(s, [(-21, 9), (-8, 18), (8, 23), (22, 22), (38, 18), (65, 13), (110, 11.3), (310, 11)], w),
        profile(s, [(-21, 9), (-8, 17), (8, 21), (22, 20), (38, 16.5), (65, 12.5), (110, 11.5), (310, 10.5)], w),
        profile(s, [(-21, -12), (0, -7), (20, -3), (45, 0), (310, 0)], w),
        constant(0.0),
        12 * s,
    )
    humerus = Bone(
        "humerus, upper end",
        (
            shaft,
            Ellipsoid((-11 * w, -3 * w, -1 * s), (22 * w, 23 * w, 22 * s)),
            Ellipsoid((8 * w, 4 * w, 7 * s), (14 * w, 15 * w, 20 * s)),
            Ellipsoid((0, 14 * w, 12 * s), (8 * w, 8 * w, 13 * s)),
        ),
        profile(s, [(-22, 0.9), (20, 1.0), (50, 2.0), (90, 3.6), (160, 4.4), (310, 4.2)], cortex / s, 6),
        profile(s, [(-22, 0.2), (15, 0.16), (45, 0.09), (85, 0.03), (140, 0.015)], density, 8),
        shaft,
        (85 * s, 230 * s),
        ((28 * s, 75 * s),),
        ((-15 * s, 14 * s),),
        (21 * s,),
        tilt=float(rng.normal(0.08, 0.08)),
    )
    thin, spongy = constant(1.0 * s), constant(0.12 * density)
    trunk = (
        Bone("glenoid", (Ellipsoid((-43 * w, -4 * w, 4 * s), (9 * w, 13 * w, 19 * s)),), thin, spongy),
        Bone(
            "scapula",
            (
                Ellipsoid((-84 * w, -12 * w, 38 * s), (42 * w, 2.2 * w, 60 * s)),
                Ellipsoid((-60 * w, -10 * w, 48 * s), (6 * w, 5 * w, 52 * s)),
            ),
            constant(0.8 * s),
            constant(0.05 * density),
            tilt=float(rng.normal(0.22, 0.06)),
            pivot_mm=4 * s,
        ),
        Bone("coracoid", (Ellipsoid((-40 * w, 26 * w, -13 * s), (11 * w, 12 * w, 8 * s)),), thin, spongy),
        Bone("acromion", (Ellipsoid((-4 * w, -10 * w, -36 * s), (21 * w, 13 * w, 5 * s)),), thin, spongy),
        Bone(
            "clavicle",
            (
                Ellipsoid((-76 * w, 8 * w, -44 * s), (56 * w, 7 * w, 6 * s)),
                Ellipsoid((-33 * w, 2 * w, -42 * s), (16 * w, 8 * w, 5.5 * s)),
            ),
            constant(1.6 * s),
            constant(0.08 * density),
            tilt=float(rng.normal(-0.12, 0.06)),
            pivot_mm=-42 * s,
        ),
        *(
            Bone(
                "rib",
                (
                    Tube(
                        (z - 5) * s,
                        (z + 5) * s,
                        constant(rng.uniform(70, 84) * w),
                        constant(56 * w),
                        constant(-152 * w),
                        constant(-16 * w),
                        2 * s,
                    ),
                ),
                constant(0.9 * s),
                constant(0.003),
                tilt=slope,
                pivot_mm=z * s,
            )
            for z, slope in ((2, 0.5), (32, 0.42), (62, 0.36), (92, 0.3), (122, 0.26))
        ),
    )
    girth = w * rng.uniform(0.9, 1.2)
    arm = Tube(
        -52 * s,
        420 * s,
        profile(s, [(-52, 30), (-20, 48), (20, 54), (70, 48), (140, 42), (420, 40)], girth, 14),
        profile(s, [(-52, 35), (-20, 50), (20, 56), (70, 52), (140, 46), (420, 42)], girth, 14),
        profile(s, [(-52, -30), (0, -6), (60, 4), (420, 4)], w, 14),
        constant(0.0),
        24 * s,
    )
    # Lungs are air: what the ribs of the field lie in is the chest wall, front and back.
    chest = Tube(
        -120 * s,
        300 * s,
        profile(s, [(-120, 70), (-60, 105), (0, 118), (90, 118), (300, 112)], w, 16),
        profile(s, [(-120, 45), (-40, 52), (0, 44), (60, 34), (300, 32)], girth, 16),
        constant(-158 * w),
        constant(-6.0 * w),
        40 * s,
    )
    field = float(rng.uniform(170, 300) * s)
    return Limb(
        Region.SHOULDER,
        (humerus, *trunk),
        (arm, chest),
        float(rng.uniform(4, 18) * s),
        float(rng.uniform(0.12, 0.3) * field),
        field,
        age,
    )


def build_hip(rng: np.random.Generator) -> Limb:
    """A random person's healthy hip: proximal femur and half of the pelvis."""
    age, s, build = draw_person(rng)
    w = s * build
    cortex, density = draw_mineral(rng, age, s, (0.7, 0.62))
    # One tube whose axis runs through head, neck and shaft: lesions of all three lie on it. Where it slants, its
    # horizontal section is wider than the neck is thick.
    shaft = Tube(
        -20 * s,
        420 * s,
        profile(s, [(-20, 14), (0, 20), (16, 20), (34, 22), (52, 20), (72, 16.5), (105, 14.5), (420, 13.5)], w),
        profile(s, [(-20, 14), (0, 18), (16, 15.5), (34, 17), (60, 16), (105, 14.5), (420, 14)], w),
        profile(s, [(-20, -44), (0, -40), (14, -27), (34, -5), (55, 0), (420, 3)], w),
        profile(s, [(-20, 6), (34, 2), (80, 0), (200, 6), (420, 2)], w),
        12 * s,
    )
    femur = Bone(
        "femur",
        (
            shaft,
            Ellipsoid((-42 * w, 6 * w, 0), (24 * w, 24 * w, 24 * s)),
            Ellipsoid((9 * w, -4 * w, 22 * s), (14 * w, 16 * w, 25 * s)),
            Ellipsoid((-1 * w, -2 * w, 40 * s), (21 * w, 17 * w, 26 * s)),
            Ellipsoid((-13 * w, -10 * w, 58 * s), (9 * w, 9 * w, 12 * s)),
        ),
        profile(s, [(-24, 0.9), (20, 1.2), (50, 2.0), (75, 3.6), (110, 5.4), (170, 6.2), (420, 6)], cortex / s, 6),
        profile(s, [(-24, 0.26), (0, 0.24), (25, 0.17), (55, 0.11), (90, 0.04), (140, 0.015)], density, 8),
        shaft,
        (95 * s, 300 * s),
        ((28 * s, 88 * s),),
        ((-15 * s, 10 * s),),
        (),
        tilt=float(rng.normal(0, 0.05)),
    )
    thin, spongy = constant(1.1 * s), constant(0.1 * density)
    pelvis = (
        Bone(
            "pelvis",
            (
                Ellipsoid((-60 * w, -4 * w, -105 * s), (50 * w, 5 * w, 60 * s)),
                Ellipsoid((-62 * w, 2 * w, -62 * s), (26 * w, 11 * w, 40 * s)),
                Ellipsoid((-48 * w, 2 * w, -44 * s), (34 * w, 20 * w, 15 * s)),
                Ellipsoid((-80 * w, 2 * w, -12 * s), (12 * w, 18 * w, 42 * s)),
                Ellipsoid((-104 * w, 20 * w, 18 * s), (38 * w, 8 * w, 9 * s)),
                Ellipsoid((-132 * w, 24 * w, 36 * s), (12 * w, 9 * w, 24 * s)),
                Ellipsoid((-80 * w, -14 * w, 44 * s), (15 * w, 15 * w, 36 * s)),
                Ellipsoid((-80 * w, -20 * w, 70 * s), (17 * w, 14 * w, 20 * s)),
            ),
            thin,
            spongy,
            tilt=float(rng.normal(0, 0.04)),
        ),
        Bone(
            "ramus",
            (Ellipsoid((-108 * w, 2 * w, 70 * s), (7.5 * w, 7 * w, 34 * s)),),
            thin,
            spongy,
            tilt=0.72,
            pivot_mm=70 * s,
        ),
    )
    girth = w * rng.uniform(0.85, 1.15)
    thigh = Tube(
        -60 * s,
        560 * s,
        profile(s, [(-60, 60), (0, 88), (60, 88), (150, 78), (400, 66), (560, 56)], girth, 20),
        profile(s, [(-60, 60), (0, 84), (80, 82), (400, 68), (560, 58)], girth, 20),
        profile(s, [(-60, -20), (0, -12), (80, 2), (560, 4)], w, 20),
        constant(0.0),
        40 * s,
    )
    trunk = Tube(
        -420 * s,
        96 * s,
        profile(s, [(-420, 130), (-130, 128), (-60, 136), (20, 138), (96, 120)], girth, 24),
        profile(s, [(-420, 82), (-60, 88), (96, 82)], girth, 24),
        constant(-110 * w),
        constant(0.0),
        60 * s,
    )
    field = float(rng.uniform(190, 340) * s)
    return Limb(
        Region.HIP,
        (femur, *pelvis),
        (thigh, trunk),
        float(rng.uniform(6, 28) * s),
        float(rng.uniform(0.05, 0.26) * field),
        field,
        age,
        exposure=float(rng.uniform(5, 14)),
    )
