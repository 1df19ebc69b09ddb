"""Skulls and jaws: frontal, lateral, and the dental panoramic view."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, curve
from .texture import smoothstep


def skull(rng: np.random.Generator, size: int) -> Canvas:
    """Frontal or lateral skull: a vault with sutures, face, teeth, mandible and the upper neck."""
    return _frontal(rng, size) if rng.random() < 0.5 else _lateral(rng, size)


def _frontal(rng: np.random.Generator, size: int) -> Canvas:
    canvas = Canvas(rng, size, rng.uniform(0.75, 1.0), rng.uniform(250, 290))
    wide, tall = rng.uniform(68, 78), rng.uniform(88, 100)
    _vault(rng, canvas, (0, -25), (wide, tall), rng.uniform(165, 185))
    canvas.fill(canvas.slab((0, 50), (wide * 0.86, 75), 130, power=2.4))
    canvas.fill(canvas.slab((0, 150), (58, 80), 110, power=4, edge=2))
    canvas.mineral += canvas.slab((0, 25), (56, 48), 7, power=3) * np.clip(1 + 0.3 * canvas.noise(6), 0.3, 2)
    for side in (-1, 1):
        orbit = (side * rng.uniform(31, 34), 5.0)
        canvas.mineral *= 1 - 0.45 * np.minimum(canvas.slab(orbit, (20, 17), 1.0, power=3, edge=6), 1)
        turn = np.linspace(0, 2 * np.pi, 12)
        rim = curve(np.column_stack([orbit[0] + 20 * np.cos(turn), orbit[1] + 17 * np.sin(turn)]), 4)
        canvas.mineral += canvas.tube(rim, 2.2) * np.float32(0.8)
        # The petrous ridge shows through the orbit.
        canvas.add_tube_bone([[side * 14, 18], [side * 60, 6]], 6, cortex_mm=2, cancellous=0.4)
        canvas.soft -= canvas.slab((side * 28, 42), (15, 17), 28, power=2.5)
        cheek = curve([[side * 44, 26], [side * 62, 34], [side * 67, 20]])
        canvas.add_tube_bone(cheek, 5)
        canvas.soft -= canvas.slab((side * 8, -12), (9, 12), 16)
    canvas.soft -= canvas.slab((0, 36), (10, 22), 45, power=3)
    canvas.add_tube_bone([[0, 18], [1, 54]], 1.4)
    jaw = [[-52, 20], [-50, 70], [-34, 98], [0, 112], [34, 98], [50, 70], [52, 20]]
    canvas.add_tube_bone(curve(jaw), rng.uniform(9, 12), cortex_mm=2.8, cancellous=0.25)
    for side in (-1, 1):
        for place in np.linspace(2, 26, 6):
            lean = side * (place**2) / 60
            _tooth(canvas, (side * place * 1.05, 64 - lean * side), 3.2, 9, up=True)
            _tooth(canvas, (side * place * 1.0, 82 - lean * side), 2.9, 9, up=False)
    for y in range(105, 160, 17):
        canvas.add_bone((0, y), (12, 7), 22, power=4)
    return canvas


def _lateral(rng: np.random.Generator, size: int) -> Canvas:
    canvas = Canvas(rng, size, rng.uniform(0.8, 1.1), rng.uniform(240, 285))
    facing = -1.0
    _vault(rng, canvas, (12, -25), (rng.uniform(88, 98), rng.uniform(70, 78)), rng.uniform(135, 150))
    canvas.fill(canvas.slab((facing * 48, 45), (44, 66), 110, power=2.6))
    canvas.fill(canvas.slab((40, 120), (52, 100), 110, power=4, edge=2.2))
    base = curve([[facing * 80, 0], [facing * 30, 6], [0.0, 22], [40.0, 36], [85.0, 42]])
    canvas.add_tube_bone(base, 4.5, cortex_mm=2, cancellous=0.5)
    canvas.add_bone((16, 28), (18, 13), 30, degrees=25, cancellous=0.4, cortex_mm=3)
    canvas.mineral += canvas.slab((facing * 52, 34), (34, 30), 7, power=3) * np.clip(1 + 0.35 * canvas.noise(5), 0.2, 2)
    canvas.soft -= canvas.slab((facing * 58, 32), (18, 15), 55, power=2.5)
    canvas.soft -= canvas.slab((facing * 80, -10), (7, 11), 30)
    canvas.soft -= canvas.tube(curve([[facing * 12, 48], [0.0, 80], [2.0, 140]]), 8)
    jaw = [[6.0, 34], [2.0, 74], [facing * 26, 92], [facing * 80, 98]]
    canvas.add_tube_bone(curve(jaw), rng.uniform(11, 14), cortex_mm=3, cancellous=0.3)
    for place in np.arange(34, 86, rng.uniform(7, 8.5)):
        width = 4.5 if place < 60 else 3.0
        _tooth(canvas, (facing * place, 64), width, 10, up=True)
        _tooth(canvas, (facing * place, 82), width, 10, up=False)
    for level, y in enumerate(range(62, 160, 18)):
        x = 30 - 3 * level
        canvas.add_bone((x, y), (9, 7), 20, power=5)
        canvas.add_tube_bone([[x + 9, y], [x + 32, y + 8]], 3)
    return canvas


def _vault(
    rng: np.random.Generator, canvas: Canvas, centre: tuple[float, float], half: tuple[float, float], deep: float
) -> None:
    """Scalp, outer and inner table with diploe between, sutures, and what the vessels carved."""
    canvas.fill(canvas.slab(centre, (half[0] + 6, half[1] + 6), deep + 12))
    thick = rng.uniform(4.5, 7.5)
    outer = canvas.slab(centre, half, deep)
    inner = canvas.slab(centre, (half[0] - thick, half[1] - thick), deep - 2 * thick)
    carved = 1 + 0.07 * canvas.noise(8) + 0.05 * canvas.noise(2.5)
    canvas.mineral += (outer - inner) * np.float32(0.62) * np.clip(carved, 0.5, 1.5)
    for _ in range(int(rng.integers(2, 6))):
        start = np.array(centre) + rng.uniform(-0.6, 0.6, 2) * half
        path = np.cumsum(np.vstack([start, rng.normal(0, 14, (4, 2))]), axis=0)
        canvas.mineral -= canvas.tube(curve(path, 6), rng.uniform(0.5, 1.2)) * np.float32(0.5)


def _tooth(canvas: Canvas, neck: tuple[float, float], half_width: float, root_mm: float, *, up: bool) -> None:
    """Enamel crown, dentine root, pulp; the root points `up` or down from the neck."""
    way = -1.0 if up else 1.0
    x, y = neck
    canvas.mineral += canvas.slab((x, y - way * 3), (half_width, 4.5), 8, power=4, edge=3) * np.float32(1.25)
    root = canvas.tube([[x, y], [x, y + way * root_mm]], [half_width * 0.8, half_width * 0.25])
    pulp = canvas.tube([[x, y - way * 2], [x, y + way * root_mm * 0.8]], [half_width * 0.25, half_width * 0.1])
    canvas.mineral += (root - pulp) * np.float32(0.8)


def panoramic(rng: np.random.Generator, size: int) -> Canvas:
    """Dental panoramic: the unrolled jaws with both rows of teeth, condyles, sinuses and the spine's ghost."""
    height = rng.uniform(125, 155)
    canvas = Canvas(rng, size, rng.uniform(1.7, 2.1), height)
    canvas.soft += 45 + 30 * canvas.slab((0, 0), (150, 90), 1.0) + 4 * canvas.noise(25)
    smile = rng.uniform(8, 22)
    bite = rng.uniform(-4, 8)

    def arch(x: float) -> float:
        """Height of the bite, `x` mm beside the midline."""
        return bite - smile * (x / 70) ** 2

    half_jaw = [[45, arch(45) + 36], [80, arch(62) + 32], [98, bite], [104, bite - 26], [108, bite - 44]]
    mandible = [*([-x, y] for x, y in reversed(half_jaw)), [0, arch(0) + 34], *half_jaw]
    canvas.add_tube_bone(curve(mandible), rng.uniform(11, 13), cortex_mm=2.6, cancellous=0.35)
    for side in (-1, 1):
        canvas.add_bone((side * 110, bite - 50), (8, 7), 12)
        canvas.add_tube_bone(curve([[side * 90.0, bite - 8], [side * 86, bite - 36]]), 5, cortex_mm=1.5)
        canal = [[side * 100, bite - 4], [side * 80, arch(62) + 32], [side * 42, arch(42) + 37]]
        canvas.mineral -= canvas.tube(curve(canal), 1.6)
        canvas.soft -= canvas.slab((side * 44, bite - 42), (24, 12), 22, power=2.5)
        canvas.add_tube_bone(curve([[side * 20, bite - 34], [side * 60, bite - 30], [side * 100, bite - 52]]), 2.2)
        canvas.soft += canvas.slab((side * 132, 0), (22, 95), 35, power=4)
        for y in range(-50, 80, 19):
            canvas.add_bone((side * 134, y), (11, 7.5), 16, power=4)
    upper = canvas.polygon(
        [[-70, arch(70) - 8], [0, arch(0) - 8], [70, arch(70) - 8], [66, bite - 44], [0, bite - 40], [-66, bite - 44]],
        3,
    )
    canvas.mineral += upper * (5 + 1.2 * canvas.noise(2.2)) * (1 - 0.5 * smoothstep(canvas.y, bite - 30, bite - 46))
    canvas.soft -= canvas.slab((0, bite - 44), (12, 18), 30, power=3)
    canvas.soft += canvas.slab((0, 0), (26, 90), 25, power=2.5)
    canvas.mineral += canvas.slab((0, 0), (15, 90), 3, power=3) * np.clip(1 + 0.3 * canvas.noise(8), 0, 2)
    _teeth_row(rng, canvas, bite, smile)
    return canvas


def _teeth_row(rng: np.random.Generator, canvas: Canvas, bite: float, smile: float) -> None:
    missing = rng.choice([0.02, 0.15, 0.6], p=[0.6, 0.3, 0.1])
    x = 3.5
    for half_width in (4.2, 3.4, 3.9, 3.6, 3.5, 5.2, 5.0, 4.6):
        for side in (-1, 1):
            y = bite - smile * (x / 70) ** 2
            for up in (True, False):
                if rng.random() < missing:
                    continue
                way = -1 if up else 1
                neck = (side * x + rng.normal(0, 0.3), y + way * 8 + rng.normal(0, 0.5))
                for root in (-0.45, 0.45) if half_width > 4.5 else (0.0,):
                    scale = 0.62 if half_width > 4.5 else 1.0
                    _tooth(canvas, (neck[0] + root * half_width * 1.3, neck[1]), half_width * scale, 13, up=up)
                if rng.random() < 0.15:
                    canvas.metal += canvas.slab((neck[0], neck[1] - way * 4), (half_width * 0.6, 2.5), 1.2, power=3)
        x += 2 * half_width + 0.4
