"""Every picture a little different each time: light, place, size, turn, bend, noise, shutters.

All functions draw from the generator that they are given and from nothing else, so an epoch can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Pixels


@dataclass(frozen=True)
class Augmentation:
    """How far a picture may be changed. Probabilities 0..1; lengths as shares of the picture's side."""

    flip: float = 0.5
    """Probability of each of: left-right, upside down."""
    geometry: float = 0.85
    """Probability of any turn, scale, shift or bend at all: the others keep the sharpness of the original grid."""
    rotation_degrees: float = 25.0
    scale: float = 1.25
    """Between 1 / scale and scale."""
    translation: float = 0.08
    perspective: float = 0.04
    """How far a corner may move."""
    elastic: float = 0.012
    """Standard deviation of the bend, at a 6 x 6 grid of points."""
    gamma: float = 0.5
    """Exponent between 2^-gamma and 2^gamma."""
    contrast: float = 0.25
    brightness: float = 0.12
    shading: float = 0.12
    """Brightness from one side to the other, as of the tube's heel effect."""
    window: float = 0.3
    """Probability that the ends of the grey scale are cut off."""
    inversion: float = 0.02
    """Probability that the picture is a negative, as from files with the wrong photometric interpretation."""
    noise: float = 0.05
    """Largest standard deviation, of grey 0..1."""
    blur: float = 0.3
    """Probability."""
    collimation: float = 0.15
    """Probability that shutters cut into the field."""
    collimation_depth: float = 0.12
    occlusion: float = 0.15
    """Probability of an even patch: a marker, tape, a plate."""

    def gentler(self, share: float) -> Augmentation:
        """The same with each change `share` (0..1) as likely or as far; pictures are turned over as often."""
        less = {one.name: share * getattr(self, one.name) for one in fields(self)}
        return replace(self, **less | {"flip": self.flip, "scale": self.scale**share})


WHOLE_PICTURE = Augmentation()
"""For the segmenter."""
GENTLE_CROP = Augmentation(scale=1.1, translation=0.0, collimation=0.08, collimation_depth=0.06, occlusion=0.05)
"""For the classifier: size and place already vary with the region that is cut out."""
UNCHANGED = Augmentation(
    flip=0, geometry=0, gamma=0, contrast=0, brightness=0, shading=0, window=0, inversion=0, noise=0, blur=0,
    collimation=0, occlusion=0,
)  # fmt: skip
"""To measure what augmentation is good for."""


def augment(
    picture: Pixels, targets: Sequence[Pixels], rng: np.random.Generator, settings: Augmentation
) -> tuple[Pixels, list[Pixels]]:
    """Change a picture, and move its targets along.

    Args:
        picture: float32 "side side", grey 0..1.
        targets: each float32 "side side", 0..1 (masks).
        rng: every random number comes from here.
        settings: how far.

    Returns:
        New arrays of the same shapes. What shutters and patches hide is 0 in the targets.
    """
    planes = [picture, *targets]
    for axis in (0, 1):
        if rng.random() < settings.flip:
            planes = [np.ascontiguousarray(np.flip(plane, axis)) for plane in planes]
    if rng.random() < settings.geometry:
        map_x, map_y = _displacement(picture.shape[0], rng, settings)
        planes = [cv2.remap(plane, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32) for plane in planes]
    changed, moved = _relight(planes[0], rng, settings), [plane.copy() for plane in planes[1:]]
    _hide(changed, moved, rng, settings)
    return changed, moved


def _displacement(side: int, rng: np.random.Generator, s: Augmentation) -> tuple[Pixels, Pixels]:
    """For each pixel of the new picture, where it comes from.

    One homography and one smooth bend in a single step, so that the picture is interpolated once.
    """
    angle = np.deg2rad(rng.uniform(-s.rotation_degrees, s.rotation_degrees))
    scale = np.exp(rng.uniform(-1, 1) * np.log(s.scale))
    middle = (side - 1) / 2
    corners = np.array([(0, 0), (side - 1, 0), (side - 1, side - 1), (0, side - 1)], np.float64)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))]) / scale
    source = (corners - middle) @ turn.T + middle + rng.uniform(-s.translation, s.translation, 2) * side
    source += rng.uniform(-s.perspective, s.perspective, (4, 2)) * side
    back = cv2.getPerspectiveTransform(corners.astype(np.float32), source.astype(np.float32))
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
    bend = rng.normal(0, s.elastic * side, (2, 6, 6)).astype(np.float32)
    bend_x, bend_y = (cv2.resize(plane, (side, side), interpolation=cv2.INTER_CUBIC) for plane in bend)
    map_x = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth + bend_x
    map_y = (back[1, 0] * x + back[1, 1] * y + back[1, 2]) / depth + bend_y
    return map_x.astype(np.float32), map_y.astype(np.float32)


def _relight(picture: Pixels, rng: np.random.Generator, s: Augmentation) -> Pixels:
    """Grey values only. Black stays black: padding and shutters are 0 at run time too."""
    # A crop comes back from its normalisation a rounding error outside 0..1; a power of less than 0 is not a number.
    picture = np.clip(picture, 0, 1)
    outside = picture <= 0
    if rng.random() < s.window:
        low, high = rng.uniform(0, 0.12), rng.uniform(0.85, 1)
        picture = np.clip((picture - low) / (high - low), 0, 1)
    if rng.random() < s.inversion:
        picture = 1 - picture
    if rng.random() < s.blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1)), np.float32)
    picture = np.power(picture, np.float32(2 ** rng.uniform(-s.gamma, s.gamma)))
    picture = (picture - 0.5) * np.float32(1 + rng.uniform(-s.contrast, s.contrast)) + np.float32(
        0.5 + rng.uniform(-s.brightness, s.brightness)
    )
    ramp = np.linspace(-0.5, 0.5, picture.shape[0], dtype=np.float32)
    across, along = rng.uniform(-s.shading, s.shading, 2)
    picture = picture + np.float32(across) * ramp[None, :] + np.float32(along) * ramp[:, None]
    deviation = np.float32(s.noise * rng.random() ** 2)
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * deviation
    picture = np.clip(picture, 0, 1).astype(np.float32)
    picture[outside] = 0
    return picture


def _hide(picture: Pixels, targets: list[Pixels], rng: np.random.Generator, s: Augmentation) -> None:
    """Shutters and patches, in place."""
    side = picture.shape[0]
    if rng.random() < s.collimation:
        open_field: NDArray[np.bool_] = np.zeros(picture.shape, np.bool_)
        top, bottom, left, right = (rng.uniform(0, s.collimation_depth, 4) * side * (rng.random(4) < 0.6)).astype(int)
        open_field[top : side - bottom, left : side - right] = True
        for plane in (picture, *targets):
            plane[~open_field] = 0
    if rng.random() < s.occlusion:
        height, width = (rng.uniform(0.03, 0.15, 2) * side).astype(int)
        top, left = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
        patch = (slice(top, top + height), slice(left, left + width))
        picture[patch] = rng.random(dtype=np.float32)
        for plane in targets:
            plane[patch] = 0
