"""What a comparison was made with, so that its page says which bundle or pair its figures are of."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bonedge.edge.bundle import open_bundle
from bonedge.edge.trust import Trust


def of_bundle(folder: Path) -> str:
    """The folder, the beginning of the digest that `bonedge bundle show` prints, and the day it was made.

    Raises:
        BundleRefused: it is not whole.
    """
    bundle = open_bundle(folder, Trust())
    return f"`{folder}` (digest {bundle.digest[:16]}, made {bundle.manifest.created[:10]})"


def of_pair(models: Path) -> str:
    """Beginnings of the SHA-256 of the Keras models `models`/segmenter.keras and classifier.keras."""
    return " and ".join(
        f"{name}.keras (SHA-256 {hashlib.sha256((models / f'{name}.keras').read_bytes()).hexdigest()[:16]})"
        for name in ("segmenter", "classifier")
    )
