"""What the classifier looks at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.edge.crop import bone_region, choose_region, classifier_input, crop, lesion_region
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.preprocess import prepare
from bonedge.edge.records import BoundingBox, Lesion, Radiograph, Segmentation, Source

P = Preprocessing()


@given(rows=st.integers(50, 640), columns=st.integers(50, 640), context=st.floats(1, 4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_lesion_is_in_the_middle_of_its_square(
    rows: int, columns: int, context: float, data: st.DataObject
) -> None:
    """If it failed, the classifier would see a lesion cut off or off-centre, unlike in training."""
    left, top = data.draw(st.integers(0, columns - 2)), data.draw(st.integers(0, rows - 2))
    box = BoundingBox(left, top, data.draw(st.integers(left + 1, columns)), data.draw(st.integers(top + 1, rows)))
    p = Preprocessing(crop_context=context)
    region = lesion_region(box, rows, columns, p)
    assert region.width == region.height
    expected = max(context * max(box.width, box.height), p.crop_minimum_fraction * max(rows, columns))
    assert abs(region.width - expected) <= 0.5
    assert abs((region.left + region.right) - (box.left + box.right)) <= 2
    assert abs((region.top + region.bottom) - (box.top + box.bottom)) <= 2


@given(
    left=st.integers(0, 500),
    top=st.integers(0, 500),
    side=st.integers(10, 140),
    grid=st.integers(4, 64),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_a_snapped_square_still_holds_the_lesion(
    left: int, top: int, side: int, grid: int, data: st.DataObject
) -> None:
    """If it failed, a part of the lesion would be cut off for the sake of a round number."""
    box = BoundingBox(left, top, left + side, top + data.draw(st.integers(5, side)))
    region = lesion_region(box, 640, 640, Preprocessing(crop_grid=grid))
    assert region.width == region.height
    assert region.left <= box.left
    assert region.top <= box.top
    assert region.right >= box.right
    assert region.bottom >= box.bottom


def test_a_snapped_square_seldom_follows_a_pixel() -> None:
    """If it failed, an engine's rounding would change what the classifier is shown, and so the verdict."""

    def moved(grid: int) -> int:
        p = Preprocessing(crop_grid=grid)
        places = [(left, side) for left in range(100, 150) for side in (140, 160, 180)]
        boxes = [BoundingBox(left, 200, left + side, 200 + side) for left, side in places]
        further = [BoundingBox(box.left + 1, box.top, box.right + 1, box.bottom) for box in boxes]
        pairs = zip(boxes, further, strict=True)
        return sum(lesion_region(a, 640, 640, p) != lesion_region(b, 640, 640, p) for a, b in pairs)

    assert moved(0) == 150
    assert moved(16) <= 150 / 8


def test_the_region_follows_lesion_then_bone_then_picture() -> None:
    """If it failed, the classifier would look at the bone although a lesion was found."""
    prepared = prepare(
        Radiograph(np.random.default_rng(0).random((1280, 960)).astype(np.float32), Source("0" * 64, 1280, 960)), P
    )
    none = np.zeros((1280, 960), bool)
    flat = np.zeros((256, 256), np.float32)
    lesions = (Lesion(BoundingBox(600, 800, 800, 900), 9000, 0.9), Lesion(BoundingBox(0, 0, 900, 900), 800, 0.6))
    bone_box = BoundingBox(300, 0, 700, 1280)
    with_lesion = choose_region(Segmentation(none, lesions, flat, flat, flat[0], bone_box, 0.3), prepared, P)
    with_bone = choose_region(Segmentation(none, (), flat, flat, flat[0], bone_box, 0.3), prepared, P)
    with_nothing = choose_region(Segmentation(none, (), flat, flat, flat[0], None, 0.0), prepared, P)
    # The working picture is 640 x 480: half of the original.
    assert with_lesion == lesion_region(BoundingBox(300, 400, 400, 450), 640, 480, P)
    assert with_bone == bone_region(BoundingBox(150, 0, 350, 640), 640, 480, P)
    assert with_bone.width == pytest.approx(1.05 * 640, abs=1)
    assert with_nothing == bone_region(BoundingBox(0, 0, 480, 640), 640, 480, P)


def test_what_overhangs_the_picture_is_black() -> None:
    """If it failed, lesions at the picture's edge would be stretched or shifted."""
    cut = crop(np.ones((100, 100), np.float32), BoundingBox(-299, 0, 299, 598), Preprocessing(mean=0.5, std=0.25))
    assert cut.shape == (299, 299, 3)
    assert cut.dtype == np.float32
    assert (cut[:, :149] == -2).all()
    assert (cut[:49, 151:198] == 2).all()
    assert (cut[52:] == -2).all()


def test_a_region_beside_the_picture_is_all_black() -> None:
    """If it failed, a stray box would crash the examination."""
    cut = crop(np.ones((100, 100), np.float32), BoundingBox(500, 500, 600, 600), P)
    assert (cut == (0 - P.mean) / P.std).all()


def test_channels_are_equal_and_scale_is_kept() -> None:
    """If it failed, the classifier would see colours or distorted shapes."""
    ramp = np.tile(np.linspace(0, 1, 299, dtype=np.float32), (299, 1))
    cut = crop(ramp, BoundingBox(0, 0, 299, 299), P)
    assert (cut[:, :, 0] == cut[:, :, 1]).all()
    assert (cut[:, :, 0] == cut[:, :, 2]).all()
    np.testing.assert_allclose(cut[:, :, 0] * P.std + P.mean, ramp, atol=1e-6)


@pytest.mark.parametrize("shape", [(1280, 960), (600, 900), (400, 400)])
def test_maps_lie_over_the_picture_that_they_were_made_of(shape: tuple[int, int]) -> None:
    """If it failed, the classifier would be told of a lesion beside the one that it sees."""
    rows, columns = shape
    down, across = np.mgrid[:rows, :columns]
    disc = np.hypot(down - 0.4 * rows, across - 0.55 * columns) < 0.12 * min(shape)
    # A soft slope around it keeps the grey window from being drawn from the disc alone.
    pixels = np.where(disc, 1.0, 0.2 + 0.2 * down / rows).astype(np.float32)
    p = Preprocessing(median_px=0, clahe_clip=0, classifier_channels="grey, lesion, bone")
    prepared = prepare(Radiograph(pixels, Source("0" * 64, rows, columns)), p)
    height, width = prepared.working.shape
    seen = prepared.letterbox.apply((prepared.working > 0.9).astype(np.float32))
    region = BoundingBox(int(0.2 * width), int(0.1 * height), int(0.2 * width) + 300, int(0.1 * height) + 300)
    shown = classifier_input(prepared, seen, np.zeros_like(seen), region, p) * 0.25 + 0.5
    assert shown.shape == (299, 299, 3)
    assert shown.dtype == np.float32
    grey, lesion, bone = np.moveaxis(shown, 2, 0)
    overlap = 2 * ((grey > 0.9) & (lesion > 0.5)).sum() / ((grey > 0.9).sum() + (lesion > 0.5).sum())
    assert overlap > 0.95
    assert np.abs(bone).max() < 1e-6


def test_without_maps_the_picture_is_shown_three_times() -> None:
    """If it failed, a classifier that was trained on pictures alone would be shown something else."""
    prepared = prepare(Radiograph(np.random.default_rng(1).random((64, 64)).astype(np.float32), Source("0", 64, 64)), P)
    region = BoundingBox(0, 0, 64, 64)
    map_ = np.ones((256, 256), np.float32)
    assert np.array_equal(classifier_input(prepared, map_, map_, region, P), crop(prepared.working, region, P))
