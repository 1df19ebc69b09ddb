"""Candidates and numbers -> a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bonedge.edge.bundle import MANIFEST, Bundle, digests
from bonedge.edge.manifest import Manifest, Networks

from .candidates import SUFFIXES, Candidate
from .trained import Operation

Pair = tuple[Candidate, Candidate]
"""(segmenter, classifier) of one engine."""


def assemble(
    operation: Operation, pairs: Sequence[Pair], extra: Mapping[str, bytes], *, name: str, version: str, created: str
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of a bundle, and all its other files.

    Args:
        operation: of the trained pair.
        pairs: at most one per engine.
        extra: further files, such as passport.json.
        name: of the bundle.
        version: of the bundle.
        created: ISO 8601, UTC.

    Raises:
        ValueError: the abstention is still to be fitted.
    """
    if operation.abstention is None:
        raise ValueError("a bundle needs to know when to abstain")
    contents = dict(extra)
    networks = []
    for segmenter, classifier in pairs:
        files: dict[str, tuple[str, ...]] = {}
        for one in (segmenter, classifier):
            files[one.network] = tuple(f"{one.network}{suffix}" for suffix in SUFFIXES[one.engine])
            contents |= dict(zip(files[one.network], one.files, strict=True))
        alike = segmenter.precision == classifier.precision
        networks.append(
            Networks(
                engine=segmenter.engine,
                precision=segmenter.precision if alike else "mixed",
                segmenter=files["segmenter"],
                classifier=files["classifier"],
                segmenter_recipe=segmenter.recipe,
                classifier_recipe=classifier.recipe,
            )
        )
    manifest = Manifest(
        name=name,
        version=version,
        created=created,
        preprocessing=operation.preprocessing,
        decision=operation.decision,
        abstention=operation.abstention,
        training=operation.training,
        networks=tuple(networks),
        files=digests(contents),
    )
    return manifest, contents


def in_memory(manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    """A bundle that was never written, to try candidates with the runtime's own code."""
    raw = manifest.model_dump_json().encode()
    return Bundle(Path(f"({MANIFEST} in memory)"), manifest, hashlib.sha256(raw).hexdigest(), contents)
