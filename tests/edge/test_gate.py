"""Whether files may be taken in hand while a disk fails."""

from __future__ import annotations

from bonedge.edge.gate import LONGEST_PAUSE_SECONDS, Gate


def test_open_until_something_fails_for_everybody() -> None:
    """A full disk would be met by every waiting file in turn."""
    gate = Gate()
    assert gate.admits(0.0)
    assert gate.shut("full", 0.0)
    assert not gate.admits(0.5)
    assert gate.admits(1.0)


def test_one_file_tries_at_a_time() -> None:
    """A failing disk would be loaded with all workers' pictures, again and again."""
    gate = Gate()
    gate.shut("full", 0.0)
    gate.taken()
    assert not gate.admits(100.0)
    gate.undecided()
    assert gate.admits(100.0)


def test_said_once_and_paused_longer() -> None:
    """The log would be full of the same complaint, and the disk busy with tries."""
    gate, now, pauses = Gate(), 0.0, []
    assert gate.shut("full", now)
    for _ in range(8):
        begun = now
        while not gate.admits(now):
            now += 0.25
        pauses.append(now - begun)
        gate.taken()
        assert not gate.shut("still full", now)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(pauses) == LONGEST_PAUSE_SECONDS
    assert gate.reason == "still full"


def test_other_workers_failures_of_the_same_moment_do_not_lengthen_the_pause() -> None:
    """With many workers, the first hiccup would already cost half a minute."""
    gate = Gate()
    for _ in range(5):
        gate.shut("full", 0.0)
    assert gate.admits(1.0)


def test_success_opens_and_is_said_once() -> None:
    """Recovery would go unnoticed, or be announced for every file."""
    gate = Gate()
    assert not gate.open()
    gate.shut("full", 0.0)
    assert gate.open()
    assert gate.admits(0.0)
    assert not gate.open()
