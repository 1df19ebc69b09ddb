"""From a radiograph to the networks' inputs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bonedge.edge.geometry import Letterbox, resize
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.preprocess import Prepared, prepare
from bonedge.edge.records import Pixels, Radiograph, Source

P = Preprocessing()


def radiograph(pixels: NDArray[np.floating]) -> Radiograph:
    return Radiograph(pixels.astype(np.float32), Source("0" * 64, *pixels.shape))


def limb(rows: int = 700, columns: int = 500) -> Pixels:
    """Soft tissue, a shaft with brighter cortices, noise: greys between 0.2 and 0.8."""
    across = np.abs(np.linspace(-1, 1, columns))
    profile = 0.25 + 0.2 * (across < 0.6) + 0.15 * (across < 0.3) + 0.1 * ((across > 0.2) & (across < 0.3))
    picture = np.tile(profile, (rows, 1)) + 0.05 * np.linspace(0, 1, rows)[:, None]
    noise = np.random.default_rng(0).normal(0, 0.01, (rows, columns))
    return (picture + noise).astype(np.float32)


def collimated(field: Pixels, grey: float, turn_degrees: float = 0.0) -> tuple[Pixels, NDArray[np.bool_]]:
    """`field` behind a rectangular shutter of one grey, and where the field is still open."""
    rows, columns = field.shape
    corners = cv2.boxPoints(((columns / 2, rows / 2), (0.7 * columns, 0.75 * rows), turn_degrees))
    opening = np.zeros(field.shape, np.uint8)
    cv2.fillPoly(opening, [corners.astype(np.int32)], 1)
    return np.where(opening == 1, field, np.float32(grey)), opening == 1


def working_part(prepared: Prepared, opening: NDArray[np.bool_]) -> Pixels:
    """The prepared greys well inside the opening."""
    shape = prepared.working.shape[::-1]
    inner = cv2.erode(cv2.resize(opening.astype(np.uint8), shape), np.ones((25, 25), np.uint8)) == 1
    return prepared.working[inner]


@given(rows=st.integers(1, 900), columns=st.integers(1, 900), long_side=st.integers(256, 700), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_size_becomes_valid_inputs(rows: int, columns: int, long_side: int, seed: int) -> None:
    """If it failed, some picture size would crash or feed the networks numbers outside their range."""
    p = Preprocessing(working_long_side_px=long_side)
    prepared = prepare(radiograph(np.random.default_rng(seed).random((rows, columns))), p)
    assert max(prepared.working.shape) == min(long_side, max(rows, columns))
    assert prepared.working.dtype == prepared.segmenter_input.dtype == np.float32
    assert prepared.segmenter_input.shape == (1, 256, 256, 1)
    assert 0 <= prepared.working.min() <= prepared.working.max() <= 1
    assert prepared.segmenter_input.min() >= (0 - p.mean) / p.std - 1e-6
    assert prepared.segmenter_input.max() <= (1 - p.mean) / p.std + 1e-6


@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
def test_a_flat_picture_is_black(grey: float) -> None:
    """If it failed, an unexposed plate would become NaN or amplified rounding noise."""
    prepared = prepare(radiograph(np.full((300, 200), grey)), P)
    assert not prepared.working.any()
    assert (prepared.segmenter_input == (0 - P.mean) / P.std).all()


def test_pixels_that_are_no_numbers_do_not_spread() -> None:
    """If it failed, one bad pixel would turn the whole verdict into NaN."""
    pixels = limb()
    pixels[10:12, 10:12] = np.nan
    assert np.isfinite(prepare(radiograph(pixels), P).segmenter_input).all()


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.1), (0.02, 0.0), (0.9, 0.05)])
def test_brightness_and_contrast_of_the_file_do_not_matter(gain: float, offset: float) -> None:
    """If it failed, a 10-bit picture in a 16-bit file, or a dim window, would get another verdict."""
    whole, other = prepare(radiograph(limb()), P), prepare(radiograph(limb() * gain + offset), P)
    assert np.abs(whole.working - other.working).max() < 0.02


@pytest.mark.parametrize("turn_degrees", [0.0, 8.0])
@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_shutters_do_not_change_the_anatomy(grey: float, turn_degrees: float) -> None:
    """If it failed, a black or white collimation border would wash the bone out."""
    p = Preprocessing(clahe_clip=0)
    shut, opening = collimated(limb(), grey, turn_degrees)
    reference = working_part(prepare(radiograph(limb()), p), opening)
    seen = working_part(prepare(radiograph(shut), p), opening)
    assert np.abs(seen - reference).mean() < 0.03


@pytest.mark.parametrize("turn_degrees", [0.0, 8.0])
def test_white_shutters_are_shown_black(turn_degrees: float) -> None:
    """If it failed, a white border would look like dense bone to the segmenter."""
    shut, opening = collimated(limb(), 1.0, turn_degrees)
    prepared = prepare(radiograph(shut), Preprocessing(clahe_clip=0, median_px=0))
    shape = prepared.working.shape[::-1]
    outside = cv2.erode((~cv2.resize(opening.astype(np.uint8), shape).astype(bool)).astype(np.uint8), np.ones((5, 5)))
    assert prepared.working[outside == 1].max() < 0.05


def test_a_burnt_out_bone_that_touches_a_white_shutter_stays() -> None:
    """If it failed, the bone, and a lesion in it, would be blacked out together with the border."""
    rows, columns = 500, 360
    field = limb(rows, columns) * 0.5
    shaft = slice(160, 200)
    field[60:400, shaft] = 1.0
    field[:60] = 1.0
    working = prepare(radiograph(field), Preprocessing(clahe_clip=0, median_px=0)).working
    assert working[:50].max() < 0.05
    assert working[80:390, 165:195].min() > 0.9


def test_a_lead_marker_does_not_set_the_window() -> None:
    """If it failed, the letter L on the film would darken all bones."""
    p = Preprocessing(clahe_clip=0)
    marked = limb() * 0.5
    marked[40:90, 40:80] = 1.0
    assert abs(float(np.median(prepare(radiograph(marked), p).working))
               - float(np.median(prepare(radiograph(limb()), p).working))) < 0.05  # fmt: skip


def test_median_filter_and_equalization_follow_the_manifest() -> None:
    """If it failed, a bundle's preprocessing parameters would be ignored."""
    pixels = limb()
    plain = prepare(radiograph(pixels), Preprocessing(median_px=0, clahe_clip=0)).working
    smooth = prepare(radiograph(pixels), Preprocessing(median_px=5, clahe_clip=0)).working
    equalized = prepare(radiograph(pixels), Preprocessing(median_px=0, clahe_clip=4)).working
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.6 * np.abs(np.diff(plain, axis=0)).mean()
    assert np.abs(np.diff(equalized, axis=0)).mean() > 1.3 * np.abs(np.diff(plain, axis=0)).mean()


def test_padding_is_black_and_the_picture_is_centred() -> None:
    """If it failed, the segmenter would see a border that it was never trained on."""
    prepared = prepare(radiograph(limb(700, 350)), P)
    square, box = prepared.segmenter_input[0, :, :, 0], prepared.letterbox
    padding = np.ones(square.shape, bool)
    padding[box.top : box.top + box.inner_rows, box.left : box.left + box.inner_columns] = False
    assert (box.inner_rows, box.inner_columns, box.left) == (256, 128, 64)
    assert (square[padding] == (0 - P.mean) / P.std).all()
    assert square[~padding].max() > 1


@given(rows=st.integers(20, 1200), columns=st.integers(20, 1200), x=st.floats(0.1, 0.9), y=st.floats(0.1, 0.9))
@settings(max_examples=30, deadline=None)
def test_a_point_comes_back_where_it_was(rows: int, columns: int, x: float, y: float) -> None:
    """If it failed, outlines would be shifted against the anatomy."""
    letterbox = Letterbox.fit(rows, columns, 256)
    grid_y, grid_x = np.mgrid[:rows, :columns]
    size = max(rows, columns) / 12
    spot = np.exp(-(((grid_x - x * columns) ** 2 + (grid_y - y * rows) ** 2) / (2 * size**2))).astype(np.float32)
    back = resize(letterbox.inner(letterbox.apply(spot)), rows, columns)
    assert back.shape == spot.shape
    pixel = max(rows / letterbox.inner_rows, columns / letterbox.inner_columns, 1)
    for axis_grid in (grid_x, grid_y):
        assert abs((axis_grid * back).sum() / back.sum() - (axis_grid * spot).sum() / spot.sum()) < 0.35 * pixel
