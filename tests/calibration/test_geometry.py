"""The path lengths that every phantom rests on, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.calibration.phantom.geometry import Chord, Ellipsoid, Frame, Profile, Tube, union_length

SIDE = 41


def rays(view: float) -> Frame:
    axis = np.linspace(-20, 20, SIDE, dtype=np.float32)
    x, z = np.meshgrid(axis, axis)
    return Frame(x, z, view)


def marched(frame: Frame, ellipsoid: Ellipsoid, step: float = 0.02) -> np.ndarray:
    """Path length by stepping along each ray and asking whether the point is inside."""
    w = np.arange(-40, 40, step, dtype=np.float32)[:, None, None]
    cos, sin = np.cos(frame.view), np.sin(frame.view)
    ml, ap = frame.x * cos - w * sin, frame.x * sin + w * cos
    centre, radii = ellipsoid.centre, ellipsoid.radii
    inside = (
        ((ml - centre[0]) / radii[0]) ** 2
        + ((ap - centre[1]) / radii[1]) ** 2
        + ((frame.z - centre[2]) / radii[2]) ** 2
    ) < 1
    return np.asarray(inside.sum(0) * step)


@settings(max_examples=12, deadline=None)
@given(
    view=st.floats(-3, 3),
    centre=st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5)),
    radii=st.tuples(st.floats(3, 12), st.floats(3, 12), st.floats(3, 12)),
)
def test_an_ellipsoid_is_as_thick_as_it_is(
    view: float, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> None:
    """A turned bone would be too bright or too dark, and not where its mask says."""
    frame = rays(view)
    ellipsoid = Ellipsoid(centre, radii)
    assert union_length([ellipsoid.chord(frame)]) == pytest.approx(marched(frame, ellipsoid), abs=0.06)


def test_a_tube_turned_by_a_quarter_shows_its_depth_as_its_width() -> None:
    """A lateral view would have the proportions of a frontal one."""
    flat = Profile(((0.0, 1.0), (1.0, 1.0)), 0.0)
    tube = Tube(-15, 15, _constant(8), _constant(3), flat, flat, 2)
    frontal, lateral = (union_length([tube.chord(rays(view))]) for view in (0.0, np.pi / 2))
    middle = SIDE // 2
    assert (frontal[middle] > 0).sum() == 15
    assert (lateral[middle] > 0).sum() == 5
    assert frontal[middle].max() == pytest.approx(6, abs=0.1)
    assert lateral[middle].max() == pytest.approx(16, abs=0.1)


def _constant(value: float) -> Profile:
    return Profile(((0.0, value), (1.0, value)), 0.0)


def test_what_overlaps_counts_once_and_a_gap_does_not_count() -> None:
    """Two condyles would shine where they overlap, or the joint between them would be filled."""

    def interval(start: float, stop: float) -> Chord:
        return Chord(np.full((1, 1), start, np.float32), np.full((1, 1), stop, np.float32))

    missed = interval(1e3, -1e3)
    pair = [interval(5, 9), interval(0, 4), interval(3, 6), missed]
    assert union_length(pair).item() == 9
    assert union_length([interval(5, 9), interval(0, 4)]).item() == 8
    assert union_length(pair, within=interval(3.5, 20)).item() == pytest.approx(5.5)
    assert union_length([missed], within=interval(0, 5)).item() == 0
    assert union_length([interval(0, 4)], within=missed).item() == 0


def test_a_profile_passes_near_its_knots_and_is_flat_beyond_them() -> None:
    """A bone would be thicker or thinner than the anatomy says."""
    profile = Profile(((0.0, 5.0), (50.0, 15.0), (100.0, 15.0)), 3.0)
    values = profile(np.array([-500, 25, 80, 500], np.float32))
    assert values == pytest.approx([5, 10, 15, 15], abs=0.05)
