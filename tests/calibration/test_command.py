"""`bonedge phantom` as a user runs it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bonedge.edge.decode import decode_bytes

_KEYS = [
    "file",
    "lesion_mask",
    "bone_mask",
    "label",
    "region",
    "family",
    "regime",
    "semiology",
    "rendering",
    "spacing_mm",
    "generation",
    "seed",
    "index",
]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`phantom(*arguments, folder=None)` runs the command with small pictures; (completed process, folder)."""

    def run(*arguments: object, folder: Path | None = None) -> Any:
        folder = folder or tmp_path_factory.mktemp("set") / "phantoms"
        command = ["phantom", "--size", "160", "--output", folder, *arguments]
        done = subprocess.run(
            [sys.executable, "-c", "from bonedge.edge.cli import main; main()", *map(str, command)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done, folder

    return run


@pytest.fixture(scope="module")
def mixed(phantom: Callable[..., Any]) -> Path:
    """Four labels in turn, with a sheet, made by one process."""
    labels = [part for label in ("normal", "benign", "malignant", "abstain") for part in ("--label", label)]
    done, folder = phantom("--count", 5, "--seed", 3, "--sheet", "--jobs", 1, *labels)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return folder


def index_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_describes_each_phantom(mixed: Path) -> None:
    """A training run could not tell what a picture shows."""
    lines = index_of(mixed)
    assert all(list(line) == _KEYS for line in lines)
    assert [line["label"] for line in lines] == ["normal", "benign", "malignant", "abstain", "normal"]
    assert [line["index"] for line in lines] == list(range(5))
    for line in lines:
        pixels = decode_bytes((mixed / line["file"]).read_bytes()).pixels
        for kind in ("lesion_mask", "bone_mask"):
            mask = cv2.imread(str(mixed / line[kind]), cv2.IMREAD_UNCHANGED)
            assert mask.shape == pixels.shape
            assert set(np.unique(mask)) <= {0, 255}
        has_lesion = cv2.imread(str(mixed / line["lesion_mask"]), cv2.IMREAD_UNCHANGED).any()
        assert has_lesion == (line["label"] in ("benign", "malignant"))


def test_the_folder_holds_only_what_a_modality_would_export(mixed: Path) -> None:
    """`bonedge predict FOLDER/*.dcm` would be given masks, or names that tell the diagnosis."""
    names = sorted(path.name for path in mixed.iterdir())
    pictures = [f"phantom-3-{index:05d}.dcm" for index in range(5)]
    assert names == sorted(["index.jsonl", "masks", "sheet.png", *pictures])


def test_draws_a_contact_sheet(mixed: Path) -> None:
    """Nobody would look at the phantoms."""
    sheet = cv2.imread(str(mixed / "sheet.png"))
    assert sheet is not None
    assert sheet.std() > 10


def test_is_bit_identical_whatever_the_processes(phantom: Callable[..., Any]) -> None:
    """A released model could not be reproduced on a machine with other processors."""
    arguments = ("--count", 6, "--seed", 4, "--format", "png")
    (first, one), (second, two) = phantom(*arguments, "--jobs", 1), phantom(*arguments, "--jobs", 2)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert digests(one) == digests(two)
    assert len(digests(one)) == 6 * 3 + 1


def test_shows_the_regions_that_are_asked_for(phantom: Callable[..., Any]) -> None:
    """A set for one part of the body would hold others; or the new ones would come only with some labels."""
    asked = ("--region", "hip", "--region", "shoulder", "--label", "normal", "--label", "malignant")
    done, folder = phantom("--count", 3, "--seed", 2, "--regime", "overt", *asked)
    assert done.returncode == 0, done.stderr
    assert [(one["region"], one["label"]) for one in index_of(folder)] == [
        ("hip", "normal"),
        ("hip", "malignant"),
        ("shoulder", "normal"),
    ]


def test_shows_the_findings_that_are_asked_for(phantom: Callable[..., Any]) -> None:
    """Who finds that a model fails on bone islands could not show it more of them."""
    asked = ("--finding", "bone island", "--finding", "osteosarcoma", "--regime", "overt", "--regime", "subtle")
    done, folder = phantom("--count", 4, "--seed", 3, *asked)
    assert done.returncode == 0, done.stderr
    assert [(one["family"], one["label"], one["regime"]) for one in index_of(folder)] == [
        ("bone island", "normal", "overt"),
        ("osteosarcoma", "malignant", "overt"),
        ("bone island", "normal", "subtle"),
        ("osteosarcoma", "malignant", "subtle"),
    ]


def test_says_that_pictures_of_an_earlier_order_stay(phantom: Callable[..., Any]) -> None:
    """They would be watched or predicted with the others, without a word of what they are."""
    first, folder = phantom("--count", 3, "--seed", 5, "--jobs", 1)
    again, _ = phantom("--count", 2, "--seed", 5, "--jobs", 1, folder=folder)
    assert "does not describe" not in first.stderr
    assert "index.jsonl does not describe 1 of the phantoms in there, of an earlier order." in again.stderr
    assert len(index_of(folder)) == 2
    assert (folder / "phantom-5-00002.dcm").exists()


def test_refuses_a_label_beside_a_finding(phantom: Callable[..., Any]) -> None:
    """Bone islands would be called tumours, or the label be ignored without a word."""
    done, _ = phantom("--count", 1, "--seed", 3, "--finding", "bone island", "--label", "benign")
    assert done.returncode == 2
    assert "--label" in done.stderr


def test_says_so_when_a_finding_does_not_occur_in_a_region(phantom: Callable[..., Any]) -> None:
    """The command would draw patients for ever."""
    done, folder = phantom("--count", 1, "--seed", 3, "--finding", "giant cell tumour", "--region", "hand", "--jobs", 2)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "giant cell tumour does not occur in hand" in done.stderr
    assert not (folder / "index.jsonl").exists()


def test_an_earlier_index_does_not_outlive_its_files(phantom: Callable[..., Any], tmp_path: Path) -> None:
    """An interrupted second run would leave an index that describes other pictures than those in the folder."""
    phantom("--count", 2, "--seed", 5, folder=tmp_path)
    done, _ = phantom("--count", 1, "--seed", 6, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line["seed"] for line in index_of(tmp_path)] == [6]


def test_says_so_when_the_folder_cannot_be_made(phantom: Callable[..., Any], tmp_path: Path) -> None:
    """A user would get a traceback for a mistyped folder."""
    (tmp_path / "file").write_text("")
    done, _ = phantom("--count", 1, "--seed", 1, folder=tmp_path / "file" / "set")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--output" in done.stderr
