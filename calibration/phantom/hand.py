"""The hand: five rays of metacarpals and phalanges, the wrist behind them.

Lengths of the bones are those of Buryanov and Kotiuk (Proportions of hand segments, Int. J. Morphology,
2010), scaled by age; `z` is 0 at the wrist and positive distally, `ml` negative towards the thumb. A hand lies flat on
the cassette or a little turned: `scene` turns it by 31 degrees at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Bone, Limb, build_carpals, constant, draw_mineral, draw_person, profile
from .geometry import Profile, Tube
from .records import Region

_JOINT_MM = 1.6
"""Between two bones of a ray, where cartilage is."""


@dataclass(frozen=True)
class _Ray:
    """A finger with its metacarpal."""

    base_ml: float
    base_z: float
    """Where the metacarpal begins, adult mm."""
    slant: float
    """Radians from the hand's axis, positive away from the thumb."""
    lengths: tuple[float, ...]
    """Metacarpal, then phalanges, adult mm."""
    girth: float = 1.0

    @property
    def bones(self) -> tuple[str, ...]:
        """Their names, in the order of `lengths`."""
        return _THUMB if len(self.lengths) == len(_THUMB) else _FINGER


_THUMB = ("metacarpal", "proximal phalanx", "distal phalanx")
_FINGER = ("metacarpal", "proximal phalanx", "middle phalanx", "distal phalanx")
_RAYS = (
    _Ray(-21, 22, -0.62, (46, 32, 22), 1.1),
    _Ray(-13, 29, -0.12, (68, 40, 22, 16)),
    _Ray(-3, 29, -0.01, (65, 45, 26, 17)),
    _Ray(7, 29, 0.1, (58, 41, 26, 17), 0.92),
    _Ray(15, 28, 0.22, (54, 33, 18, 16), 0.85),
)
"""Thumb to little finger."""
_HALF_WIDTHS = {
    "metacarpal": (7.0, 4.3, 4.4, 7.2),
    "proximal phalanx": (7.2, 4.6, 4.0, 5.6),
    "middle phalanx": (6.4, 3.9, 3.4, 4.8),
    "distal phalanx": (5.6, 2.6, 2.4, 3.8),
}
"""Of each bone at `_ALONG`, adult mm."""
_ALONG = (0.02, 0.36, 0.68, 0.95)
"""Shares of a bone's length."""


def build_hand(rng: np.random.Generator) -> Limb:
    """A random person's healthy hand, palm down."""
    age, s, build = draw_person(rng)
    w = s * build
    cortex, density = draw_mineral(rng, age, s, (0.65, 0.6))
    spread = float(rng.uniform(0.8, 1.35))
    bones: list[Bone] = []
    fingers: list[Tube] = []
    for ray in _RAYS:
        slant = ray.slant * spread + float(rng.normal(0, 0.02))
        bones += _ray_bones(ray, slant, s, w, cortex, density)
        fingers.append(_finger(rng, ray, slant, s, w))
    field = float(rng.choice([rng.uniform(90, 150), rng.uniform(170, 240)])) * s
    centre = float(rng.uniform(60, 130) * s if field < 160 * s else rng.uniform(70, 100) * s)
    return Limb(
        Region.HAND,
        (*bones, *build_carpals(rng, s, w, age, density), *_forearm_ends(s, w, cortex, density)),
        (_palm(rng, s, w), *fingers),
        float(rng.uniform(0.5, 3) * s),
        centre,
        field,
        age,
    )


def _ray_bones(ray: _Ray, slant: float, s: float, w: float, cortex: float, density: float) -> list[Bone]:
    bones = []
    start = ray.base_z
    # A horizontal section of a slanting bone is wider than the bone is thick.
    across = ray.girth * w / float(np.cos(slant))
    for name, length in zip(ray.bones, ray.lengths, strict=True):
        stop = start + length * float(np.cos(slant))
        shaft = Tube(
            start * s,
            stop * s,
            _half_width(name, start, stop, s, across),
            _half_width(name, start, stop, s, 0.9 * ray.girth * w),
            _axis(ray, slant, s, w),
            constant(0.0),
            min(4.0, 0.2 * length) * s,
        )
        hosts = name != "distal phalanx"
        # Metacarpals of the fingers grow at their heads, every other bone of a hand at its base.
        at_head = name == "metacarpal" and ray.bones == _FINGER
        bones.append(
            Bone(
                name,
                (shaft,),
                profile(
                    s,
                    [(start, 0.7), (start + 0.3 * length, 1.7), (stop - 0.3 * length, 1.6), (stop, 0.6)],
                    0.8 * cortex / s,
                    2.5,
                ),
                profile(
                    s,
                    [(start, 0.2), (start + 0.35 * length, 0.05), (stop - 0.3 * length, 0.06), (stop, 0.2)],
                    density,
                    3,
                ),
                shaft,
                ((start + 0.28 * length) * s, (stop - 0.26 * length) * s) if hosts else None,
                (((start + 0.12 * length) * s, (start + 0.34 * length) * s),) if hosts else (),
                (),
                ((stop - 0.13 * length) * s if at_head else (start + 0.11 * length) * s,),
            )
        )
        start = stop + _JOINT_MM
    return bones


def _half_width(name: str, start: float, stop: float, s: float, girth: float) -> Profile:
    """Along a bone between two z, adult mm."""
    half_widths = zip(_ALONG, _HALF_WIDTHS[name], strict=True)
    return profile(s, [(start + part * (stop - start), half) for part, half in half_widths], girth, 2.5)


def _axis(ray: _Ray, slant: float, s: float, w: float) -> Profile:
    """Where a ray runs: a straight line from its base."""
    far = 200.0
    end = ray.base_ml * w + float(np.tan(slant)) * (far - ray.base_z) * s
    start = ray.base_ml * w - float(np.tan(slant)) * (far + ray.base_z) * s
    return profile(s, [(-far, start), (far, end)], 1.0, 0.0)


def _finger(rng: np.random.Generator, ray: _Ray, slant: float, s: float, w: float) -> Tube:
    end = ray.base_z + (sum(ray.lengths) + 3 * _JOINT_MM + 4) * float(np.cos(slant))
    root = ray.base_z + 0.5 * ray.lengths[0]
    girth = ray.girth * w * float(rng.uniform(0.9, 1.15))
    return Tube(
        (root - 14) * s,
        end * s,
        profile(s, [(root, 11), (end - 50, 10), (end - 8, 8.2), (end, 7.5)], girth / float(np.cos(slant)), 4),
        profile(s, [(root, 12), (end - 50, 9), (end - 8, 7), (end, 6)], girth, 4),
        _axis(ray, slant, s, w),
        constant(0.0),
        9 * s,
    )


def _palm(rng: np.random.Generator, s: float, w: float) -> Tube:
    girth = w * float(rng.uniform(0.95, 1.12))
    return Tube(
        -220 * s,
        103 * s,
        profile(s, [(-220, 36), (-40, 28), (0, 28), (30, 37), (62, 41), (103, 38)], girth, 10),
        profile(s, [(-220, 27), (-30, 20), (20, 17), (60, 14), (103, 9)], girth, 10),
        profile(s, [(-30, 0), (40, -3), (103, 0)], w, 10),
        constant(0.0),
        14 * s,
    )


def _forearm_ends(s: float, w: float, cortex: float, density: float) -> tuple[Bone, Bone]:
    """Radius and ulna as far as they reach into the field; lesions there are the forearm's."""
    ends = []
    for name, stop, half, ml in (("radius", -1, (7, 8.5, 14, 16.5), -9), ("ulna", -4, (6.3, 6, 6.5, 8.5), 16)):
        shaft = Tube(
            -240 * s,
            stop * s,
            profile(s, list(zip((-240, -45, -20, -5), half, strict=True)), w),
            profile(s, list(zip((-240, -45, -20, -5), (6.5, 7, 9, 11), strict=True)), w),
            constant(ml * w),
            constant(0.0),
            4 * s,
        )
        ends.append(
            Bone(
                name,
                (shaft,),
                profile(s, [(-240, 2.8), (-55, 1.8), (-20, 0.9), (0, 0.9)], cortex / s, 5),
                profile(s, [(-240, 0.02), (-45, 0.08), (-15, 0.16), (0, 0.2)], density, 5),
                shaft,
                plates=((stop - 10.0) * s,),
            )
        )
    return ends[0], ends[1]
