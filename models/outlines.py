"""Where a lesion or bone is in a picture, in whatever form a data set tells it. Each form gives a mask on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Mask


class Outline(Protocol):
    """One structure in one picture. Small, and can be sent to another process."""

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """bool "rows columns" on the picture's grid.

        Raises:
            InvalidConfiguration: it cannot be read, or is of another grid.
        """
        ...


@dataclass(frozen=True)
class MaskFile:
    """An 8-bit picture, 128 or more inside."""

    path: Path

    def mask(self, shape: tuple[int, ...]) -> Mask:
        try:
            mask = cv2.imdecode(np.frombuffer(self.path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
        except (OSError, cv2.error) as error:
            raise InvalidConfiguration(f"{self.path}: the mask cannot be read ({error})") from error
        if mask is None or mask.shape != shape:
            raise InvalidConfiguration(f"{self.path}: the mask does not match its picture, which has {shape} pixels")
        return np.asarray(mask >= 128, np.bool_)


@dataclass(frozen=True)
class Polygons:
    """Outlines by their corners (x, y), in pixels of the picture; what lies in any of them is inside."""

    where: str
    """File and place, for messages."""
    corners: tuple[tuple[tuple[float, float], ...], ...]

    def mask(self, shape: tuple[int, ...]) -> Mask:
        rows, columns = shape
        drawn = np.zeros((rows, columns), np.uint8)
        for polygon in self.corners:
            points = np.asarray(polygon, np.float64)
            if (points < -1).any() or (points > (columns + 1, rows + 1)).any():
                raise InvalidConfiguration(
                    f"{self.where}: an outline leaves its picture of {columns} x {rows} pixels; was it resized?"
                )
            cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 1)
        return drawn.astype(np.bool_)


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
        encoded: Any = {"size": [self.rows, self.columns], "counts": self.counts}
        if not isinstance(self.counts, str):
            encoded = coco.frPyObjects({**encoded, "counts": list(self.counts)}, self.rows, self.columns)
        return np.asarray(coco.decode(encoded), np.bool_)


@dataclass(frozen=True)
class Union:
    """Several outlines of one structure."""

    parts: tuple[Outline, ...]

    def mask(self, shape: tuple[int, ...]) -> Mask:
        found = np.zeros(shape, np.bool_)
        for part in self.parts:
            found |= part.mask(shape)
        return found


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
