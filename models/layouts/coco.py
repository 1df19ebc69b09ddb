"""COCO: JSON files with images, annotations and categories, in the folder or in its `annotations`.

A category's name, or its supercategory's, says benign, malignant or bone; a category of a tumour under another name is
its family. An image without an annotated tumour is normal. `train`, `val` or `test` as a word of a file's name is its
split; an image may name its `patient_id`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label
from bonedge.models.datasets import GatheredSet
from bonedge.models.outlines import Outline, Polygons, RunLengths, Union

from .labelled import Labelled, Part, Split, as_samples

_KEYS = {"images", "annotations", "categories"}
_BONE = "bone"
_SPLITS = {
    **dict.fromkeys(("train", "training", "trainval"), Split.TRAINING),
    **dict.fromkeys(("val", "valid", "validation"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing"), Split.TEST),
}


def recognise(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return any(_is_coco(file) for file in _files(folder))


def read(folder: Path, part: Part) -> GatheredSet:
    """Its pictures.

    Raises:
        InvalidConfiguration: an annotation is broken or of no known category, or a picture's labels clash.
    """
    pictures = []
    for file in _files(folder):
        try:
            document = _document(file)
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidConfiguration(
                f"{file}: is no JSON that can be read ({error}); fetch it again, or take it out of the folder"
            ) from error
        if document.keys() >= _KEYS:
            try:
                pictures += _labelled(folder, file, document)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise InvalidConfiguration(f"{file}: {error!r} is missing or wrong for COCO") from error
    return as_samples(pictures, folder, "COCO", part)


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])


def _is_coco(file: Path) -> bool:
    try:
        return _document(file).keys() >= _KEYS
    except (OSError, ValueError, RecursionError):
        return False


def _document(file: Path) -> dict[str, Any]:
    document = json.loads(file.read_text("utf-8"))
    return document if isinstance(document, dict) else {}


def _split(file: Path) -> Split:
    words = re.findall("[a-z]+", file.stem.lower())
    return next((_SPLITS[word] for word in words if word in _SPLITS), Split.UNSAID)


def _labelled(folder: Path, file: Path, document: Mapping[str, Any]) -> list[Labelled]:
    categories = {category["id"]: category for category in document["categories"]}
    drawn: dict[Any, list[tuple[str, str, Outline]]] = defaultdict(list)
    sizes = {image["id"]: image for image in document["images"]}
    for annotation in document["annotations"]:
        where = f"{file}, annotation {annotation['id']}"
        if annotation["image_id"] not in sizes:
            raise InvalidConfiguration(f"{where}: there is no image {annotation['image_id']}")
        if annotation["category_id"] not in categories:
            raise InvalidConfiguration(f"{where}: there is no category {annotation['category_id']}")
        kind, family = _kind(file, categories[annotation["category_id"]])
        outline = _outline(where, annotation["segmentation"], sizes[annotation["image_id"]])
        drawn[annotation["image_id"]].append((kind, family, outline))
    return [_picture(folder, file, image, drawn[image["id"]], _split(file)) for image in document["images"]]


def _picture(
    folder: Path, file: Path, image: Mapping[str, Any], drawn: Sequence[tuple[str, str, Outline]], split: Split
) -> Labelled:
    tumours = sorted({kind for kind, _, _ in drawn} - {_BONE})
    if len(tumours) > 1:
        raise InvalidConfiguration(f"{file}: {image['file_name']} is both benign and malignant (label clash)")
    lesions = tuple(outline for kind, _, outline in drawn if kind != _BONE)
    bones = tuple(outline for kind, _, outline in drawn if kind == _BONE)
    return Labelled(
        _place(folder, file, str(image["file_name"])),
        Label(tumours[0]) if tumours else Label.NORMAL,
        Union(lesions) if lesions else None,
        Union(bones) if bones else None,
        group="" if image.get("patient_id") is None else str(image["patient_id"]),
        split=split,
        family=next((family for _, family, _ in drawn if family), ""),
    )


def _place(folder: Path, file: Path, name: str) -> Path:
    """The picture, which COCO names relative to a folder that it does not name.

    That is `images`, or, as COCO itself has it, `train2017` for `instances_train2017.json`.
    """
    own = file.stem.removeprefix("instances_")
    within = [folder / name, *(folder / place / name for place in ("images", own, f"images/{own}"))]
    if any(".." in path.parts for path in within) or Path(name).is_absolute():
        raise InvalidConfiguration(f"{folder}: the picture {name} would lie outside the data folder")
    found = next((path for path in within if path.is_file()), None)
    if found is None:
        raise InvalidConfiguration(
            f"{file}: there is no picture {name} in {folder}, nor in its folders images, {own} or images/{own}"
        )
    return found


def _kind(file: Path, category: Mapping[str, Any]) -> tuple[str, str]:
    """(benign, malignant or bone, family)."""
    name, above = str(category["name"]).strip().lower(), str(category.get("supercategory", "")).strip().lower()
    for word in (Label.BENIGN.value, Label.MALIGNANT.value, _BONE):
        if name == word:
            return word, ""
    for word in (Label.BENIGN.value, Label.MALIGNANT.value, _BONE):
        if above == word:
            return word, "" if word == _BONE else name
    raise InvalidConfiguration(
        f"{file}: category {category['name']!r} is none of benign, malignant and bone, nor is its supercategory"
    )


def _outline(where: str, segmentation: Any, image: Mapping[str, Any]) -> Outline:
    if isinstance(segmentation, dict):
        rows, columns = (int(number) for number in segmentation["size"])
        counts = segmentation["counts"]
        return RunLengths(where, rows, columns, counts if isinstance(counts, str) else tuple(map(int, counts)))
    polygons = tuple(
        tuple((float(x), float(y)) for x, y in zip(flat[::2], flat[1::2], strict=True)) for flat in segmentation
    )
    if not polygons or any(len(polygon) < 3 for polygon in polygons):
        raise InvalidConfiguration(f"{where}: nothing is outlined; a box alone is no mask (missing mask)")
    return Polygons(where, polygons, (int(image["height"]), int(image["width"])) if "height" in image else None)
