"""A real bundle that is small enough to make on the spot, and pictures that it understands.

The networks are OpenVINO graphs that read brightness: bone is what is lighter than 0.35 of the grey window, a lesion
what is lighter than 0.7, a malignant one lighter than 0.85. Everything around them is the real thing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings

from bonedge.edge.bundle import Bundle, digests, write_bundle
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import load
from bonedge.edge.golden import golden_answer
from bonedge.edge.manifest import Abstention, Decision, Manifest, Networks, Preprocessing, Training
from bonedge.edge.offline import shut_off_telemetry
from bonedge.edge.pipeline import Pipeline

# No test is about time: a machine that is busy must not fail one.
settings.register_profile("bonedge", deadline=None)
settings.load_profile("bonedge")

if find_spec("scipy") is None:
    # They could not even be imported, so that a mark does not leave them out. Nothing of the runtime needs scipy.
    collect_ignore = [
        "convert/test_command.py",
        "convert/test_gates.py",
        "convert/test_refusal.py",
        "convert/test_search.py",
        "convert/test_trial.py",
        "models/study/test_figures.py",
        "models/study/test_report.py",
    ]

AIR, BONE, BENIGN, MALIGNANT = 0.0, 0.5, 0.77, 0.92
WEDGE = (0.03, 0.97, 1.0)
"""Greys of a step wedge. The window leaves the ends of the range out, so the middle step pins its upper end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains or converts first, in minutes; the quick files after it then fill both workers to the end."""
    items.sort(key=lambda item: item.get_closest_marker("full") is None)


@pytest.fixture(scope="session")
def mortal() -> tuple[str, ...]:
    """A wrapper that takes the superuser's right to read everything away; for others, none is needed."""
    rights = "-dac_override,-dac_read_search"
    return ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}") if os.geteuid() == 0 else ()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle whose networks read brightness."""
    folder = tmp_path_factory.mktemp("tiny")
    contents: dict[str, bytes] = {}
    for name, model in (("segmenter", _segmenter()), ("classifier", _classifier())):
        contents |= _saved(model, folder, name)
    manifest = Manifest(
        name="tiny",
        version="1",
        created="2026-01-01T00:00:00Z",
        # The whole range and no equalization, so that greys stay what they were painted.
        preprocessing=Preprocessing(low_percentile=0, high_percentile=100, median_px=0, clahe_clip=0),
        decision=Decision(lesion_minimum_fraction=0.002),
        abstention=Abstention(
            minimum_bone_fraction=0.05,
            feature_mean=(0.3, 0.2),
            feature_basis=((1.0, 0.0), (0.0, 1.0)),
            maximum_distance=0.4,
        ),
        training=Training(data="Nothing: the networks are thresholds."),
        networks=(
            Networks(
                engine="openvino",
                precision="fp32",
                segmenter=("segmenter.xml", "segmenter.bin"),
                classifier=("classifier.xml", "classifier.bin"),
            ),
        ),
        files=digests(contents),
    )
    return write_bundle(folder / "bundle", manifest, contents).folder


@pytest.fixture(scope="session")
def golden_bundle(tiny_bundle: Path, paint: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with three golden pictures: normal, benign and malignant."""
    bundle = Bundle.open(tiny_bundle)
    pipeline = Pipeline(bundle, load(bundle))
    contents, answers = dict(bundle.contents), []
    for lesion in (None, "benign", "malignant"):
        name = f"golden-{lesion or 'normal'}-0.png"
        ok, png = cv2.imencode(".png", np.rint(paint(480, 360, lesion) * 65535).astype(np.uint16))
        assert ok
        contents[name] = png.tobytes()
        answers.append(golden_answer(name, pipeline.examine(decode_bytes(contents[name]))))
    networks = bundle.manifest.networks[0].model_copy(update={"golden": tuple(answers)})
    manifest = bundle.manifest.model_copy(update={"networks": (networks,), "files": digests(contents)})
    return write_bundle(tmp_path_factory.mktemp("golden") / "bundle", manifest, contents).folder


@pytest.fixture(scope="session")
def paint() -> Callable[..., Any]:
    """`paint(rows, columns, lesion=None, bone=True)` -> float32 "rows columns" with a shaft across its middle.

    `lesion` is None, "benign" or "malignant": an ellipse with semi-axes of a tenth and a sixteenth of
    the rows at the centre; a small step wedge near a corner pins the grey window.
    """
    greys = {"benign": BENIGN, "malignant": MALIGNANT}

    def picture(rows: int, columns: int, lesion: str | None = None, bone: bool = True) -> Any:
        pixels = np.full((rows, columns), AIR, np.float32)
        if bone:
            pixels[:, round(0.35 * columns) : round(0.65 * columns)] = BONE
        if lesion is not None:
            axes = (max(1, rows // 16), max(1, rows // 10))
            cv2.ellipse(pixels, (columns // 2, rows // 2), axes, 0, 0, 360, greys[lesion], -1)
        side = max(2, round(0.015 * max(rows, columns)))
        for step, grey in enumerate(WEDGE, 1):
            pixels[side : 2 * side, step * side : (step + 1) * side] = grey
        return pixels

    return picture


def _segmenter() -> Any:
    ov, ops = _openvino()
    grey = ops.parameter([1, 256, 256, 1], np.float32, name="pixels")
    unit = ops.add(ops.multiply(grey, np.float32(0.25)), np.float32(0.5))
    maps = ops.concat([_above(ops, unit, 0.35), _above(ops, unit, 0.7)], 3)
    features = ops.reduce_mean(maps, np.array([1, 2]), keep_dims=False)
    return ov.Model([ops.result(maps), ops.result(features)], [grey], "segmenter")


def _classifier() -> Any:
    ov, ops = _openvino()
    grey = ops.parameter([1, 299, 299, 3], np.float32, name="crop")
    unit = ops.add(ops.multiply(grey, np.float32(0.25)), np.float32(0.5))
    shares = ops.concat([ops.reduce_mean(_above(ops, unit, t), np.array([1, 2]), False) for t in (0.7, 0.85)], 1)
    weights = np.zeros((6, 3), np.float32)
    weights[0], weights[3] = (-40, 20, 0), (0, -60, 40)
    logits = ops.add(ops.matmul(shares, weights, False, False), np.array([[4, 0, 0]], np.float32))
    return ov.Model([ops.result(logits)], [grey], "classifier")


def _above(ops: Any, grey: Any, threshold: float) -> Any:
    return ops.sigmoid(ops.multiply(ops.subtract(grey, np.float32(threshold)), np.float32(80)))


def _saved(model: Any, folder: Path, name: str) -> dict[str, bytes]:
    ov, _ = _openvino()
    ov.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
    return {f"{name}{suffix}": (folder / f"{name}{suffix}").read_bytes() for suffix in (".xml", ".bin")}


def _openvino() -> tuple[Any, Any]:
    shut_off_telemetry()
    import openvino
    from openvino import opset13

    return openvino, opset13
