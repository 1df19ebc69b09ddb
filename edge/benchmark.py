"""`bonedge benchmark`: how long a user waits, on this machine, and how sure that is."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .benchmark_document import (
    BENCHMARK_SCHEMA_VERSION,
    Document,
    Picture,
    alike,
    compare,
    differences,
    read_document,
    result_of,
)
from .benchmark_report import write_report
from .benchmark_tables import DASH, print_comparison, print_document, tables_console
from .bundle import Bundle, open_bundle
from .choice import choice_folder, choose, devices, remember, remembered
from .config import BenchmarkSettings, read_settings
from .decode import Decoder
from .engines import DEVICES, ENGINES, usual_threads
from .errors import ExitCode, InvalidConfiguration
from .machine import describe_machine
from .manifest import EngineName
from .measurement import Setting, cold_starts, measure, throughput
from .mounts import file_system
from .options import PLACE, Number, make_writable
from .page import check_pages_can_be_made
from .specimens import write_specimens
from .trust import Trust

_ROUNDS = 4
_WORKERS = (1, 2, 4)
_WORKER_SECONDS = 4.0


class _Threads(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.3 on
    """1,2,4."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            counts = tuple(dict.fromkeys(int(part) for part in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers, such as 1,2", param, ctx)
        if any(not 1 <= count <= 256 for count in counts):
            self.fail(f"{value!r}: each is a number of threads, 1 to 256", param, ctx)
        return counts


@click.command("benchmark")
@click.option("--bundle", type=PLACE, help="Folder of the model bundle.  [default: bonedge's own]")
@click.option("--key", type=PLACE, help="Public key that must have signed the bundle.")
@click.option("--minimum-version", metavar="V", help="Refuse an older bundle.")
@click.option(
    "--image", "images", multiple=True, type=PLACE,
    help="Measure with this file; may be repeated.  [default: the bundle's golden pictures as 3000-pixel DICOM]",
)  # fmt: skip
@click.option("--engine", type=click.Choice(["all", *ENGINES]), help="[default: all that the bundle holds]")
@click.option("--device", type=click.Choice(DEVICES), help="tflite runs on the CPU only.  [default: CPU]")
@click.option("--threads", type=_Threads(), help="Of the engine.  [default: one per processor, at most 4]")
@click.option(
    "--duration", type=Number(1, 3600), metavar="S",
    help="Seconds of the rounds, warm-up excluded; starts and throughput come on top.  [default: 40]",
)  # fmt: skip
@click.option(
    "--scratch", type=PLACE,
    help="Folder on the disk that results are written to; left as it was.  [default: the current one]",
)  # fmt: skip
@click.option(
    "--report", type=PLACE,
    help="Folder for a page with plots, benchmark.html, and the JSON document, benchmark.json.",
)  # fmt: skip
@click.option("--json", "as_document", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--explain", is_flag=True,
    help="Say which engine `--engine auto` is here and why; measured now unless it was before.",
)  # fmt: skip
@click.option(
    "--compare", "compared", nargs=2, type=PLACE, metavar="A.json B.json",
    help="Measure nothing: tell what is slower in B than in A from noise; exit code 5 when something is.",
)  # fmt: skip
@click.option("--threshold", type=Number(0, 10), default=0.05, show_default=True, help="Share that counts as slower.")
@click.option("--config", type=PLACE, help="TOML file with a [benchmark] and a [bundle] table; options win.")
@click.pass_context
def command(
    context: click.Context,
    /,
    key: Path | None,
    minimum_version: str | None,
    images: tuple[Path, ...],
    report: Path | None,
    as_document: bool,
    explain: bool,
    compared: tuple[Path, Path] | None,
    threshold: float,
    config: Path | None,
    **options: Any,
) -> None:
    """Measure from the file on disk to the durable result, and the networks alone, on this machine.

    Settings take turns in four rounds, so that whatever else the machine does hits them alike; where the rounds
    disagree, the result is marked as unsteady. Warm-up is left out of everything but the cold starts.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if compared:
        if given or images or report or explain:
            raise click.UsageError("--compare measures nothing; give it alone, with --threshold and --json")
        context.exit(_compare(*compared, threshold, as_document=as_document))
    read = read_settings(config)
    settings = read.benchmark.model_copy(update=given | ({"images": images} if images else {}))
    trust = read.bundle.trust(key, minimum_version)
    if explain:
        if report or images or given.keys() - {"bundle", "threads"} or len(settings.threads) > 1:
            raise click.UsageError("--explain takes --bundle and one number of --threads, and nothing else to measure")
        _explain(settings, trust, as_document=as_document)
        return
    if report:
        check_pages_can_be_made()
        make_writable(report, "give another --report")
    document = benchmark(settings, trust, quiet=as_document)
    if report:
        write_report(report, document)
    if as_document:
        click.echo(json.dumps(asdict(document)))
    else:
        print_document(document)


def benchmark(settings: BenchmarkSettings, trust: Trust, *, quiet: bool = False) -> Document:
    """Measure as `settings` say.

    Args:
        settings: what to measure.
        trust: what is demanded of the bundle.
        quiet: show no progress.

    Raises:
        BundleRefused: no usable bundle, or none of its engines can be loaded.
        InvalidConfiguration: there is no picture, or nothing can be written where results should go.
        UnreadableImage: a picture cannot be decoded.
    """
    bundle = open_bundle(settings.bundle, trust)
    chosen = _settings(bundle, settings)
    where = settings.scratch if settings.scratch is not None else Path.cwd()
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".bonedge-benchmark.", dir=where)
    except OSError as error:
        raise InvalidConfiguration(
            f"{where}: cannot be written to ({error.strerror}); give another --scratch"
        ) from error
    with scratch as name, _progress(quiet) as advance:
        work = Path(name)
        pictures = settings.images or write_specimens(bundle, work)
        described = tuple(_described(pictures))
        results = work / "results"
        results.mkdir()
        all_runs = measure(
            bundle, chosen, pictures, results, seconds=settings.duration, rounds=_ROUNDS, on_progress=advance
        )
        found = []
        for runs in all_runs:
            starts = tuple(cold_starts(bundle.folder, runs.setting, pictures[0], results))
            rates = {
                workers: throughput(bundle, runs.setting, pictures, results, workers=workers, seconds=_WORKER_SECONDS)
                for workers in _WORKERS
                if workers <= max(2, len(os.sched_getaffinity(0)))
            }
            found.append(result_of(runs, starts, rates))
        kind = file_system(work)
    return Document(
        schema_version=BENCHMARK_SCHEMA_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        bundle={"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest},
        machine=describe_machine(),
        pictures=described,
        scratch=kind,
        seconds=settings.duration,
        warm_up="3 pictures and 3 inferences per setting, not counted",
        results=tuple(found),
    )


def _settings(bundle: Bundle, settings: BenchmarkSettings) -> list[Setting]:
    held: list[EngineName] = [one.engine for one in bundle.manifest.networks]
    engines = held if settings.engine == "all" else [settings.engine]
    threads = settings.threads or (usual_threads(),)
    if settings.engine == "all" and settings.device != "CPU":
        engines = [engine for engine in engines if engine == "openvino"]
    return [Setting(engine, settings.device, count) for engine in engines for count in threads]


def _described(pictures: Sequence[Path]) -> list[Picture]:
    with Decoder() as decoder:
        found = []
        for path in pictures:
            source = decoder.decode(path).source
            found.append(Picture(source.rows, source.columns, path.stat().st_size))
        return found


def _explain(settings: BenchmarkSettings, trust: Trust, *, as_document: bool) -> None:
    bundle = open_bundle(settings.bundle, trust)
    (threads,) = settings.threads if len(settings.threads) == 1 else (None,)
    choice = remembered(bundle, threads, choice_folder())
    if choice is None:
        _, choice = choose(bundle, threads, devices())
        remember(choice, bundle, threads, choice_folder())
    if as_document:
        click.echo(json.dumps(asdict(choice)))
        return
    table = Table(
        box=box.SIMPLE_HEAD, title=f"--engine auto is {choice.engine} on {choice.device}", title_justify="left"
    )
    for heading in ("engine", "device", "both networks, ms", "refused because"):
        table.add_column(heading, justify="right" if "ms" in heading else "left")
    for one in choice.trials:
        time = DASH if one.milliseconds is None else f"{one.milliseconds:.1f}"
        table.add_row(one.engine, one.device, time, one.refused)
    console = tables_console()
    console.print(table)
    console.print(
        f"Measured on {choice.made[:10]} on the bundle's golden pictures; again when the bundle, the processor, a "
        "runtime or a driver changes. Of two within 3 % the one that starts sooner is taken.",
        markup=False,
    )


def _compare(before: Path, after: Path, threshold: float, *, as_document: bool) -> ExitCode:
    first, second = read_document(before), read_document(after)
    if not alike(first, second):
        raise InvalidConfiguration(
            f"{before} and {after} were measured with pictures of other sizes, so neither is slower; measure both with "
            "the same --image"
        )
    found = compare(first, second, threshold)
    if not found:
        raise InvalidConfiguration(f"{before} and {after} have no engine, device and number of threads in common")
    remarks = differences(first, second)
    slower = any(one.ruling == "slower" for one in found)
    if as_document:
        comparisons = [asdict(one) for one in found]
        click.echo(json.dumps({"threshold": threshold, "comparisons": comparisons, "remarks": remarks}))
    else:
        print_comparison(found, threshold, remarks)
    return ExitCode.GATE_FAILED if slower else ExitCode.FINE


def _progress(quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    if quiet:
        return nullcontext(lambda done, total: None)
    return _Bar()


class _Bar(AbstractContextManager["Callable[[int, int], None]"]):
    """A progress bar on standard error."""

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._progress.start()
        task = self._progress.add_task("measuring", total=None)
        return lambda done, total: self._progress.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
