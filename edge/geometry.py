"""Where a pixel goes when a picture is scaled, letterboxed or cropped, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .records import BoundingBox, Pixels


@dataclass(frozen=True)
class Letterbox:
    """A picture scaled to fit a square, centred, with zero padding around it."""

    rows: int
    columns: int
    """Of the picture that was scaled."""
    side: int
    """Of the square, in pixels."""
    inner_rows: int
    inner_columns: int
    """Of the scaled picture inside the square."""
    top: int
    left: int
    """Where the scaled picture begins in the square."""

    @classmethod
    def fit(cls, rows: int, columns: int, side: int) -> Letterbox:
        """The letterbox of a `rows` x `columns` picture in a square of `side` pixels."""
        scale = side / max(rows, columns)
        inner_rows = max(1, min(side, round(rows * scale)))
        inner_columns = max(1, min(side, round(columns * scale)))
        return cls(
            rows,
            columns,
            side,
            inner_rows,
            inner_columns,
            (side - inner_rows) // 2,
            (side - inner_columns) // 2,
        )

    def apply(self, pixels: Pixels) -> Pixels:
        """Scale and pad. `pixels`: float32 "rows columns" -> float32 "side side"."""
        square = np.zeros((self.side, self.side), np.float32)
        square[self._inner] = resize(pixels, self.inner_rows, self.inner_columns)
        return square

    def inner(self, square: Pixels) -> Pixels:
        """The part of the square that the picture occupies (a view)."""
        return square[self._inner]

    def cut(self, square: Pixels, box: BoundingBox, side: int) -> Pixels:
        """A part of the square, named in pixels of the original, as float32 "side side"; 0 outside the square.

        Bilinear, for maps that are smooth.
        """
        scale_x, scale_y = self.inner_columns / self.columns, self.inner_rows / self.rows
        step_x, step_y = box.width * scale_x / side, box.height * scale_y / side
        rows, columns = self._inner
        # Pixel centres lie half a pixel in.
        x = columns.start + box.left * scale_x + step_x / 2 - 0.5
        y = rows.start + box.top * scale_y + step_y / 2 - 0.5
        matrix = np.array([(step_x, 0, x), (0, step_y, y)], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(square, matrix, (side, side), flags=flags), np.float32)

    @property
    def _inner(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.inner_rows),
            slice(self.left, self.left + self.inner_columns),
        )


def resize(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """Area-average when shrinking, linear when growing. float32 in, float32 out."""
    if pixels.shape[:2] == (rows, columns):
        return pixels
    shrinking = rows * columns < pixels.shape[0] * pixels.shape[1]
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=interpolation), np.float32)


def clip_box(box: BoundingBox, rows: int, columns: int) -> BoundingBox:
    """`box` inside a `rows` x `columns` picture, never empty."""
    left = min(max(box.left, 0), columns - 1)
    top = min(max(box.top, 0), rows - 1)
    return BoundingBox(left, top, min(max(box.right, left + 1), columns), min(max(box.bottom, top + 1), rows))


def scale_box(box: BoundingBox, factor_x: float, factor_y: float) -> BoundingBox:
    """`box` on a grid scaled by the factors; grows to whole pixels."""
    return BoundingBox(
        int(np.floor(box.left * factor_x)),
        int(np.floor(box.top * factor_y)),
        int(np.ceil(box.right * factor_x)),
        int(np.ceil(box.bottom * factor_y)),
    )
