"""Which kind of file the bytes are, judged by the bytes and never by the name."""

from __future__ import annotations

import hashlib

from bonedge.edge.errors import NotARadiograph, UnreadableImage
from bonedge.edge.records import Radiograph

_FOREIGN = (
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"RIFF", "a WebP picture or a video"),
    (b"\xff\x4f\xff\x51", "a bare JPEG 2000 codestream"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"PK\x03\x04", "a ZIP archive (unpack it first)"),
    (b"\x1f\x8b", "a gzip archive (unpack it first)"),
)


def decode_bytes(data: bytes) -> Radiograph:
    """Decode one whole file, in this process.

    Hostile bytes can still crash a native codec and the process with it: files from outside go through `Decoder`.

    Args:
        data: the file's bytes: DICOM (with its preamble), PNG, JPEG or TIFF.

    Returns:
        Pixels float32 "rows columns", 0..1, bone bright, and what the picture is.

    Raises:
        NotARadiograph: well formed, and something else.
        UnreadableImage: empty, damaged, cut short, not plausible, or in a form that is not read.
        Both messages name the input by the first 12 digits of its SHA-256.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return decode(data, sha256)
    except UnreadableImage as error:
        raise type(error)(f"picture sha256:{sha256[:12]}: {error}") from error


def decode(data: bytes, sha256: str, working_px: int | None = None) -> Radiograph:
    """As `decode_bytes`, with the hash given and messages that leave naming the input to the caller.

    `working_px`: as `Decoder.decode` takes it.
    """
    # Imported by whichever decodes, so that the parent of a `Decoder` does not pay for pydicom.
    if not data:
        raise UnreadableImage("it is empty (0 bytes); copy or export it again")
    try:
        if data[128:132] == b"DICM":
            from .dicom import decode_dicom

            return decode_dicom(data, sha256, working_px)
        if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")):
            from .raster import decode_raster

            return decode_raster(data, sha256)
    except MemoryError:
        raise UnreadableImage(
            "decoding it takes more memory than is allowed; raise the memory limit if the file is genuine"
        ) from None
    raise _foreign(data)


def _foreign(data: bytes) -> UnreadableImage:
    """The refusal that fits bytes of no format that is read."""
    if data.startswith(b"%PDF"):
        return NotARadiograph("not a radiograph: it is a PDF document")
    for signature, kind in _FOREIGN:
        if data.startswith(signature):
            return UnreadableImage(f"it is {kind}; give the DICOM file, or a PNG, JPEG or TIFF picture")
    if _is_text(data[:4096]):
        return UnreadableImage("it is text, not a picture; give the DICOM file that the modality wrote")
    return UnreadableImage(
        "it is neither DICOM (no DICM prefix after the preamble) nor PNG, JPEG or TIFF; export it again as DICOM"
    )


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in head)
