"""Candidates that are finished, kept so that an interrupted conversion goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonedge.edge.files import write_whole

_LAYOUT = 1


@dataclass(frozen=True)
class Finished:
    """A folder of finished candidates of one conversion; another model, set, seed or tool has another folder."""

    folder: Path

    @classmethod
    def under(cls, cache: Path, identity: Mapping[str, Any]) -> Finished:
        """The folder for everything that decides what candidates look like.

        Args:
            cache: of the user.
            identity: digests of models and calibration set, seeds, versions; JSON values.
        """
        text = json.dumps({"layout": _LAYOUT, **identity}, sort_keys=True)
        return cls(cache / "candidates" / hashlib.sha256(text.encode()).hexdigest()[:32])

    def get(self, name: str, make: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
        """The files of candidate `name`, made now unless they are here and whole."""
        marker = self.folder / f"{name}.json"
        kept = self._read(name, marker)
        if kept is not None:
            return kept
        files = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(files):
            write_whole(self.folder / f"{name}.{number}", content)
        # Last: whoever sees the marker finds the files.
        write_whole(marker, json.dumps([hashlib.sha256(content).hexdigest() for content in files]).encode())
        return files

    def _read(self, name: str, marker: Path) -> tuple[bytes, ...] | None:
        try:
            digests = json.loads(marker.read_bytes())
            files = tuple((self.folder / f"{name}.{number}").read_bytes() for number in range(len(digests)))
        except (OSError, ValueError, TypeError):
            return None
        whole = [hashlib.sha256(content).hexdigest() for content in files] == digests
        return files if whole and files else None
