"""Painted radiographs whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

# All of it is marked full. Where the converter is not installed, not even the imports at the top would work.
collect_ignore_glob = [] if find_spec("sklearn") else ["test_*.py"]

SOFT, BONE = 0.2, 0.6


@pytest.fixture(scope="session")
def paint() -> Callable[..., Any]:
    """`paint(seed, lesion=0.9, side=128, radius=11)` -> picture float32 "side side", truth bool "side side".

    Black borders, an even limb, a bone in it, and a round lesion of grey `lesion` on the bone, somewhere; None for no
    lesion. A little noise.
    """

    def make(seed: int, lesion: float | None = 0.9, side: int = 128, radius: float = 11) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        picture = np.zeros((side, side))
        rows, columns = np.mgrid[:side, :side]
        limb = (np.abs(columns - side / 2) < 0.38 * side) & (np.abs(rows - side / 2) < 0.46 * side)
        picture[limb] = SOFT
        picture[limb & (np.abs(columns - side / 2) < 0.18 * side)] = BONE
        centre = side / 2 + rng.uniform(-0.2, 0.2) * side, side / 2 + rng.uniform(-0.03, 0.03) * side
        truth = np.hypot(rows - centre[0], columns - centre[1]) <= radius
        if lesion is None:
            truth = np.zeros_like(truth)
        else:
            picture[truth] = lesion
        picture[limb] += rng.normal(0, 0.01, int(limb.sum()))
        return np.clip(picture, 0, 1).astype(np.float32), truth

    return make
