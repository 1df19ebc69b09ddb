"""`bonedge study` as a user runs it, on painted pictures and with the smallest network."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.models.networks import PREPROCESSING

pytestmark = [
    pytest.mark.full,
    # Keras saves weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
SIZE = ("--side", "64", "--epochs", "1", "--pictures", "24", "--seed", "1", "--network", "10-layer CNN")
ARMS, CLASSICAL = 5, 6


def study(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = "from bonedge.edge.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, "study", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def sets(write_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders to train and test on, of different seeds, and a U-Net that knows nothing."""
    keras = pytest.importorskip("keras")
    from bonedge.models.segmenter import build_segmenter

    folder = tmp_path_factory.mktemp("study")
    test = write_set(folder / "test", 15)
    index = test / "index.jsonl"
    index.write_text(index.read_text().replace('"seed": 77', '"seed": 78'))
    keras.utils.set_random_seed(1)
    build_segmenter(PREPROCESSING.segmenter_side_px).save(folder / "segmenter.keras")
    return {"data": write_set(folder / "data", 30), "test": test, "segmenter": folder / "segmenter.keras"}


def options(sets: dict[str, Path]) -> list[object]:
    return [part for name, path in sets.items() for part in (f"--{name}", path)]


@pytest.fixture(scope="module")
def finished(sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The study's folder and what was said on the way."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    done = study(*options(sets), "--output", folder, *SIZE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return folder, done.stderr


def document(folder: Path) -> Any:
    return json.loads((folder / "study.json").read_text())


def test_every_arm_is_measured_and_told(finished: tuple[Path, str]) -> None:
    """If it failed, an arm would be missing from the comparison, and nobody would know."""
    folder, said = finished
    found = document(folder)
    networks = [one for one in found["lines"] if one["group"] == "networks"]
    assert len(networks) == ARMS
    assert {one["shown"] for one in networks} == {"whole image", "U-Net region", "true region"}
    assert [one["augmented"] for one in networks].count(False) == 1
    assert [one["start"] for one in networks].count("transfer (parts of the body)") == 1
    for one in networks:
        accuracy = one["figures"]["accuracy"]
        assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
        assert one["parameters"] > 1_000_000
        assert one["operations"] > 10_000_000
        assert one["latency_ms"] > 0
    assert sum(found["test_pictures"].values()) == 15
    assert f"{ARMS + CLASSICAL} of at most {ARMS + CLASSICAL}" in said
    assert len(found["lines"]) == ARMS + CLASSICAL
    assert {one["rival"] for one in found["differences"]} == set(), "without EfficientNetB0 there is nothing to compare"


def test_the_page_and_the_tables_hold_the_same_systems(finished: tuple[Path, str]) -> None:
    """If it failed, a reader of the page and one of the table would know different things."""
    folder, _ = finished
    titles = [one["title"] for one in document(folder)["lines"]]
    page, table = (folder / "study.html").read_text(), (folder / "study.md").read_text()
    rows = list(csv.DictReader((folder / "study.csv").read_text().splitlines()))
    assert len(rows) == len(titles)
    for title in titles:
        assert f"<td>{title}</td>" in page
        assert f"| {title} |" in table
    assert "not a medical device" in page
    assert "not a medical device" in table
    assert "86.7" in page, "what the paper's table cannot be"
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_an_interrupted_study_goes_on_and_a_finished_one_is_not_repeated(
    finished: tuple[Path, str], sets: dict[str, Path], tmp_path: Path
) -> None:
    """If it failed, a power cut would cost a day, or a resumed study would mix results of different plans."""
    folder = tmp_path / "study"
    shutil.copytree(finished[0], folder)
    lost = sorted((folder / "results").glob("10-layer-cnn-true-*.json"))
    assert len(lost) == 1
    before = json.loads(lost[0].read_text())
    lost[0].write_text(lost[0].read_text()[:100])
    done = study(*options(sets), "--output", folder, *SIZE)
    assert done.returncode == 0, done.stderr
    assert "1 of at most 11: 10-layer CNN, true region" in done.stderr
    assert "2 of at most" not in done.stderr
    again = json.loads(lost[0].read_text())
    assert np.allclose(again["probabilities"], before["probabilities"], atol=1e-4)
    kept = {one["title"]: one["figures"] for one in document(finished[0])["lines"]}
    assert kept.keys() == {one["title"] for one in document(folder)["lines"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test": "data"}, "holds phantoms of seed 77"),
        ({"segmenter": "data"}, "there is no such file"),
    ],
)
def test_sets_that_prove_nothing_are_refused(
    sets: dict[str, Path], tmp_path: Path, change: dict[str, str], said: str
) -> None:
    """If it failed, networks would be tested on what they were trained on."""
    wrong = sets | {name: sets[other] for name, other in change.items()}
    done = study(*options(wrong), "--output", tmp_path / "study", *SIZE)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "study" / "study.json").exists()


def test_a_segmenter_that_knows_the_test_pictures_is_refused(
    finished: tuple[Path, str], sets: dict[str, Path], tmp_path: Path
) -> None:
    """If it failed, the U-Net's regions would be better than they are on new pictures."""
    from bonedge.models.cache import open_cache
    from bonedge.models.datasets import PhantomSet, training_pictures
    from bonedge.models.networks import PREPROCESSING

    cache = open_cache(PhantomSet(sets["test"]), finished[0] / "test", PREPROCESSING, lambda done, of: None)
    shutil.copy(sets["segmenter"], tmp_path / "segmenter.keras")
    (tmp_path / "training-pictures.txt").write_bytes(training_pictures(cache.fingerprints()))
    wrong = sets | {"segmenter": tmp_path / "segmenter.keras"}
    done = study(*options(wrong), "--output", tmp_path / "study", *SIZE)
    assert done.returncode == 2
    assert "was trained on pictures of --test" in done.stderr
