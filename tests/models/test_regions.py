"""What the classifier is shown in training: the regions that it will be shown on a workstation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bonedge.edge.bundle import Bundle
from bonedge.edge.crop import lesion_region
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import load
from bonedge.edge.geometry import clip_box
from bonedge.edge.manifest import Decision, Preprocessing
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import BoundingBox
from bonedge.models.cache import PictureCache, open_cache
from bonedge.models.datasets import PhantomSet
from bonedge.models.regions import (
    THRESHOLDS,
    Regions,
    draw_region,
    open_regions,
    predict_regions,
    read_segmentation,
    segment_all,
)

DRAWS = 1500
FAR = (5000, 6000, 5200, 6200)
"""Of a region that can only have come from the segmenter."""
DOUBTED = (15000, 16000, 15200, 16200)
"""Of one that it suspects most."""


def without_progress(done: int, total: int) -> None:
    pass


def draws(cache: PictureCache, index: int, p: Preprocessing, predicted: Any, count: int = DRAWS) -> list[BoundingBox]:
    boxes = np.broadcast_to(np.asarray(predicted, np.int32), (len(cache.label), len(THRESHOLDS), 4))
    suspect = np.broadcast_to(np.asarray(DOUBTED, np.int32), (len(cache.label), 4))
    regions = Regions(boxes, suspect, np.zeros((*cache.picture.shape, 2), np.uint8))
    return [draw_region(cache, regions, index, np.random.default_rng((index, n)), p) for n in range(count)]


def middle(box: BoundingBox) -> Any:
    return np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])


@pytest.mark.parametrize("long_side", [None, 1000])
def test_training_shows_the_region_that_the_pipeline_picks(
    tiny_bundle: Path, write_set: Callable[..., Path], tmp_path: Path, long_side: int | None
) -> None:
    """If it failed, the classifier would be trained on other parts of pictures than it has to judge."""
    bundle = Bundle.open(tiny_bundle)
    preprocessing = bundle.manifest.preprocessing
    networks = load(bundle, threads=1)
    data = write_set(tmp_path / "data", 8)
    if long_side is not None:
        for file in data.rglob("*.png"):
            pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            scale = long_side / max(pixels.shape)
            cv2.imwrite(str(file), cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST))

    def segmenter(pixels: Any) -> dict[str, Any]:
        answers = [networks.segment(one[None]) for one in pixels]
        return {"maps": np.concatenate([a[0] for a in answers]), "features": np.concatenate([a[1] for a in answers])}

    cache = open_cache(PhantomSet(data), tmp_path / "cache", preprocessing, without_progress)
    regions = predict_regions(segmenter, cache, preprocessing, without_progress)
    pipeline = Pipeline(bundle, networks)
    for index, sample in enumerate(PhantomSet(data).samples):
        radiograph = decode_bytes(sample.picture.read_bytes())
        seen = pipeline.examine(radiograph).classification.region
        rows, columns = radiograph.pixels.shape
        factor = columns / cache.size[index, 1]
        # Threshold 0 is the bundle's own, 0.5.
        given = BoundingBox(*(round(float(v) * factor) for v in regions.predicted[index, 0]))
        given = clip_box(given, rows, columns)
        apart = [abs(getattr(given, edge) - getattr(seen, edge)) for edge in ("left", "top", "right", "bottom")]
        # Shrunk pictures: the lesion's box was rounded to pixels on another grid.
        assert max(apart) <= (0 if long_side is None else 4)
        if sample.lesion_mask is not None:
            lesion = cache.box(cache.lesion_box, index)
            assert lesion is not None
            assert np.abs(middle(lesion) * factor - middle(given)).max() < 0.03 * rows


def test_reports_progress_and_fills_every_row(
    cache: PictureCache, p: Preprocessing, by_brightness: Callable[[Any], dict[str, Any]]
) -> None:
    """If it failed, some pictures would be shown as an empty square."""
    steps: list[tuple[int, int]] = []
    regions = predict_regions(by_brightness, cache, p, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (len(cache.label), len(cache.label))
    assert regions.predicted.shape == (len(cache.label), len(THRESHOLDS), 4)
    widths = regions.predicted[..., 2] - regions.predicted[..., 0]
    assert np.array_equal(widths, regions.predicted[..., 3] - regions.predicted[..., 1])
    assert (widths >= p.crop_minimum_fraction * cache.size.max(1)[:, None] - 1).all()


def test_the_most_suspicious_place_is_kept_however_little_it_is_suspected(
    cache: PictureCache, p: Preprocessing
) -> None:
    """If it failed, the classifier would learn from few look-alikes: those that the segmenter nearly outlined."""

    spot = np.zeros((p.segmenter_side_px, p.segmenter_side_px), np.float32)
    spot[100:120, 100:120] = 1

    def segmenter(height: float) -> Callable[[Any], dict[str, Any]]:
        maps = np.stack([0 * spot, height * spot], axis=2)
        return lambda pixels: {
            "maps": np.repeat(maps[None], len(pixels), axis=0),
            "features": np.zeros((len(pixels), 4), np.float32),
        }

    suspected = predict_regions(segmenter(0.1), cache, p, without_progress)
    noise = predict_regions(segmenter(0.01), cache, p, without_progress)
    for index in range(4):
        region = BoundingBox(*(int(edge) for edge in suspected.suspect[index]))
        seen = cache.letterbox(index).cut(spot, region, 64)
        assert np.abs(np.argwhere(seen > 0.5).mean(axis=0) - 31.5).max() < 4
        assert np.array_equal(noise.suspect[index], noise.predicted[index, 0])
        assert np.array_equal(suspected.predicted[index, 1], noise.predicted[index, 1])


def test_what_was_found_is_kept_and_is_of_the_segmenter_that_found_it(
    cache: PictureCache, p: Preprocessing, by_brightness: Callable[[Any], dict[str, Any]], tmp_path: Path
) -> None:
    """If it failed, a resumed training would wait again, or a classifier would learn what another segmenter found."""
    file = tmp_path / "segmenter.keras"
    file.write_bytes(b"one")
    asked: list[int] = []

    def segmenter(pixels: Any) -> dict[str, Any]:
        asked.append(len(pixels))
        return by_brightness(pixels)

    def opened(bfloat16: bool = False) -> Regions:
        return open_regions(tmp_path, file, segmenter, cache, p, lambda done, total: None, bfloat16=bfloat16)

    first = opened()
    once = len(asked)
    again = opened()
    assert len(asked) == once > 0
    assert np.array_equal(again.predicted, first.predicted)
    assert np.array_equal(again.suspect, first.suspect)
    assert np.array_equal(again.maps, first.maps)
    file.write_bytes(b"another")
    opened()
    assert len(asked) == 2 * once
    kept = tmp_path / "regions.npz"
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 0xFF
    kept.write_bytes(content)
    damaged = opened()
    assert len(asked) == 3 * once
    assert np.array_equal(damaged.maps, first.maps)
    opened(bfloat16=True)
    assert len(asked) == 4 * once


def test_every_picture_keeps_its_own_maps(
    cache: PictureCache, p: Preprocessing, by_brightness: Callable[[Any], dict[str, Any]]
) -> None:
    """If it failed, beyond the first batch pictures would get the regions of their neighbours."""
    order = np.concatenate([np.arange(len(cache.label)), np.arange(len(cache.label))[::-1]])
    maps, features = segment_all(by_brightness, cache, order, p)
    assert len(maps) == len(features) == 2 * len(cache.label)
    assert np.array_equal(maps, maps[::-1])
    assert np.allclose(features, features[::-1])
    for row, index in enumerate(order[:8]):
        grey = cache.picture[index] / np.float32(255)
        assert (maps[row, :, :, 0] != (grey > 0.35)).mean() < 1e-3


def test_looks_a_second_time_as_the_runtime_does(cache: PictureCache, p: Preprocessing) -> None:
    """If it failed, thresholds would be fitted to other maps than those that the workstation averages."""

    def by_height(pixels: Any) -> dict[str, Any]:
        height = np.linspace(0, 1, p.segmenter_side_px, dtype=np.float32)[None, :, None, None]
        return {"maps": np.repeat(pixels * height, 2, axis=3), "features": pixels[:, 0, :4, 0]}

    order = np.arange(3)
    maps, _ = segment_all(by_height, cache, order, p.model_copy(update={"segmenter_turned": True}))
    seen, _ = segment_all(lambda x: {"maps": np.repeat(x, 2, axis=3), "features": x[:, 0, :4, 0]}, cache, order, p)
    np.testing.assert_allclose(maps, seen / 2, atol=1e-5)


def test_reads_maps_as_the_runtime_reads_them(
    cache: PictureCache, p: Preprocessing, by_brightness: Callable[[Any], dict[str, Any]]
) -> None:
    """If it failed, thresholds would be fitted to lesions that the workstation does not find."""
    maps, features = segment_all(by_brightness, cache, np.arange(9), p)
    for index in range(9):
        found, prepared = read_segmentation(cache, index, maps[index], features[index], p, Decision())
        assert np.array_equal(prepared.working, cache.working_picture(index))
        assert found.mask.shape == prepared.working.shape
        assert len(found.lesions) == (cache.label[index] > 0)
        assert np.array_equal(found.features, features[index])


@pytest.mark.parametrize("index", [1, 2])
def test_a_tumour_is_shown_as_found_as_it_is_and_as_missed(cache: PictureCache, p: Preprocessing, index: int) -> None:
    """If it failed, the classifier would not know lesions that the segmenter cuts badly or misses."""
    drawn = draws(cache, index, p, FAR)
    lesion = cache.box(cache.lesion_box, index)
    assert lesion is not None
    rows, columns = (int(v) for v in cache.size[index])
    around = lesion_region(lesion, rows, columns, p)
    predicted = [box for box in drawn if box.left > 3000]
    others = [box for box in drawn if box.left <= 3000]
    assert 0.5 < len(predicted) / DRAWS < 0.6
    near = [
        box
        for box in others
        if np.abs(middle(box) - middle(around)).max() < 0.2 * around.width and box.width < 1.5 * around.width
    ]
    whole = [box for box in others if box.width > 1.5 * around.width]
    assert 0.25 < len(near) / DRAWS < 0.35
    assert 0.1 < len(whole) / DRAWS < 0.2
    assert len(near) + len(whole) == len(others)


def test_a_normal_is_shown_as_tightly_as_a_tumour(cache: PictureCache, p: Preprocessing) -> None:
    """If it failed, a tight crop would be proof of a tumour, and each false alarm be confirmed."""
    drawn = draws(cache, 0, p, FAR)
    rows, columns = (int(v) for v in cache.size[0])
    long_side = max(rows, columns)
    doubted = [box for box in drawn if box.left > 10000]
    assert 0.1 < len(doubted) / DRAWS < 0.2
    others = [box for box in drawn if box.left <= 3000]
    tight = [box for box in others if box.width < 0.75 * long_side]
    whole = [box for box in others if box.width >= 0.75 * long_side]
    assert len(tight) + len(doubted) > 0.2 * DRAWS
    assert len(whole) > 0.1 * DRAWS
    bone = cache.box(cache.bone_box, 0)
    assert bone is not None
    places = np.array([middle(box) for box in tight])
    # Anywhere along the bone, not always in its middle.
    assert np.ptp(places[:, 1]) > 0.5 * rows
    assert (places[:, 0] > bone.left - 0.25 * columns).all()
    assert (places[:, 0] < bone.right + 0.25 * columns).all()


def test_every_region_is_a_square_and_the_same_for_the_same_numbers(cache: PictureCache, p: Preprocessing) -> None:
    """If it failed, bones would be stretched, or a resumed training see other crops."""
    for index in range(len(cache.label)):
        drawn = draws(cache, index, p, (10, 20, 11, 21), 60)
        assert drawn == draws(cache, index, p, (10, 20, 11, 21), 60)
        assert all(box.width == box.height >= 8 for box in drawn)


def test_a_region_is_jittered_around_what_was_found(cache: PictureCache, p: Preprocessing) -> None:
    """If it failed, the classifier would rely on the lesion being exactly in the middle of its crop."""
    boxes = [box for box in draws(cache, 1, p, FAR) if box.left > 3000]
    places = np.array([middle(box) for box in boxes])
    widths = np.array([box.width for box in boxes])
    assert places.mean(0) == pytest.approx([5100, 6100], abs=3)
    assert places.std(0) == pytest.approx([10, 10], rel=0.25)
    assert np.log(widths / 200).std() == pytest.approx(0.12, rel=0.25)
