"""Which candidates stand on a rung, and how the classifier's are levelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.convert.export import Exported, export
from bonedge.convert.finished import Finished
from bonedge.convert.ladder import Rung, Workshop
from bonedge.edge.errors import BundleRefused
from bonedge.edge.records import CLASSES, Label

from .hostile import spread_channels

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow, NNCF and OpenVINO deprecate parts of each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
ENDS = [f"mixed-ends-{count}" for count in (2, 4, 6, 8, 16, 32, 64)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """What one test had made is not made again for the next."""
    return Finished.under(tmp_path_factory.mktemp("finished"), {})


@pytest.fixture
def workshop(
    networks: dict[str, Any], biased: Exported, pictures: Callable[[str, int], list[Any]], finished: Finished
) -> Workshop:
    return Workshop("classifier", networks["classifier"], biased, pictures("classifier", 8), 1, finished)


def recipes(workshop: Workshop, start: Rung, end: Rung) -> list[str]:
    """Of the first rung."""
    return [one.recipe for one in next(workshop.climb("tflite", start, end))]


def test_the_ends_in_float_stand_beside_int8(workshop: Workshop) -> None:
    """If it failed, a user who asked for int8 only would get a mixed network, or one who did not would never get it."""
    assert recipes(workshop, Rung.MIXED, Rung.FP32) == ENDS
    plain = recipes(workshop, Rung.INT8, Rung.INT8)
    assert plain == ["int8", "int8-mse", "int8-quantile"]
    assert recipes(workshop, Rung.INT8, Rung.MIXED) == plain + ENDS


def test_a_tuned_network_may_keep_its_ends_in_float_too(
    networks: dict[str, Any], biased: Exported, pictures: Callable[[str, int], list[Any]], finished: Finished
) -> None:
    """If it failed, tuning would be thrown away where it does not do alone what both do together."""
    model = networks["classifier"]
    workshop = Workshop("classifier", model, biased, pictures("classifier", 8), 1, finished, lambda given: given)
    rungs = ([one.recipe for one in rung] for rung in workshop.climb("tflite", Rung.INT8, Rung.MIXED))
    # No further: the next rung is built from every layer alone in int8, in minutes.
    tuned = next(rung for rung in rungs if "int8-tuned" in rung)
    assert tuned == [
        *("int8-tuned", "int8-tuned-mse", "int8-tuned-quantile"),
        *(one.replace("ends", "tuned-ends") for one in ENDS),
    ]


def test_what_no_runtime_loads_is_left_to_the_judge(
    networks: dict[str, Any], pictures: Callable[[str, int], list[Any]], tmp_path: Path
) -> None:
    """If it failed, one candidate that cannot be run would end a conversion that might have shipped another."""
    # Scales so far apart that XNNPACK has no kernel for them.
    model = spread_channels(networks["classifier"], 7, seed=12)
    exported, samples = export("classifier", model), pictures("classifier", 8)
    workshop = Workshop("classifier", model, exported, samples, 1, Finished.under(tmp_path, {}))
    made = next(workshop.climb("tflite", Rung.INT8, Rung.INT8))
    assert [one.recipe for one in made] == ["int8", "int8-mse", "int8-quantile"]
    for one in made:
        with pytest.raises(BundleRefused):
            one.load(1)


def test_what_scatters_leans_towards_malignant(workshop: Workshop) -> None:
    """If it failed, rounding would lose as many malignant tumours as it finds."""
    made = next(workshop.climb("openvino", Rung.INT8, Rung.INT8))[0]
    fp32, int8 = (one.load(1) for one in (workshop.reference("openvino"), made))
    moved = np.concatenate([int8.run(sample)[0] - fp32.run(sample)[0] for sample in workshop.samples])
    malignant, benign, normal = (CLASSES.index(label) for label in (Label.MALIGNANT, Label.BENIGN, Label.NORMAL))
    half = float((moved[:, malignant] - moved[:, benign]).std() / 2)
    assert half > 0
    assert moved.mean(axis=0)[[benign, normal]] == pytest.approx(0, abs=half / 10)
    assert moved.mean(axis=0)[malignant] == pytest.approx(half, rel=0.1)
