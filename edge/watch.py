"""`bonedge watch`: the daemon's command line: configuration, lock, signals, reload."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from .bundle import open_bundle
from .choice import load_chosen
from .config import WatchSettings, read_settings
from .daemon import Daemon, Equipment
from .engines import DEVICES, ENGINES
from .errors import BonedgeError, ExitCode, InvalidConfiguration, LedgerUnavailable
from .exposition import Metrics
from .heap import share_one_heap
from .journal import Journal, JsonJournal, Level
from .ledger import Ledger
from .notify import Notifier
from .options import PLACE
from .pipeline import Pipeline
from .pseudonyms import Pseudonyms
from .trust import Trust
from .work import Kind

CONFIGURATIONS = (Path("bonedge.toml"), Path("/etc/bonedge/bonedge.toml"))
"""Tried in this order when no --config is given."""
_STATE_SECONDS = 1.0
"""Between two tries to open a ledger whose disk does not work."""


@click.command("watch")
@click.option("--input", type=PLACE, help="Folder in which radiographs arrive. Never written to.")
@click.option("--output", type=PLACE, help="Folder for the results.")
@click.option("--state", type=PLACE, help="Folder for ledger and lock.  [default: /var/lib/bonedge]")
@click.option("--bundle", type=PLACE, help="Folder of the model bundle.  [default: bonedge's own]")
@click.option("--key", type=PLACE, help="Public key that must have signed the bundle.")
@click.option("--minimum-version", metavar="V", help="Refuse an older bundle.")
@click.option("--engine", type=click.Choice(["auto", *ENGINES]), help="Inference engine.  [default: auto]")
@click.option("--device", type=click.Choice(DEVICES), help="tflite runs on the CPU only.  [default: CPU]")
@click.option("--threads", type=click.IntRange(1, 256), help="Of the engine.  [default: one per processor, at most 4]")
@click.option(
    "--config",
    type=PLACE,
    help="TOML file with a [watch] and a [bundle] table; options win over it.  "
    "[default: bonedge.toml here, else /etc/bonedge/bonedge.toml]",
)
@click.option("--once", is_flag=True, help="Settle what is there, then end; with 3 if a file or folder was unreadable.")
@click.option("--reprocess", is_flag=True, help="Examine again what another bundle has settled.")
@click.option("--check-config", is_flag=True, help="Say whether the configuration is right, and end.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines even on a terminal.")
@click.pass_context
def command(
    context: click.Context,
    /,
    config: Path | None,
    once: bool,
    reprocess: bool,
    check_config: bool,
    as_json: bool,
    key: Path | None,
    minimum_version: str | None,
    **options: Any,
) -> None:
    """Give each radiograph that lands in the input folder its verdict, once, until told to stop.

    On a terminal a live table is shown, elsewhere one JSON line per event. SIGTERM finishes the image in hand; SIGHUP
    reads configuration and bundle again.
    """
    given = {name: value for name, value in options.items() if value is not None}
    source = _Source(config, given, key, minimum_version)
    settings, trust = source.read()
    if check_config:
        _check(settings, trust)
        click.echo(f"bonedge: {source.name}: fine", err=True)
        return
    context.exit(watch(source, settings, trust, once=once, reprocess=reprocess, as_json=as_json))


@dataclass(frozen=True)
class _Source:
    """Where settings come from, so that they can be read again."""

    config: Path | None
    options: dict[str, Any]
    key: Path | None = None
    minimum_version: str | None = None
    """What is demanded of the bundle on the command line."""

    @property
    def path(self) -> Path | None:
        return self.config or next((path for path in CONFIGURATIONS if path.is_file()), None)

    @property
    def name(self) -> str:
        return str(self.path or "the configuration")

    def read(self) -> tuple[WatchSettings, Trust]:
        """The settings, options first, and what is demanded of the bundle.

        Raises:
            InvalidConfiguration: a value is wrong or missing, or the folders contradict each other.
        """
        everything = read_settings(self.path)
        settings = everything.watch.model_copy(update=self.options)
        for name in ("input", "output"):
            if getattr(settings, name) is None:
                raise InvalidConfiguration(f"there is no {name} folder; give --{name} or watch.{name} in {self.name}")
        _check_folders(settings)
        return settings, everything.bundle.trust(self.key, self.minimum_version)


@dataclass
class _Signals:
    """What was asked for by signal."""

    stop: bool = False
    reload: bool = False
    daemon: Daemon | None = field(default=None, repr=False)

    @contextmanager
    def handled(self) -> Iterator[None]:
        previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._handle)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Only notes it: the main thread asks within half a second, and holds no lock that could be wanted here.
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.stop = True


def watch(
    source: _Source, settings: WatchSettings, trust: Trust, *, once: bool, reprocess: bool, as_json: bool
) -> ExitCode:
    """Run the daemon, again after each reload, until it is told to stop.

    Raises:
        BundleRefused: no usable bundle or engine, or not one that `trust` allows.
        InvalidConfiguration: a folder cannot be used, or another daemon uses the state folder.
    """
    share_one_heap()
    signals, notifier, metrics = _Signals(), Notifier(), Metrics()
    _make_folders(settings, strict=once)
    with signals.handled(), _locked(settings.state):
        pipeline = _open_pipeline(settings, trust, metrics)
        if settings.metrics_port is not None:
            metrics.serve(settings.metrics_port)
        journal = _journal(as_json)
        records = _open_records(settings, journal, notifier, metrics, signals)
        if records is None:
            return ExitCode.FINE
        pseudonyms, ledger = records
        equipment = Equipment(settings, pipeline, ledger, pseudonyms, journal, notifier, metrics, reprocess)
        try:
            _say_start(equipment, "started")
            while True:
                reloaded: list[Equipment] = []

                def interrupted(current: Equipment = equipment, reloaded: list[Equipment] = reloaded) -> bool:
                    if signals.stop:
                        notifier.stopping("finishing what is in hand")
                        return True
                    if signals.reload:
                        signals.reload = False
                        fresh = _reload(source, current)
                        if fresh is not None:
                            reloaded.append(fresh)
                    return bool(reloaded)

                outcomes = Daemon(equipment).run(once=once, interrupted=interrupted)
                if not reloaded:
                    break
                equipment = reloaded[0]
                _say_start(equipment, "reloaded")
            journal.say("ended")
        finally:
            journal.close()
            metrics.close()
            ledger.close()
    return ExitCode.UNREADABLE if once and outcomes[Kind.QUARANTINED] + outcomes[Kind.LATER] else ExitCode.FINE


def _open_records(
    settings: WatchSettings, journal: Journal, notifier: Notifier, metrics: Metrics, signals: _Signals
) -> tuple[Pseudonyms, Ledger] | None:
    """Key and ledger; waits for a disk that is full or fails, as after the start. None when told to stop meanwhile.

    Raises:
        InvalidConfiguration: they are damaged.
    """
    said = False
    while not signals.stop:
        try:
            return Pseudonyms.of(settings.state), Ledger(settings.state)
        except LedgerUnavailable as error:
            if not said:
                journal.say("stopped", Level.ERROR, reason=str(error))
                notifier.ready("the state folder does not work")
                metrics.set_blocked()
            said = True
            if settings.metrics_file is not None:
                with suppress(OSError):
                    metrics.write(settings.metrics_file)
            notifier.alive()
            time.sleep(_STATE_SECONDS)
    return None


def _reload(source: _Source, current: Equipment) -> Equipment | None:
    """Equipment after the configuration as it is now; None, and one line in the journal, when that is not usable."""
    current.notifier.reloading()
    try:
        settings, trust = source.read()
        if settings.state != current.settings.state or settings.metrics_port != current.settings.metrics_port:
            raise InvalidConfiguration("watch.state and watch.metrics_port take effect after a restart only")
        _make_folders(settings, strict=False, known=current.settings)
        return replace(current, settings=settings, pipeline=_open_pipeline(settings, trust, current.metrics))
    except BonedgeError as error:
        current.journal.say("reload refused", Level.ERROR, reason=str(error))
        current.notifier.ready("reload refused, works as before")
        return None


def _open_pipeline(settings: WatchSettings, trust: Trust, metrics: Metrics) -> Pipeline:
    bundle = open_bundle(settings.bundle, trust)
    networks = load_chosen(bundle, settings.engine, settings.device, settings.threads, folder=settings.state, make=True)
    description = networks.description
    engine = f"{description.name} {description.device} {description.precision}"
    metrics.set_bundle(bundle.manifest.name, bundle.manifest.version, bundle.digest, engine)
    return Pipeline(bundle, networks)


def _say_start(equipment: Equipment, event: str) -> None:
    bundle, description = equipment.pipeline.bundle, equipment.pipeline.networks.description
    equipment.journal.say(
        event,
        process=os.getpid(),
        bundle=bundle.manifest.name,
        version=bundle.manifest.version,
        digest=bundle.digest[:16],
        engine=description.name,
        device=description.device,
        precision=description.precision,
    )


def _journal(as_json: bool) -> Journal:
    if not as_json and sys.stdout.isatty() and sys.stderr.isatty():
        from .live import LiveTable  # rich takes a tenth of a second, which a service can do without

        return LiveTable()
    return JsonJournal(sys.stdout.fileno())


def _check(settings: WatchSettings, trust: Trust) -> None:
    """What `--check-config` checks beyond the file: folders and bundle."""
    assert settings.input is not None
    if not settings.input.is_dir():
        raise InvalidConfiguration(f"{settings.input}: is not a folder; check watch.input, or mount the share")
    for name in ("output", "state", "quarantine"):
        folder = getattr(settings, name)
        if folder is not None and os.path.lexists(folder) and not folder.is_dir():
            raise InvalidConfiguration(f"{folder}: is not a folder; check watch.{name}")
    open_bundle(settings.bundle, trust)


def _check_folders(settings: WatchSettings) -> None:
    """Refuse folders that would feed the daemon its own files.

    Raises:
        InvalidConfiguration: output, state or quarantine are inside the input.
    """
    assert settings.input is not None
    root = Path(os.path.realpath(settings.input))
    for name in ("output", "state", "quarantine", "metrics_file"):
        folder = getattr(settings, name)
        if folder is not None and Path(os.path.realpath(folder)).is_relative_to(root):
            raise InvalidConfiguration(
                f"{folder}: watch.{name} is inside the input folder, so results would be taken for radiographs; "
                "choose one beside it"
            )


def _make_folders(settings: WatchSettings, *, strict: bool, known: WatchSettings | None = None) -> None:
    """Make what is missing, but for what was there when the settings were those `known`: its share may be unmounted.

    Raises:
        InvalidConfiguration: the state folder cannot be made; with `strict`, any. Without it, an output that cannot be
            made is waited for: the share that it is on may not be mounted yet.
    """
    for name, mode in (("state", 0o700), ("output", 0o755), ("quarantine", 0o700)):
        folder = getattr(settings, name)
        if folder is None or (known is not None and folder == getattr(known, name)):
            continue
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(mode)  # results are for others to read, whatever the service's umask
        except OSError as error:
            if folder != settings.state and not strict:
                continue
            raise InvalidConfiguration(
                f"{folder}: cannot be made a folder ({error.strerror}); make it, or choose another"
            ) from error


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the state folder for this process alone.

    Raises:
        InvalidConfiguration: another process holds it.
    """
    try:
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InvalidConfiguration(f"{state}: the lock cannot be made ({error.strerror}); check the folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "?"
            raise InvalidConfiguration(
                f"{state}: another bonedge watch (process {holder}) uses this state folder; stop it, or give another"
            ) from error
        with suppress(OSError):  # the number is for people; a full disk must not stop the start
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
