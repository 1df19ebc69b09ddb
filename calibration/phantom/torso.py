"""Chest, abdomen, pelvis, spine and breast: trunks that a bone model must recognise as not its business."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, curve
from .geometry import Field
from .texture import smoothstep

_LUNG_AIR = 0.74
"""Share of the lung that is air at full inspiration."""


def chest(rng: np.random.Generator, size: int) -> Canvas:
    """Postero-anterior chest: lungs, heart, ribs, clavicles, spine, diaphragm; sometimes nodules or a pacemaker."""
    height = rng.uniform(290, 400)
    canvas = Canvas(rng, size, rng.uniform(0.8, 1.15), height)
    half, deep = rng.uniform(140, 180), rng.uniform(170, 250)
    top, floor = -height * rng.uniform(0.38, 0.46), height * rng.uniform(0.12, 0.3)
    shoulder = smoothstep(canvas.y, top - 40, top + 45)
    width = 65 + (half - 65 + 60 * (1 - smoothstep(canvas.y, top + 50, top + 150)) * shoulder) * shoulder
    width = np.asarray(width, np.float32)
    body = deep * np.maximum(1 - (np.abs(canvas.x) / width) ** 2.6, 0) ** np.float32(1 / 2.6)
    body = body * (0.55 + 0.45 * smoothstep(canvas.y, top - 20, top + 120))
    canvas.fat += body * 0.18
    canvas.soft += body * 0.82
    lung = _lungs(canvas, half, deep, top, floor)
    heart = canvas.slab(
        (rng.uniform(12, 28), floor - rng.uniform(30, 50)),
        (rng.uniform(55, 80), rng.uniform(50, 68)),
        rng.uniform(70, 100),
        degrees=rng.uniform(15, 40),
    )
    arch = canvas.tube(curve([[8, floor - 60], [14, top + 110], [28, top + 88], [10, top + 75]]), 14)
    lung = np.maximum(lung - np.maximum(heart, arch), 0)
    canvas.soft -= lung * np.float32(_LUNG_AIR)
    _vessels(rng, canvas, lung, top, floor)
    if rng.random() < 0.5:
        canvas.soft -= canvas.slab((rng.uniform(50, 85), floor + 28), (rng.uniform(18, 40), 16), 60)
    for _ in range(int(rng.integers(0, 7)) if rng.random() < 0.35 else 0):
        at = (rng.uniform(-0.75, 0.75) * half, rng.uniform(top + 60, floor))
        radius = rng.uniform(6, 28)
        canvas.soft += np.minimum(canvas.slab(at, (radius, radius * rng.uniform(0.8, 1.1)), 2 * radius), lung)
    _ribs(rng, canvas, half, deep, top, floor)
    _spine(rng, canvas, -height / 2, height / 2, rng.uniform(15, 19), rng.uniform(21, 26), seen=rng.uniform(0.3, 0.55))
    for side in (-1, 1):
        knots = [[side * 14, top + 52], [side * 60, top + 36], [side * 110, top + 44], [side * 150, top + 22]]
        canvas.add_tube_bone(curve(knots), rng.uniform(5.5, 7.5), cortex_mm=1.6)
        canvas.add_bone((side * (half + 18), top + 52), (24, 25), 46, cancellous=0.15)
        blade = [[side * (half + 5), top + 40], [side * (half - 50), top + 70], [side * (half - 38), top + 165]]
        canvas.mineral += canvas.polygon(blade, 2.0) * np.float32(2.0)
        canvas.add_tube_bone(curve([blade[0], blade[2]]), 4.5)
        if rng.random() < 0.4:
            cup = (side * half * 0.55, floor - rng.uniform(0, 40))
            canvas.fat += canvas.slab(cup, (half * 0.38, rng.uniform(45, 70)), rng.uniform(20, 55))
    if rng.random() < 0.2:
        _pacemaker(rng, canvas, half, top, floor)
    return canvas


def _lungs(canvas: Canvas, half: float, deep: float, top: float, floor: float) -> Field:
    """Millimetres of lung, air and all: each rises to an apex and rests on a dome."""
    lung = np.zeros(canvas.shape, np.float32)
    middle, reach = (top + floor) / 2 + 20, (floor - top) / 2 + 25
    for side, raised in ((-1, 14.0), (1, 0.0)):
        centre = side * half * 0.5
        tall = canvas.slab((centre, middle), (half * 0.44, reach), deep * 0.8, power=2.6, edge=2.2)
        crest = floor - raised + 26 * (((canvas.x - np.float32(centre)) / np.float32(half * 0.5)) ** 2)
        # The dome is a surface in depth: the recess behind it thins out over some centimetres.
        below = np.asarray(canvas.y - crest, np.float32)
        above = np.float32(0.86) * smoothstep(below, 3, -9) + np.float32(0.14) * smoothstep(below, 50, 0)
        lung += tall * above
    return lung


def _vessels(rng: np.random.Generator, canvas: Canvas, lung: Field, top: float, floor: float) -> None:
    """Pulmonary vessels fan out from the hila, thinner as they go."""
    tree = np.zeros(canvas.shape, np.float32)
    for side in (-1, 1):
        hilum = np.array([side * 38.0, (top + floor) / 2 + 18])
        for _ in range(18):
            angle, long = rng.uniform(-1.35, 1.35), rng.uniform(45, 110)
            tip = hilum + long * np.array([side * np.cos(angle), np.sin(angle)])
            bend = (hilum + tip) / 2 + rng.normal(0, 6, 2)
            knots = curve([hilum, bend, tip], 5)
            tree = np.maximum(tree, canvas.tube(knots, list(np.linspace(rng.uniform(2, 5.5), 0.7, len(knots)))))
    haze = 1 + 0.05 * canvas.noise(5) + 0.04 * canvas.noise(1.6)
    canvas.soft += np.minimum(tree, lung * np.float32(0.7)) + lung * np.float32(0.12) * (haze - 1)


def _ribs(rng: np.random.Generator, canvas: Canvas, half: float, deep: float, top: float, floor: float) -> None:
    pitch = (floor - top) / 8.2
    thick = rng.uniform(5.5, 8.0)
    droop = rng.uniform(0.8, 1.3)
    for level in range(10):
        y = top + 30 + level * pitch
        reach = half * min(0.97, 0.55 + 0.15 * level)
        fall = droop * (18 + 5 * level)
        for side in (-1, 1):
            wobble = rng.normal(0, 1.5)
            back = [
                [side * 18, y, -deep * 0.36],
                [side * reach * 0.5, y - 8 + wobble, -deep * 0.45],
                [side * reach * 0.88, y + 0.4 * fall, -deep * 0.3],
                [side * reach, y + fall, 0],
            ]
            canvas.add_tube_bone(curve(back, 8), thick, cortex_mm=1.0)
            if level < 8:
                front = [
                    [side * reach, y + fall, 0],
                    [side * reach * 0.9, y + 1.5 * fall, deep * 0.3],
                    [side * (reach * 0.5 + 12), y + 1.9 * fall, deep * 0.42],
                ]
                canvas.add_tube_bone(curve(front, 8), thick * 1.1, cortex_mm=0.8, cancellous=0.1)


def _pacemaker(rng: np.random.Generator, canvas: Canvas, half: float, top: float, floor: float) -> None:
    at = (half * rng.uniform(0.4, 0.65), top + rng.uniform(70, 95))
    canvas.metal += canvas.slab(at, (24, 20), 3, power=4, edge=8)
    lead = [[at[0], at[1] - 15], [25, top + 60], [-20, floor - 110], [20, floor - 25]]
    canvas.metal += canvas.tube(curve(lead), 0.8)


def _spine(
    rng: np.random.Generator,
    canvas: Canvas,
    top: float,
    bottom: float,
    half_width: float,
    pitch: float,
    *,
    seen: float = 1.0,
) -> None:
    """Vertebrae from the front: bodies with end plates, pedicles, spinous and transverse processes."""
    lean = rng.normal(0, 12)
    for level, y in enumerate(np.arange(top, bottom, pitch)):
        x = lean * np.sin(2.5 * y / (bottom - top))
        grow = 0.85 + 0.3 * (y - top) / (bottom - top)
        wide = half_width * grow
        canvas.add_bone((x, y), (wide, pitch * 0.41), 30 * grow * seen, power=4, cancellous=0.24, cortex_mm=1.1)
        for side in (-1, 1):
            at = (x + side * wide * 0.68, y - 0.1 * pitch)
            canvas.add_bone(at, (wide * 0.2, pitch * 0.2), 12 * seen, cancellous=0.1, cortex_mm=1.5)
            tip = [x + side * wide * (1.7 + 0.1 * (level % 3)), y - 0.15 * pitch]
            canvas.add_tube_bone([[x + side * wide, y - 0.1 * pitch], tip], 3.2)
        canvas.add_bone((x, y + 0.35 * pitch), (2.8, pitch * 0.22), 22 * seen, cancellous=0.3)


def abdomen(rng: np.random.Generator, size: int) -> Canvas:
    """Supine abdomen or pelvis: lumbar spine, sacrum, iliac wings, pubic arch, hips' heads, bowel gas."""
    height = rng.uniform(340, 440)
    canvas = Canvas(rng, size, rng.uniform(0.75, 1.2), height)
    half, deep = rng.uniform(150, 200), rng.uniform(170, 280)
    body = canvas.slab((0, 0), (half, height * 1.4), deep, power=2.6, edge=2.6)
    canvas.fat += body * np.float32(0.3)
    canvas.soft += body * np.float32(0.7)
    crest = height * rng.uniform(-0.3, 0.25)
    gas = _bowel_gas(rng, canvas, half, crest)
    canvas.soft -= gas
    for side in (-1, 1):
        psoas = [[side * 22, crest - 120], [side * 45, crest - 20], [side * 70, crest + 80]]
        canvas.soft += canvas.tube(curve(psoas), [*np.linspace(14, 26, 29)]) * np.float32(0.15)
        canvas.soft += canvas.slab((side * 62, crest - 110), (28, 52), 40, degrees=side * 14) * np.float32(0.2)
    _spine(rng, canvas, -height / 2 - 10, crest + 25, rng.uniform(22, 26), rng.uniform(33, 39))
    sacrum = [[-52, crest + 20], [52, crest + 20], [30, crest + 85], [0, crest + 115], [-30, crest + 85]]
    canvas.mineral += canvas.polygon(sacrum, 2.5) * (7 + 2 * canvas.noise(6))
    for side in (-1, 1):
        _hemipelvis(rng, canvas, side, crest)
    if rng.random() < 0.3:
        for side in (-1, 1):
            ring = curve([[side * 6, -height / 2], [side * 90, -height * 0.42], [side * 120, -height * 0.3]])
            canvas.add_tube_bone(ring, 5)
    return canvas


def _hemipelvis(rng: np.random.Generator, canvas: Canvas, side: int, crest: float) -> None:
    wing = curve(
        [
            [side * 42, crest + 22],
            [side * 70, crest - 22],
            [side * 120, crest - 14],
            [side * 138, crest + 40],
            [side * 112, crest + 88],
            [side * 78, crest + 92],
            [side * 52, crest + 66],
        ]
    )
    canvas.mineral += canvas.polygon(wing, 1.5) * (4 + 1.0 * canvas.noise(9)) + canvas.tube(wing, 3.5) * np.float32(0.5)
    socket = (side * 98, crest + 118)
    canvas.add_bone(socket, (29, 30), 30, cancellous=0.05, cortex_mm=1.5)
    canvas.add_bone((socket[0] + side * 2, socket[1] + 4), (23, 23), 46, cancellous=0.16, cortex_mm=1.0)
    neck = [[socket[0] + side * 26, socket[1] + 18], [socket[0] + side * 60, socket[1] + 46]]
    canvas.add_tube_bone(neck, 15, cortex_mm=1.6, cancellous=0.18)
    ring = [
        [side * 84, crest + 108],
        [side * 40, crest + 136],
        [side * 8, crest + 152],
        [side * 16, crest + 182],
        [side * 56, crest + 200],
        [side * 86, crest + 150],
    ]
    canvas.add_tube_bone(curve(ring), rng.uniform(8, 10), cortex_mm=1.6, cancellous=0.2)


def _bowel_gas(rng: np.random.Generator, canvas: Canvas, half: float, crest: float) -> Field:
    """Pockets of gas, mm, lobulated where colon has haustra."""
    gas = np.zeros(canvas.shape, np.float32)
    for _ in range(int(rng.integers(6, 26))):
        start = np.array([rng.uniform(-0.75, 0.75) * half, rng.uniform(crest - 170, crest + 120)])
        path = np.cumsum(np.vstack([start, rng.normal(0, 16, (int(rng.integers(2, 5)), 2))]), axis=0)
        knots = curve(path, 8)
        radius = rng.uniform(6, 18) * (1 + 0.25 * np.sin(np.arange(len(knots)) * rng.uniform(0.6, 1.4)))
        gas = np.maximum(gas, canvas.tube(knots, list(radius)))
    return np.asarray(gas * np.clip(1 + 0.15 * canvas.noise(4), 0.4, 1.6), np.float32)


def lateral_spine(rng: np.random.Generator, size: int) -> Canvas:
    """Cervical or lumbar spine from the side, a curved stack of bodies with processes behind."""
    neck = rng.random() < 0.5
    height = rng.uniform(190, 240) if neck else rng.uniform(300, 380)
    canvas = Canvas(rng, size, rng.uniform(0.5, 0.8), height)
    pitch, depth = (rng.uniform(18, 21), 20.0) if neck else (rng.uniform(36, 42), 44.0)
    deep = rng.uniform(90, 130) if neck else rng.uniform(220, 300)
    around = canvas.slab((0, 0), (65 if neck else 150, height * 1.3), deep, power=3, edge=2.6)
    canvas.soft += around
    half = 9.0 if neck else 19.0
    sway, shift = rng.normal(0, 1) * height * 0.06, rng.uniform(-0.1, 0.1) * height
    for y in np.arange(-height / 2, height / 2 + pitch, pitch):
        x = shift + sway * np.cos(np.pi * y / height * 1.3)
        turn = float(np.rad2deg(np.arctan(sway * np.pi / height * 1.3 * np.sin(np.pi * y / height * 1.3))))
        canvas.add_bone((x, y), (half, pitch * 0.38), depth, degrees=turn, power=5, cancellous=0.25)
        joint = [[x + half, y - 0.1 * pitch], [x + 1.9 * half, y + 0.25 * pitch]]
        canvas.add_tube_bone(joint, 0.32 * half, cancellous=0.3)
        canvas.add_tube_bone([joint[1], [x + 3.1 * half, y + 0.55 * pitch]], 0.24 * half, cancellous=0.3)
    if neck:
        airway = curve([[shift - 24, -height / 2], [shift - 22, 0], [shift - 30, height / 2]])
        canvas.soft -= canvas.tube(airway, 8) * np.float32(0.9)
        canvas.add_tube_bone(curve([[shift - 30, -height * 0.42], [shift - 75, -height * 0.36]]), 13, cortex_mm=2.5)
        canvas.add_bone((shift + 5, -height * 0.62), (60, 45), 80, cancellous=0.25, cortex_mm=5)
    else:
        canvas.soft -= _bowel_gas(rng, canvas, 80, 0) * smoothstep(canvas.x, shift - 30, shift - 70) * 0.6
    return canvas


def breast(rng: np.random.Generator, size: int) -> Canvas:
    """Mammogram: a compressed breast against one edge, glandular tissue, sometimes calcifications or the pectoral."""
    height = rng.uniform(200, 260)
    canvas = Canvas(rng, size, rng.uniform(0.7, 0.85), height)
    wall = float(canvas.x.min())
    reach, tall = rng.uniform(70, 130), rng.uniform(75, 105)
    form = canvas.slab((wall, rng.uniform(-15, 15)), (reach, tall), rng.uniform(40, 65), edge=5)
    threads = 0.6 * canvas.noise(7) + 0.5 * canvas.noise(2.2) + 0.3 * canvas.noise(0.9)
    gland = np.clip(rng.uniform(0.05, 0.6) + 0.28 * threads, 0.02, 0.98)
    disc = canvas.slab((wall + 0.25 * reach, 0), (0.68 * reach, 0.7 * tall), 1.0, edge=2)
    share = (gland * disc).astype(np.float32)
    canvas.soft += form * share
    canvas.fat += form * (1 - share)
    if rng.random() < 0.6:
        corner = [[wall - 5, -height], [wall + rng.uniform(40, 80), -height / 2 - 2], [wall - 5, rng.uniform(0, 70)]]
        canvas.soft += canvas.polygon(corner, 1.5) * form * np.float32(0.3)
    for _ in range(int(rng.integers(0, 30)) if rng.random() < 0.4 else 0):
        at = rng.normal((wall + 0.4 * reach, 10), 9)
        radius = rng.uniform(0.25, 0.8)
        canvas.mineral += canvas.slab((at[0], at[1]), (radius, radius), 2 * radius)
    return canvas
