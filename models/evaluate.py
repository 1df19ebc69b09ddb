"""`bonedge evaluate`: a bundle against phantoms that it has never seen, through the pipeline of `bonedge predict`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bonedge.calibration.phantom.command import in_turn, region_option
from bonedge.calibration.phantom.dicom import as_dicom, encoding_rng
from bonedge.calibration.phantom.generate import GENERATION, generate
from bonedge.calibration.phantom.records import Regime, Region
from bonedge.calibration.production import produce
from bonedge.edge.bundle import open_bundle
from bonedge.edge.bundle_report import conversion_seeds
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import DEVICES, ENGINES, load
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.options import PLACE
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import CLASSES, NOTICE, Label, Mask
from bonedge.edge.trust import Trust

from .evaluation import Outcome, behaviour, risk_coverage, slices, summarise
from .evaluation_tables import print_tables
from .metrics import dice, wilson


@dataclass(frozen=True)
class Sample:
    """One phantom as a file, and what is true of it."""

    index: int
    truth: Label
    regime: Regime
    region: str
    family: str
    signs: dict[str, str]
    """Of the lesion and of the picture, as `Outcome.signs`."""
    content: bytes
    """A DICOM file."""
    rows: int
    columns: int
    packed_mask: NDArray[np.uint8]
    """The lesion mask, eight pixels to a byte."""

    @property
    def lesion_mask(self) -> Mask:
        """bool "rows columns"."""
        bits = np.unpackbits(self.packed_mask, count=self.rows * self.columns)
        return bits.reshape(self.rows, self.columns).astype(np.bool_)


@click.command("evaluate")
@click.option("--phantoms", type=click.IntRange(9), default=600, show_default=True, help="How many pictures.")
@click.option("--seed", type=click.IntRange(0), required=True, help="Of the phantoms; not one of the training's.")
@region_option
@click.option("--bundle", "folder", type=PLACE, help="Model bundle.  [default: bonedge's own]")
@click.option("--key", type=PLACE, help="Public key that must have signed the bundle.")
@click.option("--minimum-version", metavar="V", help="Refuse an older bundle.")
@click.option("--engine", type=click.Choice(["auto", *ENGINES]), default="auto", show_default=True)
@click.option("--device", type=click.Choice(DEVICES), default="CPU", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), help="Of the engine.  [default: one per processor, at most 4]")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes that simulate.  [default: one per processor]")
@click.option("--verdicts", type=PLACE, help="Write each phantom's verdict there, as JSON lines.")
@click.option("--compare", type=PLACE, help="Verdicts of another run: report how many agree.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    phantoms: int,
    seed: int,
    regions: tuple[str, ...],
    folder: Path | None,
    key: Path | None,
    minimum_version: str | None,
    engine: Any,
    device: str,
    threads: int | None,
    jobs: int | None,
    verdicts: Path | None,
    compare: Path | None,
    as_json: bool,
) -> None:
    """Measure a bundle on simulated radiographs whose truth is known.

    Normal, benign and malignant in equal parts, overt, typical and subtle alike, and so the parts of the body that
    --region names. Each is encoded as DICOM, decoded and examined as `bonedge predict` does. To abstain counts as
    wrong. Every figure has a 95 % confidence interval. What is measured on phantoms proves the machinery, not medicine.
    """
    asked = tuple(map(Region, regions))
    if verdicts is not None and not _takes_a_file(verdicts):
        raise InvalidConfiguration(f"{verdicts}: nothing can be written there; give another --verdicts")
    other = None if compare is None else read_verdicts(compare, seed, asked)
    trust = Trust(key, minimum_version)
    bundle = open_bundle(folder, trust)
    if seed in bundle.manifest.training.phantom_seeds:
        raise InvalidConfiguration(
            f"seed {seed} was used to make {bundle.manifest.name} {bundle.manifest.version}; "
            "results on it would flatter: take another --seed"
        )
    if seed in conversion_seeds(bundle.contents):
        raise InvalidConfiguration(
            f"seed {seed} was converted with: its phantoms chose which layers of {bundle.manifest.name} "
            f"{bundle.manifest.version} are in eight bits; take another --seed"
        )
    networks = load(bundle, engine=engine, device=device, threads=threads)
    outcomes = examine(Pipeline(bundle, networks), seed, phantoms, jobs, asked)
    document: dict[str, Any] = {
        "notice": NOTICE,
        "bundle": {
            "name": bundle.manifest.name,
            "version": bundle.manifest.version,
            "digest": bundle.digest,
            "behaviour": behaviour(bundle.manifest),
        },
        "engine": asdict(networks.description),
        "generation": GENERATION,
        "seed": seed,
        "phantoms": phantoms,
        "regions": regions,
        **summarise(outcomes, seed),
        "regimes": {
            regime.value: summarise([outcome for outcome in outcomes if outcome.regime is regime], seed)
            for regime in Regime
        },
        "slices": [asdict(one) for one in slices(outcomes)],
        "risk_coverage": [asdict(one) for one in risk_coverage(outcomes, bundle.manifest.decision.tumour_threshold)],
    }
    if compare is not None and other is not None:
        document["compared"] = {"with": click.format_filename(compare), **agreement(outcomes, other)}
    if as_json:
        click.echo(json.dumps(document))
    else:
        print_tables(document)
    if verdicts is not None:
        _write_verdicts(verdicts, outcomes)


def examine(
    pipeline: Pipeline, seed: int, count: int, jobs: int | None = None, regions: Sequence[Region] = ()
) -> list[Outcome]:
    """The pipeline's verdicts on phantoms 0..count-1 of `seed`; classes, regimes and `regions`, if any, in turn."""
    outcomes = []
    for sample in produce(partial(simulate, seed, regions=regions), count, jobs=jobs, title="Evaluating"):
        examination = pipeline.examine(decode_bytes(sample.content))
        truth = sample.lesion_mask
        outcomes.append(
            Outcome(
                generation=GENERATION,
                seed=seed,
                regions=tuple(region.value for region in regions),
                index=sample.index,
                truth=sample.truth,
                regime=sample.regime,
                region=sample.region,
                family=sample.family,
                signs=sample.signs,
                verdict=examination.verdict.label,
                probabilities={label.value: value for label, value in examination.verdict.probabilities.items()},
                dice=dice(examination.segmentation.mask, truth) if truth.any() else None,
            )
        )
    return outcomes


def simulate(seed: int, index: int, regions: Sequence[Region] = ()) -> Sample:
    """Phantom `index` of an evaluation set: class, regime, and which of `regions`, follow from the index."""
    phantom = generate(seed, index, **in_turn(index, CLASSES, tuple(Regime), regions))
    return Sample(
        index=index,
        truth=phantom.label,
        regime=phantom.regime,
        region=phantom.region.value,
        family=phantom.family,
        signs=phantom.semiology | phantom.rendering,
        content=as_dicom(phantom, encoding_rng(seed, index)),
        rows=phantom.pixels.shape[0],
        columns=phantom.pixels.shape[1],
        packed_mask=np.packbits(phantom.lesion_mask),
    )


def agreement(outcomes: Iterable[Outcome], other: dict[int, Label]) -> dict[str, Any]:
    """How many phantoms both runs examined, and the share of them with the same verdict.

    Raises:
        InvalidConfiguration: they have no phantom in common.
    """
    same = [outcome.verdict is other[outcome.index] for outcome in outcomes if outcome.index in other]
    if not same:
        raise InvalidConfiguration("the two runs have no phantom in common; evaluate as many in both")
    return {"phantoms": len(same), "agreement": asdict(wilson(sum(same), len(same)))}


def read_verdicts(path: Path, seed: int, regions: Sequence[Region] = ()) -> dict[int, Label]:
    """The verdicts by index in a file that `--verdicts` wrote.

    Raises:
        InvalidConfiguration: it cannot be read, or holds verdicts on other phantoms.
    """
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        found = {int(line["index"]): Label(line["verdict"]) for line in lines}
        simulated = {(line["generation"], line["seed"], *line.get("regions", ())) for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidConfiguration(f"{path}: is not a file that --verdicts wrote; give another --compare") from error
    if simulated != {(GENERATION, seed, *regions)}:
        of = f" of {' and '.join(regions)}" if regions else ""
        raise InvalidConfiguration(
            f"{path}: holds verdicts on other phantoms than generation {GENERATION}, seed {seed}{of}; "
            "evaluate both on one seed, with the same --region and one version of bonedge"
        )
    return found


def _takes_a_file(path: Path) -> bool:
    folder = path.resolve().parent
    return not path.is_dir() and folder.is_dir() and os.access(folder, os.W_OK)


def _write_verdicts(path: Path, outcomes: Iterable[Outcome]) -> None:
    try:
        write_whole(path, "".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes).encode())
    except OSError as error:
        raise InvalidConfiguration(f"{path}: cannot be written ({error.strerror}); give another --verdicts") from error
