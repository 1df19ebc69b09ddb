"""Training on quick kernels: the same network, the same gradients, the same statistics."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.kernels import convolve_in_bfloat16, on_quick_kernels
from bonedge.models.ranges import near_one

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def plain() -> Any:
    """Two normalised convolutions and a depthwise one with weights as after some training."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    picture = layers.Input((16, 16, 2))
    x = picture
    for number in range(2):
        x = layers.Conv2D(5, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, gamma_regularizer=near_one(0.1), name=f"bn{number}")(x)
        x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name="deep")(x)
    model = keras.Model(picture, {"logits": layers.Dense(3, name="dense")(layers.GlobalAveragePooling2D()(x))})
    rng = np.random.default_rng(2)
    model.set_weights([np.abs(w + rng.normal(0, 0.2, w.shape)).astype(np.float32) for w in model.get_weights()])
    return model


def step(model: Any, pictures: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """One forward and backward pass in training: gradients and, after it, the weights that are not trained, by name."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(pictures, training=True)["logits"] ** 2) + sum(model.losses)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    named = {variable.path: np.asarray(one) for variable, one in zip(model.trainable_variables, gradients, strict=True)}
    return named, {variable.path: np.asarray(variable) for variable in model.non_trainable_variables}


def test_gradients_and_statistics_are_those_of_keras(plain: Any) -> None:
    """A network would be trained, quicker, into another one."""
    quick = on_quick_kernels(plain)
    assert type(quick.get_layer("deep")) is not type(plain.get_layer("deep"))
    pictures = np.random.default_rng(3).normal(size=(4, 16, 16, 2)).astype(np.float32)
    before = np.asarray(plain(pictures, training=False)["logits"])
    assert np.array_equal(np.asarray(quick(pictures, training=False)["logits"]), before)
    (expected, kept), (found, moved) = step(plain, pictures), step(quick, pictures)
    assert expected.keys() == found.keys()
    assert any(np.abs(one).max() > 0.1 for name, one in expected.items() if "gamma" in name)
    for name, one in expected.items():
        np.testing.assert_allclose(found[name], one, rtol=2e-3, atol=2e-4, err_msg=name)
    assert kept.keys() == moved.keys()
    for name, one in kept.items():
        np.testing.assert_allclose(moved[name], one, rtol=1e-4, atol=1e-5, err_msg=name)


def test_what_is_frozen_stays(plain: Any) -> None:
    """Statistics of a layer that is not trained would drift."""
    quick = on_quick_kernels(plain)
    layer = quick.get_layer("bn0")
    layer.trainable = False
    before = np.asarray(layer.moving_mean)
    quick(np.ones((2, 16, 16, 2), np.float32), training=True)
    assert np.array_equal(np.asarray(layer.moving_mean), before)


def test_both_networks_are_twins_by_name_and_weight() -> None:
    """Checkpoints and the copy into the network that is saved go by the names and the order of the weights."""
    from bonedge.models.classifier import build_classifier, with_evidence
    from bonedge.models.segmenter import build_segmenter, trainable_view

    for model in (
        trainable_view(build_segmenter(64, range_penalty=1e-4), 4),
        with_evidence(build_classifier(64, range_penalty=1e-4), 3, 4),
    ):
        twin = on_quick_kernels(model)
        assert [one.path for one in twin.weights] == [one.path for one in model.weights]
        assert [one.name for one in twin.layers] == [one.name for one in model.layers]
        assert twin.output.keys() == model.output.keys()
        kinds = Counter(type(layer).__name__ for layer in twin.layers)
        assert kinds["QuickNormalization"] > 10
        assert kinds["QuickDepthwise"] == (7 if "classifier" in model.name else 0)


def test_another_backend_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would wait twice as long as told, and the run folder would say otherwise."""
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InvalidConfiguration, match="only TensorFlow"):
        convolve_in_bfloat16()
