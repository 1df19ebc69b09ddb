"""A scene that is small and simple enough to know by heart: a tube in a limb, with or without a lesion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bonedge.calibration.phantom.records import Regime, Region, Scene
from bonedge.edge.records import Label


@pytest.fixture(scope="session")
def shaft() -> Callable[..., Any]:
    """`shaft(rows=320, columns=240, lesion=True, shift=0)` -> Scene with pixels of 1 mm."""

    def scene(rows: int = 320, columns: int = 240, *, lesion: bool = True, shift: int = 0) -> Scene:
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        across = x - (columns - 1) / 2 - shift
        bone = np.abs(across) < 18
        marrow = np.abs(across) < 12
        ball = np.hypot(across, y - rows / 2) < 25
        depth = 1.8 * (np.abs(across) < 70) + 1.4 * bone - 0.7 * marrow
        if lesion:
            depth = depth - 0.5 * (ball & bone)
        grain = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
        return Scene(
            signal=np.clip(np.exp(-depth) * (1 + 0.01 * grain), 1e-4, 1).astype(np.float32),
            lesion_mask=ball & bone if lesion else np.zeros_like(bone),
            bone_mask=bone,
            spacing_mm=1.0,
            label=Label.BENIGN if lesion else Label.NORMAL,
            region=Region.LEG,
            family="simple bone cyst" if lesion else "plain",
            regime=Regime.OVERT,
            semiology={"margin": "IA"} if lesion else {},
        )

    return scene
