"""What `bonedge benchmark` says to a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from .benchmark_document import Comparison, Document, Measured, Result
from .records import NOTICE

DASH = "-"
"""Where there is no figure."""
_WIDTH_IN_A_PIPE = 120


def print_document(document: Document) -> None:
    """What was measured, as tables on standard output."""
    console = tables_console()
    machine = document.machine
    console.print(
        machine.named
        + (f" (limited to {machine.processor_limit:g})" if machine.processor_limit else "")
        + f", {', '.join(machine.flags)}",
        markup=False,
    )
    sizes = ", ".join(f"{one.columns} x {one.rows}" for one in document.pictures)
    console.print(f"Pictures: {sizes} pixels. Results made durable on {document.scratch}.", markup=False)
    table = Table(box=box.SIMPLE_HEAD, title="From file to durable result, ms", title_justify="left")
    for heading in ("engine", "precision", "p50", "p90", "p99", "max", "p90 (MLPerf-style)", "CPU ms", "a second", ""):
        table.add_column(heading, justify="left" if heading in ("engine", "precision", "") else "right")
    for one in document.results:
        table.add_row(one.setting, one.precision, *_figures(one.end_to_end), *_beside(one), _remark(one.end_to_end))
    console.print(table)
    table = Table(box=box.SIMPLE_HEAD, title="Where the time goes, p50 ms", title_justify="left")
    names = tuple(document.results[0].stages)
    for heading in ("engine", *names, "networks alone", ""):
        table.add_column(heading, justify="left" if heading in ("engine", "") else "right")
    for one in document.results:
        medians = (f"{one.stages[name].p50:.1f}" for name in names)
        table.add_row(one.setting, *medians, f"{one.inference.latency.p50:.1f}", _remark(one.inference))
    console.print(table)
    table = Table(box=box.SIMPLE_HEAD, title="A fresh process", title_justify="left")
    loading = ("loading the networks, ms", "compiled before, ms")
    for heading in ("engine", *loading, "start to verdict, s", "of CPU, s", "peak memory, MB"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for one in document.results:
        cold = sorted(one.cold_starts, key=lambda start: start.wall_seconds)[len(one.cold_starts) // 2]
        figures = (f"{cold.wall_seconds:.2f}", f"{cold.processor_seconds:.2f}", f"{cold.peak_memory_mb:.0f}")
        kept = DASH if one.load_kept_ms is None else f"{one.load_kept_ms:.0f}"
        table.add_row(one.setting, f"{one.load_ms:.0f}", kept, *figures)
    console.print(table)
    for one in document.results:
        for measured, what in ((one.end_to_end, "end to end"), (one.inference, "the networks alone")):
            for reason in measured.steadiness.reasons:
                console.print(f"Unsteady: {one.setting}, {what}. {reason}", markup=False, style="yellow")
        for sentence in one.disagreements:
            console.print(f"Do not use: {sentence}", markup=False, style="red")
    console.print(
        "p90 (MLPerf-style): with 99 % confidence the 90th percentile is not above it (MLPerf inference rules, single "
        "stream, early stopping); it takes 64 pictures.",
        markup=False,
        style="dim",
    )
    console.print(NOTICE, markup=False, style="dim")


def print_comparison(found: Sequence[Comparison], threshold: float, remarks: Sequence[str]) -> None:
    """What `--compare` found, as a table on standard output."""
    table = Table(box=box.SIMPLE_HEAD, title=f"Slower or faster by more than {threshold:.0%}", title_justify="left")
    for heading in ("engine", "", "before ms", "after ms", "ratio", "95 % interval", "says"):
        table.add_column(heading, justify="right" if "ms" in heading or heading == "ratio" else "left")
    for one in found:
        table.add_row(
            one.setting, one.what, f"{one.before_ms:.1f}", f"{one.after_ms:.1f}", f"{one.change.ratio:.2f}",
            f"{one.change.low:.2f} to {one.change.high:.2f}", one.ruling,
        )  # fmt: skip
    console = tables_console()
    console.print(table)
    for remark in remarks:
        console.print(remark, markup=False)


def tables_console() -> Console:
    """Standard output, wide enough for the tables when nobody looks at it as it is written."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_IN_A_PIPE
    return console


def _figures(measured: Measured) -> tuple[str, ...]:
    one = measured.latency
    bound = DASH if one.early_stopping_p90 is None else f"{one.early_stopping_p90:.0f}"
    return (*(f"{value:.0f}" for value in (one.p50, one.p90, one.p99, one.maximum)), bound)


def _beside(result: Result) -> tuple[str, str]:
    rates = ", ".join(f"{rate:.1f} ({workers})" for workers, rate in result.pictures_per_second.items())
    return f"{1000 * result.processor_seconds_per_picture:.0f}", rates


def _remark(measured: Measured) -> str:
    return "" if measured.steadiness.steady else "unsteady"
