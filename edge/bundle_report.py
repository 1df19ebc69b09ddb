"""What a bundle is, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from .bundle import Bundle

MODEL_CARD = "MODEL_CARD.md"
PASSPORT = "passport.json"
_WIDTH_IN_A_PIPE = 110


def describe(bundle: Bundle) -> dict[str, Any]:
    """The document that `bonedge bundle show --json` prints. Sizes are bytes; `passport` is its summary, or None."""
    manifest, contents = bundle.manifest, bundle.contents
    card = contents.get(MODEL_CARD)
    return {
        "folder": str(bundle.folder),
        "name": manifest.name,
        "version": manifest.version,
        "digest": bundle.digest,
        "created": manifest.created,
        "labels": list(manifest.labels),
        "networks": [networks.model_dump(mode="json") for networks in manifest.networks],
        "files": {
            name: {"bytes": len(contents[name]), "sha256": digest} for name, digest in sorted(manifest.files.items())
        },
        "training": manifest.training.model_dump(mode="json"),
        "decision": manifest.decision.model_dump(mode="json"),
        "abstention": {
            "minimum_bone_fraction": manifest.abstention.minimum_bone_fraction,
            "maximum_distance": manifest.abstention.maximum_distance,
        },
        "signature": signature(bundle),
        "passport": passport_summary(contents),
        "model_card": None if card is None else card.decode("utf-8", "replace"),
    }


def signature(bundle: Bundle) -> dict[str, str | None]:
    """`state` (unsigned, not verified, verified) and `key_id`."""
    state: Literal["unsigned", "not verified", "verified"]
    if bundle.signature is None:
        return {"state": "unsigned", "key_id": None}
    state = "verified" if bundle.verified else "not verified"
    return {"state": state, "key_id": bundle.signature.key_id}


def passport_summary(contents: Mapping[str, bytes]) -> dict[str, Any] | None:
    """The top-level `summary` of passport.json; None when there is no such file, or none in it."""
    summary = _passport(contents).get("summary")
    return summary if isinstance(summary, dict) else None


def conversion_seeds(contents: Mapping[str, bytes]) -> set[int]:
    """Seeds of the phantoms that passport.json says the conversion calibrated, repaired and judged with."""
    sets = (_passport(contents).get(name) for name in ("calibration", "repair", "validation"))
    lists = (one.get("phantom_seeds") for one in sets if isinstance(one, dict))
    return {seed for found in lists if isinstance(found, list) for seed in found if isinstance(seed, int)}


def _passport(contents: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        passport = json.loads(contents.get(PASSPORT, b"null"))
    except (ValueError, RecursionError):  # anybody's JSON may be in a bundle; what cannot be read is not shown
        return {}
    return passport if isinstance(passport, dict) else {}


def signature_sentence(found: Mapping[str, str | None]) -> str:
    """`signature` in words."""
    if found["state"] == "unsigned":
        return "unsigned"
    if found["state"] == "verified":
        return f"signed by {found['key_id']}, verified"
    return f"signed by {found['key_id']}, not verified (give the signer's public key with --key)"


def print_sheet(document: Mapping[str, Any]) -> None:
    """Print what `describe` found as tables on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def row(table: Table, *cells: str) -> None:
        # Text, so that brackets in a bundle's own words are no markup.
        table.add_row(*(Text(printable(cell)) for cell in cells))

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH_IN_A_PIPE)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for fact, value in _facts(document):
        row(facts, fact, value)
    files = Table(box=box.SIMPLE_HEAD)
    for heading in ("file", "bytes", "for"):
        files.add_column(heading, justify="right" if heading == "bytes" else "left")
    purposes = _purposes(document)
    for name, file in document["files"].items():
        row(files, name, f"{file['bytes']:,}", purposes.get(name, ""))
    console.print(facts)
    console.print(files)
    if document["passport"] is not None:
        summary = Table(box=None, show_header=False, padding=(0, 2, 0, 0), title="Passport", title_justify="left")
        for key, value in document["passport"].items():
            row(summary, key, value if isinstance(value, str) else json.dumps(value))
        console.print(summary)
    if document["model_card"] is not None:
        console.print()
        console.print(Text(printable(document["model_card"], keep="\n\t")), soft_wrap=True)


def printable(text: str, keep: str = "") -> str:
    """`text` with whatever could steer a terminal replaced: it may come from a bundle that nobody vouched for."""
    return "".join(letter if letter.isprintable() or letter in keep else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    decision, abstention = document["decision"], document["abstention"]
    return [
        ("bundle", f"{document['name']} {document['version']}"),
        ("folder", document["folder"]),
        ("digest", document["digest"]),
        ("created", document["created"]),
        ("signature", signature_sentence(document["signature"])),
        ("labels", ", ".join(document["labels"])),
        ("networks", ", ".join(f"{one['engine']} {one['precision']}" for one in document["networks"])),
        ("trained on", document["training"]["data"]),
        ("tumour", f"1 - p(normal) is {decision['tumour_threshold']:g} or more"),
        ("malignant", f"and p(malignant) / (1 - p(normal)) is {decision['malignant_threshold']:g} or more"),
        ("lesion pixel", f"{decision['lesion_threshold']:g} or more; bone {decision['bone_threshold']:g} or more"),
        ("temperature", f"{decision['temperature']:g}"),
        (
            "abstains",
            f"under {abstention['minimum_bone_fraction']:.1%} bone, or further than "
            f"{abstention['maximum_distance']:g} from the usual features",
        ),
    ]


def _purposes(document: Mapping[str, Any]) -> dict[str, str]:
    """What each network file is for."""
    return {
        name: f"{part}, {networks['engine']} {networks['precision']}"
        for networks in document["networks"]
        for part in ("segmenter", "classifier")
        for name in networks[part]
    }
