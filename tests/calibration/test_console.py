"""Four vendors' processing: each does what it is named for, and none loses the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bonedge.calibration.phantom.console import Chain, Console, develop
from bonedge.edge.records import Pixels

WIDE = replace(Console.plain(), gradient=0.5, low_quantile=0.0, high_quantile=1.0, low_margin=1.0, high_margin=1.0)
"""Its range holds all of a picture, so that nothing is cut off."""
DRAWS = [Console.draw(np.random.default_rng(seed)) for seed in range(200)]


def drawn(chain: Chain) -> list[Console]:
    return [console for console in DRAWS if console.chain == chain]


def developed(scene: Any, console: Console) -> Pixels:
    return develop(scene.signal, np.ones(scene.signal.shape, np.bool_), console)


def test_every_vendor_has_its_share() -> None:
    """A network would stumble over the one that it never saw."""
    counts = Counter(console.chain for console in DRAWS)
    assert set(counts) == set(Chain)
    assert min(counts.values()) >= 0.08 * len(DRAWS)


@pytest.mark.parametrize("chain", Chain)
def test_shows_bone_bright_within_the_grey_scale(shaft: Callable[..., Any], chain: Chain) -> None:
    """A pyramid put together wrongly, or a taken-back difference, could turn a picture over."""
    scene = shaft(lesion=False)
    for console in drawn(chain)[:12]:
        pixels = developed(scene, console)
        assert pixels.dtype == np.float32
        assert np.isfinite(pixels).all()
        assert 0 <= pixels.min() < pixels.max() <= 1
        assert np.median(pixels[scene.bone_mask]) > np.median(pixels[:, 50:80])
        assert console.manner["processing"] == chain.value


@pytest.mark.parametrize("chain", Chain)
def test_no_vendor_depends_on_the_exposure(shaft: Callable[..., Any], chain: Chain) -> None:
    """An underexposed plate would look like another vendor's."""
    scene = shaft()
    dim = replace(scene, signal=(scene.signal * 0.5).astype(np.float32))
    # What is ranged from the anatomy alone: a margin under 1 reaches into the beam, which is scaled with it.
    console = replace(drawn(chain)[0], low_margin=1.0, high_margin=1.0)
    inside = scene.bone_mask
    assert np.abs(developed(dim, console) - developed(scene, console))[inside].mean() < 0.02


def test_multiscale_lifts_the_faint_more_than_the_strong() -> None:
    """It would be another unsharp mask."""
    x = np.linspace(0, 128 * np.pi, 512, dtype=np.float32)
    faint = np.sin(x) * np.where(np.arange(512) < 256, 0.01, 0.5)
    broad = np.linspace(0, 1.5, 512, dtype=np.float32)[:, None]
    signal = (10 ** -(0.5 + broad + faint[None, :])).astype(np.float32)
    amplifying = replace(WIDE, chain=Chain.MULTISCALE, exponent=0.6)
    before, after = (develop(signal, np.ones(signal.shape, np.bool_), one) for one in (WIDE, amplifying))
    rows = slice(240, 272)

    def ripple(pixels: Pixels, columns: slice) -> float:
        return float(pixels[rows, columns].std(axis=1).mean())

    weak, strong = slice(40, 216), slice(296, 472)
    lifted = ripple(after, weak) / ripple(before, weak)
    assert lifted > 1.2 * ripple(after, strong) / ripple(before, strong)


def test_compressed_takes_broad_differences_back_and_leaves_the_fine() -> None:
    """Skin and dense bone would not be seen at once, which is what it is for."""
    rng = np.random.default_rng(0)
    broad = np.where(np.arange(512) < 256, 0.4, 1.6)[None, :].repeat(512, axis=0)
    fine = 0.03 * rng.standard_normal((512, 512))
    signal = (10 ** -(broad + fine)).astype(np.float32)
    seen = np.ones(signal.shape, np.bool_)
    before = develop(signal, seen, WIDE)
    after = develop(signal, seen, replace(WIDE, chain=Chain.COMPRESSED, compression=0.5, breadth=0.03))
    step = [float(one[:, 400:].mean() - one[:, :112].mean()) / float(one[:, :112].std()) for one in (before, after)]
    assert step[1] < 0.75 * step[0]


def test_a_picture_of_nothing_stays_a_picture() -> None:
    """An open beam has no anatomy, and a pyramid of it no bands."""
    for chain in Chain:
        pixels = develop(np.ones((40, 30), np.float32), np.zeros((40, 30), np.bool_), drawn(chain)[0])
        assert np.isfinite(pixels).all()
