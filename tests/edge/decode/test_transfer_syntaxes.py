"""Every way in which DICOM stores pixels gives the same picture."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from openjpeg.utils import encode_array as openjpeg_encode
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
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
from rle.utils import encode_pixel_data

from bonedge.edge.decode import decode_bytes
from bonedge.edge.errors import UnreadableImage

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (*NATIVE, RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
UNSIGNED = (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)  # the encoder at hand takes the container's bits, unsigned
BITS = (8, 10, 12, 14, 15, 16)


def limits(bits: int, signed: bool) -> tuple[int, int]:
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def windowed(stored: np.ndarray, bits: int, signed: bool) -> dict[str, object]:
    """A LINEAR_EXACT window over all of Bits Stored, and what it makes of `stored`."""
    low, high = limits(bits, signed)
    return {
        "window": {
            "WindowCenter": str((low + high) / 2),
            "WindowWidth": str(high - low),
            "VOILUTFunction": "LINEAR_EXACT",
        },
        "expected": (stored.astype(np.float64) - low) / (high - low),
    }


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
def test_lossless_syntaxes_give_the_stored_values(dicom, picture, syntax, bits, signed):
    """A user's picture would differ with how the archive happened to store it."""
    stored = picture(45, 70, *limits(bits, signed), f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    case = windowed(stored, bits, signed)
    radiograph = decode_bytes(dicom(stored, syntax=syntax, bits_stored=bits, **case["window"]))
    assert radiograph.pixels.dtype == np.float32
    np.testing.assert_allclose(radiograph.pixels, case["expected"], atol=1e-6)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", UNSIGNED, ids=lambda uid: uid.keyword)
def test_high_throughput_jpeg_2000(dicom, picture, syntax, bits):
    """Files of recent archives would be refused or altered."""
    stored = picture(45, 70, *limits(bits, False), f"u{bits // 8}")
    case = windowed(stored, bits, False)
    radiograph = decode_bytes(dicom(stored, syntax=syntax, bits_stored=bits, **case["window"]))
    np.testing.assert_allclose(radiograph.pixels, case["expected"], atol=1e-6)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    ("syntax", "signed"),
    [(JPEGLSNearLossless, False), (JPEG2000, False), (JPEG2000, True)],  # near-lossless JPEG-LS knows no sign
    ids=["JPEGLSNearLossless", "JPEG2000", "JPEG2000-signed"],
)
def test_lossy_syntaxes_stay_close(dicom, picture, syntax, bits, signed):
    """A user would see a picture with wrapped or shifted greys."""
    stored = picture(45, 70, *limits(bits, signed), f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    case = windowed(stored, bits, signed)
    radiograph = decode_bytes(dicom(stored, syntax=syntax, bits_stored=bits, **case["window"]))
    np.testing.assert_allclose(radiograph.pixels, case["expected"], atol=0.012)


@pytest.mark.parametrize(("syntax", "bits"), [(JPEGBaseline8Bit, 8), (JPEGExtended12Bit, 12)])
def test_jpeg_with_dct(dicom, picture, syntax, bits):
    """Pictures from teaching files, which are mostly JPEG, would be refused."""
    stored = picture(45, 70, *limits(bits, False), "u1" if bits == 8 else "u2")
    case = windowed(stored, bits, False)
    radiograph = decode_bytes(dicom(stored, syntax=syntax, bits_stored=bits, **case["window"]))
    np.testing.assert_allclose(radiograph.pixels, case["expected"], atol=0.03)


def test_lossy_overshoot_does_not_wrap(dicom):
    """White bone would turn black where a lossy codec overshoots the stored bits."""
    stored = np.zeros((64, 64), np.uint16)
    stored[:, 20:44] = 4095
    beyond = stored.copy()
    beyond[30:34, 30:34] = 4110
    pixels = decode_bytes(
        dicom(
            stored, syntax=JPEG2000, bits_stored=12, frame=_jpeg_2000(beyond), WindowCenter="2048", WindowWidth="4096"
        )
    ).pixels
    assert pixels[24:40, 24:40].min() > 0.95


def _jpeg_2000(stored: np.ndarray) -> bytes:
    return bytes(openjpeg_encode(stored, bits_stored=16))


@pytest.mark.parametrize("precision", [12, 16])
def test_signed_header_over_an_unsigned_codestream(dicom, picture, precision):
    """Signed pictures of one vendor, whose JPEG 2000 does not say so, would come out torn in two."""
    stored = picture(45, 70, -2048, 2047, "i2")
    patterns = stored.view("u2") & 0x0FFF
    frame = openjpeg_encode(patterns, bits_stored=precision)
    case = windowed(stored, 12, True)
    data = dicom(stored, syntax=JPEG2000Lossless, bits_stored=12, frame=bytes(frame), **case["window"])
    np.testing.assert_allclose(decode_bytes(data).pixels, case["expected"], atol=1e-6)


def test_fragments_of_one_frame_are_joined(dicom, picture):
    """Only the top of a picture would be read when an archive splits its frame."""
    stored = picture(45, 70, 0, 4095, "u2")
    case = windowed(stored, 12, False)
    frame = _jpeg_2000(stored)
    value = encapsulate([frame], fragments_per_frame=3)
    data = dicom(stored, syntax=JPEG2000Lossless, bits_stored=12, frame=frame, PixelData=value, **case["window"])
    np.testing.assert_allclose(decode_bytes(data).pixels, case["expected"], atol=1e-6)


def test_overlay_bits_above_the_value_are_not_picture(dicom, picture):
    """An annotation burnt into unused bits would look like the whitest bone."""
    stored = picture(45, 70, 0, 1023, "u2")
    case = windowed(stored, 10, False)
    marked = stored.copy()
    marked[10:20, 10:20] |= 0xA000
    for syntax in (ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless):
        frame = {} if syntax != RLELossless else {"frame": _rle(marked)}
        pixels = decode_bytes(dicom(marked, syntax=syntax, bits_stored=10, **frame, **case["window"])).pixels
        np.testing.assert_allclose(pixels, case["expected"], atol=1e-6)


def _rle(stored: np.ndarray) -> bytes:
    rows, columns = stored.shape
    shape = {"rows": rows, "columns": columns, "samples_per_pixel": 1, "number_of_frames": 1}
    return bytes(encode_pixel_data(stored.tobytes(), bits_allocated=16, byteorder="<", **shape))


def test_values_in_the_upper_bits_of_their_container(dicom, picture):
    """Plates of old readers (High Bit 15, 12 bits stored) would be shown as noise."""
    stored = picture(45, 70, 0, 4095, "u2")
    case = windowed(stored, 12, False)
    data = dicom(stored << 4, bits_stored=12, HighBit=15, **case["window"])
    np.testing.assert_allclose(decode_bytes(data).pixels, case["expected"], atol=1e-6)


def test_eight_bit_pixels_in_big_endian_words(dicom, picture):
    """Neighbouring columns of old 8-bit archives would be swapped."""
    stored = picture(46, 70, 0, 255, "u1")
    case = windowed(stored, 8, False)
    swapped = stored.reshape(-1).view("<u2").byteswap().tobytes()
    data = dicom(stored, syntax=ExplicitVRBigEndian, frame=swapped, **case["window"])
    words = data.replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW")
    assert words != data
    np.testing.assert_allclose(decode_bytes(words).pixels, case["expected"], atol=1e-6)


def test_unread_syntax_is_named(dicom, picture):
    """A user would not know which setting of the archive to change."""
    stored = picture(16, 16, 0, 255, "u1")
    data = dicom(stored, syntax=UID("1.2.840.10008.1.2.4.92"), frame=b"\xff\x4f" * 50)
    with pytest.raises(UnreadableImage, match=r"not read \(JPEG 2000 Part 2 .*\).*explicit VR little"):
        decode_bytes(data)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLSNearLossless], ids=lambda uid: uid.keyword)
def test_jpeg_ls_without_pyjpegls(dicom, picture, monkeypatch, syntax):
    """Workstations that are held at numpy 1 would not read JPEG-LS at all."""
    monkeypatch.setitem(sys.modules, "jpeg_ls", None)
    stored = picture(45, 70, 0, 4095, "u2")
    case = windowed(stored, 12, False)
    pixels = decode_bytes(dicom(stored, syntax=syntax, bits_stored=12, **case["window"])).pixels
    np.testing.assert_allclose(pixels, case["expected"], atol=1e-3)


def test_missing_codec_is_named(dicom, picture, monkeypatch):
    """A user would search the file for a fault of the installation."""
    data = dicom(picture(45, 70, 0, 4095, "u2"), syntax=JPEG2000Lossless)
    monkeypatch.setitem(sys.modules, "openjpeg", None)
    with pytest.raises(UnreadableImage, match="JPEG 2000 and pylibjpeg-openjpeg is not installed"):
        decode_bytes(data)
