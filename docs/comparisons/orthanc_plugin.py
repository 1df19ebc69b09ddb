"""What a hospital might build instead of `bonedge watch`: Orthanc's stored-instance callback running the same pipeline.

Loaded by Orthanc's Python plugin, see orthanc.py. The pipeline, the bundle and the writer are bonedge's own; what
Orthanc stands in for is intake, storage and whatever happens around a picture.
"""

from __future__ import annotations

import os
import site
from pathlib import Path
from typing import Any

site.addsitedir(os.environ["BONEDGE_SITE"])

import orthanc

from bonedge.edge.bundle import open_bundle
from bonedge.edge.decode.formats import decode
from bonedge.edge.engines import load
from bonedge.edge.errors import UnreadableImage
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.trust import Trust
from bonedge.edge.write import write_examination

_OUTPUT = Path(os.environ["BONEDGE_OUTPUT"])
_BUNDLE = open_bundle(Path(os.environ["BONEDGE_BUNDLE"]), Trust())
_PIPELINE = Pipeline(_BUNDLE, load(_BUNDLE, os.environ["BONEDGE_ENGINE"], threads=int(os.environ["BONEDGE_THREADS"])))


def on_stored_instance(instance: Any, instance_id: str) -> None:
    """Examine the picture before the sender is told that it was stored."""
    data = bytes(instance.GetInstanceData())
    try:
        # In this process: what a native codec does to a hostile file, it does to Orthanc.
        radiograph = decode(data, os.urandom(32).hex(), _PIPELINE.working_px)
    except UnreadableImage as error:
        orthanc.LogWarning(str(error))
        return
    write_examination(_OUTPUT, _PIPELINE.examine(radiograph), _BUNDLE, _PIPELINE.networks.description)


orthanc.RegisterOnStoredInstanceCallback(on_stored_instance)
