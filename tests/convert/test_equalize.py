"""Networks that do what they did before, in numbers that eight bits cannot hold: equalization finds them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .hostile import spread_channels

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow and numpy warn about each other; nobody here can act on it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def classifier() -> Any:
    pytest.importorskip("keras")
    from bonedge.convert.quiet import frameworks

    frameworks()
    import keras

    from bonedge.models.classifier import build_classifier

    keras.utils.set_random_seed(3)
    model = build_classifier(64)
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([rng.uniform(0.7, 1.3, gamma.shape), rng.normal(0, 0.3, beta.shape), mean, variance])
    return model


@pytest.fixture(scope="module")
def samples() -> list[Any]:
    rng = np.random.default_rng(4)
    return [rng.normal(size=(1, 64, 64, 3)).astype(np.float32) for _ in range(8)]


def answers(model: Any, samples: list[Any]) -> Any:
    return np.concatenate([np.asarray(model(sample, training=False)) for sample in samples])


def test_a_hostile_network_is_the_same_function(classifier: Any, samples: list[Any]) -> None:
    """The hostile models of these tests would prove nothing."""
    hostile = spread_channels(classifier, 3, seed=1)
    assert np.allclose(answers(hostile, samples), answers(classifier, samples), atol=1e-3)


def test_equalization_undoes_the_spread_and_keeps_the_function(classifier: Any, samples: list[Any]) -> None:
    """A network with a thousandfold spread would keep it, or come out as another network."""
    from bonedge.convert.equalize import equalize

    hostile = spread_channels(classifier, 3, seed=1)
    equalized, rescaled = equalize(hostile, samples)
    assert rescaled >= 5
    assert np.allclose(answers(equalized, samples), answers(hostile, samples), atol=1e-3)
    for name in ("block2b_project_bn", "block4a_project_bn", "block6d_project_bn"):
        before = np.abs(hostile.get_layer(name).get_weights()[0])
        after = np.abs(equalized.get_layer(name).get_weights()[0])
        assert after.max() / after.min() < (before.max() / before.min()) / 20


def test_plain_int8_collapses_where_equalized_int8_does_not(classifier: Any, samples: list[Any]) -> None:
    """Equalization would be a ceremony: it has to bring the accuracy of eight bits back."""
    from bonedge.convert.activations import Estimator, observe
    from bonedge.convert.equalize import equalize
    from bonedge.convert.export import export
    from bonedge.convert.tflite_int8 import with_ranges
    from bonedge.edge.engines.tflite import load

    def error(model: Any) -> float:
        exported = export("classifier", model)
        int8 = with_ranges(exported, observe(exported.tflite, samples).ranges(Estimator.EXTREMES))
        runs = [load("classifier.tflite", content, 2).run for content in (exported.tflite, int8)]
        exact, rounded = (np.concatenate([run(sample)[0] for sample in samples]) for run in runs)
        return float(np.sqrt(np.mean((exact - rounded) ** 2)) / exact.std())

    hostile = spread_channels(classifier, 3, seed=1)
    collapsed, rescued = error(hostile), error(equalize(hostile, samples)[0])
    assert rescued < collapsed / 3


def test_a_network_of_even_channels_is_left_alone(samples: list[Any]) -> None:
    """Minutes would be spent on candidates that are copies of others."""
    from bonedge.convert.quiet import frameworks

    frameworks()
    import keras
    from keras import layers

    from bonedge.convert.equalize import equalize

    picture = layers.Input((64, 64, 3))
    x = layers.Conv2D(8, 3, kernel_initializer="ones")(picture)
    model = keras.Model(picture, layers.Conv2D(4, 1)(x))
    _, rescaled = equalize(model, samples)
    assert rescaled == 0
