"""Where a lesion or bone is in a picture, in whatever form a data set tells it. Each form gives a mask on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Mask


class Outline(Protocol):
    """One structure in one picture. Small, and can be sent to another process."""

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """bool "rows columns" on the picture's grid.

        Raises:
            InvalidConfiguration: it cannot be read, is of another grid, or leaves open what is inside.
        """
        ...

    def files(self) -> tuple[Path, ...]:
        """What it is read from, beside the set's own index."""
        ...


@dataclass(frozen=True)
class MaskFile:
    """A picture of 8 or 16 bits without colours: one value inside and 0 outside, or grey edges up to full white."""

    path: Path

    def mask(self, shape: tuple[int, ...]) -> Mask:
        mask = self._grey()
        if mask.shape != tuple(shape):
            raise InvalidConfiguration(f"{self.path}: the mask does not match its picture, which has {shape} pixels")
        inside = mask > 0
        if mask.any() and mask[inside].min() < mask.max():
            white = np.iinfo(mask.dtype).max
            if mask.max() < white:
                raise InvalidConfiguration(
                    f"{self.path}: the mask holds several values from {mask[inside].min()} to {mask.max()}, so what is "
                    "inside is not clear; save it white on black"
                )
            inside = mask > white // 2
        return np.asarray(inside, np.bool_)

    def is_empty(self) -> bool:
        """Whether it is black all over: what some sets give with a normal picture.

        Raises:
            InvalidConfiguration: it cannot be read, or has colours.
        """
        return not self._grey().any()

    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def _grey(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        try:
            mask = cv2.imdecode(np.frombuffer(self.path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        except (OSError, cv2.error) as error:
            raise InvalidConfiguration(f"{self.path}: the mask cannot be read ({error})") from error
        if mask is None or mask.dtype not in (np.uint8, np.uint16):
            raise InvalidConfiguration(f"{self.path}: the mask cannot be read as a picture of 8 or 16 bits")
        if mask.ndim == 3:
            colours, opaque = mask[..., :3], mask[..., 3:] == (255 if mask.dtype == np.uint8 else 65535)
            if np.any(colours != colours[..., :1]) or not np.all(opaque):
                raise InvalidConfiguration(
                    f"{self.path}: the mask has colours or transparent parts, so what is inside is not clear; save it "
                    "white on black"
                )
            mask = colours[..., 0]
        return cast("NDArray[np.uint8] | NDArray[np.uint16]", mask)


@dataclass(frozen=True)
class Polygons:
    """Outlines by their corners (x, y), in pixels of the picture; what lies in any of them is inside."""

    where: str
    """File and place, for messages."""
    corners: tuple[tuple[tuple[float, float], ...], ...]
    drawn_on: tuple[int, int] | None = None
    """Rows and columns of the picture as whoever drew it saw it; None where that is not told."""

    def mask(self, shape: tuple[int, ...]) -> Mask:
        rows, columns = shape
        if self.drawn_on not in (None, (rows, columns)):
            raise InvalidConfiguration(
                f"{self.where}: was drawn on a picture of {self.drawn_on} rows and columns, which has {tuple(shape)}; "
                "was it resized, or turned by its EXIF tag?"
            )
        drawn = np.zeros((rows, columns), np.uint8)
        for polygon in self.corners:
            points = np.asarray(polygon, np.float64)
            if (points < -1).any() or (points > (columns + 1, rows + 1)).any():
                raise InvalidConfiguration(
                    f"{self.where}: an outline leaves its picture of {columns} x {rows} pixels; was it resized?"
                )
            cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 1)
        return drawn.astype(np.bool_)

    def files(self) -> tuple[Path, ...]:
        return ()


@dataclass(frozen=True)
class RunLengths:
    """COCO's run-length encoding: column by column, lengths of background and object in turn."""

    where: str
    rows: int
    columns: int
    counts: tuple[int, ...] | str
    """A list of lengths, or COCO's compressed text."""

    def mask(self, shape: tuple[int, ...]) -> Mask:
        from pycocotools import mask as coco

        if (self.rows, self.columns) != tuple(shape):
            raise InvalidConfiguration(
                f"{self.where}: the mask has {self.rows} x {self.columns} pixels, its picture {shape}"
            )
        counts = _lengths(self.counts) if isinstance(self.counts, str) else list(self.counts)
        # The library decodes lengths that fall short into memory that nobody wrote to.
        if min(counts, default=0) < 0 or sum(counts) != self.rows * self.columns:
            raise InvalidConfiguration(
                f"{self.where}: the run lengths are of {sum(counts)} pixels, and the picture has "
                f"{self.rows} x {self.columns}; export the annotations again"
            )
        encoded = coco.frPyObjects({"size": [self.rows, self.columns], "counts": counts}, self.rows, self.columns)
        return np.asarray(coco.decode(encoded), np.bool_)

    def files(self) -> tuple[Path, ...]:
        return ()


def _lengths(text: str) -> list[int]:
    """COCO's compressed text as lengths (`rleFrString` in cocoapi's maskApi.c).

    5 bits a character, low ones first; from the fourth on, differences to the length two before.
    """
    found: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value -= 1 << shift
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    return found


@dataclass(frozen=True)
class Union:
    """Several outlines of one structure."""

    parts: tuple[Outline, ...]

    def mask(self, shape: tuple[int, ...]) -> Mask:
        found = np.zeros(shape, np.bool_)
        for part in self.parts:
            found |= part.mask(shape)
        return found

    def files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(file for part in self.parts for file in part.files()))


@dataclass(frozen=True)
class Frames:
    """Frames of a DICOM Segmentation object (PS3.3 A.51), of one or more segments of one picture."""

    path: Path
    numbers: tuple[int, ...]
    """From 0, in the order of the object."""

    def mask(self, shape: tuple[int, ...]) -> Mask:
        import pydicom

        try:
            dataset = pydicom.dcmread(self.path)
            frames = dataset.pixel_array
        except (OSError, ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
            raise InvalidConfiguration(f"{self.path}: the segmentation cannot be read ({error})") from error
        frames = frames.reshape(-1, int(dataset.Rows), int(dataset.Columns))
        if frames.shape[1:] != tuple(shape):
            raise InvalidConfiguration(
                f"{self.path}: the segmentation has {frames.shape[1:]} pixels, its picture {shape}"
            )
        # Fractional ones hold 0 to Maximum Fractional Value (0062,000E).
        half = int(dataset.get("MaximumFractionalValue", 1)) / 2
        return np.asarray((frames[list(self.numbers)] > half).any(axis=0), np.bool_)

    def files(self) -> tuple[Path, ...]:
        return (self.path,)
