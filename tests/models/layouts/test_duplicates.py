"""The same picture in disguise on both sides of a split, and other pictures that only look alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.models.cache import PictureCache, open_cache
from bonedge.models.datasets import SampleSet
from bonedge.models.duplicates import check_apart, check_sets_apart, check_test_apart
from bonedge.models.layouts import open_samples
from bonedge.models.train import command

from .conftest import COUNT, Plain, painted

pytestmark = pytest.mark.full

Change = Callable[[Any], Any]
DISGUISES: dict[str, tuple[str, Change]] = {
    "jpeg": (".jpg", lambda pixels: pixels),
    "half as large": (".png", lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)),
    "brighter": (".png", lambda pixels: np.rint(255 * (pixels / 255) ** 0.8).astype(np.uint8)),
}


def opened(folder: Path, scratch: Path) -> tuple[SampleSet, PictureCache]:
    samples = open_samples(folder)
    return samples, open_cache(samples, scratch, Preprocessing(), lambda done, of: None, processes=1)


def with_test_pictures(plain: Plain) -> Path:
    """A set that keeps its first dozen, 000.png to 011.png, for the test."""
    plain.write()
    for row in plain.rows[:12]:
        row["split"] = "test"
    plain.save()
    return plain.folder


def test_different_pictures_are_left_alone(plain: Plain, tmp_path: Path) -> None:
    """A good set would be refused."""
    samples, cache = opened(with_test_pictures(plain), tmp_path / "cache")
    check_apart(samples.samples, cache)
    check_test_apart(samples, cache, Preprocessing())


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_on_the_other_side_is_named(plain: Plain, tmp_path: Path, disguise: str) -> None:
    """What was learned by heart would be reported as skill."""
    folder = plain.write()
    suffix, change = DISGUISES[disguise]
    sides = {one.validation: one for one in open_samples(folder).samples if one.label == "normal"}
    original = sides[False].picture
    copy = folder / "images" / f"copy{suffix}"
    cv2.imwrite(str(copy), change(painted(int(original.stem))))
    plain.rows.append({"file": copy.name, "label": "normal", "patient": "somebody else", "split": "validation"})
    plain.save()
    samples, cache = opened(folder, tmp_path / "cache")
    with pytest.raises(InvalidConfiguration) as refused:
        check_apart(samples.samples, cache)
    assert str(original) in str(refused.value)
    assert str(copy) in str(refused.value)


def with_a_test_picture_for_training(plain: Plain, disguise: str) -> Path:
    """The same set, of which 000.png is once more among those for training; returns that copy."""
    folder = with_test_pictures(plain)
    suffix, change = DISGUISES[disguise]
    copy = folder / "images" / f"copy{suffix}"
    cv2.imwrite(str(copy), change(painted(0)))
    plain.rows.append({"file": copy.name, "label": "normal", "patient": "somebody else", "split": "training"})
    plain.save()
    return copy


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_among_those_kept_for_the_test_is_named(plain: Plain, tmp_path: Path, disguise: str) -> None:
    """BTXRD's centres 2 and 3 would be judged by what was learned by heart at centre 1."""
    copy = with_a_test_picture_for_training(plain, disguise)
    samples, cache = opened(plain.folder, tmp_path / "cache")
    with pytest.raises(InvalidConfiguration, match="for the test") as refused:
        check_test_apart(samples, cache, Preprocessing())
    assert str(plain.folder / "images" / "000.png") in str(refused.value)
    assert str(copy) in str(refused.value)


def test_train_learns_from_no_copy_of_a_test_picture(plain: Plain, tmp_path: Path) -> None:
    """The check would be of no use if the command did not make it."""
    pytest.importorskip("keras")
    copy = with_a_test_picture_for_training(plain, "jpeg")
    run = tmp_path / "run"
    arguments = ["segmenter", "--data", str(plain.folder), "--output", str(run), "--stage", "448:1"]
    done = CliRunner().invoke(command, arguments)
    assert isinstance(done.exception, InvalidConfiguration)
    assert str(copy) in str(done.exception)
    assert not (run / "segmenter.keras").exists()


def test_a_copy_in_the_test_set_is_named(tmp_path: Path) -> None:
    """The study would test on what it trained on."""
    first, second = Plain(tmp_path / "first"), Plain(tmp_path / "second")
    first.write()
    second.write()
    for number in range(COUNT):
        cv2.imwrite(str(second.folder / "images" / f"{number:03d}.png"), painted(1000 + number if number != 5 else 11))
    sets = [opened(one.folder, tmp_path / one.folder.name / "cache") for one in (first, second)]
    (training, training_cache), (test, test_cache) = sets
    with pytest.raises(InvalidConfiguration, match=r"1 pictures .*011\.png \(in --data\) and .*005\.png \(in --test\)"):
        check_sets_apart((training.samples, training_cache), (test.samples, test_cache))
