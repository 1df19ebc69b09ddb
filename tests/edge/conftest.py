"""Signing keys, the tiny bundle signed with one of them, and a journal that remembers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bonedge.edge.bundle import Bundle
from bonedge.edge.journal import Level
from bonedge.edge.keys import PrivateKey, generate, read_private_key
from bonedge.edge.sign import sign_bundle


class Listening:
    """A journal that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Level, dict[str, Any]]] = []

    def say(self, event: str, level: Level = Level.INFO, **fields: Any) -> None:
        self.said.append((event, level, fields))

    def refresh(self, status: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass

    @property
    def events(self) -> list[str]:
        return [event for event, _, _ in self.said]


@dataclass(frozen=True)
class Signer:
    """Somebody with a key."""

    id: str
    public: bytes
    private: PrivateKey

    def sign(self, folder: Path) -> Bundle:
        """Sign the bundle in `folder`."""
        return sign_bundle(folder, self.private)


@pytest.fixture(scope="session")
def new_signer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Signer]:
    """`new_signer()` makes somebody with a new key."""

    def make() -> Signer:
        pair = generate(None)
        path = tmp_path_factory.mktemp("keys") / "private.pem"
        path.write_bytes(pair.private_pem)
        return Signer(pair.id, pair.public_pem, read_private_key(path, lambda: b""))

    return make


@pytest.fixture(scope="session")
def signer(new_signer: Callable[[], Signer]) -> Signer:
    """Who is trusted."""
    return new_signer()


@pytest.fixture(scope="session")
def stranger(new_signer: Callable[[], Signer]) -> Signer:
    """Who is not."""
    return new_signer()


@pytest.fixture
def signed(tiny_bundle: Path, signer: Signer, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, signed by `signer`."""
    folder = tmp_path / "signed"
    shutil.copytree(tiny_bundle, folder)
    signer.sign(folder)
    return folder
