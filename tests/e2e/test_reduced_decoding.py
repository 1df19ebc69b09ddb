"""The shipped bundle says the same of a large radiograph whether all of its pixels are decoded or as many as count."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless

from bonedge.edge.bundle import Bundle, open_bundle
from bonedge.edge.decode.formats import decode
from bonedge.edge.engines import load
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import Examination
from bonedge.edge.specimens import write_specimens
from bonedge.edge.trust import Trust
from bonedge.models.metrics import dice

FILES = 6


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(None, Trust())


@pytest.fixture(scope="module")
def specimens(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The bundle's golden pictures, each with a long side of 3000 pixels."""
    return write_specimens(bundle, tmp_path_factory.mktemp("specimens"), FILES)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("number", range(FILES))
def test_verdict_and_mask_do_not_depend_on_how_finely_it_was_decoded(
    bundle: Bundle, specimens: tuple[Path, ...], syntax: UID, number: int
) -> None:
    """The quicker way would be another reading, and nobody would have evaluated it."""
    pipeline = Pipeline(bundle, load(bundle, threads=1))
    path = specimens[number]
    if syntax == JPEG2000Lossless:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        path = path.with_suffix(".j2k.dcm")
        dataset.save_as(path)
    content = path.read_bytes()
    whole, reduced = (pipeline.examine(decode(content, "0" * 64, px)) for px in (None, pipeline.working_px))
    assert max(reduced.radiograph.pixels.shape) < max(whole.radiograph.pixels.shape)
    assert reduced.verdict.label is whole.verdict.label
    assert largest_difference(whole, reduced) < 0.05
    # Outlines of lesions that were found; of a speck at the threshold, two pixels more or less are all of it.
    if whole.segmentation.lesions:
        assert dice(reduced.segmentation.mask, whole.segmentation.mask) > 0.9
    assert reduced.segmentation.mask.shape == whole.segmentation.mask.shape


def largest_difference(one: Examination, other: Examination) -> float:
    return max(
        abs(one.verdict.probabilities[label] - other.verdict.probabilities[label])
        for label in one.verdict.probabilities
    )
