"""The contact sheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bonedge.calibration.phantom.acquisition import acquire
from bonedge.calibration.phantom.sheet import contact_sheet, tile


def reddish(picture: Any) -> Any:
    blue, _, red = (picture[..., channel].astype(int) for channel in range(3))
    return red - blue > 100


def test_a_tile_outlines_the_lesion_below_the_picture(shaft: Callable[..., Any]) -> None:
    """Whoever looks at the sheet could not tell where the lesion is, or could not see it for its outline."""
    phantom = acquire(shaft(), np.random.default_rng(0), plain=True)
    picture = tile(phantom, 200)
    half = len(picture) // 2
    assert picture.shape[1:] == (200, 3)
    assert not reddish(picture[: half - 20]).any()
    rows, columns = np.nonzero(reddish(picture[half:-20]))
    assert abs(rows.mean() - 100) < 5
    assert abs(columns.mean() - 100) < 5


def test_a_normal_has_no_lesion_outline(shaft: Callable[..., Any]) -> None:
    """A normal would look as if something had been found in it."""
    picture = tile(acquire(shaft(lesion=False), np.random.default_rng(0), plain=True), 200)
    assert not reddish(picture).any()


def test_the_sheet_fills_its_last_row(shaft: Callable[..., Any]) -> None:
    """A count that is no multiple of the columns would fail at the end of a long simulation."""
    tiles = [tile(acquire(shaft(), np.random.default_rng(0)), 100)] * 5
    rows, columns, _ = tiles[0].shape
    assert contact_sheet(tiles, columns=3).shape == (2 * rows, 3 * columns, 3)
