"""Fine-tuning makes a network say the same with its numbers rounded, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow and numpy warn about each other; nobody here can act on it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def samples() -> list[Any]:
    rng = np.random.default_rng(4)
    return [rng.normal(size=(1, 64, 64, 1)).astype(np.float32) for _ in range(12)]


@given(arrays(np.float32, (3, 3, 4, 5), elements=st.floats(-100, 100, width=32)))
def test_a_rounded_kernel_has_255_steps_per_output_channel(kernel: Any) -> None:
    """If it failed, the network would be tuned to another rounding than the one that it is converted with."""
    from bonedge.convert.tuning import round_kernel

    rounded = round_kernel(kernel)
    for channel in range(5):
        step = np.abs(kernel[..., channel]).max() / 127
        assert np.abs(rounded[..., channel] - kernel[..., channel]).max() <= step * 0.51 + 1e-30
        assert len(np.unique(rounded[..., channel])) <= 255


def test_a_depthwise_kernel_is_rounded_channel_by_channel() -> None:
    """If it failed, a small channel would be rounded with the steps of a large one."""
    from bonedge.convert.tuning import round_kernel

    kernel = np.ones((3, 3, 2, 1), np.float32) * np.array([1, 1e-4], np.float32)[:, None]
    assert np.allclose(round_kernel(kernel), kernel, rtol=1e-5)


def test_tuning_brings_int8_closer_and_is_repeatable(networks: dict[str, Any], samples: list[Any]) -> None:
    """If it failed, --repair would spend minutes on making a network worse, or do something else each time."""
    import keras

    from bonedge.convert.activations import Estimator, observe
    from bonedge.convert.export import export
    from bonedge.convert.tflite_int8 import with_ranges
    from bonedge.convert.tuning import tune
    from bonedge.edge.engines.tflite import load

    model = keras.models.clone_model(networks["segmenter"])
    model.set_weights(networks["segmenter"].get_weights())
    # An untrained head says next to nothing, and the steps of an int8 map drown it.
    head = model.get_layer("half_logits")
    kernel, bias = head.get_weights()
    head.set_weights([kernel * 6, bias * 0])
    wanted = [np.asarray(model(sample, training=False)["maps"]) for sample in samples]

    def error(network: Any) -> float:
        exported = export("segmenter", network)
        run = load("x", with_ranges(exported, observe(exported.tflite, samples).ranges(Estimator.EXTREMES)), 2).run
        found = [next(one for one in run(sample) if one.ndim == 4) for sample in samples]
        return float(np.sqrt(np.mean(np.square(np.stack(found) - np.stack(wanted)))))

    before = model.get_weights()
    tuned = tune(model, samples, seed=1, steps=40)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)), "the original is kept"
    changed = [not np.array_equal(a, b) for a, b in zip(before, tuned.get_weights(), strict=True)]
    assert any(changed)
    again = tune(model, samples, seed=1, steps=40)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(tuned.get_weights(), again.get_weights(), strict=True))
    assert error(tuned) < error(model)


def test_what_was_tuned_is_not_tuned_again(
    networks: dict[str, Any], samples: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a conversion that is taken up again would spend its minutes anew, or go on with another network."""
    from bonedge.convert import tuning
    from bonedge.convert.finished import Finished

    steps: list[int] = []

    def few(model: Any, samples: Any, *, seed: int) -> Any:
        steps.append(seed)
        return tune(model, samples, seed=seed, steps=2)

    tune = tuning.tune
    monkeypatch.setattr(tuning, "tune", few)
    kept = Finished.under(tmp_path, {})
    first, second = (
        tuning.tuned_once(networks["segmenter"], lambda: samples, kept, "segmenter.tuned", seed=1) for _ in range(2)
    )
    assert steps == [1]
    weights = networks["segmenter"].get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(weights, first.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
