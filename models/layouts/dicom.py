"""DICOM radiographs, and DICOM Segmentation objects that outline what is in them, in any folders below one.

A segment's property type code (SNOMED CT), or else a word of its label, says benign, malignant or bone. A radiograph
with no segment of a tumour is normal when its bones were segmented, so that somebody looked, or `labels.csv` says so.
Pictures of one Patient ID are never parted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label
from bonedge.models.datasets import GatheredSet
from bonedge.models.outlines import Frames, Union

from .labelled import Labelled, Part, Split, as_samples
from .plain import read_labels

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
"""Segmentation Storage."""
_BONE = "bone"
_CODES = {"3898006": Label.BENIGN.value, "86049000": Label.MALIGNANT.value, "272673000": _BONE}
"""SNOMED CT: neoplasm, benign; neoplasm, malignant (primary); bone structure."""


def recognise(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return any(True for _ in _files(folder))


def read(folder: Path, part: Part) -> GatheredSet:
    """Its pictures.

    Raises:
        InvalidConfiguration: nobody says what a picture is, or a segmentation is of no picture here.
    """
    pictures: dict[str, tuple[Path, str]] = {}
    segmentations: list[Path] = []
    for path in _files(folder):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID", "PatientID"])
        except (InvalidDicomError, OSError) as error:
            raise InvalidConfiguration(f"{path}: is not DICOM ({error}); take it out of the folder") from error
        if not header.get("SOPInstanceUID"):
            raise InvalidConfiguration(f"{path}: has no SOP Instance UID; take it out of the folder")
        if header.file_meta.get("MediaStorageSOPClassUID") == _SEGMENTATION:
            segmentations.append(path)
        elif str(header.SOPInstanceUID) in pictures:
            raise InvalidConfiguration(
                f"{path} and {pictures[str(header.SOPInstanceUID)][0]} are one and the same picture"
            )
        else:
            pictures[str(header.SOPInstanceUID)] = path, str(header.get("PatientID", ""))
    drawn: dict[str, list[_Structure]] = defaultdict(list)
    for path in segmentations:
        for uid, structures in _structures(path).items():
            if uid not in pictures:
                raise InvalidConfiguration(f"{path}: is of a picture that is not in {folder}")
            drawn[uid] += structures
    table = read_labels(folder / "labels.csv")
    named = {path.relative_to(folder).as_posix() for path, _ in pictures.values()}
    unknown = sorted(table.keys() - named)
    if unknown:
        raise InvalidConfiguration(
            f"{folder / 'labels.csv'}: there is no radiograph {unknown[0]} in {folder}; files are named from there on"
        )
    labelled = []
    for uid, (path, patient) in pictures.items():
        row = table.get(path.relative_to(folder).as_posix(), {})
        labelled.append(
            Labelled(
                path,
                _label(path, drawn[uid], row.get("label", "")),
                _outline(drawn[uid], bones=False),
                _outline(drawn[uid], bones=True),
                group=patient,
                split=Split(row.get("split", "")),
                family=row.get("family", ""),
                region=row.get("region", ""),
            )
        )
    return as_samples(labelled, folder, "DICOM with DICOM SEG", part)


@dataclass(frozen=True)
class _Structure:
    kind: str
    """benign, malignant or bone."""
    frames: Frames


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".dcm" and path.is_file())


def _structures(path: Path) -> dict[str, list[_Structure]]:
    """What a segmentation outlines, by the picture's SOP Instance UID."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    try:
        kinds = {int(segment.SegmentNumber): _kind(path, segment) for segment in dataset.SegmentSequence}
        shared = dataset.SharedFunctionalGroupsSequence[0]
        frames: dict[tuple[str, str], list[int]] = defaultdict(list)
        shown: set[int] = set()
        for number, own in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            segment = int(_either(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            frames[_source(dataset, own, shared), kinds[segment]].append(number)
            shown.add(segment)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InvalidConfiguration(f"{path}: does not say which picture its frames are of ({error!r})") from error
    # Writers leave out frames that show nothing.
    hidden = [kind for number, kind in kinds.items() if number not in shown and kind != _BONE]
    if hidden:
        raise InvalidConfiguration(f"{path}: its segment of a {hidden[0]} tumour shows nothing (missing mask)")
    found: dict[str, list[_Structure]] = defaultdict(list)
    for (uid, kind), numbers in frames.items():
        found[uid].append(_Structure(kind, Frames(path, tuple(numbers))))
    return found


def _source(dataset: pydicom.Dataset, own: pydicom.Dataset, shared: pydicom.Dataset) -> str:
    """The picture that a frame was drawn on: where the frame does not say, the only one that the object names."""
    if "DerivationImageSequence" in own or "DerivationImageSequence" in shared:
        derivation = _either(own, shared, "DerivationImageSequence")
        return str(derivation.SourceImageSequence[0].ReferencedSOPInstanceUID)
    (series,) = dataset.ReferencedSeriesSequence
    (instance,) = series.ReferencedInstanceSequence
    return str(instance.ReferencedSOPInstanceUID)


def _either(own: pydicom.Dataset, shared: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
    """The first item of a functional group, per frame or shared (PS3.3 C.7.6.16.1)."""
    item: pydicom.Dataset = (own if keyword in own else shared)[keyword].value[0]
    return item


def _kind(path: Path, segment: pydicom.Dataset) -> str:
    codes = [str(code.get("CodeValue", "")) for code in segment.get("SegmentedPropertyTypeCodeSequence", [])]
    for code in codes:
        if code in _CODES:
            return _CODES[code]
    label = str(segment.get("SegmentLabel", "")).lower()
    words = re.findall("[a-z]+", label)
    said = [word for word in (Label.BENIGN.value, Label.MALIGNANT.value, _BONE) if word in words]
    tumours = [word for word in said if word != _BONE]
    if said and len(tumours) < 2 and not {"no", "non", "not"} & set(words):
        return (tumours or said)[0]
    raise InvalidConfiguration(
        f"{path}: segment {segment.SegmentNumber} ({label!r}) is none of benign, malignant and bone, by code or label"
    )


def _label(path: Path, drawn: list[_Structure], told: str) -> Label:
    tumours = sorted({one.kind for one in drawn} - {_BONE})
    if len(tumours) > 1:
        raise InvalidConfiguration(f"{path}: is both benign and malignant (label clash)")
    if tumours and told and told != tumours[0]:
        raise InvalidConfiguration(f"{path}: labels.csv says {told}, its segmentation {tumours[0]} (label clash)")
    if not tumours and not told and not drawn:
        raise InvalidConfiguration(
            f"{path}: no segmentation says what it is, and labels.csv does not name it (missing mask)"
        )
    return Label(tumours[0] if tumours else told or Label.NORMAL)


def _outline(drawn: list[_Structure], *, bones: bool) -> Union | None:
    parts = tuple(one.frames for one in drawn if (one.kind == _BONE) is bones)
    return Union(parts) if parts else None
