"""What a workstation demands of a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from bonedge.edge.errors import BundleRefused, InvalidConfiguration
from bonedge.edge.keys import generate, read_private_key
from bonedge.edge.signature import Signature
from bonedge.edge.trust import Trust, read_version

FOLDER = Path("bundle")


def test_nothing_is_demanded_by_default() -> None:
    """If it failed, bonedge could not be used without making keys first."""
    demands = Trust().demands()
    assert demands.check_signature(FOLDER, b"{}", None) is False
    assert demands.check_signature(FOLDER, b"{}", Signature("0" * 32, bytes(64))) is False
    demands.check_version(FOLDER, "whatever")


@pytest.mark.parametrize("content", [b"", b"\n", b"# no key yet\n"])
def test_an_empty_key_demands_no_less_than_a_key(tmp_path: Path, content: bytes) -> None:
    """If it failed, truncating the key file would switch the check off."""
    (tmp_path / "k.pub").write_bytes(content)
    for key in (content, tmp_path / "k.pub"):
        with pytest.raises(InvalidConfiguration):
            Trust(key).demands()


def test_any_of_the_trusted_keys_will_do_and_no_other(tmp_path: Path) -> None:
    """If it failed, keys could not be replaced one after another, or a stranger's would be taken."""
    signatures, pairs = [], [generate(None) for _ in range(3)]
    for number, pair in enumerate(pairs):
        path = tmp_path / str(number)
        path.write_bytes(pair.private_pem)
        signatures.append(Signature(pair.id, read_private_key(path, lambda: b"").sign(b"manifest")))
    demands = Trust(pairs[0].public_pem + pairs[1].public_pem).demands()
    assert demands.check_signature(FOLDER, b"manifest", signatures[0])
    assert demands.check_signature(FOLDER, b"manifest", signatures[1])
    with pytest.raises(BundleRefused, match=f"wrong key: {pairs[2].id}, where {pairs[0].id} or {pairs[1].id}"):
        demands.check_signature(FOLDER, b"manifest", signatures[2])
    borrowed = Signature(pairs[0].id, signatures[2].value)
    with pytest.raises(BundleRefused, match=r"does not fit its manifest\.json"):
        demands.check_signature(FOLDER, b"manifest", borrowed)
    with pytest.raises(BundleRefused, match="is not signed, and a key is demanded"):
        demands.check_signature(FOLDER, b"manifest", None)


@pytest.mark.parametrize(
    ("minimum", "accepted", "refused"),
    [
        ("1.2", ["1.2", "1.2.0", "1.10", "2", "v1.2", "1.2+site", "1!0"], ["1.1", "1", "0.9.9", "1.2rc1", "1.2.dev3"]),
        ("1.2rc1", ["1.2rc1", "1.2rc2", "1.2"], ["1.2b1", "1.1.9"]),
        ("2026.3", ["2026.3.1", "2026.12"], ["2026.2", "2025.12"]),
    ],
)
def test_versions_are_compared_as_versions(minimum: str, accepted: list[str], refused: list[str]) -> None:
    """If it failed, 1.10 would be older than 1.9, or a release candidate as good as its release."""
    demands = Trust(minimum_version=minimum).demands()
    for version in accepted:
        demands.check_version(FOLDER, version)
    for version in refused:
        with pytest.raises(BundleRefused, match=r"older than the minimum .* that is demanded"):
            demands.check_version(FOLDER, version)


@pytest.mark.parametrize("version", ["", "latest", "1.2-final", "1..2", "9\n9", "\x1b[2J9", "9" * 5000])
def test_what_is_no_version_never_satisfies_a_minimum(version: str) -> None:
    """If it failed, a bundle could get past the minimum with a version that nobody can compare."""
    assert read_version(version) is None
    with pytest.raises(BundleRefused, match=r"cannot be compared with the minimum 1\.2") as refusal:
        Trust(minimum_version="1.2").demands().check_version(FOLDER, version)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 400


def test_a_minimum_that_is_no_version_is_a_mistake_in_the_configuration() -> None:
    """If it failed, a typing error would demand nothing."""
    with pytest.raises(InvalidConfiguration, match="minimum version 'newest' is not a version"):
        Trust(minimum_version="newest").demands()
