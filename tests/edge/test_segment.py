"""From painted maps to lesions in millimetres."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from bonedge.edge.manifest import Decision, Preprocessing
from bonedge.edge.preprocess import Prepared, prepare
from bonedge.edge.records import BoundingBox, Pixels, Radiograph, Segmentation, Source, Spacing
from bonedge.edge.segment import longest_diameter_mm, read_maps


def prepared(rows: int, columns: int) -> Prepared:
    pixels = np.random.default_rng(0).random((rows, columns)).astype(np.float32)
    return prepare(Radiograph(pixels, Source("0" * 64, rows, columns)), Preprocessing())


def read(
    rows: int,
    columns: int,
    lesion: Pixels | None = None,
    bone: Pixels | None = None,
    spacing: Spacing | None = None,
    decision: Decision | None = None,
) -> Segmentation:
    """Read maps that are painted on the original grid and letterboxed as a perfect segmenter would see them."""
    picture = prepared(rows, columns)
    maps = np.zeros((1, 256, 256, 2), np.float32)
    for channel, painted in enumerate((bone, lesion)):
        if painted is not None:
            maps[0, :, :, channel] = picture.letterbox.apply(painted)
    source = Source("0" * 64, rows, columns, spacing)
    return read_maps(maps, np.arange(4, dtype=np.float32)[None], picture, source, decision or Decision())


def ellipse(rows: int, columns: int, centre: tuple[int, int], axes: tuple[int, int], value: float = 1.0) -> Pixels:
    painted = np.zeros((rows, columns), np.float32)
    cv2.ellipse(painted, centre, axes, 0, 0, 360, value, -1)
    return painted


@pytest.mark.parametrize(("rows", "columns"), [(1760, 1760), (2400, 1100), (600, 1300), (200, 230)])
def test_a_painted_lesion_has_its_size_in_mm(rows: int, columns: int) -> None:
    """If it failed, the reported lesion would be larger or smaller than the real one."""
    short = min(rows, columns)
    axes = (short // 5, short // 8)
    spacing = Spacing(0.2, 0.2)
    painted = ellipse(rows, columns, (columns // 3, rows // 2), axes)
    found = read(rows, columns, painted, spacing=spacing)
    (lesion,) = found.lesions
    assert lesion.area_mm2 == pytest.approx(math.pi * axes[0] * axes[1] * 0.04, rel=0.06)
    assert lesion.longest_diameter_mm == pytest.approx(2 * axes[0] * 0.2, rel=0.05)
    assert lesion.area_px == np.count_nonzero(found.mask)
    overlap = np.count_nonzero(found.mask & (painted > 0.5))
    assert 2 * overlap / (np.count_nonzero(found.mask) + np.count_nonzero(painted)) > 0.96
    pixel = max(rows, columns) / 256
    for seen, true in (
        (lesion.box.left, columns // 3 - axes[0]),
        (lesion.box.right, columns // 3 + axes[0]),
        (lesion.box.top, rows // 2 - axes[1]),
        (lesion.box.bottom, rows // 2 + axes[1]),
    ):
        assert abs(seen - true) <= pixel + 1


def test_pixels_that_are_not_square_are_measured_by_their_own_sides() -> None:
    """If it failed, anisotropic detectors would give wrong diameters."""
    found = read(1000, 1000, ellipse(1000, 1000, (500, 500), (100, 100)), spacing=Spacing(0.3, 0.1))
    assert found.lesions[0].longest_diameter_mm == pytest.approx(200 * 0.3, rel=0.03)
    assert found.lesions[0].area_mm2 == pytest.approx(math.pi * 100**2 * 0.03, rel=0.03)


def test_without_spacing_no_millimetres_are_claimed() -> None:
    """If it failed, a PNG's lesion would be given a made-up size."""
    (lesion,) = read(500, 500, ellipse(500, 500, (250, 250), (60, 60))).lesions
    assert lesion.area_mm2 is None
    assert lesion.longest_diameter_mm is None


@pytest.mark.parametrize(
    ("rows", "columns", "longest"), [(1, 1, math.hypot(1, 1)), (3, 4, 5.0), (1, 9, math.hypot(1, 9)), (40, 30, 50.0)]
)
def test_rectangles_measure_their_diagonal(rows: int, columns: int, longest: float) -> None:
    """If it failed, the longest diameter would not be the maximum Feret diameter."""
    region = np.zeros((60, 60), np.uint8)
    region[5 : 5 + rows, 7 : 7 + columns] = 1
    assert longest_diameter_mm(region, Spacing(1, 1)) == pytest.approx(longest, abs=1e-4)
    assert longest_diameter_mm(region, Spacing(2, 2)) == pytest.approx(2 * longest, abs=1e-4)


def test_the_strongest_evidence_comes_first() -> None:
    """If it failed, the classifier would look at the wrong region."""
    large = ellipse(1000, 1000, (300, 300), (90, 90), 0.6)
    small = ellipse(1000, 1000, (750, 750), (60, 60), 1.0)
    first, second = read(1000, 1000, np.maximum(large, small)).lesions
    assert first.area_px > second.area_px
    assert second.mean_probability > first.mean_probability > 0.55
    stronger = ellipse(1000, 1000, (750, 750), (85, 85), 1.0)
    first, second = read(1000, 1000, np.maximum(large, stronger)).lesions
    assert first.box.left > 600
    assert first.area_px < second.area_px


def test_specks_are_dropped_from_lesions_and_mask() -> None:
    """If it failed, noise would be reported as lesions."""
    painted = np.maximum(
        ellipse(1000, 1000, (300, 300), (80, 80)),
        np.maximum(ellipse(1000, 1000, (800, 800), (9, 9)), ellipse(1000, 1000, (800, 200), (9, 9))),
    )
    found = read(1000, 1000, painted, decision=Decision(lesion_minimum_fraction=0.001))
    assert len(found.lesions) == 1
    assert not found.mask[600:].any()


def test_nothing_marked_is_nothing_found() -> None:
    """If it failed, every normal picture would carry a lesion."""
    found = read(700, 500)
    assert found.lesions == ()
    assert not found.mask.any()
    assert found.mask.shape == (700, 500)
    assert found.bone_box is None
    assert found.bone_fraction == 0


def test_marks_in_the_padding_do_not_count() -> None:
    """If it failed, what the network says about the black border would become bone or lesion."""
    picture = prepared(1000, 500)
    maps = np.zeros((1, 256, 256, 2), np.float32)
    maps[0, :, : picture.letterbox.left - 1] = 1.0
    found = read_maps(maps, np.zeros((1, 4), np.float32), picture, Source("0" * 64, 1000, 500), Decision())
    assert found.lesions == ()
    assert found.bone_fraction == 0
    assert not found.bone_map.any()
    assert not found.lesion_map.any()


def test_bone_is_measured_on_the_picture_only() -> None:
    """If it failed, narrow pictures would be refused for too little bone."""
    bone = np.zeros((1000, 400), np.float32)
    bone[:, 100:300] = 1
    found = read(1000, 400, bone=bone)
    assert found.bone_fraction == pytest.approx(0.5, abs=0.02)
    assert found.bone_box is not None
    assert abs(found.bone_box.left - 100) <= 4
    assert abs(found.bone_box.right - 300) <= 4
    assert (found.bone_box.top, found.bone_box.bottom) == (0, 1000)


def test_a_speck_does_not_stretch_the_bone_box() -> None:
    """If it failed, one stray pixel would make the classifier look at the whole plate."""
    bone = np.zeros((512, 512), np.float32)
    bone[100:400, 200:300] = 1
    bone[500:506, 500:506] = 1
    assert read(512, 512, bone=bone).bone_box == BoundingBox(200, 100, 300, 400)


def test_features_are_handed_on() -> None:
    """If it failed, the distance to the training pictures would be measured on something else."""
    assert read(300, 300).features.tolist() == [0, 1, 2, 3]
