"""`bonedge train` as a user runs it: three commands, interruptions, and what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from bonedge.convert.trained import TrainedPair
from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.lineage import read_lineage
from bonedge.models.train import command

PACE = ("seconds", "pictures_per_second", "workers_busy")
STAGES = ("--stage", "448:3", "--batch", "6", "--seed", "3")
PATIENCE_SECONDS = 400


def start(*arguments: object) -> subprocess.Popen[str]:
    script = "from bonedge.edge.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "COLUMNS": "200"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Its standard error; the process must have succeeded and printed nothing on standard output."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    assert out == ""
    return err


def log(run: Path, name: str = "segmenter") -> list[dict[str, float]]:
    file = run / f"{name}.log.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def weights(file: Path) -> list[Any]:
    keras = pytest.importorskip("keras")
    return list(keras.saving.load_model(file, compile=False).get_weights())


@pytest.fixture(scope="module")
def data(write_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures; three for validation, one of each class."""
    return write_set(tmp_path_factory.mktemp("train") / "data", 15)


@pytest.fixture(scope="module")
def unseen(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many pictures of another seed."""
    folder = of_seed(78, data, tmp_path_factory.mktemp("unseen") / "data")
    for picture in folder.rglob("*.png"):
        cv2.imwrite(str(picture), cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)[:, ::-1])
    return folder


def of_seed(seed: int, data: Path, folder: Path) -> Path:
    """A copy that claims to be of another seed."""
    index = shutil.copytree(data, folder) / "index.jsonl"
    rows = [json.loads(line) | {"seed": seed} for line in index.read_text().splitlines()]
    index.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a segmenter that was trained without interruption."""
    pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("train") / "run"
    finish(start("segmenter", "--data", data, "--output", folder, *STAGES))
    return folder


@pytest.mark.full
def test_killed_without_warning_it_goes_on_to_the_same_weights(run: Path, data: Path, tmp_path: Path) -> None:
    """If it failed, a power cut would cost hours, or leave a model that the seed does not give."""
    arguments = ("segmenter", "--data", data, "--output", tmp_path, *STAGES)
    process = start(*arguments)
    begun = monotonic()
    while not log(tmp_path):
        assert monotonic() - begun < PATIENCE_SECONDS
        try:
            pytest.fail(f"it ended by itself: {process.communicate(timeout=0.02)}")
        except subprocess.TimeoutExpired:
            continue
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    done = len(log(tmp_path))
    assert done < 3
    assert not (tmp_path / "segmenter.keras").exists()

    told = finish(start(*arguments))
    assert f"going on after epoch {done} of 3" in told
    assert f"segmenter {done}/3" not in told
    assert [row["epoch"] for row in log(tmp_path)] == [1, 2, 3]
    for one, other in zip(weights(run / "segmenter.keras"), weights(tmp_path / "segmenter.keras"), strict=True):
        assert np.array_equal(one, other)
    for row, again in zip(log(run), log(tmp_path), strict=True):
        assert row | dict.fromkeys(PACE) == again | dict.fromkeys(PACE)


@pytest.mark.full
def test_bfloat16_learns_the_same_and_is_not_mixed_with_float32(run: Path, data: Path, tmp_path: Path) -> None:
    """If it failed, half the time would cost the result, or half a run would be of one kind and half of the other."""
    arguments = ("segmenter", "--data", data, "--output", tmp_path, *STAGES)
    finish(start(*arguments, "--bfloat16", "--stop-after", "1"))
    (row,), exact = log(tmp_path), log(run)[0]
    assert row["loss"] == pytest.approx(exact["loss"], rel=0.02)
    if "amx_bf16" in Path("/proc/cpuinfo").read_text():
        assert row["loss"] != exact["loss"], "nothing was convolved in bfloat16"
    process = start(*arguments)
    _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert "other data or options" in told


@pytest.mark.full
def test_only_the_last_epochs_are_gentle(run: Path, data: Path, tmp_path: Path) -> None:
    """If it failed, training would lack the variety it asked for, or never see pictures as they come."""
    finish(start("segmenter", "--data", data, "--output", tmp_path, *STAGES, "--gentle", "1"))
    losses, gentle = ([row["loss"] for row in log(folder)] for folder in (run, tmp_path))
    assert gentle[:2] == losses[:2]
    assert gentle[2] != losses[2]


@pytest.mark.full
# Keras reads its variables through numpy 1's protocol for arrays.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_three_commands_leave_a_pair_that_can_be_converted(run: Path, data: Path, unseen: Path) -> None:
    """If it failed, a user would train for hours and have nothing to run."""
    finish(start("classifier", "--data", data, "--output", run, "--stage", "299:1", "--batch", "6", "--seed", "3"))
    earlier = ("--earlier-seed", "76", "--earlier-seed", "75")
    told = finish(start("operation", "--data", data, "--run", run, *earlier, "--held-out", unseen, "--turned"))
    assert "tumour_threshold" in told
    assert "validation macro_f1" in told
    pair = TrainedPair.open(run)
    assert pair.operation.preprocessing.looks == 2
    assert pair.operation.training.phantom_seeds == (77, 78, 75, 76), "conversion and evaluation must refuse all"
    assert "Began from weights trained on simulated radiographs of seed 75, 76." in pair.operation.training.data
    assert "To fit the operating point only: 15 simulated radiographs" in pair.operation.training.data
    assert "no real patients" in pair.operation.training.data
    learned, all_pictures = read_lineage(run, "segmenter").learned, pair.pictures
    assert (len(learned), len(all_pictures)) == (12, 30), "conversion must know those that were held out, too"
    assert learned < all_pictures
    for part in ("train segmenter --data", "train classifier --data", "train operation --data"):
        assert f"bonedge {part}" in pair.operation.training.command
    assert len(pair.operation.abstention.feature_mean) == 192
    assert set(log(run, "classifier")[0]) == {
        "epoch", "side", "loss", "validation_loss", "macro_f1", "tumour_accuracy", *PACE,
    }  # fmt: skip
    assert set(log(run)[0]) == {"epoch", "side", "loss", "lesion_dice", "bone_dice", "false_alarms", *PACE}
    assert all(0 < row["workers_busy"] <= 1 for row in log(run)), "who reads it should learn whether training starves"
    assert not list(run.glob(".*")), "nothing temporary is left"


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_what_is_trained_on_remembers_what_it_began_with(run: Path, data: Path, unseen: Path, tmp_path: Path) -> None:
    """If it failed, one could train on from an earlier pair and prove the new one on what that knows by heart."""
    began = ("--weights", run / "segmenter.keras", "--stage", "448:1", "--batch", "6")
    finish(start("segmenter", "--data", unseen, "--output", tmp_path, *began))
    lineage, before = read_lineage(tmp_path, "segmenter"), read_lineage(run, "segmenter")
    assert (len(lineage.learned), len(lineage.seen), lineage.phantom_seeds) == (24, 6, {77, 78})
    assert before.learned < lineage.learned

    for name in ("classifier.keras", "classifier.command.txt", "classifier.lineage.json"):
        shutil.copy(run / name, tmp_path)
    finish(start("operation", "--data", unseen, "--run", tmp_path))
    pair = TrainedPair.open(tmp_path)
    assert pair.pictures == lineage.pictures
    assert pair.operation.training.phantom_seeds == (78, 77)
    told = "Began from weights trained on simulated radiographs of seed 77. 15 more pictures are known to have been"
    assert told in pair.operation.training.data


@pytest.fixture
def train(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`train(name, *options)` in this process, for what ends before anything is trained."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(name: str, *options: object) -> Any:
        arguments = [name, "--data", str(data), "--output", str(tmp_path / "run"), *map(str, options)]
        return CliRunner().invoke(command, arguments)

    return run


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "stages", "said"),
    [
        ("segmenter", ("64:1",), "the last one must have 448 pixels, not 64"),
        ("segmenter", ("100:1", "448:1"), "a multiple of 32, not 100"),
        ("classifier", ("256:1",), "the last one must have 299 pixels, not 256"),
    ],
)
def test_stages_that_cannot_work_are_refused_before_any_work(
    train: Callable[..., Any], tmp_path: Path, name: str, stages: tuple[str, ...], said: str
) -> None:
    """If it failed, a slip of the pen would show only after all pictures were prepared."""
    done = train(name, *(part for stage in stages for part in ("--stage", stage)))
    assert isinstance(done.exception, InvalidConfiguration)
    assert said in str(done.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["banana", "128", "128:", "128:0", "128:-1", "63:1", "4096:1", "1e2:1", "128:1:1"])
def test_a_stage_is_explained(train: Callable[..., Any], stage: str) -> None:
    """If it failed, a mistyped stage would end in a Python error."""
    done = train("segmenter", "--stage", stage)
    assert done.exit_code == 2
    assert "'--stage'" in done.output
    assert stage in done.output


@pytest.mark.full
def test_a_folder_given_twice_is_refused(train: Callable[..., Any], data: Path) -> None:
    """If it failed, its pictures would count double beside those of another folder, and nobody would know."""
    done = train("segmenter", "--data", data / ".." / data.name, "--stage", "448:1")
    assert isinstance(done.exception, InvalidConfiguration)
    assert "given twice" in str(done.exception)


@pytest.mark.full
def test_pictures_that_were_trained_on_are_not_held_out(run: Path, data: Path, tmp_path: Path) -> None:
    """If it failed, the operating point would be fitted to what the networks know by heart."""
    copied = shutil.copytree(data, tmp_path / "copied")
    disguised = of_seed(79, data, tmp_path / "disguised")
    for held_out, said in (
        (copied, "phantoms of seed 77 were trained on"),
        (disguised, "was trained on 12 of the 18 pictures that are held out"),
    ):
        process = start("operation", "--data", data, "--run", run, "--held-out", held_out)
        _, told = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 2
        assert said in told


@pytest.mark.full
def test_the_classifier_needs_a_segmenter_first(train: Callable[..., Any], tmp_path: Path) -> None:
    """If it failed, a user would not be told the order of the commands."""
    pytest.importorskip("keras")
    done = train("classifier", "--stage", "299:1")
    assert isinstance(done.exception, InvalidConfiguration)
    assert "run `bonedge train segmenter` with this folder first" in str(done.exception)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_a_segmenter_for_another_size_is_refused(train: Callable[..., Any], tmp_path: Path) -> None:
    """If it failed, a pair from before the size changed would end in an error of Keras's about shapes."""
    pytest.importorskip("keras")
    from bonedge.models.segmenter import build_segmenter

    (tmp_path / "run").mkdir()
    build_segmenter(256).save(tmp_path / "run" / "segmenter.keras")
    done = train("classifier", "--stage", "299:1")
    assert isinstance(done.exception, InvalidConfiguration)
    assert "it is for 256 pixels" in str(done.exception)
