"""The study's page and tables, from what systems said about the test pictures."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from bonedge.models.metrics import Estimate
from bonedge.models.study.cost import Cost
from bonedge.models.study.document import Document, document
from bonedge.models.study.protocol import REDUCED, Shown, Start
from bonedge.models.study.report import as_csv, as_markdown, as_page
from bonedge.models.study.results import Result, entries

pytestmark = pytest.mark.full
COSTS = {"EfficientNetB0": Cost(4_000_000, 60e6, 1.5), "VGG16": Cost(15_000_000, 2.5e9, 9.25)}


@pytest.fixture(scope="module")
def study() -> Document:
    """Two networks with two seeds each, of which the first is much better, and one that guesses."""
    truths = np.arange(240) % 3

    def said(system: str, shown: Shown, seed: int, skill: float) -> Result:
        raised = np.exp(np.random.default_rng(seed).normal(size=(len(truths), 3)) + skill * np.eye(3)[truths])
        probabilities = (raised / raised.sum(axis=1, keepdims=True)).tolist()
        return Result("p", "networks", system, shown, Start.SCRATCH, True, seed, probabilities, 12.5, 50.0)

    results = [
        said("EfficientNetB0", Shown.SEGMENTED, 1, 4),
        said("EfficientNetB0", Shown.SEGMENTED, 2, 4),
        said("EfficientNetB0", Shown.WHOLE, 1, 4),
        said("VGG16", Shown.SEGMENTED, 1, 0.3),
        said("VGG16", Shown.SEGMENTED, 2, 0.3),
    ]
    return document(
        entries([*results, replace(results[3], group="classical", system="Sobel", shown="", start="")]),
        truths,
        COSTS | {"Sobel": Cost(None, None, 33.0)},
        {"Dice, median": Estimate(0.75, 0.7, 0.8), "95 % distance, median": Estimate(3.2, 2.9, 3.6)},
        protocol=REDUCED,
        training="Learned from 700.",
        test="240.",
        test_pictures={"normal": 80, "benign": 80, "malignant": 80},
        command="bonedge study",
        created="2026-01-01T00:00:00+00:00",
        machine="a machine",
    )


def test_rivals_are_compared_with_a_verdict_in_words(study: Document) -> None:
    """If it failed, a reader would have to judge p-values, or the docs would say less than the page."""
    verdicts = {one.rival: one.verdict for one in study.differences}
    assert len(verdicts) == 3
    rows = [[cell.strip() for cell in row.split("|")] for row in as_markdown(study).splitlines()]
    table = {cells[1]: cells[-2] for cells in rows if len(cells) == 9}
    for rival, verdict in verdicts.items():
        assert table[rival] == verdict
        assert f"<td>{rival}</td>" in as_page(study)
    assert verdicts["VGG16, U-Net region, from scratch"] == "right more often"
    assert verdicts["Sobel"] == "right more often"
    assert verdicts["EfficientNetB0, whole image, from scratch"] == "no difference shown"


def test_costs_and_outlines_stand_beside_the_figures(study: Document) -> None:
    """If it failed, a network would be chosen whatever it costs, or outlines be read in the wrong unit."""
    rows = {row["system"]: row for row in csv.DictReader(as_csv(study).splitlines())}
    assert (rows["VGG16"]["parameters"], rows["VGG16"]["latency ms"]) == ("15000000", "9.25")
    assert (rows["Sobel"]["parameters"], rows["Sobel"]["latency ms"]) == ("", "33.0")
    assert rows["EfficientNetB0"]["operations"] == "60000000.0"
    for text in ("Dice, median 75.0 % (70.0-80.0)", "95 % distance, median 3.2 % of the picture's side (2.9-3.6)"):
        assert text in as_markdown(study)
    assert "The pictures are simulated" in as_markdown(study)
    assert "The pictures are simulated" in as_page(study)
    assert "tumour to everything has an accuracy of 66.7." in as_markdown(study)
