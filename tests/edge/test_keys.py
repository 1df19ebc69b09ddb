"""Keys: the files they come in, and the signatures that they make."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.keys import KEY_FILE_LIMIT_BYTES, generate, read_private_key, read_public_keys

# RFC 8032, section 7.1, TEST 3.
SEED = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
MESSAGE = "af82"
SIGNATURE = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)
OTHER_KINDS: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EC": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "X25519": x25519.X25519PrivateKey.generate,
}


def never() -> NoReturn:
    raise AssertionError("asked for a passphrase")


def private_pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def public_pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_signs_as_the_standard_says(tmp_path: Path) -> None:
    """If it failed, no other program could check a signature, and a defect could hide in both halves of ours."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED))
    private = read_private_key(written(tmp_path / "k", private_pem(key)), never)
    assert private.sign(bytes.fromhex(MESSAGE)).hex() == SIGNATURE
    (public,) = read_public_keys(public_pem(key))
    assert public.verifies(bytes.fromhex(MESSAGE), bytes.fromhex(SIGNATURE))
    assert not public.verifies(bytes.fromhex("af83"), bytes.fromhex(SIGNATURE))
    assert public == private.public


def test_the_name_of_a_key_is_the_digest_of_its_standard_form() -> None:
    """If it failed, a hospital could not tell with its own tools whose key it installed."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED))
    (public,) = read_public_keys(public_pem(key))
    # RFC 8410: SubjectPublicKeyInfo of an Ed25519 key is this prefix and the 32 bytes.
    der = bytes.fromhex("302a300506032b6570032100" + PUBLIC)
    assert public.id == hashlib.sha256(der).hexdigest()[:32]


def test_a_signature_with_its_order_added_is_refused() -> None:
    """If it failed, a second signature could be made from a first without the key (RFC 8032, section 8.4)."""
    (public,) = read_public_keys(public_pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED))))
    order = 2**252 + 27742317777372353535851937790883648493
    genuine = bytes.fromhex(SIGNATURE)
    shifted = int.from_bytes(genuine[32:], "little") + order
    assert not public.verifies(bytes.fromhex(MESSAGE), genuine[:32] + shifted.to_bytes(32, "little"))


@pytest.mark.parametrize("value", [b"", bytes(63), bytes(64), bytes(65), b"\xff" * 64], ids=len)
def test_nonsense_verifies_nothing(value: bytes) -> None:
    """If it failed, a signature of another length would end in a traceback, or pass."""
    (public,) = read_public_keys(generate(None).public_pem)
    assert not public.verifies(b"message", value)


@pytest.mark.parametrize("passphrase", [None, b"correct horse", "Gr\N{LATIN SMALL LETTER SHARP S}e \0".encode()])
def test_a_generated_pair_fits_together(tmp_path: Path, passphrase: bytes | None) -> None:
    """If it failed, what was signed with a new key could not be verified with its other half."""
    pair = generate(passphrase)
    private = read_private_key(written(tmp_path / "k", pair.private_pem), lambda: passphrase or never())
    (public,) = read_public_keys(written(tmp_path / "k.pub", pair.public_pem))
    assert public.id == private.public.id == pair.id
    assert public.verifies(b"m", private.sign(b"m"))
    assert (b"ENCRYPTED" in pair.private_pem) == (passphrase is not None)


def test_no_two_keys_are_alike() -> None:
    """If it failed, everybody could sign for everybody."""
    assert len({generate(None).id for _ in range(20)}) == 20


def test_several_public_keys_may_follow_each_other(tmp_path: Path) -> None:
    """If it failed, a key could only be replaced by refusing every bundle for a while."""
    pairs = [generate(None) for _ in range(3)]
    text = b"# the old one\n" + b"\nand then\n".join(pair.public_pem for pair in pairs)
    assert [key.id for key in read_public_keys(written(tmp_path / "keys", text))] == [pair.id for pair in pairs]


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_keys_of_other_kinds_are_named(tmp_path: Path, kind: str) -> None:
    """If it failed, somebody with an RSA key would not learn why nothing works."""
    key = OTHER_KINDS[kind]()
    with pytest.raises(InvalidConfiguration, match=rf"k\.pub: holds an? {kind} key, bonedge verifies with Ed25519"):
        read_public_keys(written(tmp_path / "k.pub", public_pem(key)))
    with pytest.raises(InvalidConfiguration, match=rf"k: holds an? {kind} key, bonedge signs with Ed25519"):
        read_private_key(written(tmp_path / "k", private_pem(key)), never)


PUBLIC_PEM = public_pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ssh-ed25519 AAAA somebody",
        bytes.fromhex(PUBLIC),
        PUBLIC_PEM[:-12],
        PUBLIC_PEM[12:],
        PUBLIC_PEM.replace(b"A", b"!", 1),
        PUBLIC_PEM.replace(b"PUBLIC KEY", b"CERTIFICATE"),
        PUBLIC_PEM + PUBLIC_PEM[:40],
        PUBLIC_PEM + PUBLIC_PEM.replace(b"MCowBQYDK2VwAyEA", b"MCowBQYDK2VwAyE="),
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        b"\xff" * KEY_FILE_LIMIT_BYTES,
        b"-----BEGIN " * 5000,
        PUBLIC_PEM * 1000,
    ],
)
def test_what_is_no_public_key_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    """If it failed, a damaged key file would silently demand nothing, or only part of what it was made to demand."""
    path = written(tmp_path / "k.pub", content)
    with pytest.raises(InvalidConfiguration, match=r"k\.pub: ") as caught:
        read_public_keys(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", b"\xff\0"])
def test_what_is_no_private_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """If it failed, a damaged private key would end in a traceback."""
    with pytest.raises(InvalidConfiguration, match="k: is no private key in PEM"):
        read_private_key(written(tmp_path / "k", content), never)


def test_the_halves_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    """If it failed, private keys would end up on workstations, with nobody being told."""
    pair = generate(None)
    private, public = written(tmp_path / "k", pair.private_pem), written(tmp_path / "k.pub", pair.public_pem)
    with pytest.raises(InvalidConfiguration, match="holds a private key; give the public one"):
        read_public_keys(private)
    with pytest.raises(InvalidConfiguration, match="holds a private key"):
        read_public_keys(pair.public_pem + pair.private_pem)
    with pytest.raises(InvalidConfiguration, match="holds a public key; sign with the private one"):
        read_private_key(public, never)


def test_a_wrong_passphrase_is_said(tmp_path: Path) -> None:
    """If it failed, a typing error would look like a broken key."""
    path = written(tmp_path / "k", generate(b"right").private_pem)
    with pytest.raises(InvalidConfiguration, match="wrong passphrase"):
        read_private_key(path, lambda: b"wrong")


def test_keys_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """If it failed, a mistyped path would end in a traceback."""
    for read in (read_public_keys, lambda path: read_private_key(path, never)):
        with pytest.raises(InvalidConfiguration, match=r"absent: the key cannot be read \(No such file"):
            read(tmp_path / "absent")
        with pytest.raises(InvalidConfiguration, match="the key cannot be read"):
            read(tmp_path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to compare with")
def test_openssl_agrees(tmp_path: Path) -> None:
    """If it failed, what docs/signing.md tells an auditor to run without bonedge would not work."""
    pair = generate(None)
    private, public = written(tmp_path / "k", pair.private_pem), written(tmp_path / "k.pub", pair.public_pem)
    message = written(tmp_path / "manifest.json", b'{"a": 1}')
    signature = written(tmp_path / "raw", read_private_key(private, never).sign(message.read_bytes()))
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert hashlib.sha256(der).hexdigest()[:32] == pair.id
    arguments = ["-verify", "-pubin", "-inkey", public, "-rawin", "-in", message, "-sigfile", signature]
    done = subprocess.run(["openssl", "pkeyutl", *arguments], capture_output=True, text=True)
    assert (done.returncode, "Verified Successfully" in done.stdout) == (0, True), done.stderr
