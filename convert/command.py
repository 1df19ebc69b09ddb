"""`bonedge convert`: a trained pair in, a proven int8 bundle out, or a refusal."""

from __future__ import annotations

import importlib.util
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import PLAIN_NAME
from bonedge.edge.options import PLACE
from bonedge.edge.trust import read_version

if TYPE_CHECKING:
    from .conversion import Conversion

_PIPE_WIDTH = 120
_RUNGS = ("int8", "mixed", "fp16", "fp32")


class _Limit(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.3 on
    """GATE=LOSS, such as flips=0.02."""

    name = "gate=loss"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        from .gates import GATES

        names = [one.name for one in GATES]
        gate, _, number = str(value).partition("=")
        try:
            limit = float(number)
        except ValueError:
            self.fail(f"{value!r} is not GATE=LOSS, such as flips=0.02", param, ctx)
        if gate not in names:
            self.fail(f"there is no gate {gate!r}; the gates are {', '.join(names)}", param, ctx)
        if not 0 <= limit <= 1:
            self.fail(f"{value!r}: the loss is a share, 0 to 1", param, ctx)
        return gate, limit


def _name(_: click.Context, __: click.Parameter, name: str) -> str:
    # What manifest.json takes, said before the work and not after it.
    if not re.fullmatch(PLAIN_NAME, name):
        raise click.BadParameter(f"{name!r}: letters, digits and . _ - only, beginning with a letter or a digit")
    return name


def _version(_: click.Context, __: click.Parameter, version: str) -> str:
    if read_version(version) is None:
        raise click.BadParameter(f"{version!r} is not a version, such as 1.2 or 2026.3")
    return version


@click.command("convert")
@click.argument("models", type=PLACE, required=False)
@click.option("--output", type=PLACE, default=Path("bundle"), show_default=True, help="Folder of the bundle.")
@click.option("--int8", "start", flag_value="int8", help="Start at int8, the smallest and fastest.  [default]")
@click.option("--fp16", "start", flag_value="fp16", help="Start at 16-bit weights, computed in fp32.")
@click.option("--fp32", "start", flag_value="fp32", help="Only fp32: the reference, as trained.")
@click.option("--ladder", type=click.Choice(["auto"]), help="The same as --int8: climb as far as needed.")
@click.option("--slowest", type=click.Choice(_RUNGS), default="fp32", show_default=True, help="Last rung to climb to.")
@click.option("--format", "formats", multiple=True, type=click.Choice(["tflite", "openvino"]), help="[default: both]")
@click.option("--calibration", metavar="SET", help="Folder of pictures, or phantoms:SEED.  [default: simulated]")
@click.option("--validation", metavar="SET", help="The same, with masks; shares no picture with training.")
@click.option("--calibration-count", type=click.IntRange(1, 10_000), default=200, show_default=True, metavar="N")
@click.option("--validation-count", type=click.IntRange(1, 100_000), default=3600, show_default=True, metavar="N")
@click.option("--max-drop", "limits", multiple=True, type=_Limit(), help="Another limit of a gate; may be repeated.")
@click.option("--repair", metavar="SET", help="Training pictures for quantization-aware fine-tuning, if int8 fails.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of draws, resampling and tuning.")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="That latency is for.")
@click.option("--cache", type=PLACE, help="For simulated sets and finished candidates.  [default: the user's cache]")
@click.option("--name", default="bonedge", show_default=True, callback=_name, help="Of the bundle.")
@click.option("--version", default="1", show_default=True, callback=_version, help="Of the bundle.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, the passport, on standard output.")
def command(
    models: Path | None,
    start: str | None,
    ladder: str | None,
    slowest: str,
    formats: tuple[str, ...],
    limits: tuple[tuple[str, float], ...],
    cache: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert the trained pair in MODELS (by default the released one) for the workstation, and prove it.

    MODELS holds segmenter.keras, classifier.keras and operation.json, as `bonedge train` leaves them. Candidates are
    built from the fastest to the safest, compared with fp32 Keras on validation pictures, and the fastest that
    passes every clinical gate is taken, for TensorFlow Lite and for OpenVINO. When nothing passes, no bundle is
    written, the evidence is, and the exit code is 5. Needs the convert extra.
    """
    first = start or "int8"
    if _RUNGS.index(slowest) < _RUNGS.index(first):
        raise click.UsageError(f"--slowest {slowest} lies before the start, {first}")
    if ladder is not None and first != "int8":
        raise click.UsageError(f"--ladder {ladder} starts at int8, --{first} does not; give one of them")
    if options["repair"] is not None and first not in ("int8", "mixed"):
        raise click.UsageError(f"--repair is for eight bits, and --{first} starts after them; give one of them")
    from bonedge.models.networks import typed

    from .conversion import convert
    from .evidence import Request
    from .ladder import Rung
    from .progress import Steps

    request = Request(
        models=models or _released(),
        start=Rung(first),
        end=Rung(slowest),
        engines=tuple(dict.fromkeys(formats)) or ("tflite", "openvino"),  # type: ignore[arg-type]
        limits=dict(limits),
        cache=cache or _user_cache(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=typed(),
        **options,
    )
    with Steps.shown() as steps:
        conversion = convert(request, steps)
    if as_json:
        click.echo(json.dumps(conversion.passport))
    else:
        _print(conversion)


def _released() -> Path:
    specification = importlib.util.find_spec("bonedge.models")
    for location in (specification.submodule_search_locations or ()) if specification else ():
        if (Path(location) / "released" / "segmenter.keras").is_file():
            return Path(location) / "released"
    raise InvalidConfiguration(
        "this installation carries no trained models (only a checkout does); give the folder that 'bonedge train' wrote"
    )


def _user_cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("bonedge"))


def _print(conversion: Conversion) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from .gates import title

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    passport = conversion.passport
    for chosen in passport["chosen"]:
        table = Table(
            box=box.SIMPLE_HEAD,
            title=f"{chosen['engine']}: segmenter {chosen['segmenter']}, classifier {chosen['classifier']}",
            title_justify="left",
        )
        for heading in ("what must not get worse", "fp32", "now", "lost", "at worst", "allowed", ""):
            table.add_column(heading, justify="left" if heading in ("", "what must not get worse") else "right")
        for gate in chosen["gates"]:
            # + 0.0: what is a negative zero to a computer is a riddle to a person.
            figures = (f"{round(gate[key], 3) + 0.0:.3f}" for key in ("reference", "candidate", "loss", "high"))
            table.add_row(title(gate["name"]), *figures, f"{gate['limit']:g}", gate["ruling"])
        console.print(table)
        faster = chosen["both_fp32_ms"] / chosen["both_ms"]
        console.print(
            f"both networks {chosen['both_ms']:.1f} ms (fp32 {chosen['both_fp32_ms']:.1f}: {faster:.1f} times faster), "
            f"{chosen['bytes'] / 1e6:.1f} MB\n",
            markup=False,
        )
    for warning in passport["calibration"]["warnings"]:
        console.print(f"Warning: {warning}", markup=False, soft_wrap=True)
    console.print(f"Bundle: {conversion.bundle.folder}   report: {conversion.report}", markup=False, soft_wrap=True)
    console.print(passport["notice"], markup=False, soft_wrap=True)
