"""`bonedge convert` as a user runs it, from a trained pair to two bundles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.calibration.phantom.command import Order, make
from bonedge.edge.bundle import Bundle
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import ENGINES, load
from bonedge.edge.pipeline import Pipeline
from bonedge.models.datasets import PhantomSet

pytestmark = [
    pytest.mark.full,
    # Keras saves weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def bonedge(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = "from bonedge.edge.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    make(Order(folder, 5, 256, "png", (), (), sheet=False), 16, jobs=1)
    return folder


@pytest.fixture(scope="module")
def converted(pair_folder: Path, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The int8 bundle's folder, and the document that `--json` printed."""
    output = tmp_path_factory.mktemp("converted") / "bundle"
    done = bonedge("convert", pair_folder, "--int8", "--data", phantoms, "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one document and nothing else"
    assert done.stderr, "progress"
    return output, json.loads(done.stdout)


def test_writes_both_bundles_with_both_formats(converted: tuple[Path, Any], phantoms: Path) -> None:
    """If it failed, a workstation would lack a format, or the fp32 reference to compare with."""
    output, document = converted
    for precision, folder in (("int8", output), ("fp32", output.with_name("bundle-fp32"))):
        bundle = Bundle.open(folder)
        assert [files.engine for files in bundle.manifest.networks] == list(ENGINES)
        assert {files.precision for files in bundle.manifest.networks} == {precision}
        assert bundle.manifest.training.phantom_seeds == (5,)
        assert document[precision]["digest"] == bundle.digest
        assert document[precision]["folder"] == str(folder)
        assert document[precision]["bytes"] == {name: len(content) for name, content in bundle.contents.items()}
    assert sorted(path.name for path in output.parent.iterdir()) == ["bundle", "bundle-fp32"]
    # The calibration pictures are on record, and all of them were for training.
    record = json.loads(Bundle.open(output).contents["calibration.json"])
    training = [sample.picture for sample in PhantomSet(phantoms).samples if not sample.validation]
    hashes = {decode_bytes(path.read_bytes()).source.sha256 for path in training}
    assert set(record["sha256"]) == hashes
    assert record["pictures"] == len(training)


def test_engines_and_precisions_answer_alike(converted: tuple[Path, Any], phantoms: Path) -> None:
    """If it failed, the verdict on a picture would depend on which engine a workstation has."""
    output, _ = converted
    pictures = [decode_bytes(path.read_bytes()) for path in sorted(phantoms.glob("*.png"))[:4]]
    found: dict[tuple[str, str], Any] = {}
    for folder in (output, output.with_name("bundle-fp32")):
        bundle = Bundle.open(folder)
        for engine in ENGINES:
            pipeline = Pipeline(bundle, load(bundle, engine=engine, threads=1))
            found[folder.name, engine] = np.array(
                [pipeline.examine(picture).classification.probabilities for picture in pictures]
            )
    # Same numbers in other kernels.
    assert np.allclose(found["bundle-fp32", "tflite"], found["bundle-fp32", "openvino"], atol=2e-3)
    for one in found.values():
        assert np.abs(one - found["bundle-fp32", "tflite"]).max() < 0.1
    assert np.abs(found["bundle", "tflite"] - found["bundle", "openvino"]).max() < 0.1


def test_a_folder_that_holds_something_else_is_refused_before_any_work(pair_folder: Path, tmp_path: Path) -> None:
    """If it failed, a mistyped --output would cost a user's files, or minutes before it is refused."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("Dear")
    done = bonedge("convert", pair_folder, "--int8", "--output", tmp_path / "letters")
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, "no step was begun"
    assert "letters" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["to-mother.txt"]
