"""Cross-layer equalization: channels that differ a thousandfold are rescaled alike, without changing the function.

An int8 activation has one step for all channels of a tensor, so a channel a thousand times smaller than its neighbour
is rounded to nothing. Wherever a channel can be multiplied by s where it is made and divided by s where it is read,
s = sqrt(reader's weight / channel's activation) gives both sides an equal share of the spread (Nagel et al.,
Data-Free Quantization, ICCV 2019; Xiao et al., SmoothQuant, ICML 2023, with migration strength 1/2).

Through ReLU6 a channel can be rescaled as long as it never reached the upper end on the calibration set and will not
reach it afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Pixels

from .quiet import frameworks, muffled

_LIMIT = 1e5
"""Largest factor either way."""
_HEADROOM = 0.9
"""Of ReLU6's upper end that a channel may use on the calibration set after rescaling."""
_TRANSPARENT = frozenset(
    {
        "Add", "AveragePooling2D", "Dropout", "GlobalAveragePooling2D", "Identity", "MaxPooling2D", "SpatialDropout2D",
        "UpSampling2D", "ZeroPadding2D",
    }
)  # fmt: skip
"""Layers that scale with their input, channel by channel."""
_WEIGHTED = frozenset({"BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D"})
_SPREAD = 8.0
"""A group whose channels differ by less is left alone."""


@dataclass
class _Group:
    """Tensors of one scale per channel."""

    makers: list[Any] = field(default_factory=list)
    """Layers that write into it: convolutions and batch normalisations."""
    readers: list[Any] = field(default_factory=list)
    """Layers with weights that read it."""
    rectified: bool = False
    """Whether a ReLU lies inside: then only what is above zero goes on."""
    bounded: bool = False
    """Whether one of them is a ReLU6."""
    frozen: bool = False
    """Something in it does not scale."""
    tensors: list[Any] = field(default_factory=list)


def equalize(model: Any, samples: Sequence[Pixels]) -> tuple[Any, int]:
    """A copy of `model` with channels of like range.

    Args:
        model: functional keras.Model; not changed.
        samples: calibration inputs, each float32 "1 ...".

    Returns:
        The copy, and how many groups of tensors were rescaled; 0 means that nothing could or needed to be.
    """
    frameworks()
    import keras

    if not any(_worthwhile(group) for group in _groups(model)):
        return model, 0
    with muffled():
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    rescaled = 0
    groups = [group for group in _groups(copy) if _worthwhile(group)]
    # One after the other: the scale of one group changes the weights that the next one balances against.
    for group, reach in zip(groups, _reaches(copy, groups, samples), strict=True):
        weight = _reader_weights(group.readers)
        if weight is None or weight.shape != reach.shape:
            continue
        scale = _scales(reach, weight, group.bounded)
        if scale is None:
            continue
        for layer in group.makers:
            _multiply_output(layer, scale)
        for layer in group.readers:
            _divide_input(layer, scale)
        rescaled += 1
    return copy, rescaled


def _scales(reach: NDArray[np.float64], weight: NDArray[np.float64], bounded: bool) -> NDArray[np.float64] | None:
    alive = (reach > 0) & (weight > 0)
    if bounded:
        alive &= reach < 6 * (1 - 1e-4)
    if np.count_nonzero(alive) < 2 or reach[alive].max() / reach[alive].min() < _SPREAD:
        return None
    scale = np.ones_like(reach)
    scale[alive] = np.sqrt(weight[alive] / reach[alive])
    # The largest channel of a tensor keeps its size, so that what is not rescaled stays comparable.
    scale[alive] *= reach[alive].max() / (reach[alive] * scale[alive]).max()
    if bounded:
        scale[alive] = np.minimum(scale[alive], _HEADROOM * 6 / reach[alive])
    return np.clip(scale, 1 / _LIMIT, _LIMIT)


def _groups(model: Any) -> list[_Group]:
    """Union of tensors over layers that pass scales through."""
    parent: dict[int, int] = {}
    tensors: dict[int, Any] = {}

    def find(key: int) -> int:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    def join(members: Iterable[Any]) -> None:
        keys = [find(id(tensor)) for tensor in members]
        for key in keys:
            parent[key] = keys[0]

    for layer in model.layers:
        for tensor in (*_inputs(layer), *_outputs(layer)):
            tensors[id(tensor)] = tensor
            find(id(tensor))
        kind = type(layer).__name__
        if kind in _TRANSPARENT or _is_relu(layer) or _keeps_channels(layer):
            join((*_inputs(layer), *_outputs(layer)))
        elif kind == "Multiply" and _gate(layer) is not None:
            carried = [tensor for tensor in _inputs(layer) if tensor is not _gate(layer)]
            join((*carried, *_outputs(layer)))
    groups: dict[int, _Group] = defaultdict(_Group)
    for key, tensor in tensors.items():
        groups[find(key)].tensors.append(tensor)
    for tensor in model.outputs:
        groups[find(id(tensor))].frozen = True
    for layer in model.layers:
        _place(layer, lambda tensor: groups[find(id(tensor))])
    return list(groups.values())


def _place(layer: Any, group_of: Any) -> None:
    """Tell the groups around a layer what it is to them."""
    kind = type(layer).__name__
    inputs, outputs = _inputs(layer), _outputs(layer)
    if len(getattr(layer, "_inbound_nodes", [])) > 1:  # shared: one weight, several scales
        for tensor in (*inputs, *outputs):
            group_of(tensor).frozen = True
    elif kind in _WEIGHTED and _usual(layer):
        group_of(inputs[0]).readers.append(layer)
        made = group_of(outputs[0])
        made.makers.append(layer)
        made.frozen |= not _linear(layer)
    elif kind in _TRANSPARENT or _keeps_channels(layer):
        pass
    elif _is_relu(layer):
        group = group_of(outputs[0])
        group.rectified = True
        group.bounded |= _upper_end(layer) is not None
    elif kind == "Multiply" and _gate(layer) is not None:
        group_of(_gate(layer)).frozen = True
    else:
        for tensor in (*inputs, *outputs):
            group_of(tensor).frozen = True


def _reaches(model: Any, groups: Sequence[_Group], samples: Sequence[Pixels]) -> list[NDArray[np.float64]]:
    """Largest absolute value per channel over all of a group's tensors and samples."""
    import keras

    if not groups:
        return []
    watched = keras.Model(model.inputs, [tensor for group in groups for tensor in group.tensors])
    rectified = [group.rectified for group in groups for _ in group.tensors]
    reached: list[NDArray[np.float64]] = []
    for sample in samples:
        with muffled():
            values = [np.asarray(value, np.float64) for value in watched(sample, training=False)]
        sizes = [np.maximum(v, 0) if one else np.abs(v) for v, one in zip(values, rectified, strict=True)]
        largest = [size.max(axis=tuple(range(size.ndim - 1))) for size in sizes]
        reached = [np.maximum(a, b) for a, b in zip(reached, largest, strict=True)] if reached else largest
    places = iter(reached)
    return [np.max([next(places) for _ in group.tensors], axis=0) for group in groups]


def _reader_weights(readers: Sequence[Any]) -> NDArray[np.float64] | None:
    """Largest absolute weight per input channel over all readers; None when one of them has no such weights."""
    found = []
    for layer in readers:
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            gamma, _, _, variance = _normalisation(layer)
            found.append(np.abs(gamma) / np.sqrt(variance + layer.epsilon))
            continue
        kernel = np.abs(layer.get_weights()[0].astype(np.float64))
        if kind == "Conv2D" and layer.groups != 1:
            return None
        axes = {"Conv2D": (0, 1, 3), "DepthwiseConv2D": (0, 1, 3), "Dense": (1,)}[kind]
        found.append(kernel.max(axis=axes))
    return np.max(found, axis=0) if len({one.shape for one in found}) == 1 else None


def _multiply_output(layer: Any, scale: NDArray[np.float64]) -> None:
    kind, weights = type(layer).__name__, layer.get_weights()
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = _normalisation(layer)
        _set_normalisation(layer, gamma * scale, beta * scale, mean, variance)
        return
    factor = scale.reshape(*weights[0].shape[2:]) if kind == "DepthwiseConv2D" else scale
    weights[0] = (weights[0] * factor).astype(np.float32)
    if layer.use_bias:
        weights[1] = (weights[1] * scale).astype(np.float32)
    layer.set_weights(weights)


def _divide_input(layer: Any, scale: NDArray[np.float64]) -> None:
    kind, weights = type(layer).__name__, layer.get_weights()
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = _normalisation(layer)
        _set_normalisation(layer, gamma / scale, beta, mean * scale, variance)
        return
    shape = {"Conv2D": (1, 1, -1, 1), "DepthwiseConv2D": (1, 1, -1, 1), "Dense": (-1, 1)}[kind]
    weights[0] = (weights[0] / scale.reshape(shape)).astype(np.float32)
    layer.set_weights(weights)


def _normalisation(layer: Any) -> tuple[NDArray[np.float64], ...]:
    """gamma, beta, moving mean, moving variance."""
    mean = np.asarray(layer.moving_mean, np.float64)
    gamma = np.asarray(layer.gamma, np.float64) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta, np.float64) if layer.center else np.zeros_like(mean)
    return gamma, beta, mean, np.asarray(layer.moving_variance, np.float64)


def _set_normalisation(layer: Any, *values: NDArray[np.float64]) -> None:
    for variable, value in zip(
        (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance), values, strict=True
    ):
        variable.assign(value.astype(np.float32))


def _worthwhile(group: _Group) -> bool:
    """Whether it can be rescaled and anything but a normalisation, which conversion folds away, reads it."""
    weighted = [layer for layer in group.readers if type(layer).__name__ != "BatchNormalization"]
    return bool(not group.frozen and group.makers and weighted)


def _usual(layer: Any) -> bool:
    """Channels last, and both factors of batch normalisation there."""
    if type(layer).__name__ == "BatchNormalization":
        return bool(layer.scale and layer.center and layer.axis in (-1, len(layer.input.shape) - 1))
    return bool(getattr(layer, "data_format", "channels_last") == "channels_last")


def _linear(layer: Any) -> bool:
    """Whether nothing follows the layer's own sum."""
    return getattr(getattr(layer, "activation", None), "__name__", "linear") == "linear"


def _keeps_channels(layer: Any) -> bool:
    return bool(type(layer).__name__ == "Reshape" and layer.input.shape[-1] == layer.output.shape[-1])


def _is_relu(layer: Any) -> bool:
    if type(layer).__name__ == "ReLU":
        return not layer.negative_slope and not layer.threshold and _upper_end(layer) in (None, 6.0)
    return type(layer).__name__ == "Activation" and getattr(layer.activation, "__name__", "") in ("relu", "relu6")


def _upper_end(layer: Any) -> float | None:
    if type(layer).__name__ == "ReLU":
        return None if layer.max_value is None else float(layer.max_value)
    return 6.0 if layer.activation.__name__ == "relu6" else None


def _gate(layer: Any) -> Any:
    """Which input of a Multiply is a squeeze-and-excitation gate: the one without rows and columns."""
    gates = [tensor for tensor in _inputs(layer) if len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) == (1, 1)]
    return gates[0] if len(gates) == 1 and len(_inputs(layer)) == 2 else None


def _inputs(layer: Any) -> list[Any]:
    found = layer.input if type(layer).__name__ != "InputLayer" else []
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _outputs(layer: Any) -> list[Any]:
    found = layer.output
    return list(found) if isinstance(found, (list, tuple)) else [found]
