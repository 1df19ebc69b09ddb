"""The model bundle: a folder that is loaded exactly as it was made, or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from .errors import BundleRefused
from .files import sync_folder
from .folder import AGAIN, held, some
from .manifest import Manifest
from .signature import SIGNATURE, SIGNATURE_LIMIT_BYTES, Signature, read_signature
from .trust import Trust

MANIFEST = "manifest.json"
MANIFEST_LIMIT_BYTES = 16 * 2**20
"""A manifest is a few hundred kB at most (the feature basis); more is an attack or an accident."""
CONTENTS_LIMIT_BYTES = 2**30
"""Of all other files together; they are held in memory. The released bundle is under 40 MB."""
_FILES_PER_NETWORK = {"tflite": (".tflite",), "openvino": (".xml", ".bin")}


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every byte was checked, in memory: nothing is read from the folder again."""

    folder: Path
    manifest: Manifest
    digest: str
    """SHA-256 of manifest.json, lower-case hexadecimal. Through the manifest it names the whole bundle."""
    contents: Mapping[str, bytes]
    """Every file except manifest.json and manifest.sig: the very bytes whose digests were checked."""
    signature: Signature | None = None
    """What manifest.sig says; None when there is none. A mere claim unless `verified`."""
    verified: bool = False
    """Whether a trusted key verified the signature over the very bytes that became `manifest`."""

    @classmethod
    def open(cls, folder: Path, *, trust: Trust = Trust()) -> Bundle:  # noqa: B008 - frozen
        """Check `folder` and load it; no runtime is involved.

        First that manifest.json and manifest.sig are regular files of a sane size, then the signature, if one is
        demanded, over manifest.json as it was read; only then are these bytes parsed. Schema, version and exact file
        set follow, and each file's type, size and digest before anyone else gets to see it.

        Args:
            folder: of the bundle.
            trust: what is demanded of it, besides that it is whole.

        Raises:
            BundleRefused: anything is missing, extra, altered, too large, not as the schema says, or not as demanded.
            InvalidConfiguration: the key or the version that `trust` names is not one.
        """
        demands = trust.demands()
        with held(folder) as files:
            if MANIFEST not in files.names:
                raise BundleRefused(
                    f"{folder} is not a bundle: it has no {MANIFEST}; give the folder that 'bonedge convert' wrote"
                )
            raw = files.read(MANIFEST, MANIFEST_LIMIT_BYTES)
            signature = None
            if SIGNATURE in files.names:
                signature = read_signature(folder / SIGNATURE, files.read(SIGNATURE, SIGNATURE_LIMIT_BYTES))
            verified = demands.check_signature(folder, raw, signature)
            manifest = _parse(folder, raw)
            demands.check_version(folder, manifest.version)
            _check_file_set(folder, files.names - {MANIFEST, SIGNATURE}, manifest)
            remaining = CONTENTS_LIMIT_BYTES
            contents: dict[str, bytes] = {}
            for name, expected in manifest.files.items():
                contents[name] = files.read(name, remaining)
                remaining -= len(contents[name])
                if _digest(contents[name]) != expected:
                    raise BundleRefused(
                        f"{folder / name} was altered or damaged: its SHA-256 is not the one in {MANIFEST}; {AGAIN}"
                    )
        return cls(folder, manifest, _digest(raw), MappingProxyType(contents), signature, verified)


def open_bundle(folder: Path | None, trust: Trust) -> Bundle:
    """The bundle in `folder`, or the released one when there is None: `Bundle.open`, for commands."""
    return Bundle.open(bundled_default() if folder is None else folder, trust=trust)


def write_bundle(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    """Write an unsigned bundle so that `folder` holds a whole, durable bundle or is as it was before.

    The files are written and synced in a temporary folder beside `folder`, opened there as a reader would, and renamed
    into place. An existing bundle is first moved aside, and moved back if the renaming fails; a crash exactly between
    the two renamings leaves it under the name `.<folder>.<random>.old`.
    A signature goes with the bundle that it was of.

    Args:
        folder: destination; missing parents are made. A symbolic link is followed.
        manifest: its `files` are exactly the names in `contents` with their digests (see `digests`).
        contents: every file but manifest.json.

    Raises:
        BundleRefused: the manifest does not describe `contents`, or `folder` holds something that is not a bundle's.
        OSError: the disk is full or not writable; nothing is left behind.
    """
    folder = folder.resolve()
    check_destination(folder)
    # Before writing, so that no name outside the schema becomes a path.
    _check_file_set(folder, set(contents), manifest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        for name, content in {**contents, MANIFEST: manifest.model_dump_json(indent=1).encode()}.items():
            _write_synced(temporary / name, content)
        temporary.chmod(0o755)
        sync_folder(temporary)
        written = Bundle.open(temporary)
        _move_into_place(temporary, folder)
    except BaseException:
        _remove_flat(temporary)
        raise
    return replace(written, folder=folder)


def digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """The `files` entry of a manifest: file name -> SHA-256, lower-case hexadecimal."""
    return {name: _digest(content) for name, content in sorted(contents.items())}


def check_destination(folder: Path) -> None:
    """Refuse a folder that `write_bundle` would not replace; to be called before hours of work, too.

    A folder that does not exist, an empty one, and a bundle (each entry is manifest.json, named in it, or manifest.sig,
    whatever the state of the files) can be replaced.

    Raises:
        BundleRefused: it is a file, or holds anything that a bundle does not list.
    """
    if not os.path.lexists(folder):
        return
    with held(folder) as files:
        if not files.names:
            return
        advice = "give another --output, or empty that folder yourself"
        if MANIFEST not in files.names:
            raise BundleRefused(f"{folder} is not empty and is not a bundle, so it is not overwritten; {advice}")
        try:
            known = set(_parse(folder, files.read(MANIFEST, MANIFEST_LIMIT_BYTES)).files)
        except BundleRefused as error:
            raise BundleRefused(f"{folder} does not hold a bundle that can be replaced ({error}); {advice}") from error
        foreign = sorted(files.names - known - {MANIFEST, SIGNATURE})
        if foreign:
            raise BundleRefused(f"{folder} holds {some(foreign)}, which its {MANIFEST} does not list; {advice}")


def bundled_default() -> Path:
    """The folder of the released bundle that is installed with bonedge.

    It is package data of `bonedge.models`, whose code is not imported: finding a module's specification runs nothing
    but the parent's (empty) namespace, and points at the source folder in editable installs and at site-packages
    in others.

    Raises:
        BundleRefused: this installation carries no released bundle.
    """
    specification = importlib.util.find_spec("bonedge.models")
    for location in (specification.submodule_search_locations or ()) if specification else ():
        folder = Path(location) / "released" / "bundle"
        if (folder / MANIFEST).is_file():
            return folder
    raise BundleRefused("this installation of bonedge carries no model bundle; give one with --bundle FOLDER")


def _parse(folder: Path, raw: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(raw, strict=True)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_context=False, include_input=False)
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {len(others)} more)" if others else ""
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise BundleRefused(
            f"{folder / MANIFEST}: {place + ': ' if place else ''}{message}{more}; "
            "use a bundle made for this version of bonedge"
        ) from error
    problem = _contradiction(manifest)
    if problem:
        raise BundleRefused(f"{folder / MANIFEST}: {problem}; convert the bundle again")
    return manifest


def _contradiction(manifest: Manifest) -> str | None:
    """What the schema alone cannot say."""
    for name in (MANIFEST, SIGNATURE):
        if name in manifest.files:
            return f"files lists {name} itself"
    engines = [networks.engine for networks in manifest.networks]
    if len(set(engines)) < len(engines):
        return "networks names an engine twice"
    for networks in manifest.networks:
        suffixes = _FILES_PER_NETWORK[networks.engine]
        for part, names in (("segmenter", networks.segmenter), ("classifier", networks.classifier)):
            if tuple(Path(name).suffix for name in names) != suffixes:
                return f"the {networks.engine} {part} needs files that end in {', '.join(suffixes)}, in this order"
            missing = [name for name in names if name not in manifest.files]
            if missing:
                return f"the {networks.engine} {part} needs {some(missing)}, which files does not list"
        unknown = [answer.picture for answer in networks.golden if answer.picture not in manifest.files]
        if unknown:
            return f"the golden answers of {networks.engine} need {some(unknown)}, which files does not list"
    features = len(manifest.abstention.feature_mean)
    if not features or any(len(row) != features for row in manifest.abstention.feature_basis):
        return "abstention.feature_basis does not have one column per number of abstention.feature_mean"
    return None


def _check_file_set(folder: Path, present: Set[str], manifest: Manifest) -> None:
    missing = sorted(set(manifest.files) - present)
    if missing:
        raise BundleRefused(f"bundle {folder} is incomplete: {some(missing)} is missing; {AGAIN}")
    extra = sorted(present - set(manifest.files))
    if extra:
        raise BundleRefused(f"bundle {folder} holds {some(extra)}, which its {MANIFEST} does not list; remove it")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())


def _move_into_place(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        sync_folder(folder.parent)
        return
    aside = temporary.with_suffix(".old")
    folder.rename(aside)
    try:
        temporary.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    sync_folder(folder.parent)
    _remove_flat(aside)


def _remove_flat(folder: Path) -> None:
    """Remove a folder of files; never descends, so that it can only remove what a bundle may hold."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
