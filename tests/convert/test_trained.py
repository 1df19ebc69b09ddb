"""What `bonedge convert` accepts as a trained pair, and how it says no."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonedge.convert import trained
from bonedge.convert.described import load_network
from bonedge.convert.trained import CLASSIFIER, OPERATION, SEGMENTER, Operation, TrainedPair
from bonedge.edge.errors import InvalidConfiguration

pytestmark = [
    pytest.mark.full,
    # Keras saves and loads weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture
def broken(pair_folder: Path, tmp_path: Path) -> Path:
    """A copy of the pair, to be broken."""
    return Path(shutil.copytree(pair_folder, tmp_path / "pair"))


def test_opens_what_training_leaves(pair_folder: Path, operation: Operation, networks: dict[str, Any]) -> None:
    """If it failed, no pair could be converted, or one would be converted with another's numbers."""
    pair = TrainedPair.open(pair_folder)
    assert pair.operation == operation
    for name, given in (("segmenter", pair.segmenter), ("classifier", pair.classifier)):
        for one, other in zip(given.get_weights(), networks[name].get_weights(), strict=True):
            assert (one == other).all()


@pytest.mark.parametrize("name", [SEGMENTER, CLASSIFIER, OPERATION])
def test_a_missing_file_is_named(broken: Path, name: str) -> None:
    """If it failed, a user would not know which of the three files is not there."""
    (broken / name).unlink()
    with pytest.raises(InvalidConfiguration, match=f"holds no {name}.*'bonedge train'"):
        TrainedPair.open(broken)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """If it failed, a mistyped path would end in a Python error."""
    with pytest.raises(InvalidConfiguration, match="nowhere"):
        TrainedPair.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw[:-20], "JSON"),
        (lambda raw: "", "JSON"),
        (lambda raw: "\x00\xff", "JSON"),
        (lambda raw: "[]", "object"),
        (lambda raw: json.dumps(json.loads(raw) | {"temperature": 1}), "temperature: "),
        (lambda raw: json.dumps({k: v for k, v in json.loads(raw).items() if k != "abstention"}), "abstention: "),
        (lambda raw: raw.replace('"lesion_threshold":0.5', '"lesion_threshold":1.5'), "decision.lesion_threshold: "),
        (lambda raw: raw.replace('"std":0.25', '"std":0'), "preprocessing.std: "),
        (lambda raw: raw.replace('"std":0.25', '"std":NaN'), "preprocessing.std: "),
    ],
)
def test_what_is_wrong_in_operation_json_is_named(broken: Path, change: Callable[[str], str], said: str) -> None:
    """If it failed, a wrong number would go into the bundle, or a slip of the pen end in a Python error."""
    raw = (broken / OPERATION).read_text()
    changed = change(raw)
    assert changed != raw
    (broken / OPERATION).write_text(changed)
    with pytest.raises(InvalidConfiguration) as caught:
        TrainedPair.open(broken)
    assert str(broken / OPERATION) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x05\x06" + bytes(18), None], ids=repr)
@pytest.mark.parametrize("name", [SEGMENTER, CLASSIFIER])
def test_a_damaged_model_is_named(broken: Path, name: str, content: bytes | None) -> None:
    """If it failed, half a download would end in a Python error."""
    whole = (broken / name).read_bytes()
    (broken / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(InvalidConfiguration, match=f"{name} cannot be loaded as a Keras model"):
        TrainedPair.open(broken)


def test_a_model_with_a_flipped_bit_is_named(broken: Path) -> None:
    """If it failed, a bad disk would be called a defect of bonedge."""
    whole = bytearray((broken / CLASSIFIER).read_bytes())
    with zipfile.ZipFile(broken / CLASSIFIER) as archive:
        member = archive.getinfo("config.json")
    whole[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 0x40
    (broken / CLASSIFIER).write_bytes(whole)
    with pytest.raises(InvalidConfiguration, match=f"{CLASSIFIER} cannot be loaded as a Keras model"):
        TrainedPair.open(broken)


def test_a_pair_that_changes_meanwhile_is_refused(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it failed, the passport would name other weights than those that were judged."""

    def trained_on(path: Path, side: int, channels: int) -> Any:
        model = load_network(path, side, channels)
        path.write_bytes(path.read_bytes() + b"\0")
        return model

    monkeypatch.setattr(trained, "load_network", trained_on)
    with pytest.raises(InvalidConfiguration, match="changed while it was read"):
        TrainedPair.open(broken)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preprocessing": {"segmenter_side_px": 96}}, "segmenter's input"),
        ({"preprocessing": {"classifier_side_px": 96}}, "classifier's input"),
        ({"abstention": {"feature_mean": [0.0] * 5, "feature_basis": [[1.0] * 5]}}, "segmenter's outputs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_of_different_trainings_are_refused(broken: Path, change: dict[str, Any], said: str) -> None:
    """If it failed, the bundle would be refused, or err, only on the workstation."""
    document = json.loads((broken / OPERATION).read_text())
    for part, values in change.items():
        document[part] |= values
    (broken / OPERATION).write_text(json.dumps(document))
    with pytest.raises(InvalidConfiguration, match=f"the {said} should be .* different trainings"):
        TrainedPair.open(broken)


def test_two_models_in_each_others_place_are_refused(broken: Path) -> None:
    """If it failed, a pair that was copied the wrong way round would be converted."""
    (broken / SEGMENTER).rename(broken / "other")
    (broken / CLASSIFIER).rename(broken / SEGMENTER)
    (broken / "other").rename(broken / CLASSIFIER)
    with pytest.raises(InvalidConfiguration, match="segmenter's input"):
        TrainedPair.open(broken)
