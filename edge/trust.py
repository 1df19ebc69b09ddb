"""What a workstation demands of a bundle before it loads it: who signed it, and how old it may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BundleRefused, InvalidConfiguration
from .keys import PublicKey, read_public_keys
from .signature import Signature

if TYPE_CHECKING:
    from packaging.version import Version

_VERSION_LIMIT = 100
"""Letters. Nobody's version is longer, and Python refuses to count beyond some thousand digits."""


@dataclass(frozen=True)
class Trust:
    """The demands as configured. Nothing is demanded unless it says so."""

    key: Path | bytes | None = None
    """A PEM file, or PEM text, with the Ed25519 public key that must have signed the bundle; any one of several."""
    minimum_version: str | None = None
    """Of the bundle. Against accidents by itself, against replayed old bundles only together with `key`."""

    def demands(self) -> Demands:
        """Read what is configured, before any bundle is looked at.

        Raises:
            InvalidConfiguration: the key file or the version is not one.
        """
        keys = None if self.key is None else read_public_keys(self.key)
        return Demands(keys, None if self.minimum_version is None else _configured_version(self.minimum_version))


@dataclass(frozen=True)
class Demands:
    """The demands, ready to be checked."""

    keys: tuple[PublicKey, ...] | None
    """At least one; None when no signature is demanded."""
    minimum_version: Version | None

    def check_signature(self, folder: Path, manifest: bytes, signature: Signature | None) -> bool:
        """Whether `manifest`, the bytes of manifest.json, was verified; False when nothing was demanded.

        Raises:
            BundleRefused: a signature is demanded and is missing, another's, or not of these bytes.
        """
        if self.keys is None:
            return False
        if signature is None:
            raise BundleRefused(
                f"bundle {folder} is not signed, and a key is demanded; take a signed one from its maker"
            )
        matching = [key for key in self.keys if key.id == signature.key_id]
        if not matching:
            trusted = " or ".join(key.id for key in self.keys)
            raise BundleRefused(
                f"bundle {folder} was signed with the wrong key: {signature.key_id}, where {trusted} is trusted; "
                "take one from the signer that you trust"
            )
        if not any(key.verifies(manifest, signature.value) for key in matching):
            raise BundleRefused(
                f"bundle {folder}: the signature does not fit its manifest.json: one of the two was altered or belongs "
                "to another bundle; take the signed bundle from its maker again"
            )
        return True

    def check_version(self, folder: Path, version: str) -> None:
        """Refuse a bundle that is older than demanded.

        Raises:
            BundleRefused: `version` is lower than the minimum, or cannot be compared with it.
        """
        if self.minimum_version is None:
            return
        found = read_version(version)
        if found is None:
            raise BundleRefused(
                f"bundle {folder} calls its version {version[:_VERSION_LIMIT]!a}, which cannot be compared with the "
                f"minimum {self.minimum_version}: write versions like 1, 1.2 or 1.2.0rc1 when converting"
            )
        if found < self.minimum_version:
            raise BundleRefused(
                f"bundle {folder} is version {found}, older than the minimum {self.minimum_version} that is demanded; "
                "install a newer bundle"
            )


def read_version(text: str) -> Version | None:
    """`text` as PEP 440 reads versions: 1, 1.2, 1.2.0rc1, 2026.3+site; None when it is none."""
    from packaging.version import Version

    if len(text) > _VERSION_LIMIT:
        return None
    try:
        return Version(text)
    except ValueError:
        return None


def _configured_version(text: str) -> Version:
    version = read_version(text)
    if version is None:
        raise InvalidConfiguration(
            f"minimum version {text[:_VERSION_LIMIT]!a} is not a version; write it like 1, 1.2 or 1.2.0rc1"
        )
    return version
