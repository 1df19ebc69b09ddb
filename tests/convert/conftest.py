"""A trained pair that is small enough to convert on the spot, and its networks in fp32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.convert.export import Exported, export
from bonedge.convert.trained import Operation
from bonedge.edge.manifest import Abstention, Preprocessing, Training
from bonedge.models.classifier import build_classifier
from bonedge.models.segmenter import CHANNELS, build_segmenter

SIDE = 64


@pytest.fixture(scope="session")
def operation() -> Operation:
    """Of the pair; it never abstains for the features' sake."""
    return Operation(
        preprocessing=Preprocessing(segmenter_side_px=SIDE, classifier_side_px=SIDE),
        abstention=Abstention(
            minimum_bone_fraction=0,
            feature_mean=(0.0,) * CHANNELS[-1],
            feature_basis=((1.0,) * CHANNELS[-1],),
            maximum_distance=1e6,
        ),
        training=Training(data="Nothing: random weights.", phantom_seeds=(5,)),
    )


@pytest.fixture(scope="session")
def networks() -> dict[str, Any]:
    """segmenter and classifier, untrained, always with the same weights."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    return {"segmenter": build_segmenter(SIDE), "classifier": build_classifier(SIDE)}


@pytest.fixture(scope="session")
def pair_folder(networks: dict[str, Any], operation: Operation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair as `bonedge train` leaves it."""
    folder = tmp_path_factory.mktemp("pair")
    for name, network in networks.items():
        network.save(folder / f"{name}.keras")
    (folder / "operation.json").write_text(operation.model_dump_json())
    (folder / "MODEL_CARD.md").write_text("Of the bundle that was made of it last time.")
    return folder


@pytest.fixture(scope="session")
def exported(networks: dict[str, Any]) -> dict[str, Exported]:
    """Both networks in fp32, for both runtimes."""
    return {name: export(name, network) for name, network in networks.items()}


@pytest.fixture(scope="session")
def biased(networks: dict[str, Any]) -> Exported:
    """A classifier as training leaves it: converters drop the zeros that a bias begins as."""
    keras = pytest.importorskip("keras")
    network = keras.models.clone_model(networks["classifier"])
    network.set_weights(networks["classifier"].get_weights())
    network.get_layer("logits").bias.assign([0.1, -0.2, 0.3])
    return export("classifier", network)


@pytest.fixture(scope="session")
def pictures() -> Callable[[str, int], list[Any]]:
    """`pictures(name, count)`: inputs of a network, always the same."""

    def make(name: str, count: int) -> list[Any]:
        rng = np.random.default_rng(2)
        shape = (1, SIDE, SIDE, 1)
        grey = [rng.normal(0, 1, shape).astype(np.float32) for _ in range(count)]
        return grey if name == "segmenter" else [np.repeat(one, 3, axis=3) for one in grey]

    return make
