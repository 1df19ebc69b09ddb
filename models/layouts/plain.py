"""Plain folders: `images/`, and beside it `masks/` with a mask of the same name for each lesion.

images/NAME.png (.jpg, .tif, .dcm)    or images/normal/NAME.png, images/benign/..., images/malignant/...
masks/NAME.png                        white where the lesion is; none for a normal picture, or a black one
bones/NAME.png                        the same for the long bones; may be left out
labels.csv                            file,label and, if known, patient,split,family,region; not needed where the
                                      folders of the images say the label
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label
from bonedge.models.datasets import GatheredSet
from bonedge.models.outlines import MaskFile

from .labelled import SUFFIXES, Labelled, Part, Split, as_samples

_IMAGES, _MASKS, _BONES, _LABELS = "images", "masks", "bones", "labels.csv"
_MASK_SUFFIX = ".png"
"""Of masks: JPEG would blur them."""


def recognise(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return (folder / _IMAGES).is_dir()


def read(folder: Path, part: Part) -> GatheredSet:
    """Its pictures.

    Raises:
        InvalidConfiguration: a picture has no label, a mask no picture, or the table is wrong.
    """
    images = folder / _IMAGES
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    table = read_labels(folder / _LABELS)
    named = {path.relative_to(images).as_posix(): path for path in files}
    unknown = sorted(table.keys() - named.keys())
    if unknown:
        raise InvalidConfiguration(f"{folder / _LABELS}: there is no picture {unknown[0]} in {images}")
    stems: dict[Path, Path] = {}
    for path in files:
        other = stems.setdefault(path.relative_to(images).with_suffix(""), path)
        if other is not path:
            raise InvalidConfiguration(f"{other} and {path}: would share a mask; give one of them another name")
    for masks in (folder / _MASKS, folder / _BONES):
        for mask in sorted(path for path in masks.rglob("*") if path.suffix.lower() in SUFFIXES):
            if mask.suffix != _MASK_SUFFIX:
                raise InvalidConfiguration(f"{mask}: masks are looked for as NAME{_MASK_SUFFIX}; save it as that")
            if mask.relative_to(masks).with_suffix("") not in stems:
                raise InvalidConfiguration(f"{mask}: is a mask without a picture of that name in {images}")
    pictures = [_labelled(folder, path, name, table.get(name)) for name, path in named.items()]
    return as_samples(pictures, folder, "plain folders", part)


def read_labels(file: Path) -> dict[str, Mapping[str, str]]:
    """The rows of labels.csv by file; empty where there is none.

    Raises:
        InvalidConfiguration: a column is missing, or a row says something that cannot be.
    """
    if not file.is_file():
        return {}
    found: dict[str, Mapping[str, str]] = {}
    try:
        rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidConfiguration(f"{file}: cannot be read as a table ({error})") from error
    for number, row in enumerate(rows, 2):
        where = f"{file}, line {number}"
        name, label = (row.get("file") or "").strip(), (row.get("label") or "").strip().lower()
        if not name:
            raise InvalidConfiguration(
                f"{where}: names no file; the columns are file,label[,patient,split,family,region]"
            )
        if label not in set(Label):
            raise InvalidConfiguration(f"{where}: the label is {label!r}; it is one of {', '.join(Label)}")
        if (row.get("split") or "") not in set(Split):
            raise InvalidConfiguration(f"{where}: the split is {row['split']!r}; it is training, validation or test")
        if name in found:
            raise InvalidConfiguration(f"{where}: {name} was named before (label clash)")
        found[name] = {key: (value or "").strip() for key, value in row.items() if key} | {"label": label}
    return found


def _labelled(folder: Path, path: Path, name: str, row: Mapping[str, str] | None) -> Labelled:
    above = Path(name).parts[0].lower() if len(Path(name).parts) > 1 else ""
    if row is None and above not in set(Label):
        raise InvalidConfiguration(
            f"{path}: has no label; name it in {folder / _LABELS}, or put it into a folder {', '.join(Label)}"
        )
    label = Label(row["label"]) if row else Label(above)
    if row and above in set(Label) and above != label:
        raise InvalidConfiguration(f"{path}: lies in {above}, but {folder / _LABELS} says {label} (label clash)")
    mask, bone = (folder / where / Path(name).with_suffix(_MASK_SUFFIX) for where in (_MASKS, _BONES))
    tumour = label in (Label.BENIGN, Label.MALIGNANT)
    if tumour and not mask.is_file():
        raise InvalidConfiguration(f"{path}: is labelled {label}, but there is no {mask} (missing mask)")
    lesion = MaskFile(mask) if mask.is_file() else None
    if lesion and not tumour and lesion.is_empty():
        lesion = None
    row = row or {}
    return Labelled(
        path,
        label,
        lesion,
        MaskFile(bone) if bone.is_file() else None,
        group=row.get("patient", ""),
        split=Split(row.get("split", "")),
        family=row.get("family", ""),
        region=row.get("region", ""),
    )
