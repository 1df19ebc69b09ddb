"""`bonedge convert`: a trained pair in, an int8 bundle and its fp32 reference out."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from bonedge.edge.bundle import Bundle

from .agreement import Agreement
from .calibrate import fingerprint
from .conversion import Conversion, Request, convert
from .progress import Steps


@click.command("convert")
@click.argument("models", type=click.Path(path_type=Path), metavar="MODELS")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the bundle; see below.")
@click.option("--int8", is_flag=True, help="Quantize to eight bits. Without it only the fp32 bundle is written.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that 'bonedge phantom --format png' wrote.  [default: simulate the training's own phantoms again]",
)
@click.option("--calibration-count", type=click.IntRange(1, 10_000), default=200, show_default=True, metavar="N")
@click.option(
    "--comparison-count",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Held-out pictures on which int8 is compared with fp32.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw of pictures.")
@click.option("--name", default="bonedge", show_default=True, help="Of the bundle.")
@click.option("--version", default="1", show_default=True, help="Of the bundle.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(as_json: bool, **options: Any) -> None:
    """Convert the trained pair in MODELS (segmenter.keras, classifier.keras, operation.json) for the workstation.

    With --int8, writes the int8 bundle at OUTPUT and the fp32 reference bundle at OUTPUT-fp32, each for TensorFlow
    Lite and OpenVINO, and says how much int8 changed. Needs the convert extra.
    """
    begun = perf_counter()
    request = Request(created=datetime.now(UTC).isoformat(timespec="seconds"), **options)
    conversion = convert(request, Steps())
    if as_json:
        click.echo(json.dumps(document(conversion, request, perf_counter() - begun)))
    else:
        _print(conversion)


def document(conversion: Conversion, request: Request, seconds: float) -> dict[str, Any]:
    """What `--json` prints. Shares are 0..1, sizes bytes; `int8` and what follows only when quantized."""
    found: dict[str, Any] = {"seconds": round(seconds, 1), "fp32": _described(conversion.fp32)}
    if conversion.int8 is None or conversion.calibration is None or conversion.formats is None:
        return found
    chosen = {one.candidate.name for one in conversion.chosen}
    return found | {
        "int8": _described(conversion.int8),
        "calibration": {
            "pictures": len(conversion.calibration.pictures),
            "seed": request.seed,
            "sha256": fingerprint(conversion.calibration.sha256),
        },
        "candidates": [
            {
                "name": one.candidate.name,
                "engine": one.candidate.engine,
                "chosen": one.candidate.name in chosen,
                "against_fp32": dataclasses.asdict(one.agreement),
            }
            for one in conversion.judged
        ],
        "tflite_against_openvino": dataclasses.asdict(conversion.formats),
    }


def _described(bundle: Bundle) -> dict[str, Any]:
    return {
        "folder": str(bundle.folder),
        "digest": bundle.digest,
        "bytes": {name: len(content) for name, content in bundle.contents.items()},
    }


def _print(conversion: Conversion) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if conversion.formats is not None:
        pictures = conversion.formats.pictures
        table = Table(box=box.SIMPLE_HEAD, title=f"int8 against fp32 on {pictures} held-out pictures")
        for heading in ("", "in the bundle", "same verdict", "|dp| mean", "|dp| max", "Dice p50", "Dice p10"):
            table.add_column(heading, justify="right" if heading else "left")
        chosen = {one.candidate.name for one in conversion.chosen}
        for one in conversion.judged:
            name = one.candidate.name
            table.add_row(name, "yes" if name in chosen else "no", *_cells(one.agreement))
        table.add_row("tflite against openvino", "", *_cells(conversion.formats))
        console.print(table)
    for bundle in (conversion.int8, conversion.fp32):
        if bundle is not None:
            size = sum(map(len, bundle.contents.values())) / 1e6
            precision = bundle.manifest.networks[0].precision
            console.print(f"{precision} bundle: {bundle.folder} ({size:.1f} MB)", markup=False, soft_wrap=True)


def _cells(agreement: Agreement) -> tuple[str, ...]:
    return (
        f"{agreement.verdicts:.1%}",
        f"{agreement.mean_probability_difference:.4f}",
        f"{agreement.largest_probability_difference:.3f}",
        f"{agreement.dice_median:.3f}",
        f"{agreement.dice_p10:.3f}",
    )
