"""Phantoms as DICOM, read back by the runtime's own decoder."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest

from bonedge.calibration.phantom.acquisition import acquire
from bonedge.calibration.phantom.dicom import as_dicom, as_png, encoding_rng
from bonedge.calibration.phantom.records import Region
from bonedge.edge.decode import decode_bytes
from bonedge.edge.judge import outside_limbs
from bonedge.edge.records import Label

INDICES = range(80)


@pytest.fixture(scope="module")
def phantom(shaft: Callable[..., Any]) -> Any:
    return acquire(shaft(), np.random.default_rng(4))


@pytest.fixture(scope="module")
def files(phantom: Any) -> list[bytes]:
    return [as_dicom(phantom, encoding_rng(1, index)) for index in INDICES]


@pytest.fixture(scope="module")
def headers(files: list[bytes]) -> list[Any]:
    return [pydicom.dcmread(io.BytesIO(file)) for file in files]


@pytest.mark.parametrize("index", INDICES)
def test_a_viewer_shows_the_phantom(phantom: Any, files: list[bytes], headers: list[Any], index: int) -> None:
    """The runtime would be measured on other pictures than those it was trained on: inverted, or in other greys."""
    shown, header = decode_bytes(files[index]), headers[index]
    assert shown.pixels.shape == phantom.pixels.shape
    if "WindowCenter" not in header and "VOILUTSequence" not in header:
        # The greys are the viewer's choice; their order is not.
        assert np.corrcoef(shown.pixels.ravel(), phantom.pixels.ravel())[0, 1] > 0.99
        return
    tolerance = 0.04 if header.get("VOILUTFunction") == "SIGMOID" else 0.012
    assert np.abs(shown.pixels - phantom.pixels).max() < tolerance


def test_is_bit_identical_for_a_seed(phantom: Any, files: list[bytes]) -> None:
    """The same command would give other files on another day."""
    assert [as_dicom(phantom, encoding_rng(1, index)) for index in INDICES] == files


def test_varies_as_modalities_do(headers: list[Any]) -> None:
    """An evaluation would exercise one path of the decoder."""
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {header.Modality for header in headers} == {"CR", "DX"}
    assert len({header.BitsStored for header in headers}) >= 4
    assert len({header.file_meta.TransferSyntaxUID for header in headers}) == 5
    for attribute in ("WindowCenter", "VOILUTSequence", "ModalityLUTSequence", "RescaleSlope", "PixelSpacing"):
        assert 0 < sum(attribute in header for header in headers) < len(headers), attribute


def test_names_are_obviously_synthetic(headers: list[Any]) -> None:
    """An exported phantom could be taken for a patient."""
    assert all(str(header.PatientName).startswith("PHANTOM^") for header in headers)
    assert all(header.PatientBirthDate == "" for header in headers)
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)


def test_carries_the_spacing(phantom: Any, files: list[bytes]) -> None:
    """Lesions would be measured in wrong millimetres."""
    for file in files:
        spacing = decode_bytes(file).source.spacing
        assert spacing is not None
        assert spacing.row_mm == spacing.column_mm == pytest.approx(phantom.spacing_mm, abs=1e-5)


@pytest.mark.parametrize("region", [region for region in Region if region is not Region.NON_LIMB])
def test_a_limb_is_not_turned_away_by_its_body_part(phantom: Any, region: Region) -> None:
    """The judge would abstain on every phantom of a region because of what the header says."""
    named = replace(phantom, region=region)
    for index in INDICES:
        part = decode_bytes(as_dicom(named, encoding_rng(2, index))).source.body_part
        assert outside_limbs(part) is None


def test_most_other_pictures_do_not_give_themselves_away(phantom: Any) -> None:
    """Abstention would be credited for reading the header instead of the picture."""
    chest = replace(phantom, label=Label.ABSTAIN, region=Region.NON_LIMB, family="chest")
    parts = [decode_bytes(as_dicom(chest, encoding_rng(3, index))).source.body_part for index in INDICES]
    assert sum(part is None for part in parts) > len(parts) / 2
    assert {part for part in parts if part} == {"CHEST"}


def test_png_keeps_sixteen_bits(phantom: Any) -> None:
    """Training pictures would have fewer greys than those on a workstation."""
    stored = cv2.imdecode(np.frombuffer(as_png(phantom), np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert np.abs(stored / 65535 - phantom.pixels).max() < 1e-4
