"""Ed25519 keys in PEM files. The only module that imports `cryptography`, and only when a key is used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InvalidConfiguration

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE_LIMIT_BYTES = 64 * 1024
_KEY_ID_DIGITS = 32
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_MAKE_ONE = "make one with 'bonedge bundle keygen'"


@dataclass(frozen=True)
class PublicKey:
    """What verifies signatures."""

    id: str
    """The first 32 hexadecimal digits of the SHA-256 of its DER form, so that people can tell keys apart:
    `openssl pkey -pubin -in NAME.pub -outform DER | sha256sum`."""
    _key: Ed25519PublicKey

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) was made over `message` with this key's private half."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """What makes signatures."""

    public: PublicKey
    encrypted: bool
    """In the file that it came from."""
    _key: Ed25519PrivateKey

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same again for the same message (RFC 8032)."""
        return self._key.sign(message)


@dataclass(frozen=True)
class KeyPair:
    """A new pair, as it is to be written."""

    id: str
    private_pem: bytes
    """PKCS #8, encrypted when there was a passphrase (PBES2: AES-256-CBC under PBKDF2)."""
    public_pem: bytes
    """SubjectPublicKeyInfo."""


def generate(passphrase: bytes | None) -> KeyPair:
    """A new key pair from the operating system's random numbers."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    key = Ed25519PrivateKey.generate()
    return KeyPair(
        _public(key.public_key()).id,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def read_public_keys(source: Path | bytes) -> tuple[PublicKey, ...]:
    """The keys in a PEM file, or in PEM text: one, or several one after another while a key is being replaced.

    Raises:
        InvalidConfiguration: it cannot be read, or holds no key or anything that is not an Ed25519 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    name, content = _content(source)
    blocks = list(_PEM.finditer(content))
    if any(block[1].endswith(b"PRIVATE KEY") for block in blocks):
        raise InvalidConfiguration(
            f"{name}: holds a private key; give the public one (the .pub beside it), and keep the private one elsewhere"
        )
    if not blocks or len(blocks) != content.count(b"-----BEGIN "):
        raise InvalidConfiguration(f"{name}: is not a whole public key in PEM form; {_MAKE_ONE}")
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidConfiguration(f"{name}: is not a public key in PEM form; {_MAKE_ONE}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidConfiguration(f"{name}: holds {_kind(key)} key, bonedge verifies with Ed25519; {_MAKE_ONE}")
        keys.append(_public(key))
    return tuple(keys)


def read_private_key(path: Path, passphrase: Callable[[], bytes]) -> PrivateKey:
    """The private key in a PEM file.

    Args:
        path: of the file.
        passphrase: called only when the key is encrypted.

    Raises:
        InvalidConfiguration: it cannot be read or decrypted, or is not an Ed25519 private key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    name, content = _content(path)
    if b"PUBLIC KEY-----" in content:
        raise InvalidConfiguration(f"{name}: holds a public key; sign with the private one")
    encrypted = False
    try:
        try:
            key = load_pem_private_key(content, None)
        except TypeError:  # how cryptography says that the key is encrypted
            encrypted = True
            key = load_pem_private_key(content, passphrase())
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in content:
            raise InvalidConfiguration(
                f"{name}: could not be decrypted: wrong passphrase; type it again, or give the right --passphrase-file"
            ) from error
        raise InvalidConfiguration(f"{name}: is no private key in PEM; {_MAKE_ONE} or give another --key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidConfiguration(f"{name}: holds {_kind(key)} key, bonedge signs with Ed25519; {_MAKE_ONE}")
    return PrivateKey(_public(key.public_key()), encrypted, key)


def _content(source: Path | bytes) -> tuple[str, bytes]:
    """A name for messages, and the bytes."""
    if isinstance(source, bytes):
        return "the key", source
    try:
        with source.open("rb") as file:
            content = file.read(KEY_FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise InvalidConfiguration(f"{source}: the key cannot be read ({error.strerror}); give another key") from error
    if len(content) > KEY_FILE_LIMIT_BYTES:
        raise InvalidConfiguration(f"{source}: is too large for a key; give another key")
    return str(source), content


def _public(key: Ed25519PublicKey) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(hashlib.sha256(der).hexdigest()[:_KEY_ID_DIGITS], key)


def _kind(key: object) -> str:
    """`an RSA`, `an EC`, ... for a key of another kind."""
    kind = type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")
    return f"{'an' if kind[:1] in 'AEIOR' else 'a'} {kind}"
