"""What a bundle brings along to be tested with."""

from __future__ import annotations

from pathlib import Path

import pytest

from bonedge.convert.golden import with_golden_pictures
from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.engines import load
from bonedge.edge.golden import disagreements


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
