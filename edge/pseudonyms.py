"""Names that tell files apart without naming anybody: keyed hashes, with a key that never leaves the state folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from .errors import InvalidConfiguration, LedgerUnavailable
from .files import write_whole

_KEY_FILE = "pseudonym.key"
_KEY_BYTES = 32


class Pseudonyms:
    """Keyed hashes of paths and identifiers. Without the key, guessing a name cannot be confirmed."""

    def __init__(self, key: bytes) -> None:
        """Keep the key: 32 bytes."""
        self._key = key

    @classmethod
    def of(cls, state: Path) -> Pseudonyms:
        """Those of this state folder, whose key is made on first use.

        Raises:
            LedgerUnavailable: the key cannot be read or written.
            InvalidConfiguration: it is damaged.
        """
        path = state / _KEY_FILE
        try:
            if not path.exists():
                write_whole(path, secrets.token_bytes(_KEY_BYTES))
                path.chmod(0o600)
            key = path.read_bytes()
        except OSError as error:
            raise LedgerUnavailable(
                f"{path}: cannot be read or made ({error.strerror}); check the state folder"
            ) from error
        if len(key) != _KEY_BYTES:
            raise InvalidConfiguration(f"{path}: is not a key; remove it, and the names in logs will be new ones")
        return cls(key)

    def name(self, text: str) -> str:
        """16 hexadecimal digits for `text` (as `os.fsdecode` gives it): always the same under one key."""
        return hashlib.blake2b(os.fsencode(text), key=self._key, digest_size=8).hexdigest()
