"""Networks that do what they did before, in numbers that eight bits cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def spread_channels(model: Any, decades: float, seed: int) -> Any:
    """A copy of an EfficientNetB0 whose linear bottlenecks have channels 10^-decades to 1 apart, function unchanged.

    Every tensor between a projection and the expansions that read it is rescaled: batch normalisations that write into
    it are multiplied channel by channel, convolutions that read it are divided.
    """
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    rng = np.random.default_rng(seed)
    layers = {layer.name: layer for layer in copy.layers}
    names = [name for name in layers if name.endswith("_project_bn")]
    stages: dict[str, list[str]] = {}
    for name in names:
        stages.setdefault(name[:6], []).append(name)
    for stage, writers in stages.items():
        # Blocks of one stage are joined by additions, so they share one scale.
        channels = len(layers[writers[0]].get_weights()[0])
        scale = np.power(10.0, -rng.uniform(0, decades, channels)).astype(np.float32)
        scale[rng.integers(channels)] = 1.0
        for name in writers:
            gamma, beta, mean, variance = layers[name].get_weights()
            layers[name].set_weights([gamma * scale, beta * scale, mean, variance])
        following = f"block{int(stage[5]) + 1}"
        readers = [f"{name[:7]}_expand_conv" for name in writers[1:]]
        readers += [f"{following}a_expand_conv" if f"{following}a_expand_conv" in layers else "top_conv"]
        for name in readers:
            weights = layers[name].get_weights()
            weights[0] = weights[0] / scale[None, None, :, None]
            layers[name].set_weights(weights)
    return copy


def add_outliers(model: Any, size: float, seed: int) -> Any:
    """A copy of an EfficientNetB0 with one channel per linear bottleneck that is huge, and that nothing reads.

    One scale for a whole tensor has then no steps left for the channels that count.
    """
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    rng = np.random.default_rng(seed)
    layers = {layer.name: layer for layer in copy.layers}
    for name in [name for name in layers if name.endswith("a_project_bn")]:
        gamma, beta, mean, variance = layers[name].get_weights()
        channel = int(rng.integers(len(beta)))
        beta[channel] = size
        layers[name].set_weights([gamma, beta, mean, variance])
        stage = name[:6]
        following = f"block{int(stage[5]) + 1}a_expand_conv"
        readers = [one for one in layers if one.startswith(stage) and one.endswith("_expand_conv")]
        readers = [one for one in readers if one != f"{stage}a_expand_conv"]
        for reader in [*readers, following if following in layers else "top_conv"]:
            weights = layers[reader].get_weights()
            weights[0][:, :, channel] = 0
            layers[reader].set_weights(weights)
    return copy
