"""The study for people: a page that is complete in itself, a table for spreadsheets, and one for the docs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bonedge.edge.errors import OutputUnavailable
from bonedge.edge.files import write_whole
from bonedge.edge.page import as_svg, data_uri, plot_panels, render_page
from bonedge.edge.records import Label
from bonedge.models.datasets import REAL
from bonedge.models.metrics import Estimate

from .document import Document, Line
from .figures import MEASURES, Figure
from .paired import Difference
from .protocol import Shown, Start

_SHORT = ("accuracy", "precision", "recall", "F1")
"""What the paper's table gives."""
_COLOURS = {Shown.SEGMENTED.value: "#2b5d8a", Shown.TRUE.value: "#1b7f4b", Shown.WHOLE.value: "#c08a2d", "": "#7d8a99"}


_SIMULATED = "The pictures are simulated, and the table says nothing about patients."
_LIMITS = (
    "The table says which design learns these pictures better under one budget; with more training the order may "
    "change. The U-Net that finds the regions is outside that budget: it was trained before, on other and more "
    "pictures, and what a network gains on its regions over whole images is the U-Net's doing, too. There a "
    "network also sees the U-Net's maps of lesion and bone, as the shipped classifier does; on whole images and "
    "true regions it sees grey alone, so that a true region does not bound what better outlines could give."
)


def write_study(folder: Path, study: Document) -> None:
    """Write study.json, study.html, study.csv and study.md into `folder`.

    Raises:
        OutputUnavailable: the folder does not take them.
    """
    contents = {
        "study.json": json.dumps(asdict(study)) + "\n",
        "study.csv": as_csv(study),
        "study.md": as_markdown(study),
        "study.html": as_page(study),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        raise OutputUnavailable(
            f"{folder}: the study cannot be written there ({error.strerror}); free space or give another --output"
        ) from error


def as_page(study: Document) -> str:
    """The page. Nothing in it is fetched from anywhere."""
    return render_page(
        "bonedge.models.study",
        "study.html.j2",
        {"percent": _percent, "gain": _gain, "number": lambda value, digits: f"{value:,.{digits}f}"},
        study=study,
        names=tuple(MEASURES),
        short=_SHORT,
        limits=_limits(study),
        always=_always(study),
        outlines=_outlined(study.outlines),
        accuracies=data_uri("image/svg+xml", _accuracies(study.lines)),
        tradeoff=data_uri("image/svg+xml", _tradeoff(study.lines)),
    )


def as_csv(study: Document) -> str:
    """One row per system; figures as shares 0..1."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    parts = ("", " low", " high", " spread over seeds")
    writer.writerow(
        ["group", "system", "input", "start", "augmented", "seeds"]
        + [name + part for name in MEASURES for part in parts]
        + ["training seconds", "pictures per second", "parameters", "operations", "latency ms"]
    )
    for one in study.lines:
        figures = [one.figures[name] for name in MEASURES]
        writer.writerow(
            [one.group, one.system, one.shown, one.start, one.augmented, len(one.seeds)]
            + [round(value, 5) for f in figures for value in (f.value, f.low, f.high, f.spread)]
            + [one.seconds, one.pictures_per_second, one.parameters, one.operations, one.latency_ms]
        )
    return content.getvalue()


def as_markdown(study: Document) -> str:
    """The table of the docs, beside the paper's."""
    rows = [
        "# The study",
        "",
        f"Made by `{study.command}` on {study.machine}. {study.training} Tested on {study.test}",
        f"Every network: {study.protocol.side} pixels; epochs: {study.protocol.epochs}; pictures: at most "
        f"{study.protocol.training_pictures}; seeds: {', '.join(map(str, study.protocol.seeds))}.",
        "",
        _limits(study),
        "",
        "Tumour against normal, per cent, with 95 % intervals over test pictures; macro-F1 of three classes. "
        f"{_always(study)}",
        "",
        "| system | accuracy | precision | recall | F1 | AUC | macro-F1 | parameters, millions | ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in study.lines:
        cells = [_interval(one.figures[name]) for name in _SHORT]
        cells += [_percent(one.figures["AUC"].value), _percent(one.figures["macro-F1"].value)]
        cells += ["" if one.parameters is None else f"{one.parameters / 1e6:.1f}"]
        cells += ["" if one.latency_ms is None else f"{one.latency_ms:.1f}"]
        rows.append(f"| {one.title} | {' | '.join(cells)} |")
    rows += _compared(study.differences)
    if outlined := _outlined(study.outlines):
        rows += ["", f"The U-Net's outlines: {'; '.join(f'{name} {text}' for name, text in outlined.items())}."]
    rows += [
        "",
        "The source paper's Table 1, on its own pictures, which are not ours to compare with:",
        "",
        "| network | accuracy | precision | recall | F1 |",
        "|---|---|---|---|---|",
        *(f"| {r.network} | {r.accuracy:g} | {r.precision:g} | {r.recall:g} | {r.f1:g} |" for r in study.printed),
        "",
        "What in it cannot be true of one set of pictures:",
        "",
        *(f"- {network}: {text}." for network, found in study.contradictions.items() for text in found),
        "",
        study.notice,
    ]
    return "\n".join(rows) + "\n"


def _limits(study: Document) -> str:
    real = any(REAL in told for told in (study.training, study.test))
    return _LIMITS if real else f"{_SIMULATED} {_LIMITS}"


def _always(study: Document) -> str:
    tumours = 1 - study.test_pictures[Label.NORMAL.value] / sum(study.test_pictures.values())
    return f"Whoever says tumour to everything has an accuracy of {_percent(tumours)}."


def _compared(differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return []
    rows = [
        "",
        "EfficientNetB0 on what the U-Net found (from scratch, augmented) against the others: percentage points that "
        "it gains, means over seeds with 95 % intervals over the same pictures. The counts and McNemar's exact p, "
        "after Holm's correction, are of the mean of each system's seeds, called a tumour from 0.5 on, so that they "
        "need not agree with the means; another threshold may turn them round, which the AUC leaves out.",
        "",
        "| the other | accuracy | AUC | only it right | only the other | p | at 0.5 EfficientNetB0 is |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in differences:
        accuracy = _gain(one.accuracy, one.accuracy_low, one.accuracy_high)
        rows.append(
            f"| {one.rival} | {accuracy} | {_gain(one.auc, one.auc_low, one.auc_high)} | {one.only_reference} "
            f"| {one.only_rival} | {one.adjusted:.2g} | {one.verdict} |"
        )
    return rows


def _gain(value: float, low: float, high: float) -> str:
    return f"{_percent(value)} ({_percent(low)} to {_percent(high)})"


def _outlined(outlines: Mapping[str, Estimate]) -> dict[str, str]:
    """Each figure that there is, in its unit."""
    return {
        name: f"{one.value:.1f} % of the picture's side ({one.low:.1f}-{one.high:.1f})"
        if "distance" in name
        else f"{_percent(one.value)} % ({_percent(one.low)}-{_percent(one.high)})"
        for name, one in outlines.items()
        if one.value is not None and one.low is not None and one.high is not None
    }


def _accuracies(lines: Sequence[Line]) -> bytes:
    """Accuracy and AUC of every system, with their intervals."""
    figure, panels = plot_panels(2, (10.4, 1.2 + 0.24 * len(lines)))
    for axes, name in zip(panels, ("accuracy", "AUC"), strict=True):
        for row, one in enumerate(lines):
            found, colour = one.figures[name], _COLOURS.get(one.shown, _COLOURS[""])
            axes.plot([100 * found.low, 100 * found.high], [row, row], color=colour, linewidth=2)
            axes.plot(100 * found.value, row, "o", color=colour, markersize=5)
        axes.set_title(f"{name}, tumour against normal, %")
        axes.set_yticks(range(len(lines)), [one.title for one in lines] if axes is panels[0] else [], fontsize=8)
        axes.invert_yaxis()
    return as_svg(figure)


def _tradeoff(lines: Sequence[Line]) -> bytes:
    """AUC over latency, a point per network: on what the U-Net found, from scratch, augmented."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure, (axes,) = plot_panels(1, (7.2, 3.4))
    for one in lines:
        # Other starts have the same latency: their names would lie on top of each other.
        if one.latency_ms is None or (one.shown, one.start) != (Shown.SEGMENTED, Start.SCRATCH) or not one.augmented:
            continue
        axes.plot(one.latency_ms, 100 * one.figures["AUC"].value, "o", color=_COLOURS[one.shown])
        axes.annotate(
            one.system,
            (one.latency_ms, 100 * one.figures["AUC"].value),
            textcoords="offset points",
            xytext=(6, -3),
            fontsize=7,
        )
    axes.set_xscale("log")
    # Few enough that the numbers do not run into each other.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ms for one picture, fp32, one thread")
    axes.set_ylabel("AUC, %")
    axes.margins(x=0.35)
    return as_svg(figure)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(figure: Figure) -> str:
    return f"{_percent(figure.value)} ({_percent(figure.low)}-{_percent(figure.high)})"
