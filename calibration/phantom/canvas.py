"""Path lengths of simple solids on a picture: what the pictures that show no limb are made of.

Coordinates are mm on the detector from the picture's centre: x to the right, y down, z along the beam.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from .geometry import Field
from .physics import Paths
from .texture import noise

CORTEX_MM = 1.2


class Canvas:
    """Rays of one picture and the millimetres of material met so far."""

    def __init__(self, rng: np.random.Generator, size: int, aspect: float, height_mm: float) -> None:
        """Start empty.

        Args:
            rng: for texture.
            size: long side, pixels.
            aspect: width over height.
            height_mm: of the field.
        """
        self.rng = rng
        rows, columns = (size, max(64, round(size * aspect))) if aspect <= 1 else (max(64, round(size / aspect)), size)
        self.shape = (rows, columns)
        self.spacing_mm = height_mm / rows
        self.x = ((np.arange(columns, dtype=np.float32) - (columns - 1) / 2) * np.float32(self.spacing_mm))[None, :]
        self.y = ((np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * np.float32(self.spacing_mm))[:, None]
        self.x, self.y = np.broadcast_to(self.x, self.shape), np.broadcast_to(self.y, self.shape)
        self.soft, self.fat, self.mineral, self.metal = (np.zeros(self.shape, np.float32) for _ in range(4))

    def paths(self) -> Paths:
        """What was put there, ready to be exposed; nothing is negative, mineral is inside the body."""
        return Paths(
            np.maximum(self.soft, self.mineral), np.maximum(self.fat, 0), np.maximum(self.mineral, 0), self.metal
        )

    def noise(self, across_mm: float, along_mm: float | None = None) -> Field:
        """Unit-variance random field with a correlation length in mm."""
        along = None if along_mm is None else along_mm / self.spacing_mm
        return noise(self.rng, self.shape, across_mm / self.spacing_mm, along)

    def slab(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        depth_mm: float,
        *,
        degrees: float = 0.0,
        power: float = 2.0,
        edge: float = 2.0,
    ) -> Field:
        """Thickness, mm, of a superellipsoid; power 2 is an ellipsoid, 6 nearly a box, both with rounded edges.

        Args:
            centre: x, y.
            half: half axes across the picture.
            depth_mm: thickness along the beam at the centre.
            degrees: turned clockwise.
            power: of the outline.
            edge: of the thickness profile; larger is flatter.
        """
        cosine, sine = np.float32(np.cos(np.deg2rad(degrees))), np.float32(np.sin(np.deg2rad(degrees)))
        dx, dy = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        u = np.abs(cosine * dx + sine * dy) / np.float32(half[0])
        v = np.abs(cosine * dy - sine * dx) / np.float32(half[1])
        radius = u**power + v**power
        return np.asarray(depth_mm * np.maximum(1 - radius, 0) ** np.float32(1 / edge), np.float32)

    def fill(self, thickness: Field) -> None:
        """Lean tissue where there is less of it so far: overlapping parts of one body are not counted twice."""
        np.maximum(self.soft, thickness, out=self.soft)

    def add_bone(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        depth_mm: float,
        *,
        degrees: float = 0.0,
        power: float = 2.0,
        cancellous: float = 0.2,
        cortex_mm: float = CORTEX_MM,
    ) -> None:
        """A superellipsoid with a cortex and cancellous bone in it."""
        outer = self.slab(centre, half, depth_mm, degrees=degrees, power=power, edge=power)
        inner_half = (max(half[0] - cortex_mm, 0.1), max(half[1] - cortex_mm, 0.1))
        inner = self.slab(
            centre, inner_half, max(depth_mm - 2 * cortex_mm, 0.1), degrees=degrees, power=power, edge=power
        )
        self.mineral += outer - inner * np.float32(1 - cancellous)

    def tube(self, points: ArrayLike, radius_mm: float | Sequence[float]) -> Field:
        """Thickness, mm, of a round tube along a curve that does not cross itself in projection.

        The chord of a straight cylinder, 2 sqrt(r^2 - d^2), divided by the cosine of its slope along the beam.

        Args:
            points: "n 3" or "n 2", mm.
            radius_mm: of all points or of each.
        """
        curve = np.atleast_2d(np.asarray(points, np.float64))
        if curve.shape[1] == 2:
            curve = np.column_stack([curve, np.zeros(len(curve))])
        radii = np.broadcast_to(np.asarray(radius_mm, np.float64), len(curve))
        chord = np.zeros(self.shape, np.float32)
        rows, columns = self.shape
        for start, end, first, last in zip(curve[:-1], curve[1:], radii[:-1], radii[1:], strict=True):
            reach = max(first, last)
            low = (np.minimum(start, end)[:2] - reach) / self.spacing_mm + ((columns - 1) / 2, (rows - 1) / 2)
            high = (np.maximum(start, end)[:2] + reach) / self.spacing_mm + ((columns - 1) / 2, (rows - 1) / 2)
            left, top = np.maximum(np.floor(low), 0).astype(int)
            right, bottom = np.minimum(np.ceil(high) + 1, (columns, rows)).astype(int)
            if left >= right or top >= bottom:
                continue
            part = (slice(top, bottom), slice(left, right))
            dx, dy = self.x[part] - np.float32(start[0]), self.y[part] - np.float32(start[1])
            step = end - start
            flat = float(np.hypot(step[0], step[1]))
            along = np.clip((dx * step[0] + dy * step[1]) / max(flat**2, 1e-6), 0, 1)
            distance2 = (dx - along * step[0]) ** 2 + (dy - along * step[1]) ** 2
            slope = min(float(np.linalg.norm(step)) / max(flat, 1e-3), 4.0)
            radius = first + along * (last - first)
            here = 2 * slope * np.sqrt(np.maximum(radius**2 - distance2, 0))
            np.maximum(chord[part], here.astype(np.float32), out=chord[part])
        return chord

    def add_tube_bone(
        self, points: ArrayLike, radius_mm: float, *, cortex_mm: float = CORTEX_MM, cancellous: float = 0.15
    ) -> None:
        """A tubular bone with a cortex."""
        outer = self.tube(points, radius_mm)
        inner = self.tube(points, max(radius_mm - cortex_mm, 0.1))
        self.mineral += outer - np.minimum(inner, outer) * np.float32(1 - cancellous)

    def polygon(self, points: ArrayLike, softness_mm: float) -> Field:
        """Coverage 0..1 of a polygon with a soft edge, to be multiplied by a thickness."""
        rows, columns = self.shape
        pixels = np.asarray(points, np.float64)[:, :2] / self.spacing_mm + ((columns - 1) / 2, (rows - 1) / 2)
        canvas = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(canvas, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        sigma = max(softness_mm / self.spacing_mm, 0.4)
        return np.asarray(cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), sigma) / 255, np.float32)


def curve(knots: ArrayLike, count: int = 14) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A smooth curve through `knots` "n d" (Catmull and Rom, 1974), `count` points per stretch."""
    given = np.asarray(knots, np.float64)
    padded = np.vstack([2 * given[0] - given[1], given, 2 * given[-1] - given[-2]])
    t = np.linspace(0, 1, count, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    smooth: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.vstack([*pieces, given[-1:]])
    return smooth
