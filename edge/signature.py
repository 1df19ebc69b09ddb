"""`manifest.sig`: who vouches for a bundle, in one line of text.

    ed25519 <key id, 32 hexadecimal digits> <signature, 128 hexadecimal digits>

The signature is Ed25519 (RFC 8032) over the exact bytes of manifest.json, which names every other file by its SHA-256.
Lower case, one space between the parts, a newline at the end: there is one spelling, it has a fixed length, and it
is matched rather than parsed, because these bytes are read before anything about the bundle is known to be true.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .errors import BundleRefused

SIGNATURE = "manifest.sig"
"""The one file of a bundle, beside manifest.json, that manifest.json cannot name."""
SIGNATURE_LIMIT_BYTES = 4096
"""Of the file, before it is looked at; the line has 170."""
_LINE = re.compile(rb"ed25519 ([0-9a-f]{32}) ([0-9a-f]{128})\n")


@dataclass(frozen=True)
class Signature:
    """What manifest.sig claims; true only once a key that somebody trusts has verified it."""

    key_id: str
    """See `keys.PublicKey.id`. It says which key to try, and proves nothing."""
    value: bytes
    """64 bytes."""

    def line(self) -> bytes:
        """The content of manifest.sig."""
        return f"ed25519 {self.key_id} {self.value.hex()}\n".encode()


def read_signature(path: Path, content: bytes) -> Signature:
    """The signature in `content`, which came from `path`.

    Raises:
        BundleRefused: it is not exactly one line of the form above.
    """
    match = _LINE.fullmatch(content)
    if match is None:
        raise BundleRefused(
            f"{path} is damaged: it is not the one line that 'bonedge bundle sign' writes; copy the bundle again"
        )
    return Signature(match[1].decode(), bytes.fromhex(match[2].decode()))
