"""Who goes next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bonedge.edge.admission import PATIENCE, SHARE, SUSPECT_TURNS, Admission


def taken(admission: Admission[int], count: int) -> list[int]:
    found = []
    for _ in range(count):
        item = admission.take(0)
        assert item is not None
        found.append(item[0])
    return found


def test_the_newest_come_first_and_the_backlog_has_its_share() -> None:
    """Today's patients would wait for last week's, or last week's for ever."""
    admission: Admission[int] = Admission()
    for number in range(100):
        admission.add(number, new=False)
    for number in range(1000, 1100):
        admission.add(number, new=True)
    order = taken(admission, 40)
    assert [item for item in order if item >= 1000] == list(range(1099, 1069, -1))
    assert [item for item in order if item < 1000] == list(range(10))


def test_an_endless_stream_of_new_files_cannot_starve_an_old_one() -> None:
    """On a busy day, yesterday's last file would never be examined."""
    admission: Admission[int] = Admission()
    for number in range(50):
        admission.add(-number - 1, new=False)
    served: dict[int, int] = {}
    for turn in range(SHARE * 60):
        admission.add(turn, new=True)
        served[taken(admission, 1)[0]] = turn
    assert all(served[-position - 1] <= SHARE * (position + 1) for position in range(50))


def test_a_new_file_that_is_overtaken_again_and_again_is_served_too() -> None:
    """Newest first alone would leave the day's first file until night."""
    admission: Admission[int] = Admission()
    admission.add(-1, new=True)
    admission.add(-2, new=True)
    for turn in range(PATIENCE + 3 * SHARE):
        admission.add(turn, new=True)
        if taken(admission, 1) == [-2]:
            return
    raise AssertionError("never")


def test_a_suspect_is_alone_and_last_but_not_never() -> None:
    """A file that ends the daemon would drag others along, or would wait for ever on a busy day."""
    admission: Admission[int] = Admission()
    admission.add(7, new=False, deaths=2)
    admission.add(8, new=False, deaths=1)
    admission.add(1, new=True)
    assert admission.take(0) == (1, False)
    assert admission.take(1) is None  # somebody else has still something in hand
    assert admission.take(0) == (8, True)
    turns = 0
    while True:
        admission.add(turns, new=True)
        item = admission.take(0)
        assert item is not None
        if item[1]:
            assert item[0] == 7
            break
        turns += 1
        assert turns <= SUSPECT_TURNS


def test_there_is_an_end_to_memory() -> None:
    """A folder with millions of files would push the workstation into swapping."""
    admission: Admission[int] = Admission(capacity=100)
    assert [admission.add(number, new=False) for number in range(101)] == [True] * 100 + [False]
    assert [admission.add(number, new=True) for number in range(11)] == [True] * 10 + [False]


@given(st.lists(st.one_of(st.none(), st.tuples(st.booleans(), st.integers(0, 2))), max_size=200))
def test_everything_comes_out_exactly_once(steps: list[tuple[bool, int] | None]) -> None:
    """A file would be lost in the queue, or examined twice."""
    admission: Admission[int] = Admission()
    put, got = [], []
    for number, step in enumerate(steps):
        if step is None:
            item = admission.take(0)
            got += [] if item is None else [item[0]]
        else:
            admission.add(number, new=step[0], deaths=step[1])
            put.append(number)
    while (item := admission.take(0)) is not None:
        got.append(item[0])
    assert sorted(got) == put
    assert len(admission) == 0
