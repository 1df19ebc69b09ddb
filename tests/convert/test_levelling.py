"""What rounding moved is moved back, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bonedge.convert.activations import Estimator
from bonedge.convert.export import Exported, serialize
from bonedge.convert.levelling import level_openvino, level_tflite
from bonedge.convert.openvino_int8 import quantize
from bonedge.convert.tflite_int8 import post_training
from bonedge.edge.engines import openvino as openvino_engine
from bonedge.edge.engines import tflite as tflite_engine

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow, NNCF and OpenVINO deprecate parts of each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
Pictures = Callable[[str, int], list[Any]]
SHIFT = np.array([0.25, 0.5, -0.125], np.float32)
"""Away from the ends of the output's own range, which it cannot leave: the second logit is the lowest."""


def test_a_tflite_answers_higher_by_the_shift(biased: Exported, pictures: Pictures) -> None:
    """If it failed, a correction would be lost, or would move something else."""
    samples = pictures("classifier", 4)
    plain = post_training(biased, samples)
    spread = np.ptp([tflite_engine.load("x.tflite", plain, 1).run(sample)[0] for sample in samples])
    shift = SHIFT * np.float32(spread / 10)
    levelled = level_tflite(plain, shift)
    assert len(levelled) == len(plain)
    assert sum(a != b for a, b in zip(plain, levelled, strict=True)) <= 4 * shift.size
    before, after = (tflite_engine.load("x.tflite", file, 1) for file in (plain, levelled))
    moved = np.mean([after.run(sample)[0] - before.run(sample)[0] for sample in samples], axis=0)[0]
    step = spread / 200
    assert np.abs(moved - shift).max() <= step, "one step of the int8 output"


def test_a_tflite_whose_last_layer_is_in_float_answers_higher_by_just_the_shift(
    biased: Exported, pictures: Pictures
) -> None:
    """As above."""
    before, after = (
        tflite_engine.load("x.tflite", file, 1) for file in (biased.tflite, level_tflite(biased.tflite, SHIFT))
    )
    for sample in pictures("classifier", 4):
        assert after.run(sample)[0] - before.run(sample)[0] == pytest.approx(SHIFT[None], abs=1e-5)


def test_an_openvino_network_answers_higher_by_the_shift(biased: Exported, pictures: Pictures) -> None:
    """As above."""
    samples = pictures("classifier", 4)
    plain = serialize(quantize(biased, samples, Estimator.EXTREMES).without(()))
    levelled = level_openvino(*plain, SHIFT)
    before, after = (openvino_engine.load("x.xml", *files, "CPU", 1) for files in (plain, levelled))
    for sample in samples:
        assert after.run(sample)[0] - before.run(sample)[0] == pytest.approx(SHIFT[None], abs=1e-5)


def test_a_network_that_ends_otherwise_is_left_alone(exported: dict[str, Exported], pictures: Pictures) -> None:
    """A sigmoid's output plus a shift would be no probability."""
    maps = post_training(exported["segmenter"], pictures("segmenter", 4))
    assert level_tflite(maps, SHIFT) == maps
    maps_xml = serialize(exported["segmenter"].openvino)
    assert level_openvino(*maps_xml, SHIFT) == maps_xml
