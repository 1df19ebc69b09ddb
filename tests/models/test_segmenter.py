"""The U-Net's contract with the runtime, the converters and the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.models.ranges import near_one
from bonedge.models.segmenter import CHANNELS, build_segmenter, trainable_view

pytestmark = [
    pytest.mark.full,
    # Keras saves weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def small() -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    return build_segmenter(64)


def picture(side: int, count: int = 1) -> Any:
    return np.random.default_rng(side).normal(0, 1, (count, side, side, 1)).astype(np.float32)


def test_gives_two_maps_and_the_features(small: Any) -> None:
    """If it failed, no engine would accept the converted network."""
    answer = small.predict_on_batch(picture(64, 3))
    assert set(answer) == {"maps", "features"}
    assert answer["maps"].shape == (3, 64, 64, 2)
    assert answer["features"].shape == (3, CHANNELS[-1])
    for values in answer.values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert answer["maps"].min() >= 0
    assert answer["maps"].max() <= 1
    # Means of ReLU6: what keeps int8 steps small.
    assert answer["features"].min() >= 0
    assert answer["features"].max() <= 6


def test_is_small(small: Any) -> None:
    """If it failed, the network would no longer run within a blink on a workstation."""
    assert small.count_params() < 1_500_000


def test_is_made_of_what_quantizes(small: Any) -> None:
    """If it failed, an activation without an upper end or a transposed convolution would cost accuracy in int8."""
    kinds = {type(layer).__name__ for layer in small.layers}
    assert kinds == {
        "InputLayer", "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D", "UpSampling2D", "Concatenate",
        "GlobalAveragePooling2D", "Activation",
    }  # fmt: skip
    assert all(layer.max_value == 6.0 for layer in small.layers if type(layer).__name__ == "ReLU")


@pytest.mark.parametrize("side", [31, 48, 100, 250, 299])
def test_a_side_that_cannot_be_halved_five_times_is_refused(side: int) -> None:
    """If it failed, the maps would come out in another size than the picture, or not at all."""
    pytest.importorskip("keras")
    with pytest.raises(ValueError, match=f"a multiple of 32, not {side}"):
        build_segmenter(side)


def test_the_same_weights_fit_every_side(small: Any) -> None:
    """If it failed, what was learned on small pictures could not be taken to large ones."""
    large = build_segmenter(96)
    large.set_weights(small.get_weights())
    answer = large.predict_on_batch(picture(96))
    assert answer["maps"].shape == (1, 96, 96, 2)
    # Far from its border, an even picture looks the same to both.
    even = np.zeros((1, 96, 96, 1), np.float32)
    there, here = (m.predict_on_batch(x)["maps"][0] for m, x in ((large, even), (small, even[:, :64, :64])))
    assert np.allclose(there[48, 48], here[32, 32], atol=0.02)


def test_the_trained_view_shares_the_layers(small: Any) -> None:
    """If it failed, training would improve another network than the one that is saved."""
    view = trainable_view(small)
    logits = view.predict_on_batch(picture(64, 2))["logits"]
    assert np.allclose(1 / (1 + np.exp(-logits)), small.predict_on_batch(picture(64, 2))["maps"], atol=1e-5)
    assert all(layer is small.get_layer(layer.name) for layer in view.layers)
    names = {variable.path for variable in small.variables}
    assert {variable.path for variable in view.variables} == names
    naming = trainable_view(small, families=5)
    assert naming.predict_on_batch(picture(64, 2))["family"].shape == (2, 5)
    assert [layer.name for layer in naming.layers if layer not in small.layers] == ["family"]


def test_finds_the_same_wherever_it_is(small: Any) -> None:
    """If it failed, a lesion would be seen in one half of the picture and not in the other."""
    grey = np.full((2, 64, 64, 1), -2, np.float32)
    grey[0, 24:40, 16:24] = 1.5
    grey[1] = grey[0, :, ::-1]
    maps = small.predict_on_batch(grey)["maps"]
    # 32 pixels, one cell of the bottleneck, is the only exact period; compare a shift by it.
    shifted = np.roll(grey, 32, axis=2)
    there = small.predict_on_batch(shifted)["maps"]
    assert np.abs(maps[0, 16:48, 12:28] - there[0, 16:48, 44:60]).max() < 0.1


def test_range_penalty_pulls_scales_to_one() -> None:
    """If it failed, int8 would have to hold channels a hundred times apart, or training would have no pull at all."""
    keras = pytest.importorskip("keras")
    penalty = near_one(0.5)
    assert penalty is not None
    assert float(penalty(keras.ops.convert_to_tensor([1.0, 3.0, 0.0]))) == pytest.approx(0.5 * (4 + 1))
    assert near_one(0) is None
    free, pulled = build_segmenter(64), build_segmenter(64, range_penalty=0.1)
    assert not free.losses
    norms = [layer for layer in pulled.layers if type(layer).__name__ == "BatchNormalization"]
    assert len(pulled.losses) == len(norms) > 15
    assert sum(float(loss) for loss in pulled.losses) == 0
    for layer in norms:
        layer.gamma.assign(layer.gamma + 2.0)
    wanted = 0.1 * 4 * sum(int(layer.gamma.shape[0]) for layer in norms)
    assert sum(float(loss) for loss in pulled.losses) == pytest.approx(wanted, rel=1e-5)


def test_begins_from_the_weights_in_a_file(small: Any, tmp_path: Path) -> None:
    """If it failed, training would silently begin from random numbers."""
    small.save(tmp_path / "earlier.keras")
    small.save_weights(tmp_path / "earlier.weights.h5")
    for name in ("earlier.keras", "earlier.weights.h5"):
        started = build_segmenter(96, weights=tmp_path / name)
        assert all(np.array_equal(a, b) for a, b in zip(started.get_weights(), small.get_weights(), strict=True))
