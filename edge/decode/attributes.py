"""What a DICOM header says, judged: a radiograph or not, and everything that decoding and display need."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from bonedge.edge.errors import NotARadiograph, UnreadableImage
from bonedge.edge.records import Spacing

from .codestream import CODEC_ERRORS
from .window import Lut, Presentation, SampleFormat, VoiFunction, Window

_CUT_SHORT = "its DICOM header is cut short or describes no picture; copy or export it again"
PARSE_ERRORS = (*CODEC_ERRORS, struct.error, BytesLengthException)
"""What pydicom raises on bad bytes."""

_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "BodyPartExamined",
    "ImagerPixelSpacing",
    "StudyInstanceUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTFunction",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "PresentationLUTShape",
)
TAGS: tuple[int, ...] = tuple(Tag(keyword) for keyword in _KEYWORDS)
"""The only attributes that are read."""
META_TAGS: tuple[int, ...] = (Tag("MediaStorageSOPClassUID"), Tag("TransferSyntaxUID"))

RADIOGRAPH_CLASSES = frozenset(
    "1.2.840.10008.5.1.4.1.1." + suffix
    for suffix in (
        "1",  # computed radiography
        "1.1",  # digital X-ray, for presentation and for processing
        "1.1.1",
        "1.2",  # mammography
        "1.2.1",
        "1.3",  # intra-oral
        "1.3.1",
        "7",  # secondary capture: scanned film
        "7.2",
        "7.3",
        "12.1",  # angiography and fluoroscopy: a single shot
        "12.2",
    )
)
RADIOGRAPH_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "XA", "PX", "IO", "MG", "OT", "SC", "HC"})
"""Modality (0028,0060) values under which projection radiographs are stored; which anatomy, a later stage judges."""
_ALIASES = {"DR": "DX"}
"""What modalities write that do not use the standard's terms."""


@dataclass(frozen=True)
class Attributes:
    """The header of a single-frame greyscale radiograph."""

    rows: int
    columns: int
    bits_allocated: int
    """8 or 16."""
    samples: SampleFormat
    presentation: Presentation
    spacing: Spacing | None
    sop_instance_uid: str | None
    study_instance_uid: str | None
    modality: str | None
    body_part: str | None


def read_attributes(header: Dataset, sop_class: UID) -> Attributes:
    """Judge a header.

    Args:
        header: of the data set, without the pixels.
        sop_class: of the file meta information, for a data set that does not name its own (DICOMDIR).

    Raises:
        NotARadiograph: by SOP class, modality, number of frames or colour.
        UnreadableImage: attributes without which pixels have no meaning are missing or impossible.
        PARSE_ERRORS: the kind or the size of the picture cannot be read. Damaged attributes that only say how it is
            shown or how large it is in mm are left out instead.
    """
    modality = _text(header, "Modality")
    modality = _ALIASES.get(modality or "", modality)
    _check_kind(header, UID(str(header.get("SOPClassUID", None) or sop_class)), modality)
    if "Rows" not in header or "Columns" not in header:
        raise UnreadableImage(_CUT_SHORT)
    bits_allocated, samples = _sample_format(header)
    return Attributes(
        rows=_whole(header, "Rows", 0),
        columns=_whole(header, "Columns", 0),
        bits_allocated=bits_allocated,
        samples=samples,
        presentation=_presentation(header, samples, bits_allocated),
        spacing=_spacing(header),
        sop_instance_uid=_uid(header, "SOPInstanceUID"),
        study_instance_uid=_uid(header, "StudyInstanceUID"),
        modality=modality,
        body_part=_text(header, "BodyPartExamined"),
    )


def _check_kind(header: Dataset, sop_class: UID, modality: str | None) -> None:
    kind = sop_class.name if sop_class.is_valid and not sop_class.is_private else "of an unknown kind"
    shown = f"modality {modality}" if modality else "no modality"
    known_class = sop_class in RADIOGRAPH_CLASSES
    if sop_class and not known_class and kind not in ("of an unknown kind", str(sop_class)):
        raise NotARadiograph(f"not a radiograph: it is {kind} ({shown})")
    if not known_class and not modality and "Rows" not in header:
        raise UnreadableImage(_CUT_SHORT)
    if (modality or not known_class) and modality not in RADIOGRAPH_MODALITIES:
        raise NotARadiograph(f"not a radiograph: it is {kind or 'of an unknown kind'} with {shown}")
    frames = _whole(header, "NumberOfFrames", 1)
    if frames > 1:
        raise NotARadiograph(f"not a radiograph: it has {frames} frames; export the one to look at as a single image")
    photometric = _text(header, "PhotometricInterpretation")
    colours = _whole(header, "SamplesPerPixel", 1)
    if colours > 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", None):
        raise NotARadiograph(f"not a radiograph: its pixels are colour ({photometric or f'{colours} samples'})")


def _sample_format(header: Dataset) -> tuple[int, SampleFormat]:
    allocated = _whole(header, "BitsAllocated", 0)
    stored = _whole(header, "BitsStored", allocated)
    high = _whole(header, "HighBit", stored - 1)
    if allocated not in (8, 16) or not 2 <= stored <= allocated:
        raise UnreadableImage(
            f"it has {stored} bits stored of {allocated} allocated per pixel (or does not say); "
            "2 to 16 bits in 8 or 16 are read: export it again"
        )
    shift = high + 1 - stored
    if not 0 <= shift <= allocated - stored:
        shift = 0
    return allocated, SampleFormat(stored, _whole(header, "PixelRepresentation", 0) == 1, shift)


def _presentation(header: Dataset, samples: SampleFormat, bits_allocated: int) -> Presentation:
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    # MONOCHROME1 with INVERSE is the same statement twice (PS3.3 C.8.11.3.1.2): inverted once.
    inverted = (
        _text(header, "PhotometricInterpretation") == "MONOCHROME1"
        or _text(header, "PresentationLUTShape") == "INVERSE"
    )
    return Presentation(
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        modality_lut=_lut(header, "ModalityLUTSequence"),
        voi_lut=_lut(header, "VOILUTSequence"),
        window=_window(header),
        inverted=inverted,
        padding=_padding(header, samples, bits_allocated),
    )


def _window(header: Dataset) -> Window | None:
    center, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if center is None or width is None:
        return None
    function = _text(header, "VOILUTFunction")
    return Window(center, width, VoiFunction(function) if function in set(VoiFunction) else VoiFunction.LINEAR)


def _padding(header: Dataset, samples: SampleFormat, bits_allocated: int) -> tuple[int, int] | None:
    value = _optional(header, "PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = _optional(header, "PixelPaddingRangeLimit")
    ends = [value, limit if isinstance(limit, int) else value]
    if samples.signed:  # often written as US although the pixels are signed
        ends = [end - (1 << bits_allocated) if end >= 1 << (bits_allocated - 1) else end for end in ends]
    return min(ends), max(ends)


def _lut(header: Dataset, keyword: str) -> Lut | None:
    """The first item of a LUT sequence (PS3.3 C.11.1.1.1); None when absent or impossible."""
    items = _optional(header, keyword)
    if not isinstance(items, Sequence) or not items:
        return None
    descriptor, raw = _optional(items[0], "LUTDescriptor"), _optional(items[0], "LUTData")
    if raw is None or not isinstance(descriptor, MutableSequence) or len(descriptor) != 3:
        return None
    count, first, bits = (int(number) for number in descriptor)
    count = (count & 0xFFFF) or 0x10000
    big_endian = items[0].original_encoding[1] is False
    entries = _lut_entries(raw, count, big_endian)
    if len(entries) < count or not 1 <= bits <= 16:
        return None
    return Lut(first, entries[:count], bits)


def _lut_entries(raw: Any, count: int, big_endian: bool) -> np.ndarray[Any, np.dtype[np.uint16]]:
    if isinstance(raw, int):
        raw = [raw]
    if not isinstance(raw, bytes):
        words = np.array([int(number) & 0xFFFF for number in raw], np.uint16)
        if len(words) >= count:
            return words
        raw, big_endian = words.astype("<u2").tobytes(), False
    if len(raw) >= 2 * count:
        return np.frombuffer(raw, ">u2" if big_endian else "<u2", count).astype(np.uint16)
    # 8-bit entries, two to a word, low byte first
    if big_endian:
        raw = np.frombuffer(raw, ">u2", len(raw) // 2).astype("<u2").tobytes()
    return np.frombuffer(raw, np.uint8).astype(np.uint16)


def _spacing(header: Dataset) -> Spacing | None:
    """Pixel Spacing (calibrated, or at the detector), or else Imager Pixel Spacing (PS3.3 10.7)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = _optional(header, keyword)
        if not isinstance(value, MutableSequence) or len(value) != 2:
            continue
        spacing = Spacing.plausible(float(value[0]), float(value[1]))
        if spacing is not None:
            return spacing
    return None


def _optional(header: Dataset, keyword: str) -> Any:
    """A value as pydicom converts it; None when absent, empty or damaged."""
    try:
        return header.get(keyword, None)
    except PARSE_ERRORS:
        return None


def _first(header: Dataset, keyword: str) -> Any:
    """The first of one or several values; None when absent or empty."""
    value = header.get(keyword, None)
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    return value[0] if len(value) else None


def _whole(header: Dataset, keyword: str, default: int) -> int:
    value = _first(header, keyword)
    return default if value is None or value == "" else int(value)


def _number(header: Dataset, keyword: str) -> float | None:
    """A finite number, or None: a broken display attribute must not cost the picture."""
    value = _optional(header, keyword)
    try:
        number = float(value[0] if isinstance(value, MutableSequence) else value)
    except (IndexError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _text(header: Dataset, keyword: str) -> str | None:
    """A code string in upper case; None when absent or not a code string (PS3.5 section 6.2)."""
    value = str(_first(header, keyword) or "").strip(" \0").upper()
    return value if re.fullmatch(r"[A-Z0-9_ /.-]{1,32}", value) else None


def _uid(header: Dataset, keyword: str) -> str | None:
    value = str(_first(header, keyword) or "").strip(" \0")
    return value if re.fullmatch(r"[0-9.]{1,64}", value) else None
