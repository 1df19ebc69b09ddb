"""What a bundle brings along to be tested with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bonedge.convert.golden import steady, with_golden_pictures
from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import load
from bonedge.edge.golden import disagreements, golden_answer
from bonedge.edge.pipeline import Pipeline


def test_a_bundle_answers_its_own_golden_pictures(tiny_bundle: Path, tmp_path: Path) -> None:
    """If it failed, a bundle would call the machine that it was made on a liar."""
    plain = Bundle.open(tiny_bundle)
    written = write_bundle(tmp_path / "bundle", *with_golden_pictures(plain.manifest, plain.contents, threads=1))
    (networks,) = written.manifest.networks
    assert networks.golden
    for answer in networks.golden:
        assert answer.picture in written.contents
        assert answer.label != "abstain"
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-3)
        # Far from the operating point, so that rounding on another processor does not change the verdict.
        assert abs(1 - answer.probabilities[0] - written.manifest.decision.tumour_threshold) > 0.1
    assert disagreements(written, load(written)) == []


@pytest.mark.parametrize(
    ("radius", "wanted"), [(0, True), (13, False), (40, True)], ids=["no lesion", "at the threshold", "lesion"]
)
def test_an_answer_that_hangs_on_a_speck_is_not_steady(
    tiny_bundle: Path, paint: Callable[..., Any], radius: int, wanted: bool
) -> None:
    """A speck of 0.003 of the picture, where the smallest lesion that counts has 0.002, and might have had 0.004."""
    bundle = Bundle.open(tiny_bundle)
    networks = load(bundle)
    pixels = paint(480, 360)
    if radius:
        cv2.circle(pixels, (180, 240), radius, 0.92, -1)
    ok, png = cv2.imencode(".png", np.rint(pixels * 65535).astype(np.uint16))
    assert ok
    radiograph = decode_bytes(png.tobytes())
    examination = Pipeline(bundle, networks).examine(radiograph)
    assert len(examination.segmentation.lesions) == (radius > 0)
    assert steady(bundle, networks, radiograph, golden_answer("golden-0.png", examination)) is wanted
