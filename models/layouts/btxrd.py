"""BTXRD, radiographs of primary bone tumours (Yao et al., Scientific Data 12, 2025), as it is published.

    dataset.xlsx                 a row per picture: image_id, center, body parts, tumor, benign, malignant, families
    images/IMG000001.jpeg
    Annotations/IMG000001.json   LabelMe: outlines of the lesions; none for normal pictures

Centre 1 is for training and validation, centres 2 and 3 are the external test. The set names no patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label
from bonedge.models.datasets import GatheredSet

from .labelled import Labelled, Part, Split, as_samples
from .labelme import outlined

_TABLE = "dataset.xlsx"
_NEEDED = ("image_id", "center", "tumor", "benign", "malignant")
_FAMILIES = (
    "osteochondroma", "multiple osteochondromas", "simple bone cyst", "giant cell tumor", "osteofibroma",
    "synovial osteochondroma", "other bt", "osteosarcoma", "other mt",
)  # fmt: skip
_REGIONS = (
    "hand", "ulna", "radius", "humerus", "foot", "tibia", "fibula", "femur", "hip bone", "ankle-joint", "knee-joint",
    "hip-joint", "wrist-joint", "elbow-joint", "shoulder-joint",
)  # fmt: skip
_TRAINING_CENTRE = 1


def recognise(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return (folder / _TABLE).is_file()


def read(folder: Path, part: Part) -> GatheredSet:
    """Its pictures.

    Raises:
        InvalidConfiguration: the table lacks a column or contradicts itself or the outlines, or a file is missing.
    """
    pictures = [_labelled(folder, number, row) for number, row in _rows(folder / _TABLE)]
    return as_samples(pictures, folder, "BTXRD, centre 1 for training, 2 and 3 for testing", part)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row of the sheet, cells by lower-case heading)."""
    import openpyxl

    try:
        sheet = openpyxl.load_workbook(file, data_only=True).worksheets[0]
    except (OSError, ValueError, LookupError, TypeError, SyntaxError, BadZipFile) as error:
        raise InvalidConfiguration(f"{file}: is no spreadsheet that can be read ({error!r})") from error
    rows = sheet.iter_rows(values_only=True)
    headings = [str(cell or "").strip().lower() for cell in next(rows, ())]
    missing = [name for name in _NEEDED if name not in headings]
    if missing:
        raise InvalidConfiguration(f"{file}: there is no column {', '.join(missing)}; is it BTXRD's table?")
    for number, cells in enumerate(rows, 2):
        row = dict(zip(headings, cells, strict=True))
        if row["image_id"] is not None:
            yield number, row


def _labelled(folder: Path, number: int, row: Mapping[str, Any]) -> Labelled:
    where = f"{folder / _TABLE}, row {number}"
    name = Path(str(row["image_id"]).strip()).name
    tumour, benign, malignant = (_flag(where, row, key) for key in ("tumor", "benign", "malignant"))
    if tumour != (benign or malignant) or (benign and malignant):
        raise InvalidConfiguration(
            f"{where}: tumor {int(tumour)}, benign {int(benign)} and malignant {int(malignant)} contradict each other "
            "(label clash)"
        )
    label = Label.MALIGNANT if malignant else Label.BENIGN if benign else Label.NORMAL
    centre = str(row["center"]).strip().removesuffix(".0")
    if not centre.isdecimal():
        raise InvalidConfiguration(f"{where}: center is {row['center']!r}, not a number")
    return Labelled(
        folder / "images" / name,
        label,
        outlined(folder / "Annotations" / f"{Path(name).stem}.json"),
        split=Split.UNSAID if int(centre) == _TRAINING_CENTRE else Split.TEST,
        family=next((key for key in _FAMILIES if key in row and _flag(where, row, key)), ""),
        region=", ".join(key for key in _REGIONS if key in row and _flag(where, row, key)),
    )


def _flag(where: str, row: Mapping[str, Any], key: str) -> bool:
    if row[key] not in (0, 1, "0", "1", None):
        raise InvalidConfiguration(f"{where}: {key} is {row[key]!r}, neither 0 nor 1")
    return row[key] in (1, "1")
