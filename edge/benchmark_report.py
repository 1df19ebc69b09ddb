"""`bonedge benchmark --report`: one page, complete in itself, that shows where the time goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .benchmark_document import Document, Result
from .errors import OutputUnavailable
from .files import write_whole
from .page import as_svg, data_uri, plot_panels, render_page

PAGE = "benchmark.html"
DOCUMENT = "benchmark.json"
_COLOURS = {
    "decode": "#4a5568",
    "preprocess": "#7d8a99",
    "segment": "#2b5d8a",
    "classify": "#1b7f4b",
    "write": "#c08a2d",
}
_ENGINES = ("#2b5d8a", "#1b7f4b", "#b3402e", "#c08a2d", "#6b4a8a", "#4a5568")


def write_report(folder: Path, document: Document) -> None:
    """Write `benchmark.html` and `benchmark.json` into `folder`, which is there.

    Raises:
        OutputUnavailable: the folder does not take them.
    """
    try:
        write_whole(folder / DOCUMENT, (json.dumps(asdict(document)) + "\n").encode())
        write_whole(folder / PAGE, report_page(document).encode())
    except OSError as error:
        raise OutputUnavailable(
            f"{folder}: the report cannot be written there ({error.strerror}); free space or give another --report"
        ) from error


def report_page(document: Document) -> str:
    """The page. Nothing in it is fetched from anywhere."""
    return render_page(
        "bonedge.edge",
        "benchmark.html.j2",
        {"ms": _milliseconds},
        document=document,
        colours=_COLOURS,
        waterfall=data_uri("image/svg+xml", _waterfall(document.results)),
        distribution=data_uri("image/svg+xml", _distribution(document.results)),
        rates=data_uri("image/svg+xml", _rates(document.results)),
        unsteady=[
            (one.setting, what, reason)
            for one in document.results
            for what, measured in (("end to end", one.end_to_end), ("the networks alone", one.inference))
            for reason in measured.steadiness.reasons
        ],
    )


def _waterfall(results: Sequence[Result]) -> bytes:
    """Median of each stage, one after the other, a line per setting."""
    figure, (axes,) = plot_panels(1, (9.6, 1.3 + 0.55 * len(results)))
    for row, one in enumerate(results):
        begun = 0.0
        for stage, latency in one.stages.items():
            axes.barh(row, latency.p50, left=begun, height=0.6, color=_COLOURS[stage])
            if latency.p50 > 0.06 * sum(stage.p50 for stage in one.stages.values()):
                axes.text(begun + latency.p50 / 2, row, f"{latency.p50:.0f}", color="white", ha="center", va="center")
            begun += latency.p50
    axes.set_yticks(range(len(results)), [one.setting for one in results])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds from the file on disk, medians")
    return as_svg(figure)


def _distribution(results: Sequence[Result]) -> bytes:
    """Share of pictures that were done by then, end to end and for the networks alone."""
    figure, panels = plot_panels(2, (9.6, 3.6))
    for axes, title in zip(panels, ("from file to durable result", "the networks alone"), strict=True):
        for one, colour in zip(results, _cycled(len(results)), strict=True):
            measured = one.end_to_end if axes is panels[0] else one.inference
            times = np.sort(np.concatenate([np.asarray(row) for row in measured.rounds_ms]))
            axes.step(times, np.arange(1, len(times) + 1) / len(times), where="post", color=colour, label=one.setting)
        axes.axhline(0.9, color="#999", linewidth=0.8, linestyle=":")
        axes.set(title=title, xlabel="milliseconds", ylabel="share done", ylim=(0, 1.02))
        axes.set_xlim(left=0)
    panels[0].legend(fontsize=8, loc="lower right", frameon=False)
    return as_svg(figure)


def _rates(results: Sequence[Result]) -> bytes:
    """Pictures a second by number of workers."""
    figure, (axes,) = plot_panels(1, (5.2, 3.2))
    for one, colour in zip(results, _cycled(len(results)), strict=True):
        workers = [int(count) for count in one.pictures_per_second]
        axes.plot(workers, list(one.pictures_per_second.values()), "o-", color=colour, label=one.setting)
        axes.set_xticks(workers)
    axes.set(xlabel="workers", ylabel="pictures a second")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)
    return as_svg(figure)


def _cycled(count: int) -> list[str]:
    return [_ENGINES[place % len(_ENGINES)] for place in range(count)]


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 20 else f"{value:.0f}"
