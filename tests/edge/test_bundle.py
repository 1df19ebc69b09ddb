"""A bundle is loaded exactly as it was made, or refused with one line that says what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonedge.edge import bundle as module
from bonedge.edge.bundle import Bundle, check_destination, digests, write_bundle
from bonedge.edge.errors import BundleRefused
from bonedge.edge.manifest import Abstention, Manifest, Networks, Training

CONTENTS = {
    "segmenter.tflite": b"segmenter's bytes",
    "classifier.tflite": b"classifier's bytes",
    "passport.json": b"{}",
}


def manifest(contents: dict[str, bytes] = CONTENTS, **changes: Any) -> Manifest:
    """A manifest that describes `contents`."""
    described: dict[str, Any] = {
        "name": "paper",
        "version": "1",
        "created": "2026-01-01T00:00:00Z",
        "abstention": Abstention(feature_mean=(0.0, 1.0), feature_basis=((1.0, 0.0),), maximum_distance=3.0),
        "training": Training(data="none"),
        "networks": (
            Networks(
                engine="tflite", precision="int8", segmenter=("segmenter.tflite",), classifier=("classifier.tflite",)
            ),
        ),
        "files": digests(contents),
    }
    return Manifest(**described | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An intact bundle."""
    write_bundle(tmp_path / "bundle", manifest(), CONTENTS)
    return tmp_path / "bundle"


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change manifest.json as a person with an editor would."""
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def swap_for_link(path: Path) -> None:
    """The same bytes, behind a symbolic link."""
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def swap_for_pipe(path: Path) -> None:
    """A named pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def swap_for_folder(path: Path) -> None:
    """A folder of the same name."""
    path.unlink()
    path.mkdir()


def flip_a_bit(path: Path) -> None:
    """One bit, same size."""
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


TAMPERINGS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "flipped bit": (lambda f: flip_a_bit(f / "segmenter.tflite"), "segmenter.tflite was altered or damaged"),
    "truncated": (lambda f: os.truncate(f / "classifier.tflite", 4), "classifier.tflite was altered or damaged"),
    "extra file": (lambda f: (f / "notes.txt").write_text("hi"), "holds 'notes.txt', which its manifest.json does not"),
    "extra hidden file": (lambda f: (f / ".DS_Store").write_text(""), "holds '.DS_Store'"),
    "extra folder": (lambda f: (f / "sub").mkdir(), "holds 'sub'"),
    "missing file": (lambda f: (f / "passport.json").unlink(), "'passport.json' is missing"),
    "missing manifest": (lambda f: (f / "manifest.json").unlink(), "is not a bundle: it has no manifest.json"),
    "symbolic link": (lambda f: swap_for_link(f / "segmenter.tflite"), "segmenter.tflite is a symbolic link"),
    "linked manifest": (lambda f: swap_for_link(f / "manifest.json"), "manifest.json is a symbolic link"),
    "named pipe": (lambda f: swap_for_pipe(f / "segmenter.tflite"), "segmenter.tflite is not a regular file"),
    "folder for a file": (lambda f: swap_for_folder(f / "segmenter.tflite"), "segmenter.tflite .*(regular|directory)"),
    "unknown field": (lambda f: edit(f, lambda m: m.update(gates={})), "manifest.json: gates: extra inputs"),
    "unknown nested field": (
        lambda f: edit(f, lambda m: m["decision"].update(treshold=0.5)),
        "manifest.json: decision.treshold: extra inputs",
    ),
    "later schema": (lambda f: edit(f, lambda m: m.update(schema_version=2)), "manifest.json: schema_version: "),
    "number as text": (
        lambda f: edit(f, lambda m: m["decision"].update(tumour_threshold="0.5")),
        "decision.tumour_threshold: input should be a valid number",
    ),
    "wrong digest": (
        lambda f: edit(f, lambda m: m["files"].update({"segmenter.tflite": "0" * 64})),
        "segmenter.tflite was altered or damaged",
    ),
    "digest that is none": (lambda f: edit(f, lambda m: m["files"].update({"a": "x"})), "files.a: string should match"),
    "not JSON": (lambda f: (f / "manifest.json").write_text("{"), "manifest.json: invalid JSON"),
    "not text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe\x00"), "manifest.json: invalid JSON"),
    "not an object": (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json: .* object"),
    "nested without end": (lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest.json: "),
    "path traversal": (
        lambda f: edit(f, lambda m: m["files"].update({"../bundle/segmenter.tflite": "0" * 64})),
        r"files\.\.\./bundle/segmenter\.tflite.*should match",
    ),
    "lists the manifest": (
        lambda f: edit(f, lambda m: m["files"].update({"manifest.json": "0" * 64})),
        "files lists manifest.json itself",
    ),
    "network without its file": (
        lambda f: edit(f, lambda m: m["networks"][0].update(segmenter=["other.tflite"])),
        "the tflite segmenter needs 'other.tflite', which files does not list",
    ),
    "network of another format": (
        lambda f: edit(f, lambda m: m["networks"][0].update(engine="openvino")),
        "the openvino segmenter needs files that end in .xml, .bin",
    ),
    "engine twice": (lambda f: edit(f, lambda m: m["networks"].append(m["networks"][0])), "names an engine twice"),
    "ragged feature basis": (
        lambda f: edit(f, lambda m: m["abstention"].update(feature_basis=[[1.0]])),
        "abstention.feature_basis does not have one column per number",
    ),
    "gone": (lambda f: f.rename(f.parent / "moved"), "cannot be opened: no such file"),
    "a file": (lambda f: (f.rename(f.parent / "moved"), f.write_text("")), "cannot be opened: not a directory"),
}


@pytest.mark.parametrize(("tamper", "says"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_tampering_is_refused_in_one_line(folder: Path, tamper: Callable[[Path], Any], says: str) -> None:
    """An altered or incomplete bundle would give verdicts, or be refused without the user learning why."""
    Bundle.open(folder)
    tamper(folder)
    with pytest.raises(BundleRefused, match=says) as refusal:
        Bundle.open(folder)
    assert "\n" not in str(refusal.value)
    assert "bundle" in str(refusal.value)


def test_loads_the_bytes_that_were_checked(folder: Path) -> None:
    """A file swapped between the check and the loading would be run unchecked."""
    opened = Bundle.open(folder)
    for path in folder.iterdir():
        path.write_bytes(b"swapped")
    assert dict(opened.contents) == CONTENTS
    assert opened.manifest == manifest()
    with pytest.raises(TypeError):
        opened.contents["segmenter.tflite"] = b"other"  # type: ignore[index]


def test_the_digest_is_the_manifests(folder: Path) -> None:
    """`sha256sum manifest.json` would not tell which bundle a stored result came from."""
    assert Bundle.open(folder).digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_a_linked_bundle_folder_is_fine(folder: Path) -> None:
    """Sites that switch versions through a link `current` could not run."""
    (folder.parent / "current").symlink_to(folder)
    assert dict(Bundle.open(folder.parent / "current").contents) == CONTENTS


def test_oversized_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file of a terabyte would exhaust the workstation's memory."""
    monkeypatch.setattr(module, "CONTENTS_LIMIT_BYTES", sum(map(len, CONTENTS.values())))
    Bundle.open(folder)
    os.truncate(folder / "segmenter.tflite", 2**40)
    with pytest.raises(BundleRefused, match="larger than bonedge loads"):
        Bundle.open(folder)


def test_no_runtime_sees_a_bundle_that_is_refused(folder: Path) -> None:
    """Hostile bytes would reach a parser written in C++ before anyone checked their digest."""
    flip_a_bit(folder / "segmenter.tflite")
    script = """
import sys
from pathlib import Path
from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load
from bonedge.edge.errors import BundleRefused
try:
    load(Bundle.open(Path(sys.argv[1])))
except BundleRefused as refusal:
    print(refusal)
print([name for name in sys.modules if name.split(".")[0] in ("openvino", "ai_edge_litert", "tflite_runtime")])
"""
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    refusal, runtimes = done.stdout.splitlines()
    assert "was altered" in refusal
    assert runtimes == "[]"


def test_writing_refuses_contents_that_the_manifest_does_not_describe(tmp_path: Path) -> None:
    """A bundle that nobody can open would be written after hours of conversion."""
    with pytest.raises(BundleRefused, match="was altered"):
        write_bundle(tmp_path / "bundle", manifest(), CONTENTS | {"passport.json": b"other"})
    with pytest.raises(BundleRefused, match=r"'passport.json' is missing"):
        write_bundle(tmp_path / "bundle", manifest(), {n: b for n, b in CONTENTS.items() if n != "passport.json"})
    assert list(tmp_path.iterdir()) == []


def test_replaces_a_bundle_whole(folder: Path) -> None:
    """Converting again to the same folder would leave a mixture of two bundles, or litter beside it."""
    newer = {name: content + b", newer" for name, content in CONTENTS.items() if name != "passport.json"}
    written = write_bundle(folder, manifest(newer), newer)
    assert written.folder == folder
    assert Bundle.open(folder) == written
    assert dict(written.contents) == newer
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_replaces_a_damaged_bundle_and_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    """The refusal of a damaged bundle says to convert again, which would then be refused as well."""
    flip_a_bit(folder / "segmenter.tflite")
    (tmp_path / "empty").mkdir()
    for destination in (folder, tmp_path / "empty", tmp_path / "new" / "deeper"):
        write_bundle(destination, manifest(), CONTENTS)
        assert dict(Bundle.open(destination).contents) == CONTENTS


def test_never_replaces_anything_else(folder: Path, tmp_path: Path) -> None:
    """`--output ~` would delete somebody's files."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / "manifest.json").write_text('{"manifest_version": 3}')
    (folder / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for name, says in {
        "photos": "is not a bundle, so it is not overwritten",
        "extension": "does not hold a bundle that can be replaced",
        "bundle": r"'thesis.tex', which its manifest.json does not list",
        "file": "not a directory",
    }.items():
        with pytest.raises(BundleRefused, match=says):
            check_destination(tmp_path / name)
        with pytest.raises(BundleRefused, match=says):
            write_bundle(tmp_path / name, manifest(), CONTENTS)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_failed_replacement_leaves_the_old_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workstation would be left without a working bundle by a failed update."""
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    newer = {name: content + b", newer" for name, content in CONTENTS.items()}
    with pytest.raises(OSError, match="No space"):
        write_bundle(folder, manifest(newer), newer)
    assert dict(Bundle.open(folder).contents) == CONTENTS
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]
