"""fp32 artefacts compute what Keras computes, or are not made."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bonedge.convert import export as export_module
from bonedge.convert.export import PARITY, Exported, _check_parity, export, parity, serialize
from bonedge.convert.nearest import with_nearest
from bonedge.edge.engines import openvino as openvino_engine
from bonedge.edge.engines import tflite as tflite_engine
from bonedge.edge.errors import GateFailed

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow and OpenVINO deprecate parts of each other.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def run_both(one: Exported, xml: bytes, weights: bytes) -> dict[str, Callable[[Any], Any]]:
    return {
        "tflite": tflite_engine.load("x.tflite", one.tflite, 1).run,
        "openvino": openvino_engine.load("x.xml", xml, weights, "CPU", 1).run,
    }


@pytest.mark.parametrize("name", ["segmenter", "classifier"])
def test_both_artefacts_compute_what_keras_computes(
    exported: dict[str, Exported], networks: dict[str, Any], pictures: Callable[[str, int], list[Any]], name: str
) -> None:
    """If it failed, the reference that int8 is held against would itself be another model."""
    one = exported[name]
    xml, weights = serialize(one.openvino)
    for runtime, run in run_both(one, xml, weights).items():
        for picture in pictures(name, 3):
            answer = networks[name].predict_on_batch(picture)
            reference = list(answer.values()) if isinstance(answer, dict) else [answer]
            assert parity(reference, run(picture)) < PARITY, runtime


@pytest.mark.parametrize("name", ["segmenter", "classifier"])
def test_weights_are_whole_and_of_32_bits(exported: dict[str, Exported], networks: dict[str, Any], name: str) -> None:
    """If it failed, a converter that lost or halved weights, as they have done, would go unnoticed."""
    wanted = 4 * networks[name].count_params()
    _, weights = serialize(exported[name].openvino)
    for size in (len(exported[name].tflite), len(weights)):
        assert 0.9 * wanted < size < 1.2 * wanted


def test_shapes_are_fixed_to_one_picture(exported: dict[str, Exported]) -> None:
    """If it failed, each picture would cost shape arithmetic, and the runtime refuse the bundle."""
    assert exported["segmenter"].input_shape == (1, 64, 64, 1)
    assert exported["classifier"].input_shape == (1, 64, 64, 3)
    for one in exported.values():
        kinds = {node.get_type_name() for node in one.openvino.get_ordered_ops()}
        assert not kinds & {"ShapeOf", "StridedSlice"}
        assert not one.openvino.is_dynamic()


def test_the_way_up_is_nearest_neighbour(exported: dict[str, Exported]) -> None:
    """If it failed, OpenVINO would run the way up in slow float kernels, at twice the time of a picture."""
    from ai_edge_litert.interpreter import Interpreter

    lite = [one["op_name"] for one in Interpreter(model_content=exported["segmenter"].tflite)._get_ops_details()]
    assert lite.count("RESIZE_NEAREST_NEIGHBOR") == 4
    assert "TILE" not in lite
    graph = exported["segmenter"].openvino
    kinds = [node.get_type_name() for node in graph.get_ordered_ops()]
    assert "Tile" not in kinds
    modes = [n.get_attributes()["mode"] for n in graph.get_ordered_ops() if n.get_type_name() == "Interpolate"]
    assert modes.count("nearest") == 4


def test_the_exported_copy_lives_as_long_as_it_is_read(
    networks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a conversion would end whenever Python happened to tidy up between two steps."""

    def tidied(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            gc.collect()
            return step(*arguments, **options)

        return run

    import openvino

    monkeypatch.setattr(export_module, "frozen", tidied(export_module.frozen))
    monkeypatch.setattr(openvino, "convert_model", tidied(openvino.convert_model))
    export("segmenter", networks["segmenter"])


def test_one_resize_is_the_same_function_as_keras_chain() -> None:
    """If it failed, what is put in for Keras's chain of tiles would move features by a pixel."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    picture = layers.Input(batch_shape=(1, 6, 8, 3))
    low = layers.Conv2D(4, 3, 2, padding="same")(picture)
    enlarged = layers.UpSampling2D((2, 4), interpolation="nearest")(low)
    model = keras.Model(picture, layers.Conv2D(2, 1)(enlarged))
    sample = np.random.default_rng(0).normal(size=(1, 6, 8, 3)).astype(np.float32)
    exchanged = with_nearest(model)
    assert not any(isinstance(layer, layers.UpSampling2D) for layer in exchanged.layers)
    assert np.allclose(exchanged(sample), model(sample), atol=1e-6)
    assert with_nearest(exchanged) is exchanged


def test_an_artefact_that_computes_something_else_fails_the_gate(
    exported: dict[str, Exported], networks: dict[str, Any]
) -> None:
    """If it failed, a bundle of another model would be written, with the evidence of the right one."""
    keras = pytest.importorskip("keras")
    network = networks["segmenter"]
    other = keras.models.clone_model(network)
    weights = network.get_weights()
    # One convolution out of twenty, by a tenth.
    weights[0] = weights[0] * 1.1
    other.set_weights(weights)
    elsewhere = export("segmenter", other)
    for part, runtime in (("tflite", "TensorFlow Lite"), ("openvino", "OpenVINO")):
        mixed = replace(exported["segmenter"], **{part: getattr(elsewhere, part)})
        with pytest.raises(GateFailed, match=f"segmenter in {runtime} differs from Keras"):
            _check_parity(mixed, network)


def test_parity_is_the_largest_difference_wherever_it_is() -> None:
    """If it failed, a wrong output could hide behind a right one, behind its order, or behind not being a number."""
    maps, features = np.zeros((1, 4, 4, 2), np.float32), np.zeros((1, 3), np.float32)
    off = features + np.float32(0.5)
    assert parity([maps, features], [features, maps]) == 0
    assert parity([maps, features], [off, maps]) == 0.5
    assert parity([maps, features], [maps]) == np.inf
    assert parity([maps, features], [maps, features[:, :2]]) == np.inf
    for reference in ([maps, features], [features, maps]):
        for wrong in ([maps + np.nan, features], [maps, features + np.nan]):
            assert not parity(reference, wrong) <= PARITY
