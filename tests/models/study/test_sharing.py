"""Several processes of one study: each result is made once, by one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bonedge.models.study.results import Result, Store, Wanted, finish

_PATIENCE = 60
_SPAWN = get_context("spawn")
_RESULT = Result("plan", "networks", "", "whole image", "from scratch", True, 1, [[0.5, 0.25, 0.25]], 1.0, 2.0)


def _finished(folder: Path, on_make: Callable[[str], None]) -> list[str]:
    """Finish `first` and `second`, telling which is made; which there are then."""

    def wanted(name: str) -> Wanted:
        def make() -> Result:
            on_make(name)
            return replace(_RESULT, system=name)

        return Wanted(name, _RESULT.plan, make, claim=name)

    return [one.system for one in finish([wanted("first"), wanted("second")], Store(folder))]


def _process(folder: Path, mine: str, begun: Any, may_end: Any, told: Any) -> None:
    """While making one of them, says so and waits."""

    def on_make(name: str) -> None:
        told.put((mine, name))
        begun.set()
        assert may_end.wait(_PATIENCE)

    told.put((mine, f"ended: {' '.join(_finished(folder, on_make))}"))


def test_what_another_process_has_begun_is_left_to_it(tmp_path: Path) -> None:
    """If it failed, two processes would train the same networks, or one would end without the other's."""
    told = _SPAWN.Queue()
    a_begins, b_begins = _SPAWN.Event(), _SPAWN.Event()
    # A holds `first` until B has begun something else.
    a = _SPAWN.Process(target=_process, args=(tmp_path, "a", a_begins, b_begins, told))
    a.start()
    assert a_begins.wait(_PATIENCE)
    b = _SPAWN.Process(target=_process, args=(tmp_path, "b", b_begins, a_begins, told))
    b.start()
    heard = [told.get(timeout=_PATIENCE) for _ in range(4)]
    for process in (a, b):
        process.join(_PATIENCE)
        assert process.exitcode == 0
    assert sorted(heard) == [
        ("a", "ended: first second"),
        ("a", "first"),
        ("b", "ended: first second"),
        ("b", "second"),
    ]


def test_what_a_killed_process_had_begun_is_taken_over(tmp_path: Path) -> None:
    """If it failed, a study would wait for ever for a process that is no more."""
    told = _SPAWN.Queue()
    begins, never = _SPAWN.Event(), _SPAWN.Event()
    killed = _SPAWN.Process(target=_process, args=(tmp_path, "killed", begins, never, told))
    killed.start()
    assert begins.wait(_PATIENCE)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join(_PATIENCE)
    made: list[str] = []
    assert _finished(tmp_path, made.append) == ["first", "second"]
    assert made == ["first", "second"]


def test_a_result_of_another_plan_is_made_again(tmp_path: Path) -> None:
    """If it failed, a study with more epochs would show the figures of the one before."""
    store = Store(tmp_path)
    store.put("first", replace(_RESULT, system="old", plan="another"))
    again = Wanted("first", _RESULT.plan, lambda: replace(_RESULT, system="new"), claim="first")
    assert [one.system for one in finish([again], store)] == ["new"]
