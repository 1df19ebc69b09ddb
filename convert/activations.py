"""What flows through a network: the distribution of each activation of an fp32 .tflite over the calibration set."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.engines.tflite import dequantize, quantize
from bonedge.edge.records import Pixels

from .quiet import muffled

BINS = 2048
_STEPS = 255
"""Of an int8 activation between the ends of its range."""
_SHRINKING = np.linspace(0.3, 1.0, 36)
"""Shares of each end of the range that are tried for the least error."""
OUTERMOST = 1e-4
"""Share of the values beyond a quantile range, at each end."""
_SAMPLED = 1 << 15
"""Values per tensor and picture that enter its histogram: more would only take longer."""

Range = tuple[float, float]


class Estimator(StrEnum):
    """How the range of an activation follows from its distribution."""

    EXTREMES = "extremes"
    MSE = "mse"
    """The range with the least squared error, rounding and clipping together (Banner et al., NeurIPS 2019)."""
    QUANTILE = "quantile"
    """Without the outermost values, which take steps from all others."""


@dataclass(frozen=True)
class Step:
    """One operation of the graph."""

    kind: str
    """In TensorFlow Lite's words, such as CONV_2D."""
    output: str
    """Name of its first output tensor."""


@dataclass(frozen=True)
class Activations:
    """Distributions by tensor name."""

    steps: tuple[Step, ...]
    extremes: dict[str, Range]
    histograms: dict[str, NDArray[np.int64]]
    """int64 "bins", between the extremes."""

    def ranges(self, estimator: Estimator) -> dict[str, Range]:
        """A range for each tensor. Always holds 0, which must be exact for padding."""
        if estimator is Estimator.EXTREMES:
            return {name: _with_zero(ends) for name, ends in self.extremes.items()}
        find = least_error if estimator is Estimator.MSE else quantile
        return {name: find(self.histograms[name], ends) for name, ends in self.extremes.items()}


def observe(model: bytes, samples: Sequence[Pixels]) -> Activations:
    """Run an fp32 .tflite over calibration inputs and keep what each tensor held.

    Args:
        model: the file.
        samples: each float32 of the input's shape; passed over twice.
    """
    extremes: dict[str, Range] = {}
    histograms: dict[str, NDArray[np.int64]] = {}
    interpreter = keeping(model)
    for name, values in _flow(interpreter, samples):
        low, high = extremes.get(name, (np.inf, -np.inf))
        extremes[name] = min(low, float(values.min())), max(high, float(values.max()))
    for name, values in _flow(interpreter, samples):
        flat = values.reshape(-1)
        counts, _ = np.histogram(flat[:: max(1, len(flat) // _SAMPLED)], BINS, _widened(extremes[name]))
        histograms[name] = histograms.get(name, 0) + counts
    details = {one["index"]: one["name"] for one in interpreter.get_tensor_details()}
    steps = tuple(
        Step(one["op_name"], details[int(one["outputs"][0])])
        for one in interpreter._get_ops_details()
        if one["op_name"] != "DELEGATE"
    )
    return Activations(steps, extremes, histograms)


def signal_to_noise(reference: bytes, candidate: bytes, samples: Sequence[Pixels]) -> dict[str, float]:
    """How far a quantized .tflite has drifted from the fp32 one, tensor by tensor along the network, in decibels.

    10 log10(sum x^2 / sum (x - x')^2) over all samples, for tensors that both hold under one name. Those that are
    equal to the last bit, as before the first rounding, are left out.
    """
    before, after = keeping(reference), keeping(candidate)
    power: dict[str, float] = {}
    error: dict[str, float] = {}
    for sample in samples:
        kept = {name: values.astype(np.float64) for name, values in _flow(before, [sample])}
        for name, values in _flow(after, [sample]):
            if name in kept and kept[name].shape == values.shape:
                power[name] = power.get(name, 0) + float(np.square(kept[name]).sum())
                error[name] = error.get(name, 0) + float(np.square(kept[name] - values).sum())
    return {name: 10 * float(np.log10((power[name] + 1e-30) / error[name])) for name in power if error[name] > 0}


def keeping(model: bytes) -> Any:
    """A LiteRT interpreter, ready to run, that keeps every tensor, not the outputs alone."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with muffled(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
            num_threads=2,
        )
        interpreter.allocate_tensors()
    return interpreter


def least_error(histogram: NDArray[np.int64], extremes: Range) -> Range:
    """The range within `extremes` whose rounding and clipping errors have the least sum of squares."""
    low, high = _with_zero(extremes)
    centres, counts = _centres(extremes), histogram.astype(np.float64)
    best, found = np.inf, (low, high)
    for lower in np.unique(low * _SHRINKING) if low < 0 else (0.0,):
        for upper in np.unique(high * _SHRINKING) if high > 0 else (0.0,):
            step = (upper - lower) / _STEPS
            if step <= 0:
                continue
            rounded = np.clip(np.rint((centres - lower) / step), 0, _STEPS) * step + lower
            error = float(counts @ np.square(rounded - centres))
            if error < best:
                best, found = error, (float(lower), float(upper))
    return found


def quantile(histogram: NDArray[np.int64], extremes: Range) -> Range:
    """The range without the outermost values at either end."""
    centres = _centres(extremes)
    reached = np.cumsum(histogram) / max(int(histogram.sum()), 1)
    low = float(centres[int(np.searchsorted(reached, OUTERMOST))])
    high = float(centres[min(int(np.searchsorted(reached, 1 - OUTERMOST)), BINS - 1)])
    return _with_zero((low, high))


def _centres(extremes: Range) -> NDArray[np.float64]:
    low, high = _widened(extremes)
    return low + (np.arange(BINS) + 0.5) * (high - low) / BINS


def _widened(extremes: Range) -> Range:
    """Ends that a histogram can have: so far apart that float32 has numbers for every bin between them."""
    low, high = extremes
    least = 4 * BINS * float(np.finfo(np.float32).eps) * max(abs(low), abs(high)) + 1e-6
    return (low, high) if high - low >= least else (low - least, high + least)


def _with_zero(extremes: Range) -> Range:
    return min(extremes[0], 0.0), max(extremes[1], 0.0)


def _flow(interpreter: Any, samples: Sequence[Pixels]) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, real values) of the input and of each operation's outputs, sample after sample."""
    entrance = interpreter.get_input_details()[0]
    details = {one["index"]: one for one in interpreter.get_tensor_details()}
    wanted = [entrance["index"]]
    wanted += [int(index) for one in interpreter._get_ops_details() for index in one["outputs"]]
    for sample in samples:
        interpreter.set_tensor(entrance["index"], quantize(sample, entrance))
        interpreter.invoke()
        for index in wanted:
            one = details[index]
            if one["dtype"] in (np.float32, np.int8):
                yield one["name"], dequantize(interpreter.get_tensor(index), one)
