"""The picture that a reader looks at: the radiograph with what bonedge saw in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .geometry import resize
from .records import LONGEST_VIEW_PX, BoundingBox, Examination, Label, Lesion, Mask, Spacing

Canvas = NDArray[np.uint8]
_Colour = tuple[int, int, int]

_SHORTEST_PX = 720
"""Least long side of the radiograph in the overlay: small ones are enlarged so that text stays legible."""
_LABELLED = 5
"""So many lesions carry their size; the rest only their outline."""
_INK: _Colour = (18, 16, 14)
_PAPER: _Colour = (240, 240, 240)
_QUIET: _Colour = (165, 165, 165)
_COLOURS: dict[Label, _Colour] = {
    Label.NORMAL: (125, 200, 90),
    Label.BENIGN: (60, 190, 255),
    Label.MALIGNANT: (85, 85, 255),
    Label.ABSTAIN: (220, 185, 140),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FOOT = "Research use - not a medical device"


def draw(examination: Examination) -> Canvas:
    """Radiograph, outlines with sizes (unless abstaining), banner and scale bar.

    Returns:
        uint8 "rows columns 3", BGR. The radiograph as it was windowed, scaled to a long side of 720 to 1280
        pixels, between a banner (label and probabilities, or why there is none) and a foot (notice, scale bar when
        the spacing is known); text stands outside the radiograph except the lesions' sizes.
    """
    pixels, source = examination.radiograph.pixels, examination.radiograph.source
    long_side = max(source.rows, source.columns)
    scale = min(max(long_side, _SHORTEST_PX), LONGEST_VIEW_PX) / long_side
    rows, columns = (max(1, round(side * scale)) for side in (source.rows, source.columns))
    grey = np.clip(resize(pixels, rows, columns) * 255 + 0.5, 0, 255).astype(np.uint8)
    picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)

    unit = max(rows, columns, _SHORTEST_PX) / 1000
    colour = _COLOURS[examination.verdict.label]
    if examination.verdict.label is not Label.ABSTAIN:
        # What the segmenter marks in a picture that it was not made for would only mislead.
        _outline(picture, examination.segmentation.mask, colour, unit)
        _sizes(picture, examination, (columns / source.columns, rows / source.rows), colour, unit)

    width = max(columns, round(620 * unit))
    banner, foot = _banner(examination, width, unit), _foot(source.spacing, columns / source.columns, width, unit)
    left = (width - columns) // 2
    picture = np.asarray(
        cv2.copyMakeBorder(picture, 0, 0, left, width - columns - left, cv2.BORDER_CONSTANT, value=_INK), np.uint8
    )
    return np.concatenate([banner, picture, foot])


def bar_length_mm(visible_mm: float) -> float:
    """The length of the scale bar: the largest 1, 2 or 5 times a power of ten within a quarter of `visible_mm`."""
    room = visible_mm / 4
    power = 10.0 ** math.floor(math.log10(room))
    return next(step * power for step in (5, 2, 1) if step * power <= room)


@dataclass(frozen=True)
class _Text:
    """A line of text at a size, with the room that it takes."""

    words: str
    scale: float
    weight: int
    width: int
    height: int
    drop: int
    """Below the base line."""

    @classmethod
    def of(cls, words: str, height_px: float, weight: float = 1.0) -> _Text:
        """`words` with capitals about `height_px` high."""
        scale = height_px / 22
        thickness = max(1, round(height_px / 11 * weight))
        (width, height), drop = cv2.getTextSize(words, _FONT, scale, thickness)
        return cls(words, scale, thickness, int(width), int(height), int(drop))

    @classmethod
    def fitted(cls, words: str, height_px: float, room_px: int, weight: float = 1.0) -> _Text:
        """As `of`, smaller when `room_px` would not hold it."""
        text = cls.of(words, height_px, weight)
        return text if text.width <= room_px else cls.of(words, height_px * room_px / text.width * 0.98, weight)

    def put(self, canvas: Canvas, left: int, base: int, colour: _Colour) -> None:
        """Draw with the left end of the base line at (`left`, `base`)."""
        cv2.putText(canvas, self.words, (left, base), _FONT, self.scale, colour, self.weight, cv2.LINE_AA)

    def put_on_plate(self, canvas: Canvas, left: int, base: int, colour: _Colour) -> None:
        """As `put`, on a dark plate: legible on bone and on air."""
        pad = max(2, self.height // 4)
        corner, opposite = (left - pad, base - self.height - pad), (left + self.width + pad, base + pad)
        cv2.rectangle(canvas, corner, opposite, _INK, -1)
        self.put(canvas, left, base, colour)


def _outline(picture: Canvas, mask: Mask, colour: _Colour, unit: float) -> None:
    """The mask's outline, dark-edged so that it shows on bone and on air."""
    if not mask.any():
        return
    outlines, _ = cv2.findContours(_as_shown(mask, *picture.shape[:2]), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    line = max(1, round(2.2 * unit))
    cv2.drawContours(picture, outlines, -1, _INK, line + 2 * max(1, round(unit)), cv2.LINE_AA)
    cv2.drawContours(picture, outlines, -1, colour, line, cv2.LINE_AA)


def _as_shown(mask: Mask, rows: int, columns: int) -> NDArray[np.uint8]:
    """The mask at another size, 0 or 1."""
    if rows < mask.shape[0]:
        # Masks come from a map that is coarser still: averaging pixels would find nothing between them, in 25 ms.
        picked = cv2.resize(mask.view(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(picked, np.uint8)
    return (resize(mask.astype(np.float32), rows, columns) >= 0.5).astype(np.uint8)


def _sizes(
    picture: Canvas, examination: Examination, factors: tuple[float, float], colour: _Colour, unit: float
) -> None:
    """Each large lesion's size beside it, where it covers neither the lesion nor another label."""
    rows, columns = picture.shape[:2]
    boxes = [_scaled(lesion.box, factors) for lesion in examination.segmentation.lesions]
    taken: list[BoundingBox] = []
    for lesion, box in list(zip(examination.segmentation.lesions, boxes, strict=True))[:_LABELLED]:
        text = _Text.fitted(_size(lesion), 17 * unit, columns)
        gap = round(13 * unit)
        middle = (box.left + box.right - text.width) // 2
        half = (box.top + box.bottom + text.height) // 2
        for left, base in (
            (middle, box.top - gap - text.drop),
            (middle, box.bottom + gap + text.height),
            (box.right + gap, half),
            (box.left - gap - text.width, half),
        ):
            left = min(max(left, 0), max(0, columns - text.width))
            place = BoundingBox(left, base - text.height, left + text.width, base + text.drop)
            if place.top >= 0 and place.bottom <= rows and not any(_overlap(place, other) for other in taken + boxes):
                text.put_on_plate(picture, left, base, colour)
                taken.append(place)
                break
        else:
            # No free place: inside the lesion, which is then large, or among so many that one more hides little.
            base = min(max(half, text.height), rows - text.drop)
            text.put_on_plate(picture, min(max(middle, 0), max(0, columns - text.width)), base, colour)


def _size(lesion: Lesion) -> str:
    if lesion.longest_diameter_mm is None:
        return f"{lesion.box.width} x {lesion.box.height} px"
    if lesion.longest_diameter_mm < 10:
        return f"{lesion.longest_diameter_mm:.1f} mm"
    return f"{lesion.longest_diameter_mm:.0f} mm"


def _banner(examination: Examination, width: int, unit: float) -> Canvas:
    """The label and the probabilities, or the reasons for saying nothing, or for what is not the likeliest."""
    verdict, edge = examination.verdict, round(18 * unit)
    room = width - 2 * edge
    p = verdict.probabilities
    lines: list[tuple[_Text, _Colour]] = []
    reasons = verdict.reasons
    if verdict.label is Label.ABSTAIN:
        title = "NO VERDICT"
    else:
        title = verdict.label.value.upper()
        # What the operating point is applied to comes first: a verdict may be the less likely class.
        figures = (
            f"tumour {1 - p[Label.NORMAL]:.0%}   (benign {p[Label.BENIGN]:.0%}, malignant {p[Label.MALIGNANT]:.0%})"
        )
        lines = [(_Text.fitted(figures, 16 * unit, room), _QUIET)]
        if p[verdict.label] == max(p.values()):
            reasons = ()
    head = _Text.fitted(title, 30 * unit, room, 1.5)
    for reason in reasons:
        lines += [(_Text.fitted(line, 16 * unit, room), _PAPER) for line in _wrap(reason, 16 * unit, room)]
    step = round(27 * unit)
    canvas = _paper(edge + head.height + step * len(lines) + edge, width)
    cv2.rectangle(canvas, (0, 0), (max(4, round(7 * unit)), canvas.shape[0]), _COLOURS[verdict.label], -1)
    base = round(edge * 0.9) + head.height
    head.put(canvas, edge, base, _COLOURS[verdict.label])
    for text, colour in lines:
        base += step
        text.put(canvas, edge, base, colour)
    return canvas


def _foot(spacing: Spacing | None, scale_x: float, width: int, unit: float) -> Canvas:
    """The notice, and a bar of a round length."""
    edge, room = round(18 * unit), width - 2 * round(18 * unit)
    notice = _Text.fitted(_FOOT, 15 * unit, round(room * 0.6))
    canvas = _paper(round(58 * unit), width)
    middle = canvas.shape[0] // 2
    notice.put(canvas, edge, middle + notice.height // 2, _QUIET)
    if spacing is None:
        words = _Text.fitted("scale unknown", 15 * unit, round(room * 0.35))
        words.put(canvas, width - edge - words.width, middle + words.height // 2, _QUIET)
        return canvas
    px_per_mm = scale_x / spacing.column_mm
    length_mm = bar_length_mm(min(width, 1000 * unit) / px_per_mm)
    length = round(length_mm * px_per_mm)
    # Rectangles, not lines: from outer edge to outer edge the bar is exactly as long as it says.
    right, base, line, tick = width - edge, middle + round(10 * unit), max(2, round(3 * unit)), round(8 * unit)
    left = right - length
    for x, y, across, down in (
        (left, base - line // 2, length, line),
        (left, base - tick, line, 2 * tick),
        (right - line, base - tick, line, 2 * tick),
    ):
        canvas[y : y + down, max(x, 0) : x + across] = _PAPER
    words = _Text.of(f"{length_mm / 10:g} cm" if length_mm >= 10 else f"{length_mm:g} mm", 14 * unit)
    words.put(canvas, right - (length + words.width) // 2, base - round(10 * unit), _PAPER)
    return canvas


def _paper(rows: int, columns: int) -> Canvas:
    return np.full((rows, columns, 3), _INK, np.uint8)


def _wrap(sentence: str, height_px: float, room_px: int) -> list[str]:
    """Break at spaces so that each line fits."""
    lines: list[str] = []
    for word in sentence.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _Text.of(longer, height_px).width <= room_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _scaled(box: BoundingBox, factors: tuple[float, float]) -> BoundingBox:
    x, y = factors
    return BoundingBox(round(box.left * x), round(box.top * y), round(box.right * x), round(box.bottom * y))


def _overlap(a: BoundingBox, b: BoundingBox) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
