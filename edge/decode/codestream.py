"""Compressed frames: what their own header says, and the codec that decodes them.

The codecs are called directly; pydicom's plug-in layer would choose among whatever is installed, and python-gdcm
aborts the process on garbage. Each codec is imported when a file needs it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.errors import NotARadiograph, UnreadableImage

from .limits import check_compression
from .reduction import codec_levels
from .window import Stored

CODEC_ERRORS = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What the codecs raise on bad data."""

_RLE = {"1.2.840.10008.1.2.5"}
_JPEG = {
    "1.2.840.10008.1.2.4.50": False,
    "1.2.840.10008.1.2.4.51": False,
    "1.2.840.10008.1.2.4.57": True,
    "1.2.840.10008.1.2.4.70": True,
}
_JPEG_LS = {"1.2.840.10008.1.2.4.80": True, "1.2.840.10008.1.2.4.81": False}
_JPEG_2000 = {
    "1.2.840.10008.1.2.4.90": True,
    "1.2.840.10008.1.2.4.91": False,
    "1.2.840.10008.1.2.4.201": True,
    "1.2.840.10008.1.2.4.202": True,
    "1.2.840.10008.1.2.4.203": False,
}
"""Transfer syntax UID -> whether what comes out is bit for bit what went in (PS3.5 annex A.4)."""
_LOSSLESS = {**_JPEG, **_JPEG_LS, **_JPEG_2000, **dict.fromkeys(_RLE, True)}

_SOF_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SOT, _COD = 0x90, 0x52
_RLE_RATIO = 64  # two bytes stand for at most 128 (PS3.5 annex G.3.1)
_TAIL_BYTES = 32  # where the end marker must be, once trailing zeros are gone


@dataclass(frozen=True)
class CodestreamHeader:
    """What a JPEG, JPEG-LS or JPEG 2000 codestream says about itself."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits per sample."""
    data_offset: int
    """Where entropy-coded data begin, at the earliest."""
    levels: int = 0
    """Smaller pictures that the codestream holds, each half as large as the one before (JPEG 2000)."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame, values still as stored."""

    stored: Stored
    """"rows columns"."""
    precision: int
    """Bits per sample that the codestream carries."""
    lossless: bool


def is_compressed(transfer_syntax: str) -> bool:
    """Whether frames of this transfer syntax are decoded here."""
    return transfer_syntax in _LOSSLESS


def decode_frame(
    frame: bytes,
    transfer_syntax: str,
    rows: int,
    columns: int,
    bits_allocated: int,
    bits_stored: int = 16,
    working_px: int | None = None,
) -> Frame:
    """Decode one encapsulated greyscale frame.

    Args:
        frame: the frame's fragments, joined.
        transfer_syntax: UID, one that `is_compressed` accepts.
        rows: of the DICOM header; the codestream must say the same.
        columns: likewise.
        bits_allocated: of the DICOM header, 8 or 16 (only RLE depends on it).
        bits_stored: of the DICOM header (only what may be decoded smaller depends on it).
        working_px: as `Decoder.decode` takes it; JPEG 2000 may come back without its finest levels. None keeps all.

    Raises:
        NotARadiograph: the codestream is colour.
        UnreadableImage: cut short, damaged, or not what the DICOM header says.
    """
    lossless = _LOSSLESS[transfer_syntax]
    if transfer_syntax in _RLE:
        check_compression(rows * columns * bits_allocated // 8, len(frame), _RLE_RATIO)
        raw, precision = _decode_rle(frame, rows, columns, bits_allocated), bits_allocated
    else:
        jpeg_2000 = transfer_syntax in _JPEG_2000
        header = jpeg_2000_header(frame) if jpeg_2000 else jpeg_header(frame)
        if (header.rows, header.columns) != (rows, columns):
            raise UnreadableImage(
                f"its header declares {rows} x {columns} pixels and its compressed data "
                f"{header.rows} x {header.columns}; the file is damaged: export it again"
            )
        if header.components != 1:
            raise NotARadiograph(f"not a radiograph: its compressed data are colour ({header.components} components)")
        precision = header.precision
        if not 1 < precision <= 16:
            raise UnreadableImage(f"its compressed data have {precision} bits per pixel; 2 to 16 are read")
        check_compression(rows * columns * (precision + 7) // 8, len(frame))
        check_end(frame, header.data_offset)
        if jpeg_2000:
            # With room above the value, an overlay there would be averaged in, and an overshoot would wrap around.
            levels = 0
            if working_px is not None and precision <= bits_stored:
                levels = codec_levels(max(rows, columns), working_px, header.levels)
            smaller = _decode_jpeg_2000_smaller(frame, header, levels) if levels else None
            if smaller is not None:
                return Frame(smaller, precision, lossless)
            raw = _decode_jpeg_2000(frame)
        elif transfer_syntax in _JPEG_LS:
            raw = _decode_jpeg_ls(frame)
        else:
            raw = _decode_jpeg(frame)
    sample_bytes = 2 if precision > 8 else 1
    if raw.size < rows * columns * sample_bytes:
        raise UnreadableImage("its compressed data end before the picture does; copy or export it again")
    raw = raw[: rows * columns * sample_bytes]
    stored: Stored = raw.view("<u2") if precision > 8 else raw
    return Frame(stored.reshape(rows, columns), precision, lossless)


def jpeg_header(data: bytes) -> CodestreamHeader:
    """Read a JPEG or JPEG-LS codestream up to its first scan (ITU-T T.81 annex B, T.87 annex C).

    Raises:
        UnreadableImage: no frame header before the first scan.
    """
    found: tuple[int, int, int, int] | None = None
    position = 2
    while data.startswith(b"\xff\xd8") and position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _SOF_MARKERS and position + 10 <= len(data):
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, position + 4)
            found = rows, columns, components, precision
        if marker == 0xDA and found is not None:
            return CodestreamHeader(*found, data_offset=position)
        position += 2 + length
    raise UnreadableImage("its JPEG data have no readable header; the file is cut short or damaged: export it again")


def jpeg_2000_header(data: bytes) -> CodestreamHeader:
    """Read the SIZ and COD markers of a JPEG 2000 codestream, bare or in a JP2 box (ITU-T T.800 annexes A.5.1, A.6.1).

    Raises:
        UnreadableImage: no SIZ marker, or one that makes no sense.
    """
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(data) < start + 45:
        raise UnreadableImage(
            "its JPEG 2000 data have no readable header; the file is cut short or damaged: export it again"
        )
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components, depth, step_x, step_y = (
        struct.unpack_from(">8I H 3B", data, start + 8)
    )
    tiles = -1
    if tile_width and tile_height and tile_left <= left < right and tile_top <= top < bottom:
        tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if not 1 <= tiles <= 65_535 or (components == 1 and (step_x, step_y) != (1, 1)):
        raise UnreadableImage("its JPEG 2000 header makes no sense; the file is damaged: export it again")
    return CodestreamHeader(
        bottom - top,
        right - left,
        components,
        (depth & 0x7F) + 1,
        data_offset=start + 45,
        # A signed or a shifted picture would have to be read differently; neither is seen in radiographs.
        levels=0 if depth & 0x80 or left or top else _wavelet_levels(data, start + 2),
    )


def _wavelet_levels(data: bytes, position: int) -> int:
    """Decomposition levels of the COD marker, from the marker at `position` up to the first tile; 0 without one."""
    while position + 14 <= len(data) and data[position] == 0xFF and data[position + 1] != _SOT:
        marker = data[position + 1]
        if marker == _COD:
            return min(data[position + 9], 32)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return 0


def check_end(data: bytes, data_offset: int) -> None:
    """Refuse a JPEG-family codestream without its end marker: codecs fill what is missing with grey.

    Raises:
        UnreadableImage: cut short.
    """
    end = len(data.rstrip(b"\x00"))
    if data.rfind(b"\xff\xd9", max(data_offset, end - _TAIL_BYTES)) < 0:
        raise UnreadableImage("its compressed data are cut short (no end marker); copy or export it again")


def _decode_rle(frame: bytes, rows: int, columns: int, bits_allocated: int) -> NDArray[np.uint8]:
    try:
        from rle.utils import decode_pixel_data

        raw = decode_pixel_data(frame, version=2, rows=rows, columns=columns, bits_allocated=bits_allocated)
        return np.frombuffer(raw, np.uint8)
    except ImportError as error:
        raise _missing("RLE", "pylibjpeg-rle") from error
    except CODEC_ERRORS as error:
        raise _damaged("RLE", error) from error
    except BaseException as error:
        # The codec is written in Rust and panics on a run that leaves its segment; the exception that this becomes
        # is derived from BaseException and cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged("RLE", error) from error


def _decode_jpeg(frame: bytes) -> NDArray[np.uint8]:
    try:
        import libjpeg

        return np.asarray(libjpeg.decode(frame, 0, reshape=False), np.uint8)
    except ImportError as error:
        raise _missing("JPEG", "pylibjpeg-libjpeg") from error
    except CODEC_ERRORS as error:
        raise _damaged("JPEG", error) from error


def _decode_jpeg_ls(frame: bytes) -> NDArray[np.uint8]:
    try:
        import jpeg_ls
    except ImportError:
        return _decode_jpeg(frame)  # four times slower; where numpy < 2 there is no pyjpegls
    try:
        return np.frombuffer(jpeg_ls.decode_pixel_data(frame)[0], np.uint8)
    except CODEC_ERRORS as error:
        raise _damaged("JPEG-LS", error) from error


def _decode_jpeg_2000(frame: bytes) -> NDArray[np.uint8]:
    try:
        import openjpeg

        return np.asarray(openjpeg.decode(frame, reshape=False), np.uint8)
    except ImportError as error:
        raise _missing("JPEG 2000", "pylibjpeg-openjpeg") from error
    except CODEC_ERRORS as error:
        raise _damaged("JPEG 2000", error) from error


def _decode_jpeg_2000_smaller(frame: bytes, header: CodestreamHeader, levels: int) -> Stored | None:
    """The picture without (up to) its `levels` finest levels; None when only all of it can be decoded.

    A tile may have fewer levels than the header says, and Pillow may be missing: the whole picture is asked for then,
    and whatever is wrong with it is said by the codec that decodes that.
    """
    try:
        from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

        while not _expected_by_pillow(header, levels):
            levels -= 1
        with Jpeg2KImageFile(BytesIO(frame)) as picture:
            picture.reduce = levels
            pixels = np.asarray(picture)
    except (ImportError, *CODEC_ERRORS):
        return None
    wide = header.precision > 8
    if pixels.ndim != 2 or pixels.dtype != (np.uint16 if wide else np.uint8):
        return None
    # Pillow moves the value to the top of its container.
    smaller: Stored = np.right_shift(pixels, (16 if wide else 8) - header.precision)
    return smaller


def _expected_by_pillow(header: CodestreamHeader, levels: int) -> bool:
    """Pillow rounds the smaller picture's sides to the nearest pixel; the standard (B-14) and the codec round up."""
    power = 1 << levels
    return all((side + power // 2) // power == -(-side // power) for side in (header.rows, header.columns))


def _damaged(codec: str, error: BaseException) -> UnreadableImage:
    return UnreadableImage(
        f"its {codec} data could not be decoded ({type(error).__name__}); the file is damaged: export it again"
    )


def _missing(codec: str, package: str) -> UnreadableImage:
    return UnreadableImage(f"it is compressed with {codec} and {package} is not installed here; install it")
