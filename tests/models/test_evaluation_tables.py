"""What people read of an evaluation."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bonedge.calibration.phantom.records import Regime
from bonedge.edge.records import CLASSES, Label
from bonedge.models.evaluation import Outcome, risk_coverage, slices, summarise
from bonedge.models.evaluation_tables import print_tables


def test_the_widest_figures_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """If it failed, an interval of a run without a single error would be cut in the middle."""
    kinds = [(label, regime) for label in CLASSES for regime in Regime]
    outcomes = [
        Outcome(3, 1, (), index, label, regime, "knee", "plain", {}, label, _sure(label), 1.0)
        for index, (label, regime) in enumerate(kinds)
    ]
    print_tables(
        {
            "bundle": {"name": "bonedge", "version": "1"},
            "engine": {"name": "tflite", "precision": "int8", "device": "CPU"},
            "seed": 1,
            "phantoms": len(outcomes),
            "regions": [],
            **summarise(outcomes, 1),
            "regimes": {
                regime.value: summarise([one for one in outcomes if one.regime is regime], 1) for regime in Regime
            },
            "slices": [asdict(one) for one in slices(outcomes)],
            "risk_coverage": [asdict(one) for one in risk_coverage(outcomes, 0.5)],
        }
    )
    ranked = next(line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith("AUC"))
    assert ranked.count("100.0 (100.0-100.0)") == 1 + len(Regime)


def _sure(label: Label) -> dict[str, float]:
    return {one.value: 1.0 if one is label else 0.0 for one in CLASSES}
