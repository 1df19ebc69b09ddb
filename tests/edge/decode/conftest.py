"""DICOM files as modalities write them, with real encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from openjpeg.utils import encode_array as openjpeg_encode
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from rle.utils import encode_array as rle_encode

from bonedge.edge.decode import Decoder
from bonedge.edge.errors import BonedgeError
from bonedge.edge.records import Radiograph

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def encode(patterns: np.ndarray, stored: np.ndarray, syntax: UID, bits_stored: int) -> bytes:
    """One frame. `patterns`: the unsigned bit patterns of Bits Stored bits, `stored`: the values themselves."""
    if syntax == RLELossless:
        pad = patterns.dtype.itemsize * 8
        return b"".join(
            rle_encode(patterns, rows=stored.shape[0], columns=stored.shape[1], bits_allocated=pad, samples_per_pixel=1,
                       number_of_frames=1, pixel_representation=0, bits_stored=pad,
                       photometric_interpretation="MONOCHROME2")
        )  # fmt: skip
    if syntax == JPEGBaseline8Bit:
        return bytes(imagecodecs.jpeg8_encode(patterns, level=98))
    if syntax == JPEGExtended12Bit:
        return bytes(imagecodecs.jpeg8_encode(patterns, level=98, bitspersample=12))
    if syntax == JPEGLossless:
        return bytes(imagecodecs.ljpeg_encode(patterns, bitspersample=bits_stored))
    if syntax == JPEGLosslessSV1:
        bits = 8 if bits_stored <= 8 else bits_stored
        return bytes(imagecodecs.jpeg8_encode(patterns, lossless=True, predictor=1, bitspersample=bits))
    if syntax == JPEGLSLossless:
        return jpeg_ls_encode(patterns, 0)
    if syntax == JPEGLSNearLossless:
        return jpeg_ls_encode(patterns, 2)
    if syntax == JPEG2000Lossless:
        return bytes(openjpeg_encode(stored, bits_stored=bits_stored))
    if syntax == JPEG2000:
        return bytes(openjpeg_encode(stored, bits_stored=bits_stored, signal_noise_ratios=[70]))
    if syntax in (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K):
        return bytes(imagecodecs.htj2k_encode(stored, reversible=True))
    raise AssertionError(syntax)


def jpeg_ls_encode(patterns: np.ndarray, near: int) -> bytes:
    try:
        import jpeg_ls
    except ImportError:  # there is none for numpy < 2; imagecodecs always writes the container's 8 or 16 bits
        return bytes(imagecodecs.jpegls_encode(patterns, level=near))
    return bytes(jpeg_ls.encode_array(patterns, lossy_error=near))


def build(
    stored: np.ndarray,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    bits_stored: int | None = None,
    frame: bytes | None = None,
    drop: tuple[str, ...] = (),
    **attributes: Any,
) -> bytes:
    """A CR file with the values of `stored` (uint8, uint16 or int16); `attributes` are added or replace the usual."""
    bits_allocated = stored.dtype.itemsize * 8
    bits_stored = bits_stored or bits_allocated
    signed = stored.dtype.kind == "i"
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    patterns = unsigned & ((1 << bits_stored) - 1) if bits_stored < bits_allocated else unsigned

    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.PatientName = "Doe^Secret"
    dataset.Modality = "CR"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = bits_allocated
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    if syntax in NATIVE:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = frame if frame is not None else stored.astype(stored.dtype.newbyteorder(order)).tobytes()
        dataset["PixelData"].VR = "OW"
        if bits_allocated == 8 and syntax != ImplicitVRLittleEndian:
            dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = encapsulate([frame or encode(patterns, stored, syntax, bits_stored)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    for keyword in drop:
        delattr(dataset, keyword)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = attributes.get("SOPClassUID", ComputedRadiographyImageStorage)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def lut_item(first: int, entries: np.ndarray, bits: int) -> Dataset:
    """An item of a Modality LUT or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) & 0xFFFF, first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def walk(rows: int, columns: int, low: int, high: int, dtype: str) -> np.ndarray:
    """A smooth picture that reaches from `low` to `high` exactly, with some noise; the same each time."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:rows, 0:columns]
    smooth = np.sin(x / 9) + np.cos(y / 11) + rng.normal(0, 0.02, (rows, columns))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.rint(low + smooth * (high - low)).astype(dtype)


@pytest.fixture(scope="session")
def dicom() -> Callable[..., bytes]:
    return build


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    return walk


@pytest.fixture(scope="session")
def lut() -> Callable[..., Dataset]:
    return lut_item


@pytest.fixture(scope="session")
def acceptable() -> Callable[[Callable[[], Radiograph]], bool]:
    """Whether decoding ends in a picture in range, or in an error of ours on one line; any other error passes on."""

    def judge(decode: Callable[[], Radiograph]) -> bool:
        try:
            pixels = decode().pixels
        except BonedgeError as error:
            return len(str(error).splitlines()) == 1
        return bool(((pixels >= 0) & (pixels <= 1)).all())

    return judge


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(timeout_seconds=20) as decoder:
        yield decoder


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(content: bytes, name: str = "picture.dcm") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save
