"""Phantoms as files: DICOM as a modality would have written it, and 16-bit PNG.

Stored values are chosen so that DICOM's greyscale pipeline (modality LUT, VOI LUT, presentation; PS3.4 N.2), run
forward by a viewer, shows the phantom's pixels; here it is run backwards, through whichever of its forms was drawn.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from bonedge.edge.records import Label

from .records import Phantom, Region

Values = NDArray[np.float64]

_IMPLEMENTATION = UID("2.25.219083547138219806410632098715203647581")
_ENTROPY = 0xD1C0
_SYNTAXES = {
    ExplicitVRLittleEndian: 0.3,
    ImplicitVRLittleEndian: 0.15,
    RLELossless: 0.15,
    JPEGLSLossless: 0.2,
    JPEG2000Lossless: 0.2,
}
_BODY_PARTS = {
    Region.KNEE: ("KNEE",),
    Region.LEG: ("LEG", "TIBIA FIBULA", "LOWER LEG"),
    Region.ANKLE: ("ANKLE",),
    Region.FOREARM: ("FOREARM", "RADIUS ULNA"),
    Region.SHOULDER: ("SHOULDER", "HUMERUS"),
    Region.HIP: ("HIP", "FEMUR"),
    Region.HAND: ("HAND", "FINGER"),
}
_TRUNK_PARTS = {
    "chest": "CHEST",
    "skull": "SKULL",
    "panoramic": "JAW",
    "abdomen": "ABDOMEN",
    "lateral spine": "SPINE",
    "breast": "BREAST",
}
_MAKERS = (("Sample Imaging", "Plate Reader 3"), ("Example Roentgen", "DR Panel 43"), ("Test Modalities", "CR 85"))


@dataclass(frozen=True)
class _Window:
    """How values are shown: its attributes, and the value of each grey."""

    attributes: Dataset
    invert: Callable[[Values], Values]
    """Grey 0..1 -> modality LUT output."""


def as_dicom(phantom: Phantom, rng: np.random.Generator) -> bytes:
    """The phantom as a DICOM file (PS3.3 A.2 Computed Radiography or A.26 Digital X-Ray, For Presentation).

    What varies: MONOCHROME1 and 2, 10 to 15 bits stored, rescale or modality LUT sequence, window (linear, exact,
    sigmoid), VOI LUT sequence or none, native or compressed without loss. A viewer shows `phantom.pixels` to within a
    hundredth, the ends of a sigmoid apart; without a VOI it stretches the greys itself. The patient's name begins with
    PHANTOM^ and dates are fixed; the same phantom and `rng` state give the same bytes.
    """
    dataset = _identity(phantom, rng)
    bits = int(rng.choice([10, 11, 12, 13, 14, 15], p=[0.15, 0.05, 0.4, 0.05, 0.25, 0.1]))
    inverted = rng.random() < 0.4
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    digital = dataset.SOPClassUID == DigitalXRayImageStorageForPresentation
    if digital:
        # Required there, and the same statement once more: shown inverted once, not twice (PS3.3 C.8.11.3.1.2).
        dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    modality, to_stored, low, high = _modality(rng, bits, digital)
    window = _window(rng, low, high)
    dataset.update(modality)
    dataset.update(window.attributes)
    grey = phantom.pixels.astype(np.float64)
    stored = to_stored(window.invert(1 - grey if inverted else grey))
    _put_pixels(dataset, np.clip(np.rint(stored), 0, 2**bits - 1).astype("<u2"), bits)
    return _written(dataset, rng)


def encoding_rng(seed: int, index: int) -> np.random.Generator:
    """What decides how phantom `index` of set `seed` is encoded; apart from what decides its anatomy."""
    return np.random.default_rng(np.random.SeedSequence((_ENTROPY, seed, index)))


def as_png(phantom: Phantom) -> bytes:
    """The phantom's pixels as a 16-bit greyscale PNG, lightly compressed."""
    return encode_png(np.rint(phantom.pixels * 65535).astype(np.uint16))


def encode_png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """PNG of uint8 or uint16 "rows columns" or uint8 "rows columns 3" (BGR); compression level 1, for speed."""
    ok, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert ok
    return encoded.tobytes()


def _identity(phantom: Phantom, rng: np.random.Generator) -> Dataset:
    """Patient, study, series, equipment and acquisition: obviously synthetic."""
    dataset = Dataset()
    digital = rng.random() < 0.5
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = _uid(rng)
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20000101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = ""
    dataset.Modality = "DX" if digital else "CR"
    if digital:
        dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer, dataset.ManufacturerModelName = _MAKERS[int(rng.integers(len(_MAKERS)))]
    dataset.ReferringPhysicianName = ""
    number = int(rng.integers(10**6))
    dataset.PatientName = f"PHANTOM^{number:06d}"
    dataset.PatientID = f"PHANTOM-{number:06d}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientOrientation = ""
    body_part = _body_part(phantom, rng)
    if body_part:
        dataset.BodyPartExamined = body_part
    dataset.ViewPosition = str(rng.choice(["AP", "LL", "PA", ""]))
    dataset.KVP = str(int(rng.integers(50, 75)))
    spacing = [f"{phantom.spacing_mm:.6f}"] * 2
    dataset.ImagerPixelSpacing = spacing
    if rng.random() < 0.5:
        dataset.PixelSpacing = spacing
        dataset.PixelSpacingCalibrationType = "GEOMETRY"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(rng), _uid(rng)
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", "1", "1"
    dataset.Laterality = ""
    if digital:
        dataset.ImageLaterality = "U"
        dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", 1
        dataset.BurnedInAnnotation = "NO"
        dataset.LossyImageCompression = "00"
    return dataset


def _body_part(phantom: Phantom, rng: np.random.Generator) -> str | None:
    """As consoles fill it in: right for limbs, often missing, and nothing to lean on for other pictures."""
    if phantom.label is Label.ABSTAIN:
        part = _TRUNK_PARTS.get(phantom.family)
        return part if part and rng.random() < 0.3 else None
    parts = _BODY_PARTS[phantom.region]
    return None if rng.random() < 0.2 else parts[int(rng.integers(len(parts)))]


def _modality(
    rng: np.random.Generator, bits: int, digital: bool
) -> tuple[Dataset, Callable[[Values], Values], float, float]:
    """(attributes, output -> stored value, lowest and highest output) of PS3.3 C.11.1.

    A For Presentation digital X-ray has identity there (PS3.3 C.8.11.3); computed radiography may have anything.
    """
    attributes, top = Dataset(), float(2**bits - 1)
    kind = "identity" if digital else str(rng.choice(["none", "identity", "rescale", "lut"], p=[0.4, 0.2, 0.2, 0.2]))
    if kind == "lut":
        entries = np.rint(65535 * np.linspace(0, 1, 2**bits) ** rng.uniform(0.7, 1.4))
        item = _lut_item(entries, 16)
        item.ModalityLUTType = "US"
        attributes.ModalityLUTSequence = [item]
        return attributes, lambda values: np.interp(values, entries, np.arange(2.0**bits)), 0.0, 65535.0
    slope, intercept = 1.0, 0.0
    if kind == "rescale":
        slope, intercept = float(rng.choice([0.5, 2.0, 0.25])), float(rng.choice([0.0, -1024.0, 100.0]))
    if kind != "none":
        attributes.RescaleIntercept, attributes.RescaleSlope = f"{intercept:g}", f"{slope:g}"
        attributes.RescaleType = "US"
    return attributes, lambda values: (values - intercept) / slope, intercept, slope * top + intercept


def _window(rng: np.random.Generator, low: float, high: float) -> _Window:
    """The VOI (PS3.3 C.11.2) that shows grey: a window or a table, over all or part of the range, or none."""
    kind = str(rng.choice(["linear", "exact", "sigmoid", "lut", "none"], p=[0.5, 0.1, 0.1, 0.2, 0.1]))
    attributes, span = Dataset(), high - low
    if kind == "none":
        return _Window(attributes, lambda grey: low + span * grey)
    if kind == "lut":
        # Over the whole range, so that every output of the modality LUT has its entry.
        gamma, count = rng.uniform(0.7, 1.4), round(min(span, 65534)) + 1
        item = _lut_item(np.rint(4095 * np.linspace(0, 1, count) ** gamma), 12, first=int(np.ceil(low)))
        attributes.VOILUTSequence = [item]
        return _Window(attributes, lambda grey: int(np.ceil(low)) + (count - 1) * grey ** (1 / gamma))
    begin, end = low + span * rng.uniform(0, 0.15), high - span * rng.uniform(0, 0.15)
    if kind == "linear":
        # (x - (c - 0.5)) / (w - 1) + 0.5 runs from 0 to 1 between c - 0.5 -+ (w - 1) / 2.
        center, width = round((begin + end) / 2 + 0.5), max(2, round(end - begin + 1))
        start, length = center - 0.5 - (width - 1) / 2, width - 1.0
    else:
        center, width = round((begin + end) / 2), max(2, round(end - begin))
        start, length = center - width / 2, float(width)
        attributes.VOILUTFunction = "LINEAR_EXACT" if kind == "exact" else "SIGMOID"
    attributes.WindowCenter, attributes.WindowWidth = str(center), str(width)
    if kind != "sigmoid":
        return _Window(attributes, lambda grey: start + length * grey)
    # 1 / (1 + exp(-4 (x - c) / w)): 0.12 and 0.88 at the window's ends, so the range must reach beyond them.
    width = round(span / rng.uniform(2.0, 3.0))
    attributes.WindowWidth = str(width)
    return _Window(attributes, lambda grey: center + width / 4 * np.log((g := np.clip(grey, 1e-4, 1 - 1e-4)) / (1 - g)))


def _lut_item(entries: Values, bits: int, first: int = 0) -> Dataset:
    """One item of a Modality or VOI LUT Sequence (PS3.3 C.11.1.1.1): 65,536 entries are written as 0."""
    item = Dataset()
    item.add_new(0x00283002, "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return item


def _put_pixels(dataset: Dataset, stored: NDArray[np.uint16], bits: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.add_new(0x7FE00010, "OW", stored.tobytes())


def _written(dataset: Dataset, rng: np.random.Generator) -> bytes:
    """The file's bytes in a transfer syntax drawn from those in use; all are lossless."""
    syntaxes = tuple(_SYNTAXES)
    syntax = syntaxes[int(rng.choice(len(syntaxes), p=list(_SYNTAXES.values())))]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.ImplementationClassUID, meta.ImplementationVersionName = _IMPLEMENTATION, "BONEDGE_PHANTOM"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if syntax == ImplicitVRLittleEndian else ExplicitVRLittleEndian
    buffer = io.BytesIO()
    file = FileDataset(buffer, dataset, preamble=b"\0" * 128, file_meta=meta)
    if syntax.is_compressed:
        file.compress(syntax, generate_instance_uid=False)
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(rng: np.random.Generator) -> UID:
    """A UID of a version 4 UUID (PS3.5 B.2) whose bits come from `rng`."""
    return UID(f"2.25.{uuid.UUID(bytes=rng.bytes(16), version=4).int}")
