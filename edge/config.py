"""The configuration file: one TOML file, typed, with messages that name the file, the key and the remedy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from .errors import InvalidConfiguration
from .trust import Trust, read_version


def _named(value: object) -> object:
    # As `options` on the command line: Path("") is the current folder.
    if value == "":
        raise ValueError("is empty; leave the key out, or name a place")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("holds a NUL, which no name on disk does; correct it")
    return value


Location = Annotated[Path, Field(strict=False), BeforeValidator(_named)]
EngineChoice = Literal["auto", "tflite", "openvino"]
_DEFAULT_OUTPUT = Path("bonedge-results")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BundleSettings(_Strict):
    """The `[bundle]` table: what is demanded of every model bundle before it is loaded."""

    key: Location | None = None
    """PEM file with the Ed25519 public key that must have signed it; None demands no signature."""
    minimum_version: str | None = None
    """Lowest version that is loaded, such as "1.2"; None takes any."""

    @field_validator("minimum_version")
    @classmethod
    def _is_a_version(cls, value: str | None) -> str | None:
        if value is not None and read_version(value) is None:
            raise ValueError("is not a version; write it like 1, 1.2 or 1.2.0rc1")
        return value

    def trust(self, key: Path | None = None, minimum_version: str | None = None) -> Trust:
        """The demands, where `key` and `minimum_version`, from the command line, win over the file."""
        return Trust(
            self.key if key is None else key, self.minimum_version if minimum_version is None else minimum_version
        )


class PredictSettings(_Strict):
    """The `[predict]` table: what `bonedge predict` does unless its options say otherwise."""

    bundle: Location | None = None
    """Folder of the model bundle; None is the one that came with bonedge."""
    engine: EngineChoice = "auto"
    device: Literal["CPU", "GPU", "AUTO"] = "CPU"
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Of the inference engine; None is one per usable processor, four at most."""
    output: Location = _DEFAULT_OUTPUT
    """Folder for the results; made when it is missing."""


class WatchSettings(_Strict):
    """The `[watch]` table: what `bonedge watch` does unless its options say otherwise."""

    input: Location | None = None
    """Where radiographs arrive; with the folders below it. Never written to."""
    output: Location | None = None
    """Where results go; made when it is missing at the start."""
    state: Location = Path("/var/lib/bonedge")
    """Ledger, lock and key; on a local disk. Holds paths of inputs: for the service's user alone."""
    bundle: Location | None = None
    """Folder of the model bundle; None is the one that came with bonedge."""
    engine: EngineChoice = "auto"
    device: Literal["CPU", "GPU", "AUTO"] = "CPU"
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Of the inference engine; None is one per usable processor, four at most."""
    workers: Annotated[int, Field(ge=1, le=16)] = 2
    """Files in hand at once, each with a decoding process."""
    decode_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """One file may take so long to decode."""
    decode_memory_mb: Annotated[int, Field(ge=300, le=65536)] = 2048
    """Address space of a decoding process."""
    hang_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Beyond `decode_seconds`, a file may take so long before systemd's watchdog is told nothing more."""
    settle_seconds: Annotated[float, Field(gt=0, le=3600)] = 0.5
    """A file must look the same at two looks so far apart; renamed into place it is taken at once."""
    zero_tail_seconds: Annotated[float, Field(ge=0, le=86400)] = 30.0
    """A file that ends in zeros must be left alone for so long: its content may still be on its way."""
    incomplete_seconds: Annotated[float, Field(ge=0, le=604800)] = 600.0
    """A file that cannot be decoded is quarantined when it was left alone for so long."""
    poll: Literal["auto", "always"] = "auto"
    """Whether to look every `poll_seconds` even where the file system raises events; `auto` finds out."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    """Between two looks at everything where there are no events; longer when it would take 4 % of a processor."""
    rescan_seconds: Annotated[float, Field(gt=0, le=86400)] = 30.0
    """Between two looks at everything where there are events; longer when it would take 0.5 % of a processor."""
    quarantine: Location | None = None
    """Folder for copies of files that were given up; None keeps a record only."""
    metrics_file: Location | None = None
    """Prometheus text file, for node_exporter's textfile collector; None is `bonedge.prom` in the state folder."""
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Also serve the metrics over HTTP on 127.0.0.1; None opens no port."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """Results older than this are removed; None keeps them."""
    keep_disk_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """The oldest results are removed when all take more than this share of the output's disk; None keeps them."""


class BenchmarkSettings(_Strict):
    """The `[benchmark]` table: what `bonedge benchmark` does unless its options say otherwise."""

    bundle: Location | None = None
    """Folder of the model bundle; None is the one that came with bonedge."""
    images: Annotated[tuple[Location, ...], Field(strict=False)] = ()
    """Files to measure with; none means the bundle's golden pictures."""
    engine: Literal["all", "tflite", "openvino"] = "all"
    device: Literal["CPU", "GPU", "AUTO"] = "CPU"
    threads: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(strict=False)] = ()
    """Of the inference engine, each measured; none means one per usable processor, four at most."""
    duration: Annotated[float, Field(ge=1, le=3600)] = 40.0
    """Seconds for all engines and thread counts together, warm-up excluded."""
    scratch: Location | None = None
    """Folder on the disk that results are written to; None is the current one."""


class Settings(_Strict):
    """The whole file."""

    bundle: BundleSettings = BundleSettings()
    predict: PredictSettings = PredictSettings()
    watch: WatchSettings = WatchSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()


def read_settings(path: Path | None) -> Settings:
    """The settings in `path`, or the defaults when there is none. Relative paths are relative to the file.

    Raises:
        InvalidConfiguration: the file cannot be read, is not TOML, or has a wrong key or value.
    """
    if path is None:
        return Settings()
    try:
        settings = Settings.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except OSError as error:
        raise InvalidConfiguration(f"{path}: cannot be read ({error.strerror}); give another --config") from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        raise InvalidConfiguration(f"{path}: {_explain(error)}") from error
    here = path.resolve().parent
    return settings.model_copy(
        update={table: _placed(getattr(settings, table), here) for table in Settings.model_fields}
    )


def _placed(table: BaseModel, here: Path) -> BaseModel:
    """The table with every path that was given in it, alone or in a list, taken from `here` or, with ~, from home."""
    moved: dict[str, object] = {}
    for name in table.model_fields_set:
        value = getattr(table, name)
        if isinstance(value, Path):
            moved[name] = _from(here, value)
        elif isinstance(value, tuple):
            moved[name] = tuple(_from(here, one) if isinstance(one, Path) else one for one in value)
    return table.model_copy(update=moved)


def _from(here: Path, value: Path) -> Path:
    try:
        return here / value.expanduser()
    except RuntimeError as error:
        raise InvalidConfiguration(f"{value}: nobody of that name has a home here; write the folder out") from error


def _explain(error: ValidationError) -> str:
    """The first fault, as `predict.threads: what is wrong`, and how many more there are."""
    faults = error.errors(include_url=False, include_context=False)
    first = faults[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    what = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
    if first["type"] == "model_type":
        what = "should be a table"
    what = what.removeprefix("Input ").removeprefix("Value error, ")
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{key or 'the file'}: {what}{more}"
