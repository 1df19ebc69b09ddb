"""Signing a bundle and making keys: whole or not at all, and never over somebody's key."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bonedge.edge import sign as module
from bonedge.edge.bundle import Bundle, check_destination, write_bundle
from bonedge.edge.errors import BundleRefused, InvalidConfiguration
from bonedge.edge.keys import generate
from bonedge.edge.sign import sign_bundle, write_keys
from bonedge.edge.signature import Signature
from bonedge.edge.trust import Trust

from .conftest import Signer


def test_a_signed_bundle_is_the_same_bundle_with_a_signature(tiny_bundle: Path, signed: Path, signer: Signer) -> None:
    """If it failed, signing would change what results are named after, or a signed bundle would not load."""
    plain, opened = Bundle.open(tiny_bundle), Bundle.open(signed, trust=Trust(signer.public))
    assert (opened.digest, opened.manifest, dict(opened.contents)) == (
        plain.digest,
        plain.manifest,
        dict(plain.contents),
    )
    assert {path.name for path in signed.iterdir()} == {path.name for path in tiny_bundle.iterdir()} | {"manifest.sig"}
    assert stat.S_IMODE((signed / "manifest.sig").stat().st_mode) == 0o644
    assert opened.verified
    assert opened.signature is not None
    assert opened.signature.key_id == signer.id
    assert plain.signature is None
    assert not plain.verified


def test_a_signature_that_nobody_asked_for_is_a_claim(signed: Path) -> None:
    """If it failed, a bundle would be called verified without any key, or a signed one would not load without one."""
    opened = Bundle.open(signed)
    assert opened.signature is not None
    assert not opened.verified


def test_a_later_signature_replaces_the_earlier(signed: Path, signer: Signer, stranger: Signer) -> None:
    """If it failed, a key could not be replaced on bundles that are already signed."""
    names = {path.name for path in signed.iterdir()}
    returned = stranger.sign(signed)
    assert {path.name for path in signed.iterdir()} == names
    assert Bundle.open(signed, trust=Trust(stranger.public)) == returned
    with pytest.raises(BundleRefused, match="wrong key"):
        Bundle.open(signed, trust=Trust(signer.public))


def test_a_link_to_a_bundle_is_followed(signed: Path, stranger: Signer, tmp_path: Path) -> None:
    """If it failed, sites that switch versions through a link `current` could not sign."""
    (tmp_path / "current").symlink_to(signed)
    stranger.sign(tmp_path / "current")
    assert Bundle.open(signed, trust=Trust(stranger.public)).verified
    assert (tmp_path / "current").is_symlink()


def test_only_a_whole_bundle_is_signed(signed: Path, stranger: Signer) -> None:
    """If it failed, somebody would vouch for a bundle that was already damaged."""
    before = (signed / "manifest.sig").read_bytes()
    (signed / "segmenter.bin").write_bytes(b"other weights")
    with pytest.raises(BundleRefused, match=r"segmenter\.bin was altered"):
        stranger.sign(signed)
    assert (signed / "manifest.sig").read_bytes() == before


def test_a_manifest_swapped_while_signing_is_not_vouched_for(
    signed: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a manifest could be slipped in between the check and the signature."""
    before = (signed / "manifest.sig").read_bytes()

    class Swapped:
        @staticmethod
        def open(folder: Path) -> Bundle:
            bundle = Bundle.open(folder)
            (folder / "manifest.json").write_bytes(b"{}")
            return bundle

    monkeypatch.setattr(module, "Bundle", Swapped)
    with pytest.raises(BundleRefused, match="changed while it was being signed"):
        signer.sign(signed)
    assert (signed / "manifest.sig").read_bytes() == before


def test_a_signature_appears_whole_or_not_at_all(
    signed: Path, stranger: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a full disk while signing would leave a bundle that no workstation loads."""

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in signed.iterdir()}
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InvalidConfiguration, match=r"cannot be signed \(No space left"):
        stranger.sign(signed)
    assert {path.name: path.read_bytes() for path in signed.iterdir()} == before
    assert [path.name for path in signed.parent.iterdir()] == ["signed"]


def test_a_bundle_can_be_loaded_at_every_moment_of_signing(
    signed: Path, signer: Signer, stranger: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a workstation that starts while its bundle is signed again would refuse it for a stray file."""
    replace, loaded = os.replace, []

    def watched(source: str, target: Path) -> None:
        loaded.append(Bundle.open(signed, trust=Trust(signer.public + stranger.public)).signature)
        replace(source, target)
        loaded.append(Bundle.open(signed, trust=Trust(signer.public + stranger.public)).signature)

    monkeypatch.setattr(os, "replace", watched)
    stranger.sign(signed)
    assert [signature.key_id for signature in loaded if signature] == [signer.id, stranger.id]


def test_writing_over_a_signed_bundle_leaves_an_unsigned_one(signed: Path, signer: Signer) -> None:
    """If it failed, converting again to the same folder would be refused, or keep a signature of something else."""
    bundle = Bundle.open(signed)
    check_destination(signed)
    newer = bundle.manifest.model_copy(update={"version": "2"})
    written = write_bundle(signed, newer, bundle.contents)
    assert written.signature is None
    assert not (signed / "manifest.sig").exists()
    assert [path.name for path in signed.parent.iterdir()] == ["signed"]
    with pytest.raises(BundleRefused, match="is not signed"):
        Bundle.open(signed, trust=Trust(signer.public))


def test_a_signature_is_never_written_as_a_file_of_the_bundle(signed: Path, tmp_path: Path) -> None:
    """If it failed, a bundle could be made that claims another's signature, or that nobody can load."""
    bundle = Bundle.open(signed)
    contents = {**bundle.contents, "manifest.sig": (signed / "manifest.sig").read_bytes()}
    with pytest.raises(BundleRefused, match=r"'manifest\.sig', which its manifest\.json does not list"):
        write_bundle(tmp_path / "new", bundle.manifest, contents)
    listed = bundle.manifest.model_copy(update={"files": {**bundle.manifest.files, "manifest.sig": "0" * 64}})
    with pytest.raises(BundleRefused, match=r"files lists manifest\.sig itself"):
        write_bundle(tmp_path / "new", listed, contents)
    assert not (tmp_path / "new").exists()


def test_keys_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    """If it failed, everybody with an account on the machine could sign."""
    pair = generate(None)
    mask = os.umask(0)
    try:
        public = write_keys(tmp_path / "private.pem", pair)
    finally:
        os.umask(mask)
    assert public == tmp_path / "private.pem.pub"
    assert stat.S_IMODE((tmp_path / "private.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert (tmp_path / "private.pem").read_bytes() == pair.private_pem
    assert public.read_bytes() == pair.public_pem


@pytest.mark.parametrize("taken", ["k", "k.pub"])
@pytest.mark.parametrize("dangling", [False, True])
def test_no_key_is_overwritten(tmp_path: Path, taken: str, dangling: bool) -> None:
    """If it failed, a key that vouches for years of bundles would be lost by a repeated command."""
    if dangling:
        (tmp_path / taken).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / taken).write_text("a key")
    with pytest.raises(InvalidConfiguration, match=rf"{taken}: exists, and no key is ever overwritten"):
        write_keys(tmp_path / "k", generate(None))
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert dangling or (tmp_path / taken).read_text() == "a key"


def test_half_a_pair_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it failed, a full disk would leave a private key whose public half nobody has."""
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidConfiguration, match=r"k\.pub: cannot be written \(No space left"):
        write_keys(tmp_path / "k", generate(None))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidConfiguration, match="cannot be written"):
        write_keys(tmp_path / "absent" / "k", generate(None))


def test_signing_is_repeatable(signed: Path, signer: Signer) -> None:
    """If it failed, signing twice would look like a change to whoever compares copies of a bundle."""
    before = (signed / "manifest.sig").read_bytes()
    signer.sign(signed)
    assert (signed / "manifest.sig").read_bytes() == before


def test_signatures_are_over_the_manifest_and_nothing_else(signed: Path, signer: Signer) -> None:
    """If it failed, docs/signing.md would tell auditors to check something else than what is signed."""
    signature = Signature(signer.id, signer.private.sign((signed / "manifest.json").read_bytes()))
    assert (signed / "manifest.sig").read_bytes() == signature.line()
    assert sign_bundle(signed, signer.private).signature == signature
