"""The figures of the training log, with networks whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from bonedge.edge.manifest import Preprocessing
from bonedge.models.cache import PictureCache
from bonedge.models.regions import Regions
from bonedge.models.watching import classifier_figures, classifier_logits, segmenter_figures


@dataclass
class Answers:
    """Gives out `rows` in turn, whatever it is asked, and keeps what it was asked."""

    rows: Any
    asked: list[Any] = field(default_factory=list)

    def predict_on_batch(self, inputs: Any) -> Any:
        begun = sum(len(batch) for batch in self.asked)
        self.asked.append(inputs)
        return {"logits": self.rows[begun : begun + len(inputs)]}


def logits_of(masks: Any) -> Any:
    return np.where(masks, 5.0, -5.0).astype(np.float32)


@pytest.fixture(scope="module")
def truth(cache: PictureCache) -> Any:
    """bool "n 256 256 2"."""
    return np.stack([cache.bone, cache.lesion], axis=-1) >= 128


def test_perfect_maps_get_perfect_figures(cache: PictureCache, p: Preprocessing, truth: Any) -> None:
    """If it failed, the log would show less, or more, than the network can do."""
    everything = np.arange(len(cache.label))
    network = Answers(logits_of(truth))
    figures = segmenter_figures(network, cache, everything, p, 256)
    assert figures == {"lesion_dice": 1.0, "bone_dice": 1.0, "false_alarms": 0.0}
    shown = np.concatenate(network.asked)[..., 0]
    assert np.allclose(shown, (cache.picture / np.float32(255) - p.mean) / p.std, atol=1e-5)


def test_figures_by_hand(cache: PictureCache, p: Preprocessing, truth: Any) -> None:
    """If it failed, medians would be over other pictures than the log says."""
    chosen = np.array([0, 3, 1, 2, 28])
    assert cache.label[chosen].tolist() == [0, 0, 1, 2, 3]
    maps = truth[chosen].copy()
    maps[0, :30, :30, 1] = True  # a false lesion in a normal
    maps[1, 0, :3, 1] = True  # specks do not count
    maps[2, ..., 1] = False  # a miss
    maps[4] = True  # a stranger counts for nothing
    figures = segmenter_figures(Answers(logits_of(maps)), cache, chosen, p, 256)
    assert figures == {"lesion_dice": 0.5, "bone_dice": 1.0, "false_alarms": 0.5}


def test_a_set_without_lesions_has_no_lesion_figure(cache: PictureCache, p: Preprocessing, truth: Any) -> None:
    """If it failed, the log would show a number that is none."""
    chosen = np.array([1, 2])
    figures = segmenter_figures(Answers(logits_of(truth[chosen])), cache, chosen, p, 256)
    assert set(figures) == {"lesion_dice", "bone_dice"}
    assert set(segmenter_figures(Answers(logits_of(truth[[28]])), cache, np.array([28]), p, 256)) == set()


def test_classifier_figures_by_hand(cache: PictureCache, p: Preprocessing) -> None:
    """If it failed, the best epoch would not be the one that looks best."""
    chosen = np.array([0, 1, 2, 5])
    assert cache.label[chosen].tolist() == [0, 1, 2, 2]
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.6, 0.2, 0.2]])
    boxes = np.zeros((len(cache.label), 3, 4), np.int32)
    boxes[:, 0] = 10, 10, 90, 90
    boxes[:, 1:] = 0, 0, 20, 20
    network = Answers(np.log(probabilities).astype(np.float32))
    maps = np.zeros((*cache.picture.shape, 2), np.uint8)
    figures = classifier_figures(network, cache, Regions(boxes, boxes[:, 1], maps), chosen, p, 64)
    assert figures["validation_loss"] == pytest.approx(-np.log([0.7, 0.5, 0.3, 0.2]).mean(), rel=1e-5)
    assert figures["tumour_accuracy"] == 0.75
    # normal: 1 right of 1, called twice; benign: 1 of 1, called twice; malignant: none.
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    # The first threshold's region, cut at the size that is trained.
    (shown,) = network.asked
    assert shown.shape == (4, 64, 64, 3)
    grey = cache.working_picture(0)[10:90, 10:90]
    assert shown[0, :, :, 0].mean() == pytest.approx(float((grey.mean() - p.mean) / p.std), abs=0.02)


def test_logits_keep_the_order_of_the_pictures(cache: PictureCache, p: Preprocessing) -> None:
    """If it failed, beyond the first batch pictures would be judged by their neighbours' logits."""
    rows = np.arange(30 * 3, dtype=np.float32).reshape(30, 3)
    boxes = np.tile(np.array([0, 0, 50, 50], np.int32), (30, 1))
    given = classifier_logits(Answers(rows), cache, boxes, np.zeros((30, 256, 256, 2), np.uint8), np.arange(30), p, 64)
    assert np.array_equal(given, rows)
