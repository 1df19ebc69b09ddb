"""What can be seen of a lesion: nothing of what is not there, more of more, and what each regime promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bonedge.calibration.phantom import scene as scenes
from bonedge.calibration.phantom.conspicuity import LEAST_CONSPICUITY, Change, conspicuity
from bonedge.calibration.phantom.generate import generate
from bonedge.calibration.phantom.geometry import Field
from bonedge.calibration.phantom.physics import Exposure, Paths, primary
from bonedge.calibration.phantom.records import Regime
from bonedge.edge.records import Label, Mask

SPACING_MM = 0.4
EXPOSURE = Exposure(photons=5000, scatter=0.2, scatter_mm=20, blur_mm=0.2)
ROWS, COLUMNS = 400, 200
BONE = np.zeros((ROWS, COLUMNS), np.bool_)
BONE[:, 60:140] = True


def disc(radius_px: float) -> Mask:
    row, column = np.mgrid[:ROWS, :COLUMNS]
    return np.hypot(row - 200, column - 100) < radius_px


def seen(mineral_change: Field, lesion: Mask, exposure: Exposure = EXPOSURE) -> float:
    """Conspicuity of a change in a bone of 15 mm mineral in 80 mm of soft tissue."""
    zero = np.zeros((ROWS, COLUMNS), np.float32)
    mineral = BONE * np.float32(15) + mineral_change.astype(np.float32)
    paths = Paths(zero + np.float32(80), zero, mineral, zero)
    change = Change(mineral_change.astype(np.float32), zero, BONE)
    return conspicuity(paths, primary(paths), change, lesion, exposure, SPACING_MM)


def test_no_change_cannot_be_seen() -> None:
    """If it failed, a label without evidence in the picture would pass."""
    lesion = disc(20)
    assert seen(lesion * 0.0, lesion) == 0
    assert seen(lesion * -5.0, np.zeros_like(lesion)) == 0


def test_more_change_and_more_photons_are_seen_better() -> None:
    """If it failed, the regimes would not be in order."""
    lesion = disc(20)
    little, much = seen(lesion * -1.0, lesion), seen(lesion * -4.0, lesion)
    assert 0 < little < much / 3
    assert seen(lesion * -4.0, lesion, replace(EXPOSURE, photons=200)) < much


def test_a_bone_that_changed_as_a_whole_looks_like_a_thinner_bone() -> None:
    """If it failed, a lesion without an outline would count as overt because the bone's own edge lies around it."""
    whole = BONE & (np.abs(np.arange(ROWS) - 200) < 180)[:, None]
    assert seen(whole * -4.0, whole) < 0.35 * seen(disc(20) * -4.0, disc(20))


@pytest.mark.parametrize("regime", list(Regime))
def test_every_tumour_keeps_what_its_regime_promises(regime: Regime, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it failed, lesions that nobody can see would be trained on, and counted as missed."""
    measured: list[float] = []

    def noted(*args: object) -> float:
        measured.append(conspicuity(*args))  # type: ignore[arg-type]
        return measured[-1]

    monkeypatch.setattr(scenes, "conspicuity", noted)
    for index in range(4):
        generate(21, index, size=320, label=Label.MALIGNANT, regime=regime)
        assert measured[-1] >= LEAST_CONSPICUITY[regime]
    assert list(LEAST_CONSPICUITY.values()) == sorted(LEAST_CONSPICUITY.values(), reverse=True)
