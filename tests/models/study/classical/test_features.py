"""The features that were made by hand, against pictures whose features are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.models.study.classical.features import FEATURES, measured

pytestmark = pytest.mark.full


def named(picture: Any, mask: Any) -> dict[str, float]:
    return dict(zip(FEATURES, measured(picture, mask), strict=True))


def test_every_feature_has_one_name(paint: Callable[..., Any]) -> None:
    """A list of what was selected would name the wrong features."""
    values = measured(*paint(0))
    assert values.shape == (len(FEATURES),)
    assert values.dtype == np.float64
    assert len(set(FEATURES)) == len(FEATURES)


def test_greys_of_spot_ring_and_bone_by_hand(paint: Callable[..., Any]) -> None:
    """The strongest sign of a lesion, that it is brighter or darker, would be measured somewhere else."""
    f = named(*paint(0))
    assert f["spot grey mean"] == pytest.approx(0.9, abs=0.01)
    assert f["spot grey deviation"] == pytest.approx(0.01, abs=0.003)
    assert f["ring grey mean"] == pytest.approx(0.6, abs=0.01)
    assert f["spot brighter than ring"] == pytest.approx(0.3, abs=0.01)
    assert f["spot grey ninetieth percentile"] > f["spot grey mean"] > f["spot grey tenth percentile"]
    # The bone, and 4.6 % of it, the lesion, 0.3 brighter.
    assert f["bone grey mean"] == pytest.approx(0.62, abs=0.02)


def test_shape_by_hand(paint: Callable[..., Any]) -> None:
    """Round and jagged lesions would look alike, and large ones small."""
    picture, _ = paint(0, lesion=None)
    disc, bar = np.zeros((2, 128, 128), np.bool_)
    rows, columns = np.mgrid[:128, :128]
    disc[np.hypot(rows - 64, columns - 64) <= 11] = True
    bar[40:88, 62:66] = True
    of_disc, of_bar = named(picture, disc), named(picture, bar)
    assert of_disc["shape area"] == pytest.approx(np.pi * 11**2 / 128**2, rel=0.02)
    assert of_disc["shape circularity"] == pytest.approx(1, abs=0.15)
    assert of_disc["shape eccentricity"] < 0.1
    assert of_disc["shape extent"] == pytest.approx(np.pi / 4, abs=0.08)
    assert of_disc["shape length"] == pytest.approx(22 / 128, rel=0.05)
    assert of_disc["shape bony share"] == 1
    assert of_bar["shape eccentricity"] > 0.95
    assert of_bar["shape extent"] == 1
    assert of_bar["shape circularity"] < 0.5


def test_shape_is_of_the_largest_component_and_all_are_counted(paint: Callable[..., Any]) -> None:
    """A speck would change a lesion's shape, or a second lesion would go unnoticed."""
    picture, truth = paint(0)
    alone = named(picture, truth)
    truth[20:22, 64:66] = True
    with_speck = named(picture, truth)
    assert with_speck["shape components"] == 2
    same = [name for name in FEATURES if name.startswith("shape") and name != "shape components"]
    assert [with_speck[name] for name in same] == [alone[name] for name in same]


def test_texture_tells_rough_from_smooth_inside_the_mask_only(paint: Callable[..., Any]) -> None:
    """The texture of matrix and destroyed bone would be lost in that of what is around it."""
    smooth, truth = paint(0, lesion=0.867)  # the middle of a grey level
    rough = smooth.copy()
    rough[truth] = np.random.default_rng(0).uniform(0.75, 0.98, int(truth.sum()))
    elsewhere = smooth.copy()
    elsewhere[~truth & (smooth > 0.5)] = np.random.default_rng(0).uniform(
        0.5, 0.7, int((~truth & (smooth > 0.5)).sum())
    )
    of_smooth, of_rough, of_elsewhere = named(smooth, truth), named(rough, truth), named(elsewhere, truth)
    assert of_rough["spot texture contrast at 1"] > 5 * of_smooth["spot texture contrast at 1"]
    assert of_rough["spot texture homogeneity at 1"] < of_smooth["spot texture homogeneity at 1"] - 0.2
    assert of_rough["spot wavelet energy 1"] > of_smooth["spot wavelet energy 1"] + 1
    assert of_rough["spot edge strength"] > 1.4 * of_smooth["spot edge strength"]  # the outline is the same
    texture = [name for name in FEATURES if name.startswith("spot texture")]
    assert [of_elsewhere[name] for name in texture] == [of_smooth[name] for name in texture]


def test_an_even_spot_has_the_least_texture(paint: Callable[..., Any]) -> None:
    """Background would be counted as pairs of pixels."""
    picture, truth = paint(0)
    picture[truth] = 0.9
    f = named(picture, truth)
    assert f["spot texture contrast at 1"] == 0
    assert f["spot texture homogeneity at 1"] == f["spot texture energy at 1"] == 1
    assert f["spot grey entropy"] == f["spot grey deviation"] == f["spot grey skewness"] == 0


def test_wavelet_energy_is_at_the_level_of_the_grain(paint: Callable[..., Any]) -> None:
    """Fine and coarse matrix could not be told apart."""
    picture, _ = paint(0, lesion=None)
    truth = np.zeros(picture.shape, np.bool_)
    truth[24:104, 48:80] = True  # well within the bone, on the grid of all three levels
    rows, columns = np.mgrid[:128, :128]
    fine, coarse = picture.copy(), picture.copy()
    fine[truth] += np.where((rows + columns) % 2, 0.1, -0.1)[truth]
    coarse[truth] += np.where((rows // 4 + columns // 4) % 2, 0.1, -0.1)[truth]
    of_fine, of_coarse = named(fine, truth), named(coarse, truth)
    assert of_fine["spot wavelet energy 1"] > of_fine["spot wavelet energy 3"] + 1
    assert of_coarse["spot wavelet energy 3"] > of_coarse["spot wavelet energy 1"] + 1


def test_an_empty_mask_leaves_the_bone_to_be_measured(paint: Callable[..., Any]) -> None:
    """A picture in which nothing was found could not be judged, or would count as one with an odd lesion."""
    picture, _ = paint(0)
    f = named(picture, np.zeros(picture.shape, np.bool_))
    nothing = [name for name in FEATURES if name.startswith(("spot", "ring", "shape"))]
    assert [f[name] for name in nothing] == [0.0] * len(nothing)
    assert f["bone grey mean"] > 0.5
    assert f["field area"] > 0.5


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    seed=st.integers(0, 2**16),
    kind=st.sampled_from(["noise", "black", "white", "even", "two greys"]),
    marked=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
@settings(deadline=None, max_examples=60)
def test_features_are_finite_whatever_the_picture(rows: int, columns: int, seed: int, kind: str, marked: float) -> None:
    """One odd picture would end the whole study, or teach a classifier nothing but NaN."""
    rng = np.random.default_rng(seed)
    picture = {
        "noise": rng.random((rows, columns)),
        "black": np.zeros((rows, columns)),
        "white": np.ones((rows, columns)),
        "even": np.full((rows, columns), 0.5),
        "two greys": rng.choice([0.2, 0.7], (rows, columns)),
    }[kind].astype(np.float32)
    values = measured(picture, rng.random((rows, columns)) < marked)
    assert values.shape == (len(FEATURES),)
    assert np.isfinite(values).all()
