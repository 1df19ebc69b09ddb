"""Files and numbers -> a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bonedge.edge.bundle import MANIFEST, Bundle, digests
from bonedge.edge.manifest import EngineName, Manifest, Networks, Precision

from .candidates import Candidate
from .trained import Operation


def candidate(
    name: str,
    engine: EngineName,
    precision: Precision,
    segmenter: Sequence[bytes],
    classifier: Sequence[bytes],
) -> Candidate:
    """Name the files of a pair. `segmenter`, `classifier`: (.tflite) or (.xml, .bin)."""
    suffixes = {"tflite": (".tflite",), "openvino": (".xml", ".bin")}[engine]
    files: dict[str, tuple[str, ...]] = {}
    contents: dict[str, bytes] = {}
    for network, parts in (("segmenter", segmenter), ("classifier", classifier)):
        files[network] = tuple(f"{network}{suffix}" for suffix in suffixes)
        contents |= dict(zip(files[network], parts, strict=True))
    networks = Networks(
        engine=engine, precision=precision, segmenter=files["segmenter"], classifier=files["classifier"]
    )
    return Candidate(name, networks, contents)


def assemble(
    operation: Operation,
    candidates: Sequence[Candidate],
    extra: Mapping[str, bytes],
    *,
    name: str,
    version: str,
    created: str,
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of a bundle, and all its other files.

    Args:
        operation: of the trained pair.
        candidates: at most one per engine; file names do not repeat between engines.
        extra: further files, such as calibration.json.
        name: of the bundle.
        version: of the bundle.
        created: ISO 8601, UTC.
    """
    contents = dict(extra)
    for one in candidates:
        contents |= one.contents
    manifest = Manifest(
        name=name,
        version=version,
        created=created,
        preprocessing=operation.preprocessing,
        decision=operation.decision,
        abstention=operation.abstention,
        training=operation.training,
        networks=tuple(one.networks for one in candidates),
        files=digests(contents),
    )
    return manifest, contents


def in_memory(manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    """A bundle that was never written, to try a candidate with the runtime's own code."""
    raw = manifest.model_dump_json().encode()
    return Bundle(Path(f"({MANIFEST} in memory)"), manifest, hashlib.sha256(raw).hexdigest(), contents)
