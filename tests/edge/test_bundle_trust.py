"""With a key configured, nothing that the key's owner did not sign gets past `Bundle.open`, or near a parser."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.engines import load, openvino, tflite
from bonedge.edge.errors import BundleRefused, InvalidConfiguration
from bonedge.edge.keys import generate
from bonedge.edge.manifest import Manifest
from bonedge.edge.trust import Trust

from .conftest import Signer

MODEL_FILES = ("segmenter.xml", "segmenter.bin", "classifier.xml", "classifier.bin")
FILES = ("manifest.json", "manifest.sig", *MODEL_FILES)


class Counts:
    """How often something that interprets a bundle's bytes was reached."""

    manifest = 0
    engine = 0


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Counts on the manifest's parser and on both engines' loaders, which still do their work."""
    counts = Counts()
    parse = Manifest.model_validate_json

    def parsing(*arguments: Any, **options: Any) -> Any:
        counts.manifest += 1
        return parse(*arguments, **options)

    monkeypatch.setattr(Manifest, "model_validate_json", parsing)
    for engine in (openvino, tflite):

        def loading(*arguments: Any, real: Callable[..., Any] = engine.load) -> Any:
            counts.engine += 1
            return real(*arguments)

        monkeypatch.setattr(engine, "load", loading)
    return counts


def refusal(folder: Path, trust: Trust) -> str:
    """Why the bundle is not run."""
    with pytest.raises(BundleRefused) as caught:
        load(Bundle.open(folder, trust=trust), "openvino")
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def flip(path: Path, index: int, mask: int) -> bytes:
    """Change one byte; returns what the file held before."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[index] ^= mask
    path.write_bytes(changed)
    return before


def test_the_counters_count(signed: Path, signer: Signer, reached: Counts) -> None:
    """If it failed, the tests below would prove nothing."""
    load(Bundle.open(signed, trust=Trust(signer.public)), "openvino")
    assert (reached.manifest, reached.engine) == (1, 2)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(FILES), mask=st.integers(1, 255))
def test_one_flipped_byte_anywhere_is_refused(
    signed: Path, signer: Signer, reached: Counts, data: st.DataObject, name: str, mask: int
) -> None:
    """If it failed, one altered weight, threshold or digit could change verdicts unnoticed."""
    path = signed / name
    index = data.draw(st.integers(0, path.stat().st_size - 1))
    reached.manifest = reached.engine = 0
    before = flip(path, index, mask)
    try:
        message = refusal(signed, Trust(signer.public))
    finally:
        path.write_bytes(before)
    assert reached.engine == 0
    if name in MODEL_FILES:
        assert f"{name} was altered or damaged" in message
    else:
        assert reached.manifest == 0


def test_every_byte_of_the_signature_counts(signed: Path, signer: Signer, reached: Counts) -> None:
    """If it failed, a bundle could carry another signer's name, or there would be two signatures for one bundle."""
    path = signed / "manifest.sig"
    for index in range(path.stat().st_size):
        for mask in (1, 0x20, 0x80):
            before = flip(path, index, mask)
            refusal(signed, Trust(signer.public))
            path.write_bytes(before)
    assert (reached.manifest, reached.engine) == (0, 0)
    assert Bundle.open(signed, trust=Trust(signer.public)).verified


def link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SIGNATURE_TAMPERINGS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "removed": (lambda s: s.unlink(), "is not signed, and a key is demanded"),
    "renamed": (lambda s: s.rename(s.with_name("manifest.sig.bak")), "is not signed"),
    "empty": (lambda s: s.write_bytes(b""), "manifest.sig is damaged"),
    "truncated": (lambda s: os.truncate(s, 100), "manifest.sig is damaged"),
    "a little longer": (lambda s: s.write_bytes(s.read_bytes() + b"0"), "manifest.sig is damaged"),
    "endless": (lambda s: os.truncate(s, 2**40), "manifest.sig makes the bundle larger than bonedge loads"),
    "a link": (link, "manifest.sig is a symbolic link"),
    "a named pipe": (pipe, "manifest.sig is not a regular file"),
    "a folder": (become_folder, "manifest.sig "),
    "all zeros": (lambda s: s.write_bytes(s.read_bytes()[:41] + b"0" * 128 + b"\n"), "does not fit"),
}


@pytest.mark.parametrize(("tamper", "says"), SIGNATURE_TAMPERINGS.values(), ids=SIGNATURE_TAMPERINGS.keys())
def test_a_signature_that_is_none_is_refused(
    signed: Path, signer: Signer, reached: Counts, tamper: Callable[[Path], Any], says: str
) -> None:
    """If it failed, taking the signature away would take the check away, or hang the workstation."""
    tamper(signed / "manifest.sig")
    assert says in refusal(signed, Trust(signer.public))
    assert (reached.manifest, reached.engine) == (0, 0)


@pytest.mark.parametrize("name", [name for name in SIGNATURE_TAMPERINGS if name not in ("removed", "all zeros")])
def test_a_signature_that_is_none_is_refused_without_a_key_too(signed: Path, reached: Counts, name: str) -> None:
    """If it failed, manifest.sig would be the one name under which anything may lie in a bundle."""
    SIGNATURE_TAMPERINGS[name][0](signed / "manifest.sig")
    refusal(signed, Trust())
    assert reached.engine == 0


BUNDLE_TAMPERINGS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "extra file": (lambda f: (f / "notes.txt").write_text("hi"), "holds 'notes.txt'"),
    "second signature": (lambda f: shutil.copy(f / "manifest.sig", f / "manifest.sig2"), "holds 'manifest.sig2'"),
    "signature in capitals": (lambda f: shutil.copy(f / "manifest.sig", f / "MANIFEST.SIG"), "holds 'MANIFEST.SIG'"),
    "prepared signature": (lambda f: (f / ".x.part").write_text(""), "holds '.x.part'"),
    "missing file": (lambda f: (f / "segmenter.bin").unlink(), "'segmenter.bin' is missing"),
    "linked file": (lambda f: link(f / "segmenter.bin"), "segmenter.bin is a symbolic link"),
    "named pipe": (lambda f: pipe(f / "segmenter.bin"), "segmenter.bin is not a regular file"),
    "swapped files": (lambda f: shutil.copy(f / "classifier.bin", f / "segmenter.bin"), "segmenter.bin was altered"),
}


@pytest.mark.parametrize(("tamper", "says"), BUNDLE_TAMPERINGS.values(), ids=BUNDLE_TAMPERINGS.keys())
def test_a_signature_excuses_nothing_else(
    signed: Path, signer: Signer, reached: Counts, tamper: Callable[[Path], Any], says: str
) -> None:
    """If it failed, the file set of a signed bundle would be checked less than that of an unsigned one."""
    tamper(signed)
    assert says in refusal(signed, Trust(signer.public))
    assert reached.engine == 0


def test_weights_and_digests_changed_together_are_refused(signed: Path, signer: Signer, reached: Counts) -> None:
    """If it failed, whoever can write the folder could replace the model and make the digests fit."""
    content = bytes(len((signed / "segmenter.bin").read_bytes()))
    (signed / "segmenter.bin").write_bytes(content)
    edit(signed, lambda m: m["files"].update({"segmenter.bin": hashlib.sha256(content).hexdigest()}))
    assert "does not fit its manifest.json" in refusal(signed, Trust(signer.public))
    assert (reached.manifest, reached.engine) == (0, 0)
    assert not Bundle.open(signed).verified


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe\0", b'{"schema_version": 1}'],
    ids=["empty", "cut", "nested", "no text", "incomplete"],
)
def test_hostile_manifests_are_not_even_parsed(signed: Path, signer: Signer, reached: Counts, content: bytes) -> None:
    """If it failed, a defect of the JSON parser could be used by whoever can write the folder."""
    (signed / "manifest.json").write_bytes(content)
    assert "does not fit its manifest.json" in refusal(signed, Trust(signer.public))
    assert reached.manifest == 0


def test_the_same_manifest_in_another_spelling_is_refused(signed: Path, signer: Signer, reached: Counts) -> None:
    """If it failed, the bytes that were signed would not be the bytes that are read."""
    edit(signed, lambda m: None)
    refusal(signed, Trust(signer.public))
    assert reached.manifest == 0


def test_a_strangers_signature_is_refused_by_name(
    signed: Path, signer: Signer, stranger: Signer, reached: Counts
) -> None:
    """If it failed, anybody's key would do, or the user would not learn whose it is."""
    stranger.sign(signed)
    message = refusal(signed, Trust(signer.public))
    assert f"wrong key: {stranger.id}, where {signer.id} is trusted" in message
    forged = (signed / "manifest.sig").read_text().replace(stranger.id, signer.id)
    (signed / "manifest.sig").write_text(forged)
    reached.manifest = 0
    assert "does not fit" in refusal(signed, Trust(signer.public))
    assert (reached.manifest, reached.engine) == (0, 0)


def test_the_signature_of_another_bundle_is_refused(
    signed: Path, signer: Signer, tmp_path: Path, reached: Counts
) -> None:
    """If it failed, one signature would vouch for whatever it is copied beside."""
    opened = Bundle.open(signed)
    other = write_bundle(
        tmp_path / "other", opened.manifest.model_copy(update={"name": "other"}), opened.contents
    ).folder
    shutil.copy(signed / "manifest.sig", other)
    reached.manifest = 0
    assert "belongs to another bundle" in refusal(other, Trust(signer.public))
    assert (reached.manifest, reached.engine) == (0, 0)


def test_an_old_bundle_with_its_own_signature_is_refused_under_a_minimum(
    signed: Path, signer: Signer, tmp_path: Path, reached: Counts
) -> None:
    """If it failed, a withdrawn model could be brought back, for its signature stays valid for ever."""
    opened = Bundle.open(signed)
    newer = write_bundle(
        tmp_path / "newer", opened.manifest.model_copy(update={"version": "1.10"}), opened.contents
    ).folder
    signer.sign(newer)
    trust = Trust(signer.public, "1.9")
    assert Bundle.open(newer, trust=trust).verified
    assert "is version 1, older than the minimum 1.9" in refusal(signed, trust)
    edit(signed, lambda m: m.update(version="1.10"))
    assert "does not fit" in refusal(signed, trust)
    assert reached.engine == 0


def test_a_version_that_cannot_be_compared_is_said(signed: Path, signer: Signer, tmp_path: Path) -> None:
    """If it failed, a version like `final` would satisfy any minimum, or end in a traceback."""
    opened = Bundle.open(signed)
    odd = write_bundle(
        tmp_path / "odd", opened.manifest.model_copy(update={"version": "final\x1b[2J"}), opened.contents
    ).folder
    signer.sign(odd)
    message = refusal(odd, Trust(signer.public, "1"))
    assert "cannot be compared with the minimum 1" in message
    assert message.isprintable()
    assert Bundle.open(odd, trust=Trust(signer.public)).verified


def test_the_key_is_read_before_the_bundle(tiny_bundle: Path, tmp_path: Path, reached: Counts) -> None:
    """If it failed, a mistyped key would be reported as a broken bundle, or not at all."""
    for trust in (Trust(tmp_path / "absent"), Trust(b""), Trust(generate(None).private_pem), Trust(None, "newest")):
        for folder in (tiny_bundle, tmp_path / "no bundle"):
            with pytest.raises(InvalidConfiguration):
                Bundle.open(folder, trust=trust)
    assert reached.manifest == 0


def test_what_is_run_is_what_was_verified(signed: Path, signer: Signer, tmp_path: Path) -> None:
    """If it failed, files swapped after the check would be run under the signature of others."""
    expected = {name: (signed / name).read_bytes() for name in MODEL_FILES}
    opened = Bundle.open(signed, trust=Trust(signer.public))
    for path in signed.iterdir():
        path.write_bytes(b"swapped")
    assert dict(opened.contents) == expected
    load(opened, "openvino")
