"""The training loop: what is interrupted and taken up again ends as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.models.batches import SegmenterBatches
from bonedge.models.cache import PictureCache
from bonedge.models.fitting import Schedule, Task, fit
from bonedge.models.losses import segmentation_loss
from bonedge.models.ranges import near_one

pytestmark = [
    pytest.mark.full,
    # Keras reads its variables through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
SIDES = (64, 64, 96, 96)
RATE = 2e-2
PACE = {"seconds", "pictures_per_second", "workers_busy"}


@pytest.fixture(scope="module")
def task(cache: PictureCache, p: Preprocessing) -> Task:
    """A small network on eight pictures, at two sizes. `bonedge train` itself is tested with the U-Net."""
    pytest.importorskip("keras")
    indices = np.flatnonzero((cache.label < 3) & ~cache.validation)[:8]
    return Task(
        name="segmenter",
        build=_network,
        loss={"logits": segmentation_loss},
        batches=lambda epoch, side: SegmenterBatches(cache, indices, p, side, 3, epoch, 4),
        validate=lambda model, side: {"side_seen": float(side)},
        schedule=Schedule(SIDES, RATE),
        seed=3,
        data="d" * 64,
    )


@pytest.fixture(scope="module")
def whole(task: Task, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run that nothing interrupted: its folder and its model."""
    run = tmp_path_factory.mktemp("whole")
    return run, fit(task, run, resume=True)


def history(run: Path, name: str = "segmenter") -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / f"{name}.log.jsonl").read_text().splitlines()]
    # What differs between two runs.
    return [{key: value for key, value in row.items() if key not in PACE} for row in rows]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_network_is_trained(task: Task, whole: tuple[Path, Any]) -> None:
    """If it failed, hours would go by and the network be as it was."""
    run, model = whole
    assert model.input_shape == (None, SIDES[-1], SIDES[-1], 1)
    rows = history(run)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["side"] for row in rows] == list(SIDES)
    assert [row["side_seen"] for row in rows] == list(SIDES), "validated at the size that was trained"
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert (run / "segmenter.curves.png").read_bytes().startswith(b"\x89PNG")


def test_interrupted_at_any_epoch_it_ends_with_the_same_weights(
    task: Task, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    """If it failed, the same seed would give another model whenever the power fails."""
    model = None
    for epochs in (1, 2, 3, 4):
        # After 1: within a size. After 2: where the size changes.
        model = fit(task, tmp_path, resume=True, stop_after=epochs)
        assert len(history(tmp_path)) == epochs
    assert same(model, whole[1])
    assert history(tmp_path) == history(whole[0])


def test_what_another_task_compiled_trains_as_if_it_were_new(
    task: Task, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    """If it failed, an arm of a study would go on where the one before it ended."""
    compiled: dict[Any, Any] = {}
    for name in ("other", "again"):
        (tmp_path / name).mkdir()
    other = fit(replace(task, seed=4, compiled=compiled), tmp_path / "other", resume=True)
    kept = {key: id(model) for key, model in compiled.items()}
    model = fit(replace(task, compiled=compiled), tmp_path / "again", resume=True)
    assert {key: id(model) for key, model in compiled.items()} == kept
    assert len(kept) == len(set(SIDES))
    assert not same(other, model)
    assert same(model, whole[1])


def test_a_finished_training_is_not_repeated(task: Task, whole: tuple[Path, Any]) -> None:
    """If it failed, running `make train` twice would train on beyond the schedule, or from the start."""
    run, model = whole
    before = (run / "segmenter.checkpoint.npz").read_bytes()
    again = fit(replace(task, batches=_never), run, resume=True)
    assert same(again, model)
    assert (run / "segmenter.checkpoint.npz").read_bytes() == before


def test_restart_begins_anew(task: Task, whole: tuple[Path, Any], tmp_path: Path) -> None:
    """If it failed, --restart would go on from what it was meant to throw away."""
    fit(replace(task, seed=4), tmp_path, resume=True, stop_after=1)
    fit(task, tmp_path, resume=False, stop_after=1)
    assert history(tmp_path) == history(whole[0])[:1]


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 4},
        {"data": "e" * 64},
        {"schedule": Schedule((*SIDES, 96), RATE)},
        {"schedule": Schedule(SIDES, 1e-3)},
        {"options": {"batch": 8}},
        {"name": "classifier"},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_plan_is_refused(
    task: Task, whole: tuple[Path, Any], tmp_path: Path, changed: dict[str, Any]
) -> None:
    """If it failed, a model would be half of one training and half of another."""
    other = replace(task, batches=_never, **changed)
    (tmp_path / f"{other.name}.checkpoint.npz").write_bytes((whole[0] / "segmenter.checkpoint.npz").read_bytes())
    with pytest.raises(InvalidConfiguration, match="--restart"):
        fit(other, tmp_path, resume=True)


def test_a_loss_that_is_no_number_leaves_the_last_good_state(task: Task, tmp_path: Path) -> None:
    """If it failed, a training that ran away would overwrite what was good, and go on for hours."""
    fit(task, tmp_path, resume=True, stop_after=1)
    before = (tmp_path / "segmenter.checkpoint.npz").read_bytes()
    with pytest.raises(FloatingPointError, match="--learning-rate"):
        fit(
            replace(task, loss=lambda targets, logits: segmentation_loss(targets, logits) * np.nan),
            tmp_path,
            resume=True,
        )
    assert (tmp_path / "segmenter.checkpoint.npz").read_bytes() == before


def _never(epoch: int, side: int) -> Any:
    raise AssertionError("nothing was to be trained")


def _network(side: int) -> Any:
    """Everything whose state could get lost: weights with and without decay, running means, random draws."""
    import keras
    from keras import layers

    picture = layers.Input((side, side, 1))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(picture)
    x = layers.BatchNormalization(gamma_regularizer=near_one(1e-2))(x)
    x = layers.Dropout(0.3)(layers.ReLU(6.0)(x))
    x = layers.SpatialDropout2D(0.2)(x)
    return keras.Model(picture, {"logits": layers.Conv2D(2, 3, padding="same")(x)})
