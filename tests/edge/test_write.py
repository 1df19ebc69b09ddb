"""What is left on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import Examination, Radiograph, Source, Spacing
from bonedge.edge.write import result_id, write_examination

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())


@pytest.fixture(scope="module")
def pipeline(tiny_bundle: Path) -> Pipeline:
    bundle = Bundle.open(tiny_bundle)
    return Pipeline(bundle, load(bundle, threads=1))


@pytest.fixture
def examine(pipeline: Pipeline, paint: Callable[..., Any]) -> Callable[..., Examination]:
    def examined(rows: int = 500, columns: int = 400, spacing: Spacing | None = None, **painted: Any) -> Examination:
        pixels = paint(rows, columns, **painted)
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        return pipeline.examine(Radiograph(pixels, Source(digest, rows, columns, spacing, "1.2.3", None, "CR", "KNEE")))

    return examined


def write(folder: Path, examination: Examination, pipeline: Pipeline) -> dict[str, Any]:
    return write_examination(folder, examination, pipeline.bundle, pipeline.networks.description)


@pytest.mark.parametrize("spacing", [None, Spacing(0.2, 0.1)])
@pytest.mark.parametrize(
    "painted", [{}, {"lesion": "malignant"}, {"bone": False}], ids=["normal", "malignant", "abstain"]
)
def test_the_document_is_as_published(
    tmp_path: Path,
    examine: Callable[..., Examination],
    pipeline: Pipeline,
    painted: dict[str, Any],
    spacing: Spacing | None,
) -> None:
    """If it failed, a program written against docs/result.schema.json would not understand our results."""
    document = write(tmp_path, examine(spacing=spacing, **painted), pipeline)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert json.loads((tmp_path / f"{document['result_id']}.json").read_text()) == document
    assert list(document) == SCHEMA["required"]
    names = {f"{document['result_id']}.json", *document["files"].values()}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_schema_refuses_what_we_never_write(
    tmp_path: Path, examine: Callable[..., Examination], pipeline: Pipeline
) -> None:
    """If it failed, the published schema would accept anything and so promise nothing."""
    document = write(tmp_path, examine(lesion="benign"), pipeline)
    for change in (
        {"patient_name": "x"},
        {"result_id": "../../etc"},
        {"verdict": {**document["verdict"], "label": "cancer"}},
        {"source": {**document["source"], "file_name": "smith.dcm"}},
        {"files": {**document["files"], "overlay": "/tmp/overlay.png"}},
        {"lesions": [{**document["lesions"][0], "area_mm2": -1}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | change, SCHEMA)


def test_the_mask_is_the_lesion_at_the_original_size(
    tmp_path: Path, examine: Callable[..., Examination], pipeline: Pipeline
) -> None:
    """If it failed, the mask file could not be laid over the radiograph."""
    examination = examine(1234, 777, lesion="malignant")
    document = write(tmp_path, examination, pipeline)
    mask = cv2.imread(str(tmp_path / document["files"]["mask"]), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (1234, 777)
    assert set(np.unique(mask)) == {0, 255}
    np.testing.assert_array_equal(mask == 255, examination.segmentation.mask)
    overlay = cv2.imread(str(tmp_path / document["files"]["overlay"]), cv2.IMREAD_UNCHANGED)
    assert overlay.shape[2] == 3


def test_the_same_again_has_the_same_name(
    tmp_path: Path, examine: Callable[..., Examination], pipeline: Pipeline
) -> None:
    """If it failed, a re-run would pile up results instead of replacing them."""
    first = write(tmp_path, examine(lesion="benign"), pipeline)
    second = write(tmp_path, examine(lesion="benign"), pipeline)
    assert first["result_id"] == second["result_id"]
    assert len(list(tmp_path.iterdir())) == 3


def test_names_depend_on_content_and_bundle_and_hide_both() -> None:
    """If it failed, results of two bundles would overwrite each other, or names would tell what was examined."""
    a, b = "a" * 64, "b" * 64
    names = {result_id(a, a), result_id(a, b), result_id(b, a), result_id(b, b)}
    assert len(names) == 4
    assert hashlib.blake2b(bytes.fromhex(a + b), digest_size=16).hexdigest() not in names


def test_times_are_utc_and_of_the_stages(
    tmp_path: Path, examine: Callable[..., Examination], pipeline: Pipeline
) -> None:
    """If it failed, results could not be ordered, or their milliseconds would not add up."""
    clock = iter((1.0, 1.5))
    document = write_examination(
        tmp_path,
        examine(),
        pipeline.bundle,
        pipeline.networks.description,
        now=lambda: datetime(2026, 3, 1, 12, 30, 5, 250_000, UTC),
        clock=lambda: next(clock),
    )
    assert document["created"] == "2026-03-01T12:30:05.250Z"
    stages = dict(document["timings_ms"])
    total = stages.pop("total")
    assert stages["write"] == 500
    assert sum(stages.values()) == pytest.approx(total, abs=0.01)


def test_a_folder_that_takes_no_files_is_said(
    tmp_path: Path, examine: Callable[..., Examination], pipeline: Pipeline
) -> None:
    """If it failed, a vanished output folder would look like a defect instead of naming the folder."""
    with pytest.raises(InvalidConfiguration, match="gone"):
        write(tmp_path / "gone", examine(), pipeline)
