"""The report's plots, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bonedge.edge.page import as_svg, plot_panels

from .candidates import NETWORKS, NetworkName
from .gates import calibration_curve
from .search import Judged
from .trial import Answer

_PASSED, _OUT, _FP32 = "#1b7f4b", "#b3402e", "#4a5568"
_MARKERS = {"tflite": "o", "openvino": "s"}
_TRIES = 500
"""Rounds in which names of candidates are moved apart."""
_FIGURES = {"segmenter": ("dice_median", "median lesion Dice"), "classifier": ("macro_f1", "macro-F1")}


def latency_against_accuracy(judged: Sequence[Judged]) -> bytes:
    """Every candidate: milliseconds against what it achieves on the validation set."""
    figure, panels = plot_panels(2, (9.6, 3.9))
    names: list[list[Any]] = []
    for axes, network in zip(panels, NETWORKS, strict=True):
        names.append([])
        gate, label = _FIGURES[network]
        for one in judged:
            value = next((g.candidate for g in one.gates if g.name == gate), None)
            if one.candidate.network != network or one.latency is None or value is None:
                continue
            colour = _FP32 if one.candidate.recipe == "fp32" else _PASSED if one.passed else _OUT
            axes.plot(one.latency.p50, value, _MARKERS[one.candidate.engine], color=colour, alpha=0.85, markersize=7)
            names[-1].append(axes.text(one.latency.p50, value, one.candidate.recipe, fontsize=7))
        for engine, style in (("tflite", "--"), ("openvino", ":")):
            races = [
                o.fp32.p50 for o in judged if o.fp32 and (o.candidate.network, o.candidate.engine) == (network, engine)
            ]
            if races:
                axes.axvline(float(np.median(races)), color=_FP32, linestyle=style, linewidth=1)
        before = next(
            (g.reference for o in judged for g in o.gates if o.candidate.network == network and g.name == gate), None
        )
        if before is not None:
            axes.axhline(before, color=_FP32, linewidth=0.8, alpha=0.5)
        axes.set(title=network, xlabel="milliseconds, p50", ylabel=label)
        axes.set_xlim(left=0)
        axes.margins(y=0.2)
        axes.ticklabel_format(axis="y", useOffset=False)
    for name, marker in _MARKERS.items():
        panels[1].plot([], [], marker, color="#888", label=name)
    for text, colour in (("passed", _PASSED), ("out", _OUT)):
        panels[1].plot([], [], "D", color=colour, label=text, markersize=5)
    for text, style in (("fp32, tflite", "--"), ("fp32, openvino", ":")):
        panels[1].plot([], [], color=_FP32, label=text, linestyle=style, linewidth=1)
    panels[1].legend(fontsize=7, loc="lower left", frameon=False)
    move_apart(figure, names)
    return as_svg(figure)


def move_apart(figure: Any, names: Sequence[Sequence[Any]]) -> None:
    """Let names of neighbouring points be read; a line leads from one that moved far to its point.

    Args:
        figure: matplotlib.figure.Figure, complete but for this.
        names: matplotlib.text.Text, by the panel that they are in.
    """
    from adjustText import adjust_text

    figure.draw_without_rendering()  # before, the panels are not where they will be
    for texts in filter(None, names):
        # Not a limit in seconds: a slower machine would draw another page.
        lines = {"arrowstyle": "-", "color": "#888", "linewidth": 0.5}
        adjust_text(texts, ax=texts[0].axes, iter_lim=_TRIES, arrowprops=lines)


def drift(tables: Mapping[NetworkName, Mapping[str, float]]) -> bytes:
    """Signal to noise along the layers of both networks."""
    figure, panels = plot_panels(2, (9.6, 3.2))
    for axes, network in zip(panels, NETWORKS, strict=True):
        names, values = list(tables[network]), list(tables[network].values())
        axes.plot(range(1, len(values) + 1), values, ".-", color="#2b5d8a", linewidth=1)
        if values:
            low = int(np.argmin(values))
            axes.annotate(
                _layer(names[low]),
                (low + 1, values[low]), (0, -12), textcoords="offset points", fontsize=7, ha="center",
            )  # fmt: skip
        axes.set(title=network, xlabel="layer, from the input on", ylabel="signal to noise, dB")
        axes.margins(y=0.2)
    return as_svg(figure)


def _layer(operation: str) -> str:
    """The layer that a fused operation computes: stem_conv in "unet_1/stem_bn_1/add;unet_1/stem_conv_1/convolution"."""
    paths = [path.split("/") for path in operation.split(";")]
    layers = [path[-2] if len(path) > 1 else path[0] for path in paths]
    return next((layer for layer in layers if "conv" in layer), layers[0]).removesuffix("_1")


def reliability(sides: Sequence[tuple[str, Sequence[Answer]]], truths: Any) -> bytes:
    """Calibration curves: how often the most probable class is right, against how probable it was said to be."""
    figure, (axes,) = plot_panels(1, (4.4, 3.9))
    axes.plot([0.3, 1], [0.3, 1], color="#bbb", linewidth=1)
    for (name, answers), colour in zip(sides, ("#4a5568", "#1b7f4b", "#2b5d8a"), strict=False):
        probabilities = np.array([one.outcome.probabilities for one in answers], np.float64)
        curve = calibration_curve(truths, probabilities)
        axes.plot([x for x, _, _ in curve], [y for _, y, _ in curve], "o-", color=colour, label=name, markersize=4)
    axes.set(xlabel="said probability", ylabel="share right")
    axes.legend(fontsize=8, frameon=False)
    return as_svg(figure)
