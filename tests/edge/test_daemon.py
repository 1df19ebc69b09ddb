"""The daemon in this process, around an input that is not what it should be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bonedge.edge import daemon as module
from bonedge.edge.bundle import Bundle
from bonedge.edge.config import WatchSettings
from bonedge.edge.daemon import Daemon, Equipment
from bonedge.edge.engines import load
from bonedge.edge.errors import ExitCode, InvalidConfiguration
from bonedge.edge.exposition import Metrics
from bonedge.edge.journal import Level
from bonedge.edge.ledger import Ledger
from bonedge.edge.notify import Notifier
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.pseudonyms import Pseudonyms
from bonedge.edge.work import Kind

from .conftest import Listening


@pytest.fixture(scope="module")
def pipeline(tiny_bundle: Path) -> Pipeline:
    bundle = Bundle.open(tiny_bundle)
    return Pipeline(bundle, load(bundle))


@pytest.fixture
def journal() -> Listening:
    return Listening()


@pytest.fixture
def new_daemon(tmp_path: Path, pipeline: Pipeline, journal: Listening) -> Iterator[Callable[..., Daemon]]:
    """`new_daemon(**settings)` over folders of `tmp_path`, of which only the input is not made."""
    ledgers: list[Ledger] = []

    def make(**settings: Any) -> Daemon:
        for name in ("output", "state"):
            (tmp_path / name).mkdir(exist_ok=True)
            settings[name] = tmp_path / name
        ledgers.append(Ledger(tmp_path / "state"))
        chosen = WatchSettings(input=tmp_path / "input", workers=1, poll_seconds=0.05, **settings)
        pseudonyms = Pseudonyms.of(tmp_path / "state")
        return Daemon(Equipment(chosen, pipeline, ledgers[-1], pseudonyms, journal, Notifier({}), Metrics()))

    yield make
    for ledger in ledgers:
        ledger.close()


def test_once_does_not_wait_for_ever_for_an_input(
    new_daemon: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch, journal: Listening
) -> None:
    """A nightly job whose share is not mounted would hang until somebody looks."""
    monkeypatch.setattr(module, "_BLOCKED_SECONDS", 0.3)
    rescue = threading.Event()
    timer = threading.Timer(30.0, rescue.set)
    timer.start()
    try:
        with pytest.raises(
            InvalidConfiguration, match=r"input: cannot be read \(no such .*check watch.input"
        ) as raised:
            new_daemon().run(once=True, interrupted=rescue.is_set)
    finally:
        timer.cancel()
    assert not rescue.is_set()
    assert raised.value.exit_code == ExitCode.USAGE
    assert journal.events.count("input failed") == 1


def test_once_waits_a_while_for_an_input(
    new_daemon: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch, journal: Listening, tmp_path: Path
) -> None:
    """A job that starts a moment before the share is mounted would end at once, with nothing done."""
    monkeypatch.setattr(module, "_BLOCKED_SECONDS", 30.0)

    def interrupted() -> bool:
        if "input failed" in journal.events:
            (tmp_path / "input").mkdir(exist_ok=True)
        return False

    assert new_daemon().run(once=True, interrupted=interrupted)[Kind.LATER] == 0
    assert "input works again" in journal.events


def test_forbidden_folders_are_said_when_their_number_changes(
    new_daemon: Callable[..., Daemon], journal: Listening, tmp_path: Path
) -> None:
    """Nobody would learn that a part of the input is not looked at, or the log would say so every two seconds."""
    daemon = new_daemon(metrics_file=tmp_path / "bonedge.prom")
    for folders in (0, 2, 2, 3, 3, 0, 0):
        daemon.forbidden(folders)
        daemon._write_metrics()
        assert f"bonedge_forbidden_folders {folders}.0\n" in (tmp_path / "bonedge.prom").read_text()
    assert journal.said == [
        ("folders may not be read", Level.WARNING, {"folders": 2}),
        ("folders may not be read", Level.WARNING, {"folders": 3}),
        ("folders may be read again", Level.INFO, {}),
    ]
