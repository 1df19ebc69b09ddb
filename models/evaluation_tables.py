"""What `bonedge evaluate` found, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bonedge.edge.records import NOTICE

from .evaluation import slices_of, worst
from .metrics import VERDICTS, Estimate

_TABLE_WIDTH = 120
_WORST = 8
_WORSE = "Where the interval lies below the whole's accuracy (of one slice in forty by chance alone)"
_TITLES = {
    "auc": "AUC",
    "calibration_error_by_chance": "cal. err. by chance",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "sensitivity_at_90_specificity": "sens. at 90 % spec.",
}


def print_tables(document: dict[str, Any]) -> None:
    """Print the document of `bonedge evaluate --json` on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    bundle, engine = document["bundle"], document["engine"]
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{bundle['name']} {bundle['version']} ({engine['name']} {engine['precision']} on {engine['device']}), "
        f"{document['phantoms']} phantoms of seed {document['seed']}"
        + (f", of {', '.join(document['regions'])}" if document["regions"] else ""),
    )
    parts, figures = figures_by_part(document)
    table.add_column("% (95 % interval)", no_wrap=True)
    for part in parts:
        table.add_column(part, justify="right", no_wrap=True)
    for row in figures:
        table.add_row(*row)
    truths = Table(box=box.SIMPLE_HEAD)
    for heading in ("truth \\ verdict", *(verdict.value for verdict in VERDICTS)):
        truths.add_column(heading, justify="left" if "truth" in heading else "right")
    for truth, row in document["confusion"].items():
        truths.add_row(truth, *map(str, row.values()))
    console = Console(highlight=False)
    # In a pipe the width is unknown: wide enough for whole figures.
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table)
    console.print(truths)
    found = worst(slices_of(document), document["binary"]["accuracy"]["value"], _WORST)
    if found:
        worse = Table(box=box.SIMPLE_HEAD, title=_WORSE)
        for heading in ("pictures with", "", "number", "tumour or not, right", "class, right", "Dice, median"):
            worse.add_column(heading, justify="left" if heading in ("pictures with", "") else "right")
        for one in found:
            dice = "-" if one.dice_median is None else f"{100 * one.dice_median:.1f}"
            accuracies = (shown(one.accuracy), shown(one.class_accuracy))
            worse.add_row(one.by, one.value, str(one.pictures), *accuracies, dice)
        console.print(worse)
    left = Table(box=box.SIMPLE_HEAD, title="If the least sure verdicts were left to people")
    for heading in ("pictures with a verdict", "of them wrong about tumour or not"):
        left.add_column(heading, justify="right")
    for one in document["risk_coverage"]:
        left.add_row(f"{100 * one['coverage']:.0f} %", shown(one["risk"]))
    console.print(left)
    if "compared" in document:
        compared = document["compared"]
        console.print(f"Same verdict as {compared['with']}: {shown(compared['agreement'])}", markup=False)
    console.print(NOTICE, markup=False, style="dim")


def figures_by_part(document: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(all and the regimes, rows): each row a figure's title and its cells, one per part."""
    parts = {"all": document, **document["regimes"]}
    rows = [
        (_TITLES.get(name, name.replace("_", " ")), *(shown(part[group][name]) for part in parts.values()))
        for group in ("binary", "ranking", "three_class", "segmentation")
        for name in document[group]
    ]
    return tuple(parts), [*rows, ("abstained", *(shown(part["abstained"]) for part in parts.values()))]


def shown(figure: Estimate | Mapping[str, float | None]) -> str:
    """A share as per cent with its interval; a dash where there was nothing to measure."""
    value, low, high = (
        (figure.value, figure.low, figure.high)
        if isinstance(figure, Estimate)
        else (figure["value"], figure["low"], figure["high"])
    )
    if value is None or low is None or high is None:
        return "-"
    return f"{100 * value:.1f} ({100 * low:.1f}-{100 * high:.1f})"
