"""A labelled set of painted pictures, as `bonedge phantom --format png` lays one out, and its prepared form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import CLASSES, Label
from bonedge.models.cache import PictureCache, open_cache
from bonedge.models.datasets import PhantomSet

COUNT, SEED = 30, 77
GREYS = {Label.NORMAL: 0.5, Label.BENIGN: 0.77, Label.MALIGNANT: 0.92, Label.ABSTAIN: 0.0}
"""Of the lesion."""
STRANGERS = (28, 29)
"""Pictures of something else: one for validation, one for training."""


@pytest.fixture(scope="session")
def write_set() -> Callable[..., Path]:
    """`write_set(folder, count=30)` -> `folder`: pictures of three shapes, masks and index.jsonl.

    Normal, benign and malignant in turn, so that all three are on both sides; lesions lie at different heights.
    """

    def write(folder: Path, count: int = COUNT) -> Path:
        (folder / "masks").mkdir(parents=True)
        rows = []
        for index in range(count):
            label = Label.ABSTAIN if index in STRANGERS else CLASSES[index % 3]
            height, width = ((320, 240), (260, 330), (300, 300))[index // 3 % 3]
            masks = _masks(height, width, label, (index * 37 % 5 - 2) * height // 12)
            pixels = _painted(masks, GREYS[label], np.random.default_rng(index))
            name = f"phantom-{SEED}-{index:05d}"
            cv2.imwrite(str(folder / f"{name}.png"), np.rint(np.clip(pixels, 0, 1) * 65535).astype(np.uint16))
            for kind, mask in masks.items():
                cv2.imwrite(str(folder / "masks" / f"{name}.{kind}.png"), mask)
            rows.append(
                {
                    "file": f"{name}.png",
                    "lesion_mask": f"masks/{name}.lesion.png",
                    "bone_mask": f"masks/{name}.bone.png",
                    "label": label.value,
                    "seed": SEED,
                    "index": index,
                }
            )
        (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return write


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory, write_set: Callable[..., Path]) -> Path:
    """Folder of the painted set."""
    return write_set(tmp_path_factory.mktemp("painted") / "data")


@pytest.fixture(scope="session")
def p() -> Preprocessing:
    """Preparation without equalization, so that greys stay what they were painted."""
    return Preprocessing(low_percentile=0, high_percentile=100, median_px=0, clahe_clip=0)


@pytest.fixture(scope="session")
def cache(painted: Path, p: Preprocessing, tmp_path_factory: pytest.TempPathFactory) -> PictureCache:
    """The painted set, prepared."""
    return open_cache(PhantomSet(painted), tmp_path_factory.mktemp("prepared") / "cache", p, lambda done, total: None)


@pytest.fixture(scope="session")
def by_brightness(p: Preprocessing) -> Callable[[Any], dict[str, Any]]:
    """A segmenter of two thresholds: normalised "n side side 1" -> maps "n side side 2", features "n 6"."""

    def segment(pixels: Any) -> dict[str, Any]:
        grey = pixels[..., 0] * p.std + p.mean
        maps = np.stack([grey > 0.35, grey > 0.65], axis=-1).astype(np.float32)
        moments = [grey.mean((1, 2)), grey.std((1, 2)), *(maps[..., c].mean((1, 2)) for c in (0, 1))]
        # Six channels, the last two of them noise that depends on the picture only.
        noise = [np.modf(1e4 * grey.mean((1, 2)))[0], np.modf(1e4 * grey.std((1, 2)))[0]]
        return {"maps": maps, "features": np.stack([*moments, *noise], axis=1).astype(np.float32)}

    return segment


def _masks(height: int, width: int, label: Label, down: int) -> dict[str, Any]:
    """A shaft across the middle and an ellipse on it, `down` pixels below the middle. uint8, 0 or 255."""
    bone, lesion = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    if label is not Label.ABSTAIN:
        bone[:, round(0.35 * width) : round(0.65 * width)] = 255
    if label in (Label.BENIGN, Label.MALIGNANT):
        cv2.ellipse(lesion, (width // 2, height // 2 + down), (height // 16, height // 10), 0, 0, 360, 255, -1)
    return {"lesion": lesion, "bone": bone}


def _painted(masks: dict[str, Any], lesion: float, rng: np.random.Generator) -> Any:
    """Soft tissue that grows brighter to one side (an even one would be taken for a shutter), bone and lesion."""
    height, width = masks["bone"].shape
    pixels = np.tile(np.linspace(0.06, 0.24, width), (height, 1))
    pixels[masks["bone"] > 0], pixels[masks["lesion"] > 0] = 0.5, lesion
    # Noise: no two pictures are alike, and networks have something to normalise.
    pixels += rng.normal(0, 0.015, pixels.shape)
    # The ends of the grey scale and the outermost greys that the window heeds: preparing leaves greys what they are.
    for step, grey in enumerate((0, 0.02, 0.98, 1), 1):
        pixels[4:8, 4 * step : 4 * step + 4] = grey
    return np.clip(pixels, 0, 1)
