"""The file by which an interrupted training goes on."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.checkpoint import Checkpoint, save_model

STATE = Checkpoint(
    # More than ten: their order must be that of numbers, not of letters.
    weights=[np.full((2, n + 1), n, np.float32) for n in range(12)],
    optimizer=[np.int64(7), np.float32(0.1), *(np.full(3, n, np.float32) for n in range(12))],
    history=[{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1e-30}],
)


def test_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """If it failed, training would go on from other weights than it had reached."""
    file = tmp_path / "segmenter.checkpoint.npz"
    STATE.save(file, "plan")
    back = Checkpoint.load(file, "plan")
    assert back.history == STATE.history
    for saved, loaded in ((STATE.weights, back.weights), (STATE.optimizer, back.optimizer)):
        assert len(saved) == len(loaded)
        for one, other in zip(saved, loaded, strict=True):
            assert np.array_equal(one, other)
            assert np.asarray(one).dtype == other.dtype
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing temporary is left"


def test_another_plan_is_refused(tmp_path: Path) -> None:
    """If it failed, a model would be half of one training and half of another, and nobody could repeat it."""
    file = tmp_path / "segmenter.checkpoint.npz"
    STATE.save(file, "segmenter, seed 1")
    with pytest.raises(InvalidConfiguration, match=r"seed 1, now segmenter, seed 2.*--restart"):
        Checkpoint.load(file, "segmenter, seed 2")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "bit", "array", "other archive", "folder"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    """If it failed, a damaged checkpoint would end in a Python error that does not say how to begin anew."""
    file = tmp_path / "segmenter.checkpoint.npz"
    STATE.save(file, "plan")
    whole = bytearray(file.read_bytes())
    if damage == "bit":
        whole[whole.index(b"weight_0003") + 170] ^= 0xFF
    contents = {"empty": b"", "text": b"nothing of the kind", "cut": bytes(whole[: len(whole) // 2]), "bit": whole}
    if damage in contents:
        file.write_bytes(contents[damage])
    elif damage == "array":
        with file.open("wb") as opened:
            np.save(opened, np.zeros(3))
    elif damage == "other archive":
        with file.open("wb") as opened:
            np.savez(opened, about=np.array('{"other": 1}'))
    else:
        file.unlink()
        file.mkdir()
    with pytest.raises(InvalidConfiguration, match=r"segmenter\.checkpoint\.npz.*--restart"):
        Checkpoint.load(file, "plan")


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_is_kept_small_and_whole(tmp_path: Path) -> None:
    """If it failed, the released pair and bundle would not fit into 40 MB, or would be another pair."""
    import keras

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(64), keras.layers.Dense(3)])
    file = tmp_path / "classifier.keras"
    save_model(model, file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing temporary is left"
    with zipfile.ZipFile(file) as parts:
        assert all(part.compress_type == zipfile.ZIP_DEFLATED for part in parts.infolist())
    back = keras.saving.load_model(file)
    for saved, loaded in zip(model.get_weights(), back.get_weights(), strict=True):
        assert np.array_equal(saved, loaded)
