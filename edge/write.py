"""An examination becomes files: a mask, an overlay and, last, the result that names them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .errors import OutputUnavailable
from .files import write_together, write_whole
from .overlay import draw
from .records import NOTICE, BoundingBox, EngineDescription, Examination, Lesion

RESULT_SCHEMA_VERSION = 1
"""Of docs/result.schema.json."""
_KEY = b"bonedge result 1"


def write_examination(
    output: Path,
    examination: Examination,
    bundle: Bundle,
    engine: EngineDescription,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = perf_counter,
) -> dict[str, Any]:
    """Write `<result_id>.mask.png`, `<result_id>.overlay.png` and `<result_id>.json` into `output`.

    Each file appears whole or not at all, the JSON last: whoever sees it finds the files that it names. Neither the
    names nor the contents carry anything from the input's own name.

    Args:
        output: an existing folder.
        examination: what the pipeline found.
        bundle: what it was found with.
        engine: what ran it.
        now: the time, for the record.
        clock: seconds from any origin, for `timings_ms.write` (the pictures; not the JSON that reports it).

    Returns:
        The document, as docs/result.schema.json describes it.

    Raises:
        OutputUnavailable: the folder does not take the files.
    """
    begun = clock()
    name = result_id(examination.radiograph.source.sha256, bundle.digest)
    overlay, mask = f"{name}.overlay.png", f"{name}.mask.png"
    try:
        write_together(
            {
                output / mask: lambda: _png(examination.segmentation.mask.astype(np.uint8) * np.uint8(255), "NONE"),
                output / overlay: lambda: _png(draw(examination), "UP"),
            }
        )
        write_ms = 1000 * (clock() - begun)
        files = {"overlay": overlay, "mask": mask}
        document = describe(examination, bundle, engine, created=now(), write_ms=write_ms, files=files)
        write_whole(output / f"{name}.json", (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise OutputUnavailable(
            f"{output}: results cannot be written there ({error.strerror}); free space or give another --output"
        ) from error
    return document


def result_id(content_sha256: str, bundle_digest: str) -> str:
    """32 hexadecimal digits for a file's content under a bundle: the same again whenever both are the same.

    A keyed BLAKE2b, so that neither digest can be read off it.
    """
    joined = bytes.fromhex(content_sha256) + bytes.fromhex(bundle_digest)
    return hashlib.blake2b(joined, key=_KEY, digest_size=16).hexdigest()


def describe(
    examination: Examination,
    bundle: Bundle,
    engine: EngineDescription,
    *,
    created: datetime,
    write_ms: float,
    files: dict[str, str],
) -> dict[str, Any]:
    """The result document of docs/result.schema.json, in its order."""
    source, verdict, timings = examination.radiograph.source, examination.verdict, examination.timings_ms
    stages = {
        "decode": timings.decode,
        "preprocess": timings.preprocess,
        "segment": timings.segment,
        "classify": timings.classify,
        "write": timings.write + write_ms,
    }
    return {
        "schema_version": RESULT_SCHEMA_VERSION,
        "result_id": result_id(source.sha256, bundle.digest),
        "created": created.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": {
            "sha256": source.sha256,
            "sop_instance_uid": source.sop_instance_uid,
            "study_instance_uid": source.study_instance_uid,
            "rows": source.rows,
            "columns": source.columns,
            "pixel_spacing_mm": None if source.spacing is None else [source.spacing.row_mm, source.spacing.column_mm],
            "body_part": source.body_part,
        },
        "bundle": {"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest},
        "engine": {"name": engine.name, "device": engine.device, "precision": engine.precision},
        "verdict": {
            "label": verdict.label.value,
            "probabilities": {label.value: round(value, 6) for label, value in verdict.probabilities.items()},
            "reasons": list(verdict.reasons),
        },
        "lesions": [_lesion(lesion) for lesion in examination.segmentation.lesions],
        "timings_ms": {
            **{stage: round(value, 3) for stage, value in stages.items()},
            "total": round(sum(stages.values()), 3),
        },
        "files": files,
        "notice": NOTICE,
    }


def _lesion(lesion: Lesion) -> dict[str, Any]:
    return {
        "bounding_box_px": _box(lesion.box),
        "area_mm2": _rounded(lesion.area_mm2),
        "longest_diameter_mm": _rounded(lesion.longest_diameter_mm),
        "mean_probability": round(lesion.mean_probability, 4),
    }


def _box(box: BoundingBox) -> dict[str, int]:
    return {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}


def _rounded(value_mm: float | None) -> float | None:
    return None if value_mm is None else round(value_mm, 2)


def _png(pixels: NDArray[np.uint8], row_filter: Literal["NONE", "UP"]) -> bytes:
    """A PNG, quickly: which filter suits the rows (PNG, section 9) is said, for trying all takes half of the time."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # from OpenCV 4.12 on
        options += [cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_FILTER_{row_filter}")]
    _, encoded = cv2.imencode(".png", pixels, options)
    return encoded.tobytes()
