"""`bonedge card`: what a bundle is, what it was made from and what it can and cannot do, written from its evaluation.

The sections follow CLAIM (Mongan, Moy and Kahn, Checklist for Artificial Intelligence in Medical Imaging, Radiology:
Artificial Intelligence 2, 2020) and model cards (Mitchell et al., FAT* 2019), as far as they apply to phantoms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from bonedge.calibration.phantom.confusables import CONFUSABLES
from bonedge.calibration.phantom.generate import GENERATION
from bonedge.calibration.phantom.lesions import FAMILIES
from bonedge.calibration.phantom.nonlimb import KINDS
from bonedge.calibration.phantom.scene import REGIONS
from bonedge.edge.bundle import Bundle, digests, write_bundle
from bonedge.edge.bundle_report import MODEL_CARD, passport_summary
from bonedge.edge.errors import BundleRefused, InvalidConfiguration
from bonedge.edge.options import PLACE
from bonedge.edge.records import NOTICE

from .datasets import REAL
from .evaluation import FEWEST, behaviour, slices_of, worst
from .evaluation_tables import figures_by_part, shown

_WORST = 12


@click.command("card")
@click.argument("folder", type=PLACE, metavar="BUNDLE")
@click.option(
    "--evaluation", type=PLACE, required=True,
    help="What `bonedge evaluate --json` said of this bundle.",
)  # fmt: skip
@click.option("--remarks", type=PLACE, help="Markdown of those who made it, put at the end.")
def command(folder: Path, evaluation: Path, remarks: Path | None) -> None:
    """Write the model card of BUNDLE from its evaluation, and put it into the bundle.

    The evaluation must be of these very networks and thresholds. A signed bundle is refused, for with another card it
    would be another bundle: sign it afterwards. `bonedge bundle show` shows the card.
    """
    bundle = Bundle.open(folder)
    if bundle.signature is not None:
        raise BundleRefused(f"{folder} is signed, and with another card it would be another bundle; sign it afterwards")
    document = _read_evaluation(evaluation, bundle)
    try:
        text = model_card(bundle, document, None if remarks is None else _read(remarks))
    except KeyError as error:
        raise InvalidConfiguration(
            f"{evaluation}: does not say {error}, as another version's would not; evaluate the bundle again"
        ) from error
    contents = {**bundle.contents, MODEL_CARD: text.encode()}
    manifest = bundle.manifest.model_copy(update={"files": digests(contents)})
    written = write_bundle(folder, manifest, contents)
    click.echo(f"{written.folder / MODEL_CARD}: {len(text.splitlines())} lines", err=True)


def model_card(bundle: Bundle, evaluation: Mapping[str, Any], remarks: str | None) -> str:
    """The card as Markdown.

    Args:
        bundle: what it is about.
        evaluation: the document of `bonedge evaluate --json`, of this bundle.
        remarks: Markdown that is put at the end as it is.
    """
    manifest = bundle.manifest
    sections = {
        "Intended use": _intended_use(),
        "What it is": _models(bundle),
        "Data": _data(bundle),
        "Training and conversion": _making(bundle),
        "Results": _results(evaluation),
        "Where it is worse": _weaknesses(evaluation),
        "Limits": _limits(),
    }
    if remarks is not None:
        sections["Remarks"] = remarks.strip().splitlines()
    lines = [f"# Model card: {manifest.name} {manifest.version}", "", f"**{NOTICE}**", ""]
    for heading, section in sections.items():
        lines += [f"## {heading}", "", *section, ""]
    return "\n".join(lines)


def _intended_use() -> list[str]:
    return [
        "Research: a second look at radiographs of limbs, beside and never instead of a radiologist's. Out of scope: "
        "other body parts, other modalities, and every decision about a patient.",
    ]


def _models(bundle: Bundle) -> list[str]:
    p, decision, abstention = bundle.manifest.preprocessing, bundle.manifest.decision, bundle.manifest.abstention
    sizes = [
        f"{networks.engine} in {networks.precision}, "
        f"{sum(len(bundle.contents[name]) for name in (*networks.segmenter, *networks.classifier)) / 1e6:.1f} MB"
        for networks in bundle.manifest.networks
    ]
    return [
        f"- A U-Net ({p.segmenter_side_px} x {p.segmenter_side_px}) marks long bones and lesions; an EfficientNetB0 "
        f"({p.classifier_side_px} x {p.classifier_side_px} x 3: {p.classifier_channels}) tells normal, benign and "
        "malignant in the region that the U-Net found.",
        f"- Whether there is a tumour, both are heard: log odds = {decision.fusion.classifier:g} x the classifier's + "
        f"{decision.fusion.suspicion:g} x the segmenter's {decision.fusion.offset:+g}. Of what kind, the classifier "
        f"says, at a temperature of {decision.temperature:g}.",
        f"- Operating point: a tumour from a probability of {decision.tumour_threshold:g} on, malignant from a share "
        f"of {decision.malignant_threshold:g} of it on; a lesion's pixels from {decision.lesion_threshold:g} on.",
        f"- It abstains under {abstention.minimum_bone_fraction:.1%} of bone, and on pictures whose features lie "
        f"further than {abstention.maximum_distance:g} from those it was trained on.",
        f"- Networks: {'; '.join(sizes)}. Mixed is eight bits, but for the layers that conversion left in more.",
    ]


def _data(bundle: Bundle) -> list[str]:
    training = bundle.manifest.training
    if not training.phantom_seeds:
        return [f"{training.data.rstrip('.')}. Where they come from and how they were chosen is not recorded here."]
    benign, malignant = ([family.name for family in FAMILIES if family.malignant is which] for which in (False, True))
    regions = [region.value for region in REGIONS]
    real = REAL in training.data
    nobody = "" if real else " No patient, no real radiograph, no person's data."
    where = " Where the real ones come from and how they were chosen is not recorded here. Of the simulated ones:"
    return [
        f"{training.data.rstrip('.')}.{where if real else nobody}",
        "",
        f"- The simulator as of generation {GENERATION}; an earlier one had less. Regions, where nothing else is said "
        f"above: {_listed(regions)}; growth plates open and closed.",
        f"- Benign: {_listed(benign)}. Malignant: {_listed(malignant)}.",
        f"- Normal limbs: {_listed(CONFUSABLES)}. To abstain on: {_listed(KINDS)}.",
        "- Truth: exact, from the simulator; no reader, and so no disagreement between readers.",
        "- Not in it: other regions, sexes and ethnic groups as such, disease beside the lesion, joint replacements, "
        "and whatever else a simulator does not know.",
    ]


def _making(bundle: Bundle) -> list[str]:
    training, summary = bundle.manifest.training, passport_summary(bundle.contents)
    told = "Each command once, as it was given; networks that were averaged share their first ones:"
    lines = [told, "", "```", *training.command.split("; "), "```"] if training.command else ["Not recorded."]
    if summary is not None:
        facts = (f"- {key}: {value}" for key, value in summary.items() if isinstance(value, str | int | float))
        lines += ["", "Conversion; `passport.json` and `report.html` say what was tried:", "", *facts]
    return lines


def _results(evaluation: Mapping[str, Any]) -> list[str]:
    engine = evaluation["engine"]
    parts, figures = figures_by_part(evaluation)
    rows = [_row(*figure) for figure in figures]
    verdicts = list(next(iter(evaluation["confusion"].values())))
    confusion = [_row(truth, *map(str, row.values())) for truth, row in evaluation["confusion"].items()]
    coverage = [_row(f"{100 * one['coverage']:.0f}", shown(one["risk"])) for one in evaluation["risk_coverage"]]
    count, seed, regions = evaluation["phantoms"], evaluation["seed"], evaluation.get("regions", ())
    asked = "".join(f" --region {region}" for region in regions)
    parts_shown = (
        f", and so {_listed(regions)}" if regions else f"; {_listed(region.value for region in REGIONS)} by chance"
    )
    return [
        f"{count} phantoms of generation {evaluation['generation']}, seed {seed}, which nothing was trained or tuned "
        "on: normal, benign and malignant in equal parts, and so the difficulties"
        f"{parts_shown}. To abstain counts as wrong. "
        f"Per cent, 95 % intervals; {engine['name']} in {engine['precision']}:",
        "",
        f"    bonedge evaluate --phantoms {count} --seed {seed}{asked} --engine {engine['name']}",
        "",
        *_table(["", *parts], rows),
        "",
        *_table(["truth, called", *verdicts], confusion),
        "",
        "If the least sure verdicts were left to people:",
        "",
        *_table(["% with a verdict", "% of them wrong about tumour or not"], coverage),
    ]


def _weaknesses(evaluation: Mapping[str, Any]) -> list[str]:
    found = worst(slices_of(evaluation), evaluation["binary"]["accuracy"]["value"], _WORST)
    if not found:
        return [f"Of the slices with {FEWEST} pictures or more, none is worse than the whole as far as can be told."]
    rows = [
        _row(f"{one.by}: {one.value}", str(one.pictures), shown(one.accuracy), shown(one.class_accuracy))
        for one in found
    ]
    return [
        "Tumour or not is told worse than on the whole, the 95 % interval lying below it, which by chance "
        "alone happens to one slice in forty:",
        "",
        *_table(["pictures with", "number", "tumour or not, right", "class, right"], rows),
    ]


def _limits() -> list[str]:
    return [
        "- All figures are of phantoms. They prove the machinery, not medicine: on real radiographs nothing is known.",
        "- Real pictures hold far more than the simulator: what is not in the data above, it has never seen.",
        "- The intervals are over pictures; another training would give other networks.",
    ]


def _table(headings: Iterable[str], rows: Iterable[str]) -> list[str]:
    columns = list(headings)
    return [_row(*columns), "|---" * len(columns) + "|", *rows]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _read_evaluation(path: Path, bundle: Bundle) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(_read(path))
        about = document["bundle"]["behaviour"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidConfiguration(
            f"{path}: is not what `bonedge evaluate --json` writes; give another --evaluation"
        ) from error
    if about != behaviour(bundle.manifest):
        raise InvalidConfiguration(
            f"{path}: is of other networks or thresholds than {bundle.folder} holds; evaluate this bundle"
        )
    return document


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InvalidConfiguration(f"{path}: cannot be read ({error.strerror}); give another file") from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(f"{path}: is no text in UTF-8; give another file") from error
