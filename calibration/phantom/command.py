"""`bonedge phantom`: a folder of simulated radiographs with their truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.options import PLACE
from bonedge.edge.records import Label, Mask

from ..production import produce
from .dicom import as_dicom, as_png, encode_png, encoding_rng
from .generate import GENERATION, generate
from .records import Phantom, Regime, Region
from .scene import FINDINGS, DoesNotOccur
from .sheet import Canvas, contact_sheet, tile

INDEX = "index.jsonl"
"""One JSON object per phantom, in order; written last, so a folder that has it is complete."""
MASKS = "masks"
SHEET = "sheet.png"
_SHEET_LIMIT = 96


@dataclass(frozen=True)
class Order:
    """What to make."""

    folder: Path
    seed: int
    size: int
    form: Literal["dicom", "png"]
    labels: tuple[Label, ...]
    """Taken in turn; empty leaves the mix to the generator."""
    regimes: tuple[Regime, ...]
    sheet: bool
    regions: tuple[Region, ...] = ()
    """Taken in turn; empty leaves it to chance."""
    findings: tuple[str, ...] = ()
    """Taken in turn, in place of labels; empty leaves it to chance."""


region_option = click.option(
    "--region", "regions", multiple=True,
    type=click.Choice([region.value for region in Region if region is not Region.NON_LIMB]),
    help="Only these parts of the body, in turn.  [default: knee, leg, ankle, forearm: what the models know best]",
)  # fmt: skip


@click.command("phantom")
@click.option("--count", type=click.IntRange(1, 1_000_000), required=True, help="How many pictures.")
@click.option("--seed", type=click.IntRange(0), required=True, help="The same seed gives the same files, bit for bit.")
@click.option("--output", type=PLACE, required=True, help="Folder for the files; made if missing.")
@click.option(
    "--format", "form", type=click.Choice(["dicom", "png"]), default="dicom", show_default=True,
    help="DICOM varies as modalities do; PNG is the displayed picture, 16 bit.",
)  # fmt: skip
@click.option("--size", type=click.IntRange(128, 4096), default=640, show_default=True, help="Long side in pixels.")
@click.option(
    "--label", "labels", multiple=True, type=click.Choice([label.value for label in Label]),
    help="Only these, in turn; abstain is a picture without a limb.  [default: a training mix]",
)  # fmt: skip
@click.option(
    "--regime", "regimes", multiple=True, type=click.Choice([regime.value for regime in Regime]),
    help="Only these difficulties, in turn.  [default: all]",
)  # fmt: skip
@region_option
@click.option(
    "--finding", "findings", multiple=True, type=click.Choice(tuple(FINDINGS)), metavar="NAME",
    help="Only these, in turn, such as 'bone island' or 'osteosarcoma', in place of --label.  [default: by chance]",
)  # fmt: skip
@click.option("--sheet", is_flag=True, help=f"Also draw a contact sheet of the first {_SHEET_LIMIT}, {SHEET}.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes.  [default: one per processor]")
def command(
    count: int,
    seed: int,
    output: Path,
    form: Literal["dicom", "png"],
    size: int,
    labels: tuple[str, ...],
    regimes: tuple[str, ...],
    regions: tuple[str, ...],
    findings: tuple[str, ...],
    sheet: bool,
    jobs: int | None,
) -> None:
    """Simulate radiographs of limbs, with and without bone tumours, and a few pictures of something else.

    Pictures go into the output folder, their exact lesion and long-bone masks into its folder masks, and what is
    known about each into index.jsonl. They are physics-based simulations, not patients.
    """
    if labels and findings:
        raise click.UsageError("--finding decides what a picture is called; leave --label out")
    wanted = tuple(map(Label, labels)), tuple(map(Regime, regimes))
    order = Order(output, seed, size, form, *wanted, sheet, tuple(map(Region, regions)), findings)
    make(order, count, jobs)


def make(order: Order, count: int, jobs: int | None = None) -> None:
    """Make phantoms 0..count-1 of the order's seed with `jobs` processes, by default one per processor.

    Raises:
        InvalidConfiguration: the folder cannot be made or does not take the files; a finding is not in a region.
    """
    try:
        (order.folder / MASKS).mkdir(parents=True, exist_ok=True)
        # An index of an earlier order must not vouch for files of this one.
        (order.folder / INDEX).unlink(missing_ok=True)
        lines, tiles = [], []
        for record, thumbnail in produce(partial(write_phantom, order), count, jobs=jobs, title="Simulating"):
            lines.append(json.dumps(record))
            if thumbnail is not None:
                tiles.append(thumbnail)
        if tiles:
            write_whole(order.folder / SHEET, encode_png(contact_sheet(tiles)))
        write_whole(order.folder / INDEX, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise InvalidConfiguration(
            f"{order.folder}: cannot be written ({error.strerror}); give another --output or free some space"
        ) from error
    except DoesNotOccur as error:
        raise InvalidConfiguration(f"{error}; give another --region or --finding") from error
    others = sum(1 for _ in order.folder.glob("phantom-*")) - count
    if others:
        click.echo(f"{INDEX} does not describe {others} of the phantoms in there, of an earlier order.", err=True)
    click.echo(f"{count} phantoms in {click.format_filename(order.folder)}, described in {INDEX}.", err=True)


def write_phantom(order: Order, index: int) -> tuple[dict[str, Any], Canvas | None]:
    """Make one phantom and write its three files. Returns its line of the index, and its tile when asked for."""
    phantom = generate(
        order.seed, index, size=order.size, **in_turn(index, order.labels, order.regimes, order.regions, order.findings)
    )
    name = f"phantom-{order.seed}-{index:05d}"
    file = f"{name}.dcm" if order.form == "dicom" else f"{name}.png"
    content = as_dicom(phantom, encoding_rng(order.seed, index)) if order.form == "dicom" else as_png(phantom)
    (order.folder / file).write_bytes(content)
    masks = {"lesion": phantom.lesion_mask, "bone": phantom.bone_mask}
    for kind, mask in masks.items():
        (order.folder / MASKS / f"{name}.{kind}.png").write_bytes(encode_png(_mask_pixels(mask)))
    thumbnail = tile(phantom) if order.sheet and index < _SHEET_LIMIT else None
    return _described(phantom, order.seed, index, file, name), thumbnail


def in_turn(
    index: int,
    labels: Sequence[Label] = (),
    regimes: Sequence[Regime] = (),
    regions: Sequence[Region] = (),
    findings: Sequence[str] = (),
) -> dict[str, Any]:
    """What phantom `index` of a set is to be, for `generate`; of what is empty, nothing is said."""
    wanted: dict[str, Any] = {}
    if labels:
        wanted["label"] = labels[index % len(labels)]
    if findings:
        wanted["finding"] = findings[index % len(findings)]
    turn = max(1, len(findings or labels))
    if regimes:
        wanted["regime"] = regimes[index // turn % len(regimes)]
    if regions:
        # After the turns of the others: every region with every label in every regime.
        turn *= max(1, len(regimes))
        wanted["region"] = regions[index // turn % len(regions)]
    return wanted


def _described(phantom: Phantom, seed: int, index: int, file: str, name: str) -> dict[str, Any]:
    """One line of the index; paths are relative to the folder."""
    return {
        "file": file,
        "lesion_mask": f"{MASKS}/{name}.lesion.png",
        "bone_mask": f"{MASKS}/{name}.bone.png",
        "label": phantom.label.value,
        "region": phantom.region.value,
        "family": phantom.family,
        "regime": phantom.regime.value,
        "semiology": phantom.semiology,
        "rendering": phantom.rendering,
        "spacing_mm": phantom.spacing_mm,
        "generation": GENERATION,
        "seed": seed,
        "index": index,
    }


def _mask_pixels(mask: Mask) -> NDArray[np.uint8]:
    return mask.astype(np.uint8) * np.uint8(255)
