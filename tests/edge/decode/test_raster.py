"""PNG, JPEG and TIFF pictures."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.edge.decode import decode_bytes
from bonedge.edge.errors import NotARadiograph, UnreadableImage


def encoded(extension: str, picture: np.ndarray) -> bytes:
    done, data = cv2.imencode(extension, picture)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_pictures(picture, extension, bits):
    """Exported pictures would come out too dark or altered."""
    stored = picture(40, 50, 0, (1 << bits) - 1, "u1" if bits == 8 else "u2")
    radiograph = decode_bytes(encoded(extension, stored))
    np.testing.assert_allclose(radiograph.pixels, stored / ((1 << bits) - 1), atol=1e-6)
    assert (radiograph.source.rows, radiograph.source.columns) == (40, 50)
    assert radiograph.source.spacing is None
    assert radiograph.source.modality is None


def test_jpeg(picture):
    """Pictures of teaching sets, which are JPEG, would be refused."""
    stored = picture(40, 50, 0, 255, "u1")
    np.testing.assert_allclose(decode_bytes(encoded(".jpg", stored)).pixels, stored / 255, atol=0.06)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif"])
def test_grey_stored_as_colour(picture, extension):
    """Most exported radiographs are RGB with equal channels: they would all be refused."""
    stored = picture(40, 50, 0, 255, "u1")
    grey = decode_bytes(encoded(extension, np.dstack([stored] * 3))).pixels
    np.testing.assert_allclose(grey, stored / 255, atol=0.06 if extension == ".jpg" else 1e-6)


def test_opacity_is_ignored(picture):
    """Screenshots with an alpha channel would be refused."""
    stored = picture(40, 50, 0, 255, "u1")
    data = encoded(".png", np.dstack([stored] * 3 + [np.full_like(stored, 128)]))
    np.testing.assert_allclose(decode_bytes(data).pixels, stored / 255, atol=1e-6)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif"])
def test_colour_is_refused(picture, extension):
    """A holiday photograph would get a verdict."""
    stored = picture(40, 50, 0, 255, "u1")
    with pytest.raises(NotARadiograph, match="colour"):
        decode_bytes(encoded(extension, np.dstack([stored, 255 - stored, stored])))


def test_several_pages(picture):
    """Only the first page of a document would be judged, silently."""
    stored = picture(40, 50, 0, 255, "u1")
    done, data = cv2.imencodemulti(".tif", [stored, stored])
    assert done
    with pytest.raises(NotARadiograph, match="several pages"):
        decode_bytes(data.tobytes())


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_where_white_is_zero(picture, bits):
    """Scanned films would be judged as negatives."""
    top = (1 << bits) - 1
    stored = picture(40, 50, 0, top, f"u{bits // 8}")
    data = _tiff(stored, photometric=0)
    np.testing.assert_allclose(decode_bytes(data).pixels, 1 - stored / top, atol=1e-6)
    np.testing.assert_allclose(decode_bytes(_tiff(stored, photometric=1)).pixels, stored / top, atol=1e-6)


def _tiff(stored: np.ndarray, photometric: int, columns: int | None = None) -> bytes:
    rows, bits = stored.shape[0], stored.dtype.itemsize * 8
    fields = [(256, columns or stored.shape[1]), (257, rows), (258, bits), (259, 1), (262, photometric),
              (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, rows), (279, stored.nbytes)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return b"II*\0" + struct.pack("<IH", 8, 9) + entries + struct.pack("<I", 0) + stored.tobytes()


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_truncated(picture, extension, kept):
    """Half a picture, filled up with grey, would get a verdict."""
    data = encoded(extension, picture(140, 150, 0, 255, "u1"))
    with pytest.raises(UnreadableImage, match="cut short"):
        decode_bytes(data[: int(len(data) * kept)])


def test_damaged_png(picture):
    """A flipped bit on a disk would change the picture that is judged."""
    data = bytearray(encoded(".png", picture(40, 50, 0, 255, "u1")))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(UnreadableImage, match="damaged"):
        decode_bytes(bytes(data))


@pytest.mark.parametrize("side", [9_500, 40_000])
def test_png_bomb(side):
    """A PNG of a few hundred bytes would take gigabytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImage, match="declares"):
        decode_bytes(data)


def test_tiff_bomb(picture):
    """A TIFF of two kilobytes would take gigabytes."""
    with pytest.raises(UnreadableImage, match="declares"):
        decode_bytes(_tiff(picture(40, 50, 0, 255, "u1"), 1, columns=60_000))


@settings(max_examples=150, deadline=None)
@given(
    extension=st.sampled_from([".png", ".jpg", ".tif"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_mutated_pictures_raise_only_bonedge_errors(acceptable, extension, edits):
    """One damaged picture of a thousand would stop the run with a traceback."""
    data = bytearray(encoded(extension, np.arange(400, dtype=np.uint8).reshape(20, 20)))
    for place, byte in edits:
        data[4 + int(place * (len(data) - 5))] = byte
    assert acceptable(lambda: decode_bytes(bytes(data)))
