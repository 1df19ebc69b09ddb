"""The picture for the reader."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.edge.overlay import bar_length_mm, draw
from bonedge.edge.records import (
    BoundingBox,
    Classification,
    Examination,
    Label,
    Lesion,
    Radiograph,
    Segmentation,
    Source,
    Spacing,
    Verdict,
)

GREY = 0.4


def examination(
    rows: int,
    columns: int,
    label: Label = Label.MALIGNANT,
    lesions: tuple[BoundingBox, ...] = (),
    spacing: Spacing | None = None,
    reasons: tuple[str, ...] = ("A reason that is long enough to need more than one line of text in a banner.",) * 3,
) -> Examination:
    mask = np.zeros((rows, columns), bool)
    for box in lesions:
        mask[box.top : box.bottom, box.left : box.right] = True
    flat = np.zeros((256, 256), np.float32)
    size = None if spacing is None else 12.0
    return Examination(
        Radiograph(np.full((rows, columns), GREY, np.float32), Source("0" * 64, rows, columns, spacing)),
        Segmentation(mask, tuple(Lesion(box, 9, 0.9, size, size) for box in lesions), flat, flat, flat[0], None, 0.3),
        Classification(np.array([0.1, 0.2, 0.7], np.float32), BoundingBox(0, 0, 1, 1)),
        Verdict(label, {Label.NORMAL: 0.1, Label.BENIGN: 0.2, Label.MALIGNANT: 0.7}, reasons),
    )


def coloured(picture: np.ndarray) -> np.ndarray:
    return (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 60


@given(
    rows=st.integers(1, 2500), columns=st.integers(1, 2500), label=st.sampled_from(list(Label)), known=st.booleans(),
    spacing_mm=st.floats(0.01, 5),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_any_picture_can_be_drawn(rows: int, columns: int, label: Label, known: bool, spacing_mm: float) -> None:
    """If it failed, some size or spacing would leave a user without an overlay."""
    box = BoundingBox(columns // 3, rows // 3, max(columns // 2, columns // 3 + 1), max(rows // 2, rows // 3 + 1))
    spacing = Spacing(spacing_mm, spacing_mm) if known else None
    picture = draw(examination(rows, columns, label, (box,), spacing))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert min(picture.shape[:2]) >= 80
    assert max(picture.shape[:2]) <= 1700


def test_the_outline_is_where_the_mask_is() -> None:
    """If it failed, the contour would point at healthy bone."""
    box = BoundingBox(400, 300, 700, 600)
    with_lesion = draw(examination(1000, 1000, lesions=(box,)))
    without = draw(examination(1000, 1000))
    rows, columns = np.nonzero(coloured(with_lesion) & ~coloured(without))
    top = (without == round(GREY * 255)).all(axis=2).any(axis=1).argmax()
    # The size label stands above the lesion, so the outline's other three sides are the outermost coloured pixels.
    assert abs(columns.min() - 400) <= 4
    assert abs(columns.max() - 700) <= 4
    assert abs(rows.max() - top - 600) <= 4


def test_the_radiograph_is_shown_as_it_was_windowed() -> None:
    """If it failed, the reader would compare the outline with a picture that was filtered for the networks."""
    ramp = examination(1000, 800)
    ramp.radiograph.pixels[:] = np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    column = draw(ramp)[:, 400, 1].astype(int)
    start = next(row for row in range(60, 300) if (np.diff(column[row : row + 900]) >= 0).all() and column[row] == 0)
    assert column[start + 500] == pytest.approx(127, abs=25)
    assert len(set(column.tolist())) > 250


def test_abstaining_outlines_nothing() -> None:
    """If it failed, a chest film without a verdict would still show a tumour's contour."""
    box = (BoundingBox(400, 300, 700, 600),)
    np.testing.assert_array_equal(
        draw(examination(900, 900, Label.ABSTAIN, box)), draw(examination(900, 900, Label.ABSTAIN))
    )


@pytest.mark.parametrize("label", [Label.NORMAL, Label.BENIGN, Label.MALIGNANT])
def test_labels_look_different(label: Label) -> None:
    """If it failed, the banner would not say what the verdict is."""
    others = {other: draw(examination(500, 500, other)) for other in (Label.NORMAL, Label.BENIGN, Label.MALIGNANT)}
    for other, picture in others.items():
        same = np.array_equal(picture, draw(examination(500, 500, label)))
        assert same is (other is label)


@pytest.mark.parametrize(("label", "told"), [(Label.MALIGNANT, False), (Label.BENIGN, True)])
def test_a_verdict_that_is_not_the_likeliest_says_why(label: Label, told: bool) -> None:
    """If it failed, a banner would say BENIGN over a picture of which it says that it is rather malignant."""
    without, given = (draw(examination(900, 900, label, reasons=reasons)) for reasons in ((), ("Because.",)))
    assert (given.shape[0] > without.shape[0]) is told


def test_the_notice_is_always_there() -> None:
    """If it failed, an overlay would travel without saying that it is no medical device."""
    feet = [draw(examination(800, 800, label, spacing=None))[-40:, :400] for label in Label]
    assert all(np.count_nonzero(foot.max(axis=2) > 120) > 300 for foot in feet)
    assert all(np.array_equal(foot, feet[0]) for foot in feet)


@given(st.floats(0.01, 1e5))
def test_the_bar_is_round_and_fits(visible_mm: float) -> None:
    """If it failed, the scale bar would leave the picture or carry an odd number."""
    length = bar_length_mm(visible_mm)
    assert visible_mm / 10.001 <= length <= visible_mm / 4 * 1.0001
    mantissa = float(f"{length:.6e}".split("e")[0])
    assert mantissa in (1.0, 2.0, 5.0)


def test_the_bar_has_the_length_that_it_says() -> None:
    """If it failed, measuring on the overlay with the bar would give wrong millimetres."""
    # 1000 columns of 0.2 mm: 200 mm are visible, so the bar is 50 mm, 250 pixels.
    foot = draw(examination(1000, 1000, spacing=Spacing(0.2, 0.2)))[-58:, 600:]
    bright = (foot.min(axis=2) > 200).astype(np.uint8)
    longest = max(int(np.diff(np.flatnonzero(np.concatenate(([1], 1 - row, [1])))).max() - 1) for row in bright)
    assert longest == pytest.approx(250, abs=4)
    assert cv2.countNonZero(bright) > 250
