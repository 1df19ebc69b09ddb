"""What a plot says can be read."""

from __future__ import annotations

from itertools import combinations

import pytest

from bonedge.convert.candidates import NetworkName
from bonedge.convert.plots import drift, move_apart
from bonedge.edge.page import plot_panels

pytestmark = pytest.mark.full


def test_names_of_candidates_that_measure_alike_do_not_cover_each_other() -> None:
    """Eight bits often reach the same figure in the same time: their names lay on each other, unread."""
    figure, panels = plot_panels(2, (9.6, 3.9))
    for axes in panels:
        axes.set(xlim=(0, 18), ylim=(0.8, 0.9))
    alike = [(9.9, 0.85), (10.0, 0.85), (10.1, 0.8502)]
    texts = [panels[0].text(x, y, f"mixed-ends-{count}", fontsize=7) for count, (x, y) in enumerate(alike)]

    def overlaps() -> int:
        boxes = [text.get_window_extent() for text in texts]
        return sum(a.overlaps(b) for a, b in combinations(boxes, 2))

    figure.draw_without_rendering()
    assert overlaps() == 3
    move_apart(figure, [texts, []])
    figure.draw_without_rendering()
    assert overlaps() == 0


def test_the_layer_that_loses_most_is_named_as_the_network_names_it() -> None:
    """`batchnorm` stood under the drop: a part of a fused operation's path, which every layer has."""
    normalised = (
        "segmenter_1/up0_b_relu_1/Relu6;segmenter_1/up0_b_bn_1/batchnorm/add_1;segmenter_1/up0_b_conv_1/convolution"
    )
    tables: dict[NetworkName, dict[str, float]] = {
        "segmenter": {"segmenter_1/half_logits_1/BiasAdd": 30.0, normalised: 20.0},
        "classifier": {"Identity": 9.0},
    }
    drawn = drift(tables).decode()
    assert "up0_b_conv" in drawn
    assert "Identity" in drawn
    assert "batchnorm" not in drawn
    assert "half_logits" in drift({**tables, "segmenter": {"segmenter_1/half_logits_1/BiasAdd": 30.0}}).decode()
