"""The stages strung together, on a real engine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import Label, Radiograph, Source, Spacing


@pytest.fixture(scope="module")
def pipeline(tiny_bundle: Path) -> Pipeline:
    bundle = Bundle.open(tiny_bundle)
    ticks = count()
    return Pipeline(bundle, load(bundle, threads=1), clock=lambda: next(ticks) * 0.25)


def radiograph(pixels: Any, spacing_mm: float | None = 0.2, **source: Any) -> Radiograph:
    spacing = None if spacing_mm is None else Spacing(spacing_mm, spacing_mm)
    return Radiograph(pixels, Source("0" * 64, *pixels.shape, spacing=spacing, **source))


@pytest.mark.parametrize(("rows", "columns"), [(1760, 1400), (500, 420), (900, 1000)])
@pytest.mark.parametrize("kind", [None, "benign", "malignant"])
def test_a_painted_picture_gets_its_verdict(
    pipeline: Pipeline, paint: Callable[..., Any], kind: str | None, rows: int, columns: int
) -> None:
    """If it failed, some stage would hand the next one something else than it expects."""
    found = pipeline.examine(radiograph(paint(rows, columns, lesion=kind)))
    assert found.verdict.label is (Label.NORMAL if kind is None else Label(kind))
    assert len(found.segmentation.lesions) == (kind is not None)
    assert found.segmentation.mask.shape == (rows, columns)
    if kind is not None:
        assert found.segmentation.lesions[0].longest_diameter_mm == pytest.approx(2 * rows / 10 * 0.2, rel=0.06)
        assert found.segmentation.mask[rows // 2, columns // 2]


def test_the_region_is_told_in_original_pixels(pipeline: Pipeline, paint: Callable[..., Any]) -> None:
    """If it failed, what the classifier looked at could not be found in the picture."""
    found = pipeline.examine(radiograph(paint(1600, 1600, lesion="malignant")))
    region = found.classification.region
    assert abs((region.left + region.right) / 2 - 800) < 10
    assert abs((region.top + region.bottom) / 2 - 800) < 10
    assert region.width == pytest.approx(max(1.6 * 320, 0.3 * 1600), rel=0.05)


@pytest.mark.parametrize(("modality", "body_part"), [("MG", None), ("CR", "CHEST")])
def test_what_the_file_says_is_heard(
    pipeline: Pipeline, paint: Callable[..., Any], modality: str, body_part: str | None
) -> None:
    """If it failed, a chest film would get a verdict although its header names it."""
    picture = radiograph(paint(600, 500, lesion="malignant"), modality=modality, body_part=body_part)
    assert pipeline.examine(picture).verdict.label is Label.ABSTAIN


def test_no_bone_no_verdict(pipeline: Pipeline, paint: Callable[..., Any]) -> None:
    """If it failed, an empty plate would be called normal."""
    assert pipeline.examine(radiograph(paint(600, 500, bone=False))).verdict.label is Label.ABSTAIN


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (17, 16)])
def test_tiny_pictures_abstain_and_do_not_crash(pipeline: Pipeline, shape: tuple[int, int]) -> None:
    """If it failed, an icon among the radiographs would stop the whole run."""
    assert pipeline.examine(radiograph(np.zeros(shape, np.float32))).verdict.label is Label.ABSTAIN


def test_each_stage_has_its_time(pipeline: Pipeline, paint: Callable[..., Any]) -> None:
    """If it failed, the reported milliseconds would belong to other stages."""
    timings = pipeline.examine(radiograph(paint(300, 300)), decode_ms=7.0).timings_ms
    assert (timings.decode, timings.preprocess, timings.segment, timings.classify) == (7, 250, 250, 250)
    assert timings.total == 757
