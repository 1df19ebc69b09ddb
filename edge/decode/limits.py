"""Arithmetic on what a header declares, before anything of that size is allocated."""

from __future__ import annotations

from bonedge.edge.errors import UnreadableImage

MAXIMUM_PIXELS = 100_000_000
"""The largest detectors have about 24 million pixels, scanned films about 60."""
MAXIMUM_SIDE = 65_535
"""Rows and Columns are 16-bit in DICOM (PS3.3 C.7.6.3.1)."""
MAXIMUM_COMPRESSION = 1000
"""Detector noise keeps real radiographs under about 100 : 1, whatever the codec."""
SMALL_BYTES = 4096
"""A small flat picture may compress better than that; it is harmless."""


def check_size(rows: int, columns: int) -> None:
    """Refuse a picture that is empty or larger than any radiograph.

    Raises:
        UnreadableImage: no pixels, a side over 65,535 or more than 100 million pixels.
    """
    if rows < 1 or columns < 1:
        raise UnreadableImage(f"it declares {rows} x {columns} pixels, so it holds no picture; export it again")
    if rows * columns > MAXIMUM_PIXELS or max(rows, columns) > MAXIMUM_SIDE:
        raise UnreadableImage(
            f"it declares {rows} x {columns} pixels, more than any radiograph has "
            f"({MAXIMUM_PIXELS // 1_000_000} million are accepted); export it again at the detector's size"
        )


def check_compression(expected_bytes: int, held_bytes: int, ratio: int = MAXIMUM_COMPRESSION) -> None:
    """Refuse compressed data that cannot hold what the header declares.

    Args:
        expected_bytes: of the decoded picture, from the header.
        held_bytes: of the compressed data.
        ratio: the best that the method can do on a radiograph.

    Raises:
        UnreadableImage: the ratio is not plausible.
    """
    if expected_bytes > ratio * (held_bytes + SMALL_BYTES):
        raise UnreadableImage(
            f"it declares {expected_bytes} bytes of pixels in {held_bytes} compressed bytes, which no radiograph "
            "reaches; the file is damaged or hostile: export it again"
        )
