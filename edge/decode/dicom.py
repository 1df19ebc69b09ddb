"""DICOM files: is it a radiograph, how large is it, where are its pixels, how are they shown.

Only the attributes listed in `attributes.TAGS` are ever read, so a name or a birth date is not in memory to leak.
The header is judged before pixel data are touched.
"""

from __future__ import annotations

import warnings
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from bonedge.edge.errors import UnreadableImage
from bonedge.edge.records import Radiograph, Source

from .attributes import META_TAGS, PARSE_ERRORS, TAGS, Attributes, read_attributes
from .codestream import decode_frame, is_compressed
from .limits import MAXIMUM_COMPRESSION, MAXIMUM_PIXELS, SMALL_BYTES, check_size
from .reduction import keeps_order, render_shrunk, shrink_factor
from .window import SampleFormat, Stored

_NATIVE = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
_MAXIMUM_INFLATED = 2 * MAXIMUM_PIXELS + (64 << 20)
_INFLATE_BYTES = 1 << 22
_PIXEL_GROUP = 0x7FE0
_PIXEL_DATA = 0x7FE00010


def decode_dicom(data: bytes, sha256: str, working_px: int | None = None) -> Radiograph:
    """Decode a DICOM file with one greyscale projection radiograph.

    Args:
        data: the whole file, preamble and DICM prefix included.
        sha256: of `data`, for the record.
        working_px: as `Decoder.decode` takes it.

    Raises:
        NotARadiograph: CT, MR, US, a report, a document, colour, several frames.
        UnreadableImage: damaged, cut short, not plausible, or a form that is not read.
    """
    with warnings.catch_warnings(), config.disable_value_validation():
        # pydicom's warnings are about the file, quote its values and address a programmer.
        warnings.simplefilter("ignore")
        file, transfer_syntax, sop_class = _open(data)
        header = _read(file, transfer_syntax, TAGS, at_pixels=False)
        attributes = _attributes(header, sop_class)
        check_size(attributes.rows, attributes.columns)
        stored, samples = _stored(file, transfer_syntax, attributes, working_px)
    factor = shrink_factor(max(stored.shape), working_px) if working_px else 1
    return Radiograph(
        render_shrunk(stored, samples, attributes.presentation, factor),
        Source(
            sha256=sha256,
            rows=attributes.rows,
            columns=attributes.columns,
            spacing=attributes.spacing,
            sop_instance_uid=attributes.sop_instance_uid,
            study_instance_uid=attributes.study_instance_uid,
            modality=attributes.modality,
            body_part=attributes.body_part,
        ),
    )


def _open(data: bytes) -> tuple[BytesIO, UID, UID]:
    """The data set after the file meta information (PS3.10 section 7.1), its encoding and its SOP class."""
    file = BytesIO(data)
    file.seek(132)
    try:
        meta = read_dataset(
            file, False, True, stop_when=lambda tag, vr, length: tag.group != 2, specific_tags=list(META_TAGS)
        )
        # A file without a transfer syntax is against PS3.10 and yet common; pydicom tells implicit VR by itself.
        sop_class = UID(str(meta.get("MediaStorageSOPClassUID", None) or ""))
        transfer_syntax = UID(str(meta.get("TransferSyntaxUID", None) or ExplicitVRLittleEndian))
    except PARSE_ERRORS as error:
        raise _damaged_header() from error
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        file = _inflate(data[file.tell() :])
    return file, transfer_syntax, sop_class


def _inflate(deflated: bytes) -> BytesIO:
    """PS3.5 annex A.5, bounded."""
    limit = min(_MAXIMUM_INFLATED, MAXIMUM_COMPRESSION * (len(deflated) + SMALL_BYTES))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    file, rest = BytesIO(), deflated
    try:
        while rest and not inflater.eof and file.tell() < limit:
            file.write(inflater.decompress(rest, _INFLATE_BYTES))
            rest = inflater.unconsumed_tail
    except zlib.error as error:
        raise UnreadableImage("its deflated data set is damaged; copy or export it again") from error
    if not inflater.eof:
        cause = "inflates beyond any radiograph" if file.tell() >= limit else "is cut short"
        raise UnreadableImage(f"its deflated data set {cause}; export it again as explicit VR little endian")
    file.seek(0)
    return file


def _read(file: BytesIO, transfer_syntax: UID, tags: tuple[int, ...], *, at_pixels: bool) -> Dataset:
    """The listed top-level attributes, from the file's position up to the pixel data or the end."""
    try:
        return read_dataset(
            file,
            transfer_syntax == ImplicitVRLittleEndian,
            transfer_syntax != ExplicitVRBigEndian,
            stop_when=None if at_pixels else lambda tag, vr, length: tag.group == _PIXEL_GROUP,
            specific_tags=list(tags),
        )
    except PARSE_ERRORS as error:
        raise _damaged_header() from error


def _attributes(header: Dataset, sop_class: UID) -> Attributes:
    try:
        return read_attributes(header, sop_class)
    except UnreadableImage:
        raise
    except PARSE_ERRORS as error:
        raise _damaged_header() from error


def _damaged_header() -> UnreadableImage:
    return UnreadableImage("its DICOM header is damaged or cut short; copy or export it again")


def _stored(
    file: BytesIO, transfer_syntax: UID, attributes: Attributes, working_px: int | None
) -> tuple[Stored, SampleFormat]:
    """The pixels as stored, or a codec's own smaller picture of them, and where the value is in each."""
    compressed = is_compressed(transfer_syntax)
    if not compressed and transfer_syntax not in _NATIVE:
        raise UnreadableImage(
            f"its transfer syntax is not read ({_syntax_name(transfer_syntax)}); "
            "export it again as explicit VR little endian"
        )
    value, vr = _pixel_value(file, transfer_syntax)
    samples = attributes.samples
    if not compressed:
        return _native(value, vr, transfer_syntax, attributes), samples
    reducible = working_px if keeps_order(samples, attributes.presentation) else None
    frame = decode_frame(
        _join_fragments(value),
        transfer_syntax,
        attributes.rows,
        attributes.columns,
        attributes.bits_allocated,
        samples.bits,
        reducible,
    )
    shift = samples.shift if samples.shift + samples.bits <= frame.precision else 0
    # A lossy codec may overshoot Bits Stored by a little: masking would turn white to black.
    bits = min(samples.bits, frame.precision) if frame.lossless else frame.precision
    return frame.stored, SampleFormat(bits, samples.signed, shift)


def _pixel_value(file: BytesIO, transfer_syntax: UID) -> tuple[bytes, str | None]:
    pixels = _read(file, transfer_syntax, (_PIXEL_DATA,), at_pixels=True)
    try:
        element: Any = pixels.get_item(_PIXEL_DATA) if _PIXEL_DATA in pixels else None
    except (NotImplementedError, *PARSE_ERRORS) as error:  # the first for a value representation that there is not
        raise UnreadableImage(f"its pixel data cannot be read ({error}); export it again") from error
    if element is None or not isinstance(element.value, bytes) or not element.value:
        raise UnreadableImage("it holds no complete pixel data (cut short, or a header only); copy or export it again")
    return element.value, element.VR


def _join_fragments(value: bytes) -> bytes:
    """All fragments of a single frame (PS3.5 annex A.4); the offset table, often wrong, is not needed."""
    try:
        buffer = BytesIO(value)
        parse_basic_offsets(buffer)
        return b"".join(generate_fragments(buffer))
    except PARSE_ERRORS as error:
        raise UnreadableImage("its compressed data are not framed as DICOM asks; export it again") from error


def _native(value: bytes, vr: str | None, transfer_syntax: UID, attributes: Attributes) -> Stored:
    rows, columns = attributes.rows, attributes.columns
    expected = rows * columns * attributes.bits_allocated // 8
    if len(value) < expected:
        raise UnreadableImage(
            f"it declares {rows} x {columns} pixels, {expected} bytes, and holds {len(value)}; "
            "it is cut short or hostile: copy or export it again"
        )
    big_endian = transfer_syntax == ExplicitVRBigEndian
    if attributes.bits_allocated == 8:
        if big_endian and vr == "OW":  # two pixels to a swapped word (PS3.5 section 8.1.2)
            words = np.frombuffer(value, ">u2", len(value) // 2).astype("<u2")
            return words.view(np.uint8)[:expected].reshape(rows, columns)
        return np.frombuffer(value, np.uint8, expected).reshape(rows, columns)
    stored = np.frombuffer(value, ">u2" if big_endian else "<u2", rows * columns)
    return stored.astype("<u2", copy=False).reshape(rows, columns)


def _syntax_name(transfer_syntax: UID) -> str:
    name = str(transfer_syntax.name)[:80]
    return name if name.isprintable() else "an unknown one"
