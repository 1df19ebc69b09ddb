"""A large radiograph is decoded as finely as anything looks at it, and shows the same."""

from __future__ import annotations

import sys

import cv2
import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from bonedge.edge.decode import Decoder, decode_bytes
from bonedge.edge.decode.formats import decode
from bonedge.edge.errors import UnreadableImage
from bonedge.edge.records import LONGEST_VIEW_PX

WORKING_PX = 640
LONG = 2 * LONGEST_VIEW_PX
"""The smallest picture that is shrunk after decoding."""
J2K = (700, 503)
J2K_PX = 100


def means(pixels: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (side // factor for side in pixels.shape)
    return pixels.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float64)


@pytest.mark.parametrize(
    ("bits", "kind", "asked"),
    [
        (16, "u2", {}),
        (12, "u2", {"WindowCenter": "1800", "WindowWidth": "1500"}),
        (12, "u2", {"PhotometricInterpretation": "MONOCHROME1"}),
        (8, "u1", {}),
        (12, "i2", {"WindowCenter": "0", "WindowWidth": "3000"}),
        (12, "u2", {"PixelPaddingValue": 0, "WindowCenter": "1800", "WindowWidth": "1500"}),
    ],
    ids=["plain", "window", "monochrome1", "8 bit", "signed", "padding"],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda uid: uid.keyword)
def test_a_large_picture_comes_back_as_the_means_of_its_squares(dicom, picture, syntax, bits, kind, asked):
    """Networks and people would be shown another picture than the one that was taken."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind == "i2" else (0, (1 << bits) - 1)
    data = dicom(picture(LONG, 300, low, high, kind), syntax=syntax, bits_stored=bits, **asked)
    whole, reduced = decode_bytes(data), decode(data, "", WORKING_PX)
    assert whole.pixels.shape == (LONG, 300)
    assert reduced.pixels.shape == (LONG // 2, 150)
    assert (reduced.source.rows, reduced.source.columns) == (LONG, 300)
    assert reduced.pixels.min() >= 0
    assert reduced.pixels.max() <= 1
    # Means of stored values are whole numbers, and a window's ends cut before or after the mean is taken.
    difference = np.abs(reduced.pixels - means(whole.pixels, 2))
    assert difference.mean() < 0.002
    assert np.percentile(difference, 99.9) < 0.02


def test_what_does_not_fill_a_square_is_not_cut_off(dicom, picture):
    """Lesions would be outlined, and measured, a little beside where they are."""
    data = dicom(picture(LONG + 1, 301, 0, 4095, "u2"), bits_stored=12, WindowCenter="2048", WindowWidth="4096")
    reduced, whole = decode(data, "", WORKING_PX).pixels, decode_bytes(data).pixels
    assert reduced.shape == (LONG // 2, 150)
    np.testing.assert_allclose(reduced, cv2.resize(whole, (150, LONG // 2), interpolation=cv2.INTER_AREA), atol=2e-4)


def test_padding_is_not_averaged_with_the_picture(dicom, picture):
    """Around a collimated field would lie a seam of greys that nobody exposed."""
    stored = picture(LONG, 300, 2000, 4095, "u2")
    stored[:, 101:] = 0
    data = dicom(stored, bits_stored=12, PixelPaddingValue=0, WindowCenter="-4000", WindowWidth="100")
    pixels = decode(data, "", WORKING_PX).pixels
    np.testing.assert_allclose(pixels, means(decode_bytes(data).pixels, 2), atol=1e-6)


def test_bits_beside_the_value_are_left_out_before_it_is_averaged(dicom, picture):
    """An overlay drawn in the high bits would show through as bright lines."""
    stored = picture(LONG, 300, 0, 1023, "u2")
    marked = stored.copy()
    marked[::7] |= 0x8000
    asked = {"bits_stored": 10, "WindowCenter": "512", "WindowWidth": "1024"}
    np.testing.assert_allclose(
        decode(dicom(marked, **asked), "", WORKING_PX).pixels, decode(dicom(stored, **asked), "", WORKING_PX).pixels,
        atol=1 / 1023,
    )  # fmt: skip


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000, HTJ2KLossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_jpeg_2000_without_its_finest_levels_shows_the_same(dicom, picture, syntax, bits):
    """A radiograph would be dark, washed out or shifted only because an archive compressed it."""
    if syntax == HTJ2KLossless and bits not in (8, 16):
        pytest.skip("the encoder at hand takes the container's bits")
    stored = picture(*J2K, 0, (1 << bits) - 1, "u1" if bits == 8 else "u2")
    full = (1 << bits) - 1
    asked = {"WindowCenter": str(full / 2), "WindowWidth": str(full), "VOILUTFunction": "LINEAR_EXACT"}
    data = dicom(stored, syntax=syntax, bits_stored=bits, **asked)
    reduced = decode(data, "", J2K_PX).pixels
    assert reduced.shape == (175, 126)  # a quarter of the sides, rounded up
    # The low band of a wavelet stands on every fourth pixel, not between four.
    expected = cv2.GaussianBlur(decode_bytes(data).pixels, (0, 0), 1.5)[::4, ::4]
    assert np.abs(reduced - expected).mean() < 0.01
    # Each level of the reversible wavelet rounds to whole grey values.
    assert abs(float(reduced.mean() - expected.mean())) < 0.002 + 1 / full


@pytest.mark.parametrize("columns", [500, 501, 502, 503])
def test_jpeg_2000_of_any_width_comes_back_smaller(dicom, picture, columns):
    """One width in four would be decoded whole, and slowly."""
    data = dicom(picture(700, columns, 0, 4095, "u2"), syntax=JPEG2000Lossless, bits_stored=12)
    assert decode(data, "", J2K_PX).pixels.shape[0] < 700


def test_jpeg_2000_is_never_coarser_than_the_networks_look(dicom, picture):
    """A small lesion would be gone before the segmenter is asked."""
    data = dicom(picture(*J2K, 0, 4095, "u2"), syntax=JPEG2000Lossless, bits_stored=12)
    for working_px in (64, 100, 233, 234, 466, 640):
        long_side = max(decode(data, "", working_px).pixels.shape)
        assert long_side == 700 or long_side >= 1.5 * working_px, working_px


@pytest.mark.parametrize("asked", [{"PixelPaddingValue": 0}, {"signed": True}], ids=["padding", "signed"])
def test_what_a_wavelet_would_smear_is_decoded_whole(dicom, picture, asked):
    """A padded border would bleed into the picture, or the greys of a signed one would fold over."""
    signed = asked.pop("signed", False)
    stored = picture(*J2K, -2048 if signed else 0, 2047 if signed else 4095, "i2" if signed else "u2")
    data = dicom(stored, syntax=JPEG2000Lossless, bits_stored=12, **asked)
    np.testing.assert_array_equal(decode(data, "", J2K_PX).pixels, decode_bytes(data).pixels)


@pytest.mark.parametrize("overlay", [0, 0x8000], ids=["white to the edge", "overlay"])
def test_room_above_the_value_is_not_wavelet_either(dicom, overlay):
    """White bone would wrap around to black beside an edge, or an overlay in the high bits become picture."""
    stored = np.zeros(J2K, np.uint16)
    stored[:, 200:333] = 4095
    stored[100:140:3] |= overlay
    frame = bytes(imagecodecs.jpeg2k_encode(stored, reversible=True, codecformat="j2k"))
    data = dicom(stored, syntax=JPEG2000Lossless, bits_stored=12, frame=frame, WindowCenter="2048", WindowWidth="4096")
    np.testing.assert_array_equal(decode(data, "", J2K_PX).pixels, decode_bytes(data).pixels)


def test_a_codestream_with_a_single_level_is_decoded_whole(dicom, picture):
    """Files of some modalities would be refused."""
    stored = picture(*J2K, 0, 65535, "u2")
    frame = bytes(imagecodecs.jpeg2k_encode(stored, reversible=True, resolutions=1, codecformat="j2k"))
    data = dicom(stored, syntax=JPEG2000Lossless, frame=frame)
    np.testing.assert_array_equal(decode(data, "", J2K_PX).pixels, decode_bytes(data).pixels)


def test_without_pillow_jpeg_2000_is_decoded_whole(dicom, picture, monkeypatch):
    """An installation that lacks a library which only makes it quicker would read nothing."""
    monkeypatch.setitem(sys.modules, "PIL.Jpeg2KImagePlugin", None)
    data = dicom(picture(*J2K, 0, 4095, "u2"), syntax=JPEG2000Lossless, bits_stored=12)
    np.testing.assert_array_equal(decode(data, "", J2K_PX).pixels, decode_bytes(data).pixels)


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97])
def test_a_cut_off_codestream_is_refused_all_the_same(dicom, picture, kept):
    """The lower half of a limb would be grey, and judged."""
    stored = picture(*J2K, 0, 4095, "u2")
    whole = bytes(imagecodecs.jpeg2k_encode(stored, reversible=True, codecformat="j2k", bitspersample=12))
    for frame in (whole[: int(kept * len(whole))], whole[: int(kept * len(whole))] + b"\xff\xd9"):
        with pytest.raises(UnreadableImage):
            decode(dicom(stored, syntax=JPEG2000Lossless, bits_stored=12, frame=frame), "", J2K_PX)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_small_pictures_are_left_alone(dicom, picture, syntax):
    """A picture would lose what it has little of."""
    data = dicom(picture(640, 400, 0, 4095, "u2"), syntax=syntax, bits_stored=12)
    np.testing.assert_array_equal(decode(data, "", WORKING_PX).pixels, decode_bytes(data).pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_the_decoding_process_gives_the_same(decoder: Decoder, dicom, picture, saved, syntax):
    """A workstation would judge other pixels than the proofs saw."""
    data = dicom(picture(LONG, 300, 0, 4095, "u2"), syntax=syntax, bits_stored=12)
    there = decoder.decode(saved(data), WORKING_PX)
    np.testing.assert_array_equal(there.pixels, decode(data, "", WORKING_PX).pixels)
    assert there.source.rows == LONG
    assert decoder.decode(saved(data)).pixels.shape == (LONG, 300)
