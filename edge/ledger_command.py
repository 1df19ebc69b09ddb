"""`bonedge ledger`: what became of each file, for people and for programs."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from .config import WatchSettings, read_settings
from .errors import InvalidConfiguration
from .ledger import NAME, UNREAD, Entry, Ledger, State
from .options import PLACE
from .progress import shown
from .watch import CONFIGURATIONS

_STATES = [state.value for state in State]
_PREFIX = 12


@click.group("ledger")
@click.option("--state", type=PLACE, help="State folder of the daemon.")
@click.option("--config", type=PLACE, help="TOML file whose [watch] table names it.")
@click.pass_context
def command(context: click.Context, state: Path | None, config: Path | None) -> None:
    """Look into the daemon's ledger, and have files examined again. The daemon may be running.

    The listings show file names as the modality chose them: treat them as patient data.
    """
    context.obj = state or _settings(config).state


@command.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only these; may be repeated.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The latest so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def list_(folder: Path, states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """The latest entries."""
    with _Opened(folder) as ledger:
        entries = list(ledger.entries(tuple(map(State, states)), limit))
        counts = ledger.counts()
    if as_json:
        for entry in entries:
            click.echo(_json(entry))
        return
    _table(entries)
    click.echo(", ".join(f"{counts[state]} {state.value}" for state in State), err=True)


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="A JSON object per entry.")
@click.pass_obj
def show(folder: Path, name: str, as_json: bool) -> None:
    """All about one file. NAME is the beginning of its content's SHA-256 or its result's name, or its path."""
    with _Opened(folder) as ledger:
        found = _find(ledger, name)
    for entry in found:
        if as_json:
            click.echo(_json(entry))
            continue
        for field, value in _record(entry).items():
            click.echo(f"{field:>12}  {'' if value is None else _one_line(str(value))}")


@command.command("retry")
@click.argument("names", nargs=-1)
@click.option("--quarantined", is_flag=True, help="All that are quarantined.")
@click.pass_obj
def retry(folder: Path, names: tuple[str, ...], quarantined: bool) -> None:
    """Have files examined again, if they are still in the input folder: forgets what became of NAMES."""
    if bool(names) == quarantined:
        raise click.UsageError("give NAMES, or --quarantined")
    with _Opened(folder) as ledger:
        entries = (
            list(ledger.entries((State.QUARANTINED,)))
            if quarantined
            else [entry for name in names for entry in _find(ledger, name)]
        )
        for entry in entries:
            ledger.forget(entry.content, entry.bundle)
    click.echo(f"bonedge: {len(entries)} to be examined again", err=True)


@command.command("export")
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.pass_obj
def export(folder: Path, kind: str) -> None:
    """Everything, to standard output: CSV with a head line, or JSON lines."""
    with _Opened(folder) as ledger:
        entries = list(ledger.entries())
    if kind == "json":
        for entry in entries:
            click.echo(_json(entry))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Entry.__dataclass_fields__)
    for entry in entries:
        writer.writerow(_record(entry).values())


class _Opened:
    """The ledger of a state folder, if it has one: looking must not make one."""

    def __init__(self, folder: Path) -> None:
        if not (folder / NAME).is_file():
            raise InvalidConfiguration(f"{folder}: holds no ledger; give the daemon's folder with --state or --config")
        self._ledger = Ledger(folder)

    def __enter__(self) -> Ledger:
        return self._ledger

    def __exit__(self, *_: object) -> None:
        self._ledger.close()


def _settings(config: Path | None) -> WatchSettings:
    return read_settings(config or next((path for path in CONFIGURATIONS if path.is_file()), None)).watch


def _find(ledger: Ledger, name: str) -> list[Entry]:
    found = [
        entry
        for entry in ledger.entries()
        if entry.path == name or (len(name) >= 4 and any(told.startswith(name) for told in _names(entry)))
    ] or ledger.settled_at(name)
    if not found:
        raise InvalidConfiguration(f"{_one_line(name)}: nothing in the ledger begins so; see 'bonedge ledger list'")
    return found


def _names(entry: Entry) -> tuple[str, ...]:
    """By which it is listed, and whole."""
    return entry.content, entry.content.removeprefix(UNREAD), entry.result


def _record(entry: Entry) -> dict[str, object]:
    record = asdict(entry)
    # Names that are not UTF-8 cannot be printed everywhere; escaped, they can, and are still told apart.
    record["path"] = entry.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return record


def _json(entry: Entry) -> str:
    return json.dumps(_record(entry))


def _table(entries: list[Entry]) -> None:
    rows = [("content", "state", "verdict", "result", "settled", "tries", "file", "reason")]
    for entry in entries:
        prefix = entry.content.removeprefix(UNREAD)[:_PREFIX]
        rows.append(
            (prefix, entry.state.value, entry.label, entry.result[:_PREFIX], entry.settled[:19], str(entry.tries),
             shown(Path(entry.path)), _one_line(entry.reason))
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
