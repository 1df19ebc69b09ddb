"""Hostile models through the whole of `bonedge convert`: rescued within the gates, or refused. Never shipped.

`make soak-convert` runs it on the released pair: the long form of what tests/convert/test_equalize.py shows on one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonedge.edge.bundle import Bundle

from .hostile import add_outliers, spread_channels

PLAIN = [f"classifier.tflite.{recipe}" for recipe in ("int8", "int8-mse", "int8-quantile")]
COLLAPSED_DB = 15.0
"""Signal to noise of plain int8's answers; the fourteenth bundle's classifier has 30.6."""
RELEASED = Path(__file__).parents[2] / "models" / "released"

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not os.environ.get("BONEDGE_SOAK"), reason="minutes per model: make soak-convert"),
    pytest.mark.skipif(not (RELEASED / "classifier.keras").is_file(), reason="this checkout has no trained pair"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated once for all models."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("change", "more"),
    [
        pytest.param(lambda model: spread_channels(model, 3, seed=11), (), id="channels 10^3 apart"),
        pytest.param(lambda model: spread_channels(model, 3, seed=11), ("--repair", "phantoms:19"), id="and repaired"),
        pytest.param(lambda model: spread_channels(model, 5, seed=12), (), id="channels 10^5 apart"),
        pytest.param(lambda model: add_outliers(model, 3000.0, seed=13), (), id="channels that nothing reads"),
    ],
)
def test_a_hostile_classifier_is_rescued_or_refused(
    change: Callable[[Any], Any], more: tuple[str, ...], cache: Path, tmp_path: Path
) -> None:
    """If it failed, a model that collapsed in eight bits would reach a workstation."""
    from bonedge.convert.quiet import frameworks

    frameworks()
    import keras

    models = tmp_path / "models"
    shutil.copytree(RELEASED, models, ignore=shutil.ignore_patterns("bundle", "classifier.keras"))
    change(keras.models.load_model(RELEASED / "classifier.keras", compile=False)).save(models / "classifier.keras")
    output = tmp_path / "bundle"
    script = "from bonedge.edge.cli import main; main()"
    # With fewer cases everything is refused before it is tried: not even an unchanged pair would pass.
    counts = ["--calibration-count", "100", "--validation-count", "600"]
    options = ["--int8", "--format", "tflite", *counts, "--cache", cache, "--output", output, *more, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", script, "convert", models, *options],
        capture_output=True,
        text=True,
        timeout=7200,
        check=False,
    )
    assert done.returncode in (0, 5), done.stderr
    assert output.exists() is (done.returncode == 0)
    evidence = output if output.exists() else output.with_name("bundle-refused")
    passport = json.loads((evidence / "passport.json").read_text())
    *_, answers_db = passport["layers"]["signal_to_noise_db"]["classifier"].values()
    assert answers_db < COLLAPSED_DB, "plain int8 was meant to collapse"
    assert not any(one["passed"] for one in passport["candidates"] if one["name"] in PLAIN)
    if not output.exists():
        assert passport["chosen"] == []
        return
    assert json.loads(done.stdout) == passport
    (chosen,) = passport["chosen"]
    assert all(gate["ruling"] == "passed" for gate in chosen["gates"])
    assert Bundle.open(output).manifest.networks[0].classifier_recipe == chosen["classifier"] != "int8"
