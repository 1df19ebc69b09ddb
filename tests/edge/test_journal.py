"""One event, one line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bonedge.edge.journal import JsonJournal, Level
from bonedge.edge.pseudonyms import Pseudonyms

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def lines(**fields: object) -> bytes:
    reader, writer = os.pipe()
    JsonJournal(writer, lambda: NOW).say("event", Level.WARNING, **fields)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return file.read()


@given(st.text(max_size=200))
def test_no_text_can_forge_a_line(text: str) -> None:
    """A crafted message would write its own entries into the hospital's log."""
    written = lines(reason=text)
    assert written.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in written[:-1])
    assert json.loads(written) == {
        "time": "2026-01-02T03:04:05.678Z", "level": "warning", "event": "event", "reason": text
    }  # fmt: skip


def test_a_reader_that_is_gone_costs_the_line_only() -> None:
    """A restart of journald would end the service."""
    reader, writer = os.pipe()
    os.close(reader)
    JsonJournal(writer).say("event")
    os.close(writer)


def test_pseudonyms_are_the_same_again_and_nobody_elses(tmp_path: Path) -> None:
    """Lines about one file could not be put together, or names could be guessed from them."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, second = Pseudonyms.of(tmp_path / "a"), Pseudonyms.of(tmp_path / "b")
    assert first.name("Doe^John.dcm") == Pseudonyms.of(tmp_path / "a").name("Doe^John.dcm")
    assert first.name("Doe^John.dcm") != second.name("Doe^John.dcm")
    assert first.name("a\udcff") != first.name("a\udcfe")
    assert (tmp_path / "a" / "pseudonym.key").stat().st_mode & 0o077 == 0
