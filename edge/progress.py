"""What a user sees while pictures are examined: a table on a terminal, lines in a pipe, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import click

from .errors import BonedgeError
from .records import NOTICE

_HEADINGS = ("file", "verdict", "p(tumour)", "lesion mm", "ms", "result")
_SPARE = ("ms", "lesion mm", "p(tumour)")
"""What a narrow terminal goes without, in this order; all of it is in the results."""
_NAME_WIDTH = 24
"""Characters of a file's name that a terminal shows before it is folded."""
_PREFIX = 8
"""So many digits of a result's name tell the results of one folder apart."""


class Report(Protocol):
    """Told of each input in turn, and of the end."""

    def result(self, path: Path, document: Mapping[str, Any]) -> None:
        """`path` was examined; `document` is its result (docs/result.schema.json)."""

    def failure(self, path: Path, error: BonedgeError) -> None:
        """`path` could not be read."""

    def end(self, output: Path) -> None:
        """All inputs are done; `output` holds what was written."""


class JsonLines:
    """One JSON document per input, in the order of the inputs, on standard output and nothing else there."""

    def result(self, path: Path, document: Mapping[str, Any]) -> None:
        """Print the result."""
        click.echo(json.dumps(document, allow_nan=False))

    def failure(self, path: Path, error: BonedgeError) -> None:
        """Print {"error": {"input", "kind", "message"}}, and the line for a human on standard error."""
        fault = {"input": click.format_filename(path), "kind": type(error).__name__, "message": str(error)}
        click.echo(json.dumps({"error": fault}))
        _complain(error)

    def end(self, output: Path) -> None:
        """Nothing to add."""


class Lines:
    """A row per input on standard error as soon as it is known: for pipes and logs."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Print the headings. `paths`: all inputs, so that the columns line up from the first row on."""
        self._widths = [max((len(shown(path)) for path in paths), default=4), 9, 11, 9, 6, _PREFIX]
        self._found = False
        self._print(_HEADINGS)

    def result(self, path: Path, document: Mapping[str, Any]) -> None:
        """Print a row, and the reasons below it when there is no verdict."""
        self._found = True
        self._print(row(path, document))
        for reason in reasons_to_abstain(document):
            click.echo(f"  {reason}", err=True)

    def failure(self, path: Path, error: BonedgeError) -> None:
        """Print what is wrong."""
        _complain(error)

    def end(self, output: Path) -> None:
        """Print where the pictures are."""
        if self._found:
            click.echo(f"{_where(output)}\n{NOTICE}", err=True)

    def _print(self, cells: Sequence[str]) -> None:
        first, *others = (
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        )
        click.echo("  ".join((first, *others)).rstrip(), err=True)


class Table:
    """A progress bar while it lasts and a table at the end: for people at a terminal."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Start the bar. `paths`: all inputs."""
        # rich costs 0.1 s of CPU to import; pipes and programs do without.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("Examining"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._errors,
            transient=True,
            disable=len(paths) < 2,
        )
        self._task = self._bar.add_task("examine", total=len(paths))
        self._bar.start()
        self._rows: list[tuple[tuple[str, ...], str, str]] = []

    def result(self, path: Path, document: Mapping[str, Any]) -> None:
        """Keep a row for the table."""
        note = " ".join(reasons_to_abstain(document))
        self._rows.append((row(path, document), note, document["verdict"]["label"]))
        self._bar.advance(self._task)

    def failure(self, path: Path, error: BonedgeError) -> None:
        """Print what is wrong, above the bar."""
        self._errors.print(_complaint(error), markup=False, style="red")
        self._bar.advance(self._task)

    def end(self, output: Path) -> None:
        """Take the bar away and print the table."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as Grid

        self._bar.stop()
        if not self._rows:
            return
        console = Console(highlight=False)
        styles = {"malignant": "red", "benign": "yellow", "normal": "green", "abstain": "cyan"}
        kept = self._kept(console.width)
        grid = Grid(box=box.SIMPLE_HEAD)
        for place in kept:
            wide = place == 0
            grid.add_column(
                _HEADINGS[place],
                justify="left" if place < 2 else "right",
                overflow="fold" if wide else "ellipsis",
                no_wrap=not wide,
            )
        for cells, _, label in self._rows:
            name, verdict, *others = (cell.replace("[", r"\[") for cell in cells)
            coloured = name, f"[{styles[label]}]{verdict}[/]", *others
            grid.add_row(*(coloured[place] for place in kept))
        console.print(grid)
        for cells, note, _ in self._rows:
            if note:
                console.print(f"{cells[0]}: no verdict. {note}", markup=False, style="dim", soft_wrap=True)
        console.print(_where(output), markup=False, soft_wrap=True)
        console.print(NOTICE, markup=False, style="dim")

    def _kept(self, width: int) -> list[int]:
        """Places of the columns that leave the names room on a terminal of `width` characters."""
        widest = [max(len(heading), *(len(cells[place]) for cells, _, _ in self._rows)) for place, heading in
                  enumerate(_HEADINGS)]  # fmt: skip
        widest[0] = min(widest[0], _NAME_WIDTH)
        kept = list(range(len(_HEADINGS)))
        for spare in _SPARE:
            # Three characters lie between columns, and two on either side.
            if sum(widest[place] + 3 for place in kept) + 1 <= width:
                break
            kept.remove(_HEADINGS.index(spare))
        return kept


def report_for(paths: Sequence[Path], as_json: bool) -> Report:
    """The report that suits whoever reads standard output."""
    if as_json:
        return JsonLines()
    # A scheduler may have closed it.
    return Table(paths) if sys.stdout and sys.stdout.isatty() else Lines(paths)


def row(path: Path, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells under the headings for one result."""
    verdict = document["verdict"]
    label = verdict["label"]
    abstained = label == "abstain"
    sizes = [lesion["longest_diameter_mm"] for lesion in document["lesions"]]
    return (
        shown(path),
        label,
        # Of a tumour, whatever the verdict: it is what the operating point is applied to.
        "-" if abstained else f"{1 - verdict['probabilities']['normal']:.2f}",
        "-" if abstained or not sizes or sizes[0] is None else f"{sizes[0]:.1f}",
        f"{document['timings_ms']['total']:.0f}",
        document["result_id"][:_PREFIX],
    )


def reasons_to_abstain(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Why there is no verdict; empty when there is one."""
    verdict = document["verdict"]
    return tuple(verdict["reasons"]) if verdict["label"] == "abstain" else ()


def shown(path: Path) -> str:
    """The path as the caller wrote it, on one line whatever is in it."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in click.format_filename(path)
    )


def _where(output: Path) -> str:
    return f"Overlays: {shown(output)}/RESULT*.overlay.png, beside them the masks (.mask.png) and results (.json)."


def _complaint(error: BonedgeError) -> str:
    return f"bonedge: {error}"


def _complain(error: BonedgeError) -> None:
    click.echo(_complaint(error), err=True)
