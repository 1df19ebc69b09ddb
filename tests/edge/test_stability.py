"""Is this file complete?"""

from __future__ import annotations

import pytest

from bonedge.edge.stability import (
    ZERO_TAIL_BYTES,
    Look,
    Patience,
    Signature,
    ends_in_zeros,
    is_candidate,
    is_complete,
    look_again,
    seconds_to_wait,
)

SIGNATURE = Signature(1, 100, 5, 5)
PATIENCE = Patience(settle_seconds=2.0)


def looked(*looks: tuple[Signature, float]) -> Look:
    known: Look | None = None
    for signature, now in looks:
        known = look_again(known, signature, now)
    assert known is not None
    return known


def test_two_looks_far_enough_apart_are_needed() -> None:
    """A file that is being written would be taken at the first glance."""
    assert not is_complete(looked((SIGNATURE, 10.0)), 100.0, PATIENCE)
    assert not is_complete(looked((SIGNATURE, 10.0), (SIGNATURE, 11.9)), 11.9, PATIENCE)
    assert is_complete(looked((SIGNATURE, 10.0), (SIGNATURE, 12.0)), 12.0, PATIENCE)


@pytest.mark.parametrize("field", Signature._fields)
def test_any_change_starts_anew(field: str) -> None:
    """A rewrite that keeps size or time would go unnoticed, and the old verdict would stay."""
    changed = SIGNATURE._replace(**{field: 99})
    look = looked((SIGNATURE, 10.0), (changed, 12.0))
    assert look == Look(changed, 12.0, 1)
    assert not is_complete(look, 13.0, PATIENCE)


def test_a_rename_is_believed_at_once_and_not_for_ever() -> None:
    """Careful exporters would wait like careless ones, or a file changed after its rename would be taken half-written."""  # noqa: E501
    renamed = look_again(None, SIGNATURE, 10.0, renamed=True)
    assert is_complete(renamed, 10.0, PATIENCE)
    assert not is_complete(look_again(renamed, SIGNATURE._replace(size=101), 10.1), 10.1, PATIENCE)


@pytest.mark.parametrize("mtime_ns", [0, -1, 2**63 - 1])
def test_the_files_own_time_means_nothing(mtime_ns: int) -> None:
    """A modality with a wrong clock would not be served, or too early."""
    signature = SIGNATURE._replace(mtime_ns=mtime_ns)
    assert is_complete(looked((signature, 0.0), (signature, 2.0)), 2.0, PATIENCE)
    assert not is_complete(looked((signature, 0.0), (signature, 1.0)), 1.0, PATIENCE)


@pytest.mark.parametrize("name", [".a.dcm", "a.part", "a.dcm.PART", "a.tmp", "a.filepart", "a.crdownload"])
def test_unfinished_names_are_left_alone(name: str) -> None:
    """Half a copy would be examined under its temporary name, and the whole one again."""
    assert not is_candidate(name)


@pytest.mark.parametrize("name", ["a.dcm", "IM0001", "a.b.png", "a\nb", "part", "tmp.dcm", "a.part.dcm"])
def test_other_names_are_read(name: str) -> None:
    """DICOM files often have no ending."""
    assert is_candidate(name)


def test_only_a_long_run_of_zeros_at_the_end_is_suspect() -> None:
    """Every picture would wait half a minute, or a file that got its size in advance would be judged empty."""
    assert ends_in_zeros(b"x" + bytes(ZERO_TAIL_BYTES))
    assert not ends_in_zeros(bytes(ZERO_TAIL_BYTES))
    assert not ends_in_zeros(bytes(ZERO_TAIL_BYTES) + b"x")
    assert not ends_in_zeros(b"")


def test_waiting_ends() -> None:
    """A file would be put off for ever."""
    assert seconds_to_wait(10.0, 11.0, 5.0) == 4.0
    assert seconds_to_wait(10.0, 20.0, 5.0) == 0.0
