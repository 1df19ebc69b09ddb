"""From the energy that reached the detector to the picture that a console shows.

The order is a modality's own: the patient lies some way round, a lead letter lies on the cassette, blades close, the
plate is read (with its scratches), the console makes a picture of it (`console`), masks the border and burns text in.
Every step may be anything between absent and clumsy.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from bonedge.edge.records import Mask, Pixels

from .console import Console, develop
from .records import Phantom, Scene


def acquire(scene: Scene, rng: np.random.Generator, *, plain: bool = False) -> Phantom:
    """Make a displayed picture of `scene`.

    Lesions stay whole: blades close only where no lesion is, and a tilt that would cut one is not made.

    Args:
        scene: signal float32 "rows columns", open beam 1; masks bool on the same grid.
        rng: everything that varies comes from it.
        plain: no blades, markers, text, artefacts or turning, and one fixed curve, to see the physics alone.

    Returns:
        Pixels float32 "rows columns" 0..1, bone bright (rows and columns change places when it is turned by 90
        degrees); masks transformed alike and cut to the collimated field.
    """
    if plain:
        pixels = develop(scene.signal, np.ones(scene.signal.shape, np.bool_), Console.plain())
        return _phantom(scene, pixels, scene.lesion_mask, scene.bone_mask)
    scene = _turn(scene, rng)
    signal = scene.signal.astype(np.float32, copy=True)
    blades = _blades(scene, rng)
    field = blades > 0.5
    letters = _lead_letters(scene, field, rng) if rng.random() < 0.75 else np.ones_like(signal)
    signal *= letters
    signal *= _plate_artefacts(signal.shape, rng)
    signal = _close(signal, blades, rng)
    console = Console.draw(rng)
    pixels = develop(signal, (blades > 0.99) & (letters > 0.99), console)
    kind, border = _border(rng)
    if border is not None:
        pixels = np.where(blades > rng.uniform(0.2, 0.6), pixels, np.float32(border)).astype(np.float32)
    if rng.random() < 0.3:
        pixels = _burn_in(pixels, scene, rng)
    phantom = _tilt(scene, pixels, field, 0.0 if border is None else border, rng)
    return replace(phantom, rendering=console.manner | {"border": kind})


def _phantom(scene: Scene, pixels: Pixels, lesion_mask: Mask, bone_mask: Mask) -> Phantom:
    return Phantom(
        pixels,
        lesion_mask,
        bone_mask,
        scene.spacing_mm,
        scene.label,
        scene.region,
        scene.family,
        scene.regime,
        dict(scene.semiology),
    )


def _turn(scene: Scene, rng: np.random.Generator) -> Scene:
    """Left or right side, and now and then the cassette the other way up or across."""
    mirrored = rng.random() < 0.5
    quarter_turns = int(rng.choice([0, 1, 2, 3], p=[0.82, 0.06, 0.06, 0.06]))
    arrays = [scene.signal, scene.lesion_mask, scene.bone_mask]
    if mirrored:
        arrays = [array[:, ::-1] for array in arrays]
    signal, lesion_mask, bone_mask = (np.ascontiguousarray(np.rot90(array, quarter_turns)) for array in arrays)
    return replace(scene, signal=signal, lesion_mask=lesion_mask, bone_mask=bone_mask)


def _blades(scene: Scene, rng: np.random.Generator) -> Pixels:
    """How far the collimator is open, float32 "rows columns", 1 in the field; the penumbra is soft.

    Each blade is a half plane. It stops before the nearest lesion pixel, and where it would hide more than a sixth
    of the long bones (of the picture when there are none).
    """
    rows, columns = scene.signal.shape
    open_field = np.ones((rows, columns), np.float32)
    count = int(rng.choice([0, 1, 2, 3, 4], p=[0.18, 0.08, 0.26, 0.08, 0.40]))
    if count == 0:
        return open_field
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    tilt = rng.choice([0.0, rng.normal(0, 2.5), rng.normal(0, 7)], p=[0.5, 0.4, 0.1])
    penumbra_px = rng.uniform(0.4, 2.5)
    matter = scene.bone_mask if scene.bone_mask.any() else np.ones((rows, columns), np.bool_)
    for side in rng.permutation(4)[:count] if count != 2 else (np.array([0, 2]) + int(rng.integers(2))):
        angle = np.deg2rad(tilt + 90 * side)
        inward = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        nearest, farthest = float(inward.min()), float(inward.max())
        depth = rng.uniform(0.01, 0.2) * (farthest - nearest)
        stop = float(np.quantile(inward[matter], 1 / 6))
        if scene.lesion_mask.any():
            stop = min(stop, float(inward[scene.lesion_mask].min()) - 4 - 3 * penumbra_px)
        edge = min(nearest + depth, stop)
        open_field *= np.clip((inward - edge) / penumbra_px + 0.5, 0, 1)
    return open_field


def _lead_letters(scene: Scene, field: Mask, rng: np.random.Generator) -> Pixels:
    """Transmission (0..1) of one or two lead letters lying where they hide no lesion and little bone."""
    rows, columns = scene.signal.shape
    transmission = np.ones((rows, columns), np.float32)
    text = str(rng.choice(["L", "R"]))
    if rng.random() < 0.4:
        text += " " + "".join(rng.choice(list("ABCDEFGHJKLMNPRSTVW"), size=int(rng.integers(2, 4))))
    height_px = max(9.0, rng.uniform(9, 22) / scene.spacing_mm)
    height_px = min(height_px, 0.09 * max(rows, columns))
    glyphs = _glyphs(text, height_px, rng, framed=rng.random() < 0.2)
    if rng.random() < 0.15:
        glyphs = glyphs[:, ::-1]
    angle = float(rng.choice([rng.normal(0, 6), rng.uniform(-180, 180)], p=[0.7, 0.3]))
    glyphs = _rotate_patch(glyphs, angle)
    high, wide = glyphs.shape
    if high >= rows or wide >= columns:
        return transmission
    best, best_cost = None, 0.3
    for _ in range(12):
        top, left = int(rng.integers(rows - high)), int(rng.integers(columns - wide))
        place = (slice(top, top + high), slice(left, left + wide))
        if scene.lesion_mask[place].any():
            continue
        cost = float(scene.bone_mask[place].mean()) + 0.5 * float((~field[place]).mean())
        if cost < best_cost:
            best, best_cost = place, cost
    if best is not None:
        transmission[best] = 1 - glyphs * np.float32(rng.uniform(0.9, 0.995))
    return transmission


def _glyphs(text: str, height_px: float, rng: np.random.Generator, *, framed: bool = False) -> Pixels:
    """`text` as float32 coverage 0..1, cropped with a small margin."""
    face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN]))
    thickness = max(1, round(height_px * rng.uniform(0.08, 0.2)))
    scale = cv2.getFontScaleFromHeight(face, max(1, round(height_px)), thickness)
    (wide, high), baseline = cv2.getTextSize(text, face, scale, thickness)
    margin = thickness + 3
    canvas = np.zeros((high + baseline + 2 * margin, wide + 2 * margin), np.uint8)
    cv2.putText(canvas, text, (margin, margin + high), face, scale, 255, thickness, cv2.LINE_AA)
    if framed:
        cv2.rectangle(canvas, (1, 1), (canvas.shape[1] - 2, canvas.shape[0] - 2), 255, max(1, thickness // 2))
    return cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32) / np.float32(255)


def _rotate_patch(patch: Pixels, degrees: float) -> Pixels:
    """`patch` turned about its centre on a canvas that holds all of it."""
    rows, columns = patch.shape
    cosine, sine = abs(np.cos(np.deg2rad(degrees))), abs(np.sin(np.deg2rad(degrees)))
    wide, high = int(np.ceil(columns * cosine + rows * sine)), int(np.ceil(columns * sine + rows * cosine))
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    matrix[:, 2] += ((wide - columns) / 2, (high - rows) / 2)
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(patch), matrix, (wide, high)), np.float32)


def _plate_artefacts(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Factor on the signal: dust and scratches hide light, a dirty reader's light guide leaves a line."""
    factor = np.ones(shape, np.float32)
    rows, columns = shape[:2]
    if rng.random() < 0.12:
        for _ in range(int(rng.integers(1, 12))):
            centre = (int(rng.integers(columns)), int(rng.integers(rows)))
            cv2.circle(factor, centre, int(rng.integers(0, 2)), float(rng.uniform(0.3, 0.85)), -1, cv2.LINE_AA)
    if rng.random() < 0.06:
        for _ in range(int(rng.integers(1, 4))):
            start = rng.uniform(0, 1, 2) * (columns, rows)
            stroke = np.cumsum(np.vstack([start, rng.normal(0, 0.02 * max(shape), (6, 2))]), axis=0)
            cv2.polylines(factor, [stroke.astype(np.int32)], False, float(rng.uniform(0.5, 0.9)), 1, cv2.LINE_AA)
    if rng.random() < 0.04:
        factor[:, int(rng.integers(columns))] *= np.float32(rng.uniform(0.7, 0.95))
    return factor


def _close(signal: Pixels, blades: Pixels, rng: np.random.Generator) -> Pixels:
    """Put the blades into the beam: what arrives behind them is scatter from the field and the reader's noise."""
    if blades.min() == 1:
        return signal
    lit = signal * blades
    spread = cv2.GaussianBlur(
        cv2.resize(lit, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA), (0, 0), 0.02 * max(signal.shape)
    )
    scatter = cv2.resize(spread, (signal.shape[1], signal.shape[0]), interpolation=cv2.INTER_LINEAR)
    behind = scatter * np.float32(rng.uniform(0.01, 0.05)) + np.float32(10 ** rng.uniform(-3.2, -2.3))
    grain = 1 + np.float32(rng.uniform(0.05, 0.15)) * rng.standard_normal(signal.shape, np.float32)
    return np.asarray(lit + (1 - blades) * behind * np.clip(grain, 0.3, 2), np.float32)


def _border(rng: np.random.Generator) -> tuple[str, float | None]:
    """Kind and grey of the electronic shutter over the blades' shadow; None leaves the shadow as it was read."""
    kind = str(rng.choice(["read", "black", "white", "grey"], p=[0.4, 0.4, 0.16, 0.04]))
    return kind, {"read": None, "black": 0.0, "white": 1.0, "grey": float(rng.uniform(0.1, 0.6))}[kind]


def _burn_in(pixels: Pixels, scene: Scene, rng: np.random.Generator) -> Pixels:
    """Annotation burned into the grey levels near the picture's edge, never over a lesion."""
    rows, columns = pixels.shape
    words = [str(rng.choice(["PORTABLE", "AP", "LAT", "STANDING", "SUPINE", "CROSS TABLE", "OBLIQUE", "EXAM 1/2"]))]
    if rng.random() < 0.5:
        words.append(f"{rng.integers(50, 85)} kV {rng.uniform(1, 12):.1f} mAs")
    if rng.random() < 0.4:
        words.append(f"EI {rng.integers(150, 2400)}")
    written = pixels.copy()
    height_px = max(7.0, rng.uniform(0.012, 0.024) * max(rows, columns))
    grey = 1.0 if rng.random() < 0.85 else 0.0
    low, right = rng.random() < 0.5, rng.random() < 0.5
    for line, word in enumerate(words):
        patch = _glyphs(word, height_px, rng)
        high, wide = patch.shape
        if wide + 8 >= columns or high * (line + 1) + 8 >= rows:
            continue
        top = rows - 4 - high * (len(words) - line) if low else 4 + high * line
        left = columns - 4 - wide if right else 4
        place = (slice(top, top + high), slice(left, left + wide))
        if top < 0 or scene.lesion_mask[place].any():
            continue
        written[place] += patch * (np.float32(grey) - written[place])
    return np.clip(written, 0, 1)


def _tilt(scene: Scene, pixels: Pixels, field: Mask, border: float, rng: np.random.Generator) -> Phantom:
    """Now and then the cassette or the scanned film lay askew; the corners that come in are border."""
    lesion_mask, bone_mask = scene.lesion_mask & field, scene.bone_mask & field
    if rng.random() < 0.15:
        rows, columns = pixels.shape
        matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), rng.normal(0, 3), rng.uniform(0.97, 1.04))

        def warp(mask: Mask) -> Mask:
            moved = cv2.warpAffine(mask.astype(np.uint8), matrix, (columns, rows), flags=cv2.INTER_NEAREST)
            return np.asarray(moved, np.bool_)

        kept = warp(lesion_mask)
        scale = abs(np.linalg.det(matrix[:, :2]))
        if kept.sum() >= 0.97 * scale * lesion_mask.sum():
            pixels = np.asarray(
                cv2.warpAffine(
                    pixels, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderValue=(border, 0.0, 0.0, 0.0)
                ),
                np.float32,
            )
            lesion_mask, bone_mask = kept, warp(bone_mask)
            scene = replace(scene, spacing_mm=scene.spacing_mm / float(np.sqrt(scale)))
    return _phantom(scene, pixels, lesion_mask, bone_mask)
