"""Pictures without a limb, for a model to abstain on: other body parts, test objects, and what scanners are fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from bonedge.edge.records import Label

from .canvas import Canvas
from .geometry import Field
from .head import panoramic, skull
from .physics import expose, primary, random_exposure
from .records import Regime, Region, Scene
from .texture import noise
from .torso import abdomen, breast, chest, lateral_spine

_BODIES: dict[str, Callable[[np.random.Generator, int], Canvas]] = {
    "chest": chest,
    "skull": skull,
    "panoramic": panoramic,
    "abdomen": abdomen,
    "lateral spine": lateral_spine,
    "breast": breast,
}
_SHARES = {
    "chest": 0.26,
    "skull": 0.14,
    "panoramic": 0.12,
    "abdomen": 0.15,
    "lateral spine": 0.1,
    "breast": 0.06,
    "empty plate": 0.03,
    "step wedge": 0.04,
    "test pattern": 0.04,
    "document": 0.03,
    "photograph": 0.03,
}
KINDS = tuple(_SHARES)


def nonlimb_scene(rng: np.random.Generator, size: int, kind: str | None = None) -> Scene:
    """A picture without long bones.

    Args:
        rng: source of randomness.
        size: long side, pixels.
        kind: one of `KINDS`; drawn by default.

    Returns:
        Both masks empty, label abstain, region non-limb, the kind as family.
    """
    if kind is None:
        kind = str(rng.choice(KINDS, p=list(_SHARES.values())))
    if kind in _BODIES:
        canvas = _BODIES[kind](rng, size)
        signal = _expose(rng, canvas)
        return _scene(signal, canvas.spacing_mm, kind)
    aspect = rng.uniform(0.7, 1.0)
    if kind == "step wedge":
        canvas = _step_wedge(rng, size, aspect)
        return _scene(_expose(rng, canvas), canvas.spacing_mm, kind)
    if kind == "test pattern":
        canvas = _test_pattern(rng, size, aspect)
        return _scene(_expose(rng, canvas), canvas.spacing_mm, kind)
    canvas = Canvas(rng, size, aspect, rng.uniform(240, 430))
    draw = {"empty plate": _empty_plate, "document": _document, "photograph": _photograph}[kind]
    return _scene(draw(rng, canvas), canvas.spacing_mm, kind)


def _scene(signal: Field, spacing_mm: float, kind: str) -> Scene:
    none = np.zeros(signal.shape, np.bool_)
    return Scene(
        signal, none, none.copy(), spacing_mm, Label.ABSTAIN, Region.NON_LIMB, kind, Regime.TYPICAL, {"kind": kind}
    )


def _expose(rng: np.random.Generator, canvas: Canvas) -> Field:
    """Trunks and heads are taken with more tube current, behind a grid: keep the noise of what little arrives low."""
    exposure = random_exposure(rng)
    return expose(
        primary(canvas.paths()),
        replace(exposure, photons=exposure.photons * 12, scatter=exposure.scatter * 0.4),
        canvas.spacing_mm,
        rng,
    )


def _step_wedge(rng: np.random.Generator, size: int, aspect: float) -> Canvas:
    """Aluminium stairs (a millimetre of it absorbs about as much as half a millimetre of bone mineral)."""
    canvas = Canvas(rng, size, aspect, rng.uniform(180, 300))
    steps, run, rise = int(rng.integers(6, 22)), rng.uniform(6, 16), rng.uniform(0.5, 2.0)
    start = -steps * run / 2
    level = np.clip(np.floor((canvas.y - np.float32(start)) / np.float32(run)) + 1, 0, steps)
    across = np.abs(canvas.x - np.float32(rng.uniform(-20, 20))) < rng.uniform(12, 60)
    canvas.mineral += level * np.float32(rise) * across * (canvas.y < start + steps * run)
    canvas.soft += np.float32(rng.choice([0.0, rng.uniform(5, 60)]))
    return canvas


def _test_pattern(rng: np.random.Generator, size: int, aspect: float) -> Canvas:
    """A quality-assurance plate: contrast discs, line pairs, a ruler or a wire mesh."""
    canvas = Canvas(rng, size, aspect, rng.uniform(180, 300))
    high, wide = float(canvas.y.max()), float(canvas.x.max())
    if rng.random() < 0.7:
        canvas.soft += canvas.slab((0, 0), (wide * 0.85, high * 0.85), rng.uniform(10, 50), power=30, edge=30)
    for row in range(int(rng.integers(0, 6))):
        for column in range(int(rng.integers(3, 8))):
            at = ((column - 3) * wide * 0.2, (row - 2.5) * high * 0.25)
            radius = rng.uniform(3, 9)
            canvas.soft += canvas.slab(at, (radius, radius), rng.uniform(0.5, 8) * rng.choice([-1, 1]), edge=30)
    for group in range(int(rng.integers(0, 6))):
        period = 0.8 * (group + 1.5)
        lines = np.sin(2 * np.pi * canvas.x / period) > 0
        window = (np.abs(canvas.x) < 25) & (np.abs(canvas.y - (group - 2.5) * 14) < 5)
        canvas.metal += np.where(lines & window, np.float32(0.2), np.float32(0))
    if rng.random() < 0.4:
        mesh = rng.uniform(5, 25)
        wires = (np.mod(canvas.x, mesh) < 0.8) | (np.mod(canvas.y, mesh) < 0.8)
        canvas.metal += np.where(wires, np.float32(0.12), np.float32(0))
    if rng.random() < 0.5:
        edge = rng.uniform(-0.6, 0.6) * wide
        ticks = (np.mod(canvas.y, 10) < 0.7) & (np.abs(canvas.x - edge) < 5)
        canvas.metal += np.where(ticks, np.float32(0.3), np.float32(0))
    return canvas


def _empty_plate(rng: np.random.Generator, canvas: Canvas) -> Field:
    """Nothing on the cassette: heel effect, grid lines, noise; or not even an exposure."""
    level = rng.choice([1.0, 10 ** rng.uniform(-3, -0.5)])
    heel = 1 - rng.uniform(0, 0.3) * (canvas.y / (2 * canvas.y.max()) + 0.5)
    grid = 1 + rng.choice([0.0, 0.02]) * np.sin(2 * np.pi * canvas.x / rng.uniform(1.5, 4))
    grain = 1 + rng.uniform(0.005, 0.05) * rng.standard_normal(canvas.shape, dtype=np.float32)
    blotches = 1 + rng.uniform(0, 0.06) * canvas.noise(rng.uniform(10, 60))
    return np.asarray(np.clip(0.95 * level * heel * grid * grain * blotches, 1e-4, 1), np.float32)


def _document(rng: np.random.Generator, canvas: Canvas) -> Field:
    """A scanned sheet: lines of type, a table, sometimes inverted (the console inverts once more)."""
    rows, columns = canvas.shape
    page = np.full(canvas.shape, 235, np.uint8)
    size = rng.uniform(0.3, 0.8) * rows / 640
    pitch = max(9, round(38 * size))
    words = ("REFERRAL", "knee", "history", "of", "pain", "please", "report", "X-RAY", "dated", "to", "the", "clinic")
    for y in range(round(0.08 * rows), round(0.94 * rows), pitch):
        if rng.random() < 0.18:
            continue
        text = " ".join(rng.choice(words, size=int(rng.integers(3, 14))))
        cv2.putText(page, text, (round(0.08 * columns), y), cv2.FONT_HERSHEY_SIMPLEX, size, 25, 1, cv2.LINE_AA)
    page[:, round(0.94 * columns) :] = 235
    for _ in range(int(rng.integers(0, 5))):
        y = int(rng.integers(rows))
        cv2.line(page, (round(0.07 * columns), y), (round(0.93 * columns), y), 60, 1)
    reflectance = cv2.GaussianBlur(page.astype(np.float32) / 255, (0, 0), 0.7)
    if rng.random() < 0.5:
        reflectance = 1 - reflectance
    return np.asarray(np.clip(0.02 + 0.95 * reflectance + 0.01 * canvas.noise(1), 1e-3, 1), np.float32)


def _photograph(rng: np.random.Generator, canvas: Canvas) -> Field:
    """A snapshot's statistics: 1/f texture, lit surfaces, a few occluding shapes with hard edges."""
    rows, columns = canvas.shape
    picture = np.zeros(canvas.shape, np.float32)
    for octave in range(7):
        picture += noise(rng, canvas.shape, max(1.0, max(rows, columns) / 4 / 2**octave)) / 2**octave
    for _ in range(int(rng.integers(2, 9))):
        corners = rng.uniform(0.0, 1.0, 2) * (columns, rows) + rng.normal(0, 0.2 * rows, (int(rng.integers(3, 7)), 2))
        cover = np.zeros(canvas.shape, np.uint8)
        cv2.fillPoly(cover, [cv2.convexHull(corners.astype(np.int32))], 1)
        shade = np.float32(rng.normal(0, 1.3)) + 0.4 * noise(rng, canvas.shape, rng.uniform(2, 40))
        picture = np.where(cover > 0, shade, picture).astype(np.float32)
    spread = (picture - picture.min()) / (picture.max() - picture.min() + 1e-6)
    return np.asarray(10 ** (-2 * spread), np.float32)
