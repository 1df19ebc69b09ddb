"""PNG, JPEG and TIFF pictures: greyscale, or colour whose channels are equal."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from bonedge.edge.errors import NotARadiograph, UnreadableImage
from bonedge.edge.records import Pixels, Radiograph, Source

from .codestream import check_end, jpeg_header
from .limits import check_compression, check_size
from .window import Stored

_CHANNEL_TOLERANCE = 2 / 255
"""Equal channels may differ by the rounding of a JPEG's colour transform."""
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}
_TIFF_TAGS_READ = {256, 257, 258, 259, 262, 273, 277, 279, 324, 325, 339}


@dataclass(frozen=True)
class _Header:
    rows: int
    columns: int
    channels: int
    bits: int
    compressed: bool = True
    white_is_zero: bool = False


def decode_raster(data: bytes, sha256: str) -> Radiograph:
    """Decode a PNG, JPEG or TIFF picture; its orientation is as stored.

    8-bit pictures are shown as they are; 16-bit ones over the whole number of bits (at least 8) that holds the
    brightest pixel, because exports keep 10 to 16 bits in 16.

    Raises:
        NotARadiograph: colour, or several pages.
        UnreadableImage: damaged, cut short or not plausible.
    """
    if data.startswith(b"\x89PNG"):
        header, kind = _png_header(data), "PNG"
    elif data.startswith(b"\xff\xd8"):
        header, kind = _jpeg_header(data), "JPEG"
    else:
        header, kind = _tiff_header(data), "TIFF"
    check_size(header.rows, header.columns)
    expected = header.rows * header.columns * header.channels * header.bits // 8
    if header.compressed:
        check_compression(expected, len(data))
    elif expected > len(data):
        raise UnreadableImage(f"it declares {expected} bytes of pixels and is {len(data)} long; export it again")
    picture = _decode(data, kind, (header.rows, header.columns))
    grey = _grey(picture)
    pixels = _scale(grey)
    if header.white_is_zero and grey.dtype == np.uint16:  # OpenCV inverts 8-bit ones by itself
        pixels = 1.0 - pixels
    return Radiograph(pixels, Source(sha256=sha256, rows=header.rows, columns=header.columns))


def _decode(data: bytes, kind: str, shape: tuple[int, int]) -> Stored:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _damaged(kind) from error
    if picture is None or picture.shape[:2] != shape:
        raise _damaged(kind)
    if picture.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"its pixels are {picture.dtype}; export it again with 8 or 16 bits per pixel")
    return np.asarray(picture, picture.dtype.type)


def _damaged(kind: str) -> UnreadableImage:
    return UnreadableImage(f"its {kind} data are damaged or cut short; copy or export it again")


def _grey(picture: Stored) -> Stored:
    """One channel of a picture whose colour channels are equal; opacity is ignored."""
    if picture.ndim == 2:
        return picture
    grey = picture[:, :, 0]
    tolerance = int(_CHANNEL_TOLERANCE * np.iinfo(picture.dtype).max)
    for channel in range(1, min(picture.shape[2], 3)):
        if int(cv2.absdiff(grey, picture[:, :, channel]).max()) > tolerance:
            raise NotARadiograph("not a radiograph: its pixels are colour")
    return grey


def _scale(grey: Stored) -> Pixels:
    bits = 8 if grey.dtype == np.uint8 else max(8, int(grey.max()).bit_length())
    pixels = grey.astype(np.float32)
    pixels *= np.float32(1 / ((1 << bits) - 1))
    return np.minimum(pixels, 1.0, out=pixels)


def _png_header(data: bytes) -> _Header:
    """IHDR, once every chunk up to IEND is whole (ISO/IEC 15948 section 5)."""
    position, header = 8, None
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            break
        if name == b"IHDR" and length == 13:
            columns, rows, bits, colour = struct.unpack_from(">IIBB", data, position + 8)
            header = _Header(rows, columns, {2: 3, 3: 3, 4: 4, 6: 4}.get(colour, 1), max(bits, 8))
        if name == b"IEND" and header is not None:
            return header
        position = end
    raise _damaged("PNG")


def _jpeg_header(data: bytes) -> _Header:
    header = jpeg_header(data)
    check_end(data, header.data_offset)
    return _Header(header.rows, header.columns, header.components, 8)


def _tiff_header(data: bytes) -> _Header:
    """The first image file directory (TIFF 6.0 section 2), and that there is no second."""
    order = "<" if data.startswith(b"II") else ">"
    fields: dict[int, tuple[int, ...]] = {}
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (entries,) = struct.unpack_from(order + "H", data, start)
        for position in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", data, position)
            if tag in _TIFF_TAGS_READ and kind in _TIFF_TYPES:
                form = f"{order}{count}{_TIFF_TYPES[kind]}"
                if count > len(data):
                    raise _damaged("TIFF")
                where = position + 8
                if struct.calcsize(form) > 4:
                    (where,) = struct.unpack_from(order + "I", data, where)
                fields[tag] = struct.unpack_from(form, data, where)
        (following,) = struct.unpack_from(order + "I", data, start + 2 + 12 * entries)
    except struct.error as error:
        raise _damaged("TIFF") from error
    if following:
        raise NotARadiograph("not a radiograph: it is a TIFF with several pages; export the one to look at")
    offsets = fields.get(273, ()) + fields.get(324, ())
    sizes = fields.get(279, ()) + fields.get(325, ())
    columns, rows = fields.get(256, ()), fields.get(257, ())
    bits = fields.get(258, (1,))
    if not (columns and rows and bits) or any(at + size > len(data) for at, size in zip(offsets, sizes, strict=False)):
        raise _damaged("TIFF")
    if max(bits) not in (8, 16) or fields.get(339, (1,))[:1] != (1,):
        raise UnreadableImage("its pixels are not 8- or 16-bit whole numbers; export it again with 8 or 16 bits")
    return _Header(
        rows[0],
        columns[0],
        fields.get(277, (1,))[0] if fields.get(277) else 1,
        max(bits),
        compressed=fields.get(259, (1,))[:1] != (1,),
        white_is_zero=fields.get(262, (1,))[:1] == (0,),
    )
