"""The prepared set: what the runtime makes of each picture, and never of other pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bonedge.edge.decode import decode_bytes
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.preprocess import prepare
from bonedge.edge.records import CLASSES, Label
from bonedge.models.cache import OUT_OF_SCOPE, PictureCache, open_cache
from bonedge.models.datasets import PhantomSet
from bonedge.models.outlines import MaskFile


def opened(data: Path, folder: Path, p: Preprocessing) -> tuple[PictureCache, list[tuple[int, int]]]:
    """The cache, and the progress that was reported: none when nothing had to be made."""
    steps: list[tuple[int, int]] = []
    return open_cache(PhantomSet(data), folder, p, lambda done, total: steps.append((done, total)), 1), steps


def without_progress(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("equalized", [False, True])
def test_holds_what_the_runtime_prepares(
    write_set: Callable[..., Path], tmp_path: Path, p: Preprocessing, equalized: bool
) -> None:
    """If it failed, the networks would be trained on pictures that no workstation shows them."""
    p = Preprocessing() if equalized else p
    data = write_set(tmp_path / "data", 8)
    # One picture that has to be shrunk.
    large = cv2.resize(cv2.imread(str(data / "phantom-77-00001.png"), cv2.IMREAD_UNCHANGED), (900, 1200))
    mask = cv2.imread(str(data / "masks" / "phantom-77-00001.lesion.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(data / "phantom-77-00001.png"), large)
    for kind in ("lesion", "bone"):
        file = str(data / "masks" / f"phantom-77-00001.{kind}.png")
        mask = cv2.imread(file, cv2.IMREAD_UNCHANGED)
        cv2.imwrite(file, cv2.resize(mask, (900, 1200), interpolation=cv2.INTER_NEAREST))
    cache, _ = opened(data, tmp_path / "cache", p)
    for index, sample in enumerate(PhantomSet(data).samples):
        prepared = prepare(decode_bytes(sample.picture.read_bytes()), p)
        assert np.array_equal(cache.working_picture(index), prepared.working)
        assert cache.letterbox(index) == prepared.letterbox
        square = cache.picture[index].astype(np.float32) / 255
        assert np.allclose((square - p.mean) / p.std, prepared.segmenter_input[0, :, :, 0], atol=0.51 / 255 / p.std)


def test_masks_lie_on_the_prepared_picture(cache: PictureCache) -> None:
    """If it failed, the segmenter would be taught another place than where the lesion is."""
    for index in range(len(cache.label)):
        grey = cache.picture[index] / np.float32(255)
        lesion = cache.lesion[index] >= 128
        assert lesion.any() == (cache.label[index] in (1, 2))
        bone = cache.bone[index] >= 128
        assert bone.any() == (cache.label[index] != OUT_OF_SCOPE)
        if bone.any():
            assert np.median(grey[bone]) > 0.4
            assert np.percentile(grey[~bone], 98) < 0.3
        if lesion.any():
            assert np.median(grey[lesion]) > 0.7
            assert np.median(grey[bone & ~lesion]) < 0.6


def test_boxes_surround_the_masks_in_working_pixels(cache: PictureCache, painted: Path) -> None:
    """If it failed, the classifier would be shown another part of the picture than the lesion."""
    for index, sample in enumerate(PhantomSet(painted).samples):
        for boxes, outline in ((cache.lesion_box, sample.lesion_mask), (cache.bone_box, sample.bone_mask)):
            box = cache.box(boxes, index)
            if outline is None:
                assert box is None
                continue
            assert box is not None
            assert isinstance(outline, MaskFile)
            mask = cv2.imread(str(outline.path), cv2.IMREAD_GRAYSCALE) >= 128
            # These pictures are small enough not to be shrunk: the grids are the same.
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert (box.left, box.right) == (columns[0], columns[-1] + 1)
            assert (box.top, box.bottom) == (rows[0], rows[-1] + 1)


def test_labels_and_sides_are_those_of_the_set(cache: PictureCache, painted: Path) -> None:
    """If it failed, pictures would be learned under other names, or validation pictures be trained on."""
    samples = PhantomSet(painted).samples
    wanted = [OUT_OF_SCOPE if s.label is Label.ABSTAIN else CLASSES.index(s.label) for s in samples]
    assert cache.label.tolist() == wanted
    assert cache.validation.tolist() == [s.validation for s in samples]


def test_is_made_once_and_again_when_something_changed(
    write_set: Callable[..., Path], tmp_path: Path, p: Preprocessing
) -> None:
    """If it failed, every start would take minutes, or train on the pictures of an earlier set."""
    data, folder = write_set(tmp_path / "data", 8), tmp_path / "cache"
    first, steps = opened(data, folder, p)
    assert steps[-1] == (8, 8)
    before = first.picture[0].copy()
    again, steps = opened(data, folder, p)
    assert steps == []
    assert np.array_equal(again.picture[0], before)

    _, steps = opened(data, folder, p.model_copy(update={"median_px": 5}))
    assert steps, "another preparation"

    lines = (data / "index.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rows[0]["file"], rows[1]["file"] = rows[1]["file"], rows[0]["file"]
    for key in ("label", "lesion_mask", "bone_mask"):
        rows[0][key], rows[1][key] = rows[1][key], rows[0][key]
    (data / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changed, steps = opened(data, folder, p)
    assert steps, "another index"
    assert np.array_equal(changed.picture[1], before)


def test_a_preparation_that_was_cut_off_is_not_taken_for_whole(
    write_set: Callable[..., Path], tmp_path: Path, p: Preprocessing
) -> None:
    """If it failed, after an interruption the network would be trained on black squares."""
    data, folder = write_set(tmp_path / "data", 8), tmp_path / "cache"
    wrong = data / "masks" / "phantom-77-00004.lesion.png"
    good = wrong.read_bytes()
    cv2.imwrite(str(wrong), np.zeros((10, 10), np.uint8))
    with pytest.raises(InvalidConfiguration, match=r"phantom-77-00004\.lesion\.png.*does not match.*\(260, 330\)"):
        opened(data, folder, p)
    wrong.write_bytes(good)
    cache, steps = opened(data, folder, p)
    assert steps
    assert all(cache.picture[index].any() for index in range(8))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("phantom-77-00002.png", b"no picture"),
        ("phantom-77-00002.png", None),
        ("masks/phantom-77-00002.bone.png", b""),
        ("masks/phantom-77-00002.bone.png", b"no picture"),
        ("masks/phantom-77-00002.bone.png", None),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    write_set: Callable[..., Path], tmp_path: Path, p: Preprocessing, name: str, content: bytes | None
) -> None:
    """If it failed, a user with four thousand pictures would have to find out which one is broken."""
    data = write_set(tmp_path / "data", 8)
    (data / name).unlink()
    if content is not None:
        (data / name).write_bytes(content)
    with pytest.raises(InvalidConfiguration, match=str(data / name)):
        opened(data, tmp_path / "cache", p)


@pytest.mark.parametrize("damage", ["marker", "array", "short array"])
def test_a_damaged_cache_is_made_again(
    write_set: Callable[..., Path], tmp_path: Path, p: Preprocessing, damage: str
) -> None:
    """If it failed, a full disk or a copy that lost a file would stop training with a Python error for good."""
    data, folder = write_set(tmp_path / "data", 8), tmp_path / "cache"
    before = opened(data, folder, p)[0].picture[0].copy()
    if damage == "marker":
        (folder / "cache.json").write_text("{")
    elif damage == "array":
        (folder / "lesion.npy").unlink()
    else:
        file: Any = (folder / "lesion.npy").read_bytes()
        (folder / "lesion.npy").write_bytes(file[: len(file) // 2])
    cache, steps = opened(data, folder, p)
    assert steps
    assert np.array_equal(cache.picture[0], before)
