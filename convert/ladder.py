"""Which candidates are built for one network and engine, from the fastest to the safest.

A rung is built only when no candidate of the rungs before it passed the gates.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from typing import Any

import numpy as np

from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.edge.errors import BundleRefused, GateFailed
from bonedge.edge.manifest import EngineName
from bonedge.edge.records import CLASSES, Label, Pixels

from . import openvino_int8, tflite_int8
from .activations import Activations, Estimator, Range, observe, signal_to_noise
from .candidates import Candidate, NetworkName
from .equalize import equalize
from .export import Exported, export, serialize
from .finished import Finished
from .levelling import level_openvino, level_tflite

_OBSERVED = 64
"""Calibration inputs that TensorFlow's converter sees, and that every range but NNCF's extremes is of."""
_COMPARED: Mapping[NetworkName, int | None] = {"segmenter": 64, "classifier": None}
"""Calibration inputs on which a candidate is compared with fp32; None for all: one answer has three numbers only."""
_JUDGED = 24
"""Calibration inputs on which the sensitivity of each layer is measured."""
_DRIFT = 8
"""Calibration inputs on which fp32 and int8 are compared layer by layer."""
_ENDS = (2, 4, 6, 8, 16, 32, 64)
"""How many of a network's first layers are left in float, with whatever lies between them, beside the last one."""
_RANGES: Mapping[EngineName, Estimator] = {"tflite": Estimator.MSE, "openvino": Estimator.EXTREMES}
"""Where a part stays in float: those with which released pairs strayed least from fp32.

On OpenVINO, the fifteenth pair's segmenter was off by 0.0019 inside lesions (four layers in float, 300 other phantoms),
by 0.0021 without the outermost values, and by 0.0023 with the least squared error.
"""
_MIXED = (2, 4, 8, 16, 32)
"""How many of the most sensitive layers are left in float, one rung after the other."""
_CAUTION = 0.5
"""By how much of the scatter that rounding gives them a classifier's answers are moved towards malignant."""
RECIPES = 12
"""Raised when a recipe gives other files under the same name: candidates that were kept are then not taken up."""


class Rung(StrEnum):
    """From the fastest to the safest."""

    INT8 = "int8"
    MIXED = "mixed"
    FP16 = "fp16"
    FP32 = "fp32"


RUNGS = tuple(Rung)
_BENIGN, _MALIGNANT = CLASSES.index(Label.BENIGN), CLASSES.index(Label.MALIGNANT)


@dataclass(frozen=True)
class Sensitivity:
    """What one layer alone costs when it runs in int8."""

    layer: str
    error: float
    """Root mean square change of the network's outputs, as a share of their own spread; inf when none can load it."""


class Workshop:
    """Builds one network's candidates; whatever several of them need is made once."""

    def __init__(
        self,
        network: NetworkName,
        model: Any,
        exported: Exported,
        samples: Sequence[Pixels],
        threads: int,
        finished: Finished,
        tuner: Callable[[Any], Any] | None = None,
    ) -> None:
        """Keep what candidates are made from.

        Args:
            network: segmenter or classifier.
            model: keras.Model, fp32.
            exported: the same, exported.
            samples: calibration inputs.
            threads: of the runtimes.
            finished: what an earlier, interrupted conversion already made.
            tuner: makes a fine-tuned copy of a model; None when there is no data to do so.
        """
        self.network = network
        self.samples = samples
        self.tables: dict[EngineName, list[Sensitivity]] = {}
        self._model, self._exported, self._threads, self._tuner = model, exported, threads, tuner
        self._finished = finished
        self._plain = _Source("", exported, samples)

    @staticmethod
    def fp32(network: NetworkName, exported: Exported, engine: EngineName) -> Candidate:
        """A network as it was trained."""
        files = (exported.tflite,) if engine == "tflite" else serialize(exported.openvino)
        return Candidate(network, engine, "fp32", files)

    def reference(self, engine: EngineName) -> Candidate:
        """The fp32 candidate."""
        return self.fp32(self.network, self._exported, engine)

    def drift(self) -> dict[str, float]:
        """Signal to noise of each layer's output in plain TensorFlow Lite int8 (range: mse), decibels, in order."""
        int8 = tflite_int8.with_ranges(self._exported, self._plain.ranges(Estimator.MSE))
        found = signal_to_noise(self._exported.tflite, int8, self.samples[:_DRIFT])
        return {name: found[name] for name in self._plain.layers if name in found}

    def stray(self, candidate: Candidate) -> float:
        """How far a candidate's answers are from fp32's on calibration inputs, as a share of their spread."""
        return _relative_error(self._wanted, _outputs(candidate.load(self._threads), self._compared))

    def climb(self, engine: EngineName, start: Rung, end: Rung) -> Iterator[list[Candidate]]:
        """The rungs from `start` to `end`, each a list of candidates of like speed. Builds as it is read."""
        mixed = RUNGS.index(start) <= RUNGS.index(Rung.MIXED) <= RUNGS.index(end)
        ends = self._ends(engine, self._plain) if mixed else []
        if start is Rung.INT8:
            # Together: as fast, where the ends are as fast in float, and then the more faithful.
            yield [*self._quantized(engine, self._plain), *ends]
            if self._equalized is not None:
                yield self._quantized(engine, self._equalized)
            if self._tuned is not None:
                yield [*self._quantized(engine, self._tuned), *(self._ends(engine, self._tuned) if mixed else [])]
        elif mixed:
            yield ends
        if mixed:
            for count in _MIXED:
                made = self._mixed(engine, count)
                if made is None:
                    break
                yield [made]
        if RUNGS.index(start) <= RUNGS.index(Rung.FP16) <= RUNGS.index(end):
            yield [self._half(engine)]
        if end is Rung.FP32:
            yield [self.reference(engine)]

    def _quantized(self, engine: EngineName, source: _Source) -> list[Candidate]:
        ways = {_NAMES[estimator]: partial(self._int8, engine, source, estimator) for estimator in Estimator}
        if engine == "openvino":
            ways["corrected"] = partial(_corrected, source)
        made = []
        for way, make in ways.items():
            recipe = _recipe("int8", source.change, way)
            with contextlib.suppress(GateFailed):  # an operation without an int8 form: the other recipes leave it out
                made.append(self._made(engine, recipe, make))
        return made

    def _int8(self, engine: EngineName, source: _Source, estimator: Estimator) -> tuple[bytes, ...]:
        if engine == "openvino":
            return serialize(source.fake_quantized(estimator).without(()))
        if estimator is Estimator.EXTREMES:
            return (tflite_int8.post_training(source.exported, source.observed),)
        return (tflite_int8.with_ranges(source.exported, source.ranges(estimator)),)

    def _ends(self, engine: EngineName, source: _Source) -> list[Candidate]:
        """The first layers in float, and the last.

        The first ones work on the largest pictures, where eight bits gain the least time, and what they round away is
        gone for all that follow: of the variance that int8 gave one EfficientNetB0, the first 16 of 82 made three
        quarters. What the last one rounds, nothing evens out any more: in float from there on, a U-Net's lesion map
        was half as far from fp32, in the same time.
        """
        made = []
        fake = source.fake_quantized(_RANGES[engine]) if engine == "openvino" else None
        for count in _ENDS:
            if count >= len(fake.layers if fake else source.layers):
                break
            names = fake.ends(count) if fake else tflite_int8.ends(source.activations, count)
            recipe = _recipe("mixed", source.change, f"ends-{count}")
            made.append(self._made(engine, recipe, partial(self._partly, engine, source, names)))
        return made

    def _mixed(self, engine: EngineName, count: int) -> Candidate | None:
        """The `count` most sensitive layers in float; None when there are not so many."""
        source = self._equalized or self._plain
        if engine not in self.tables:
            self.tables[engine] = self._sensitivities(engine, source)
        table = self.tables[engine]
        if count >= len(table):
            return None
        worst = [one.layer for one in sorted(table, key=lambda one: -one.error)[:count]]
        return self._made(engine, f"mixed-{count}", lambda: self._partly(engine, source, worst))

    def _made(self, engine: EngineName, recipe: str, make: Callable[[], tuple[bytes, ...]]) -> Candidate:
        def level() -> tuple[bytes, ...]:
            return self._levelled(Candidate(self.network, engine, recipe, make()))

        return Candidate(self.network, engine, recipe, self._finished.get(f"{self.network}.{engine}.{recipe}", level))

    def _levelled(self, made: Candidate) -> tuple[bytes, ...]:
        """Its files, without the shift that rounding to eight bits gave the classifier's logits.

        And on the safe side of what scatters: who loses a malignant tumour loses more than who suspects a benign one.
        """
        if made.network != "classifier" or made.precision not in ("int8", "mixed"):
            return made.files
        try:
            found = _outputs(made.load(self._threads), self._compared)
        except BundleRefused:  # no runtime takes it: whoever judges it says so
            return made.files
        missing = np.concatenate([w[0] - f[0] for w, f in zip(self._wanted, found, strict=True)])
        shift = missing.mean(axis=0)
        shift[_MALIGNANT] += _CAUTION * (missing[:, _MALIGNANT] - missing[:, _BENIGN]).std()
        if made.engine == "tflite":
            return (level_tflite(made.files[0], shift),)
        return level_openvino(made.files[0], made.files[1], shift)

    @property
    def _compared(self) -> Sequence[Pixels]:
        """The calibration inputs on which candidates are compared with fp32, and levelled."""
        return self.samples[: _COMPARED[self.network]]

    @cached_property
    def _wanted(self) -> list[list[Pixels]]:
        """What fp32 says about these."""
        return _outputs(self.reference("tflite").load(self._threads), self._compared)

    def _partly(self, engine: EngineName, source: _Source, in_float: Sequence[str]) -> tuple[bytes, ...]:
        if engine == "openvino":
            return serialize(source.fake_quantized(_RANGES[engine]).without(in_float))
        return (tflite_int8.with_ranges(source.exported, source.ranges(_RANGES[engine]), in_float),)

    def _sensitivities(self, engine: EngineName, source: _Source) -> list[Sensitivity]:
        """Each layer alone in int8, all others in float, against fp32."""
        samples = self.samples[:_JUDGED]
        wanted = _outputs(self.reference(engine).load(self._threads), samples)
        names = source.fake_quantized(_RANGES[engine]).layers if engine == "openvino" else source.layers
        table = []
        for name in names:
            others = [other for other in names if other != name]
            alone = Candidate(self.network, engine, "mixed-alone", self._partly(engine, source, others))
            try:
                error = _relative_error(wanted, _outputs(alone.load(self._threads), samples))
            except BundleRefused:
                error = float("inf")
            table.append(Sensitivity(name, error))
        return table

    def _half(self, engine: EngineName) -> Candidate:
        if engine == "tflite":
            return self._made(engine, "fp16", lambda: (tflite_int8.half(self._exported),))
        return self._made(engine, "fp16", lambda: serialize(self._exported.openvino, half=True))

    @cached_property
    def _evened(self) -> tuple[Any, int]:
        """The model, equalized where its channels lie far apart, and in how many places they did."""
        return equalize(self._model, self._plain.observed)

    @cached_property
    def _equalized(self) -> _Source | None:
        model, rescaled = self._evened
        return _Source("equal", export(self.network, model), self.samples) if rescaled else None

    @cached_property
    def _tuned(self) -> _Source | None:
        if self._tuner is None:
            return None
        # From where equalization left it: no tuning brings together channels that lie a thousandfold apart.
        model, _ = self._evened
        return _Source("tuned", export(self.network, self._tuner(model)), self.samples)


class _Source:
    """A network to quantize, and what is known of its activations."""

    def __init__(self, change: str, exported: Exported, samples: Sequence[Pixels]) -> None:
        self.change, self.exported, self.samples = change, exported, samples
        self._ranges: dict[Estimator, dict[str, Range]] = {}
        self._fake_quantized: dict[Estimator, openvino_int8.FakeQuantized] = {}

    @property
    def observed(self) -> Sequence[Pixels]:
        """The calibration inputs that ranges of TensorFlow Lite, and histograms, are of."""
        return self.samples[:_OBSERVED]

    @cached_property
    def activations(self) -> Activations:
        return observe(self.exported.tflite, self.observed)

    @property
    def layers(self) -> tuple[str, ...]:
        return tflite_int8.layers(self.activations)

    def ranges(self, estimator: Estimator) -> dict[str, Range]:
        if estimator not in self._ranges:
            self._ranges[estimator] = self.activations.ranges(estimator)
        return self._ranges[estimator]

    def fake_quantized(self, estimator: Estimator) -> openvino_int8.FakeQuantized:
        if estimator not in self._fake_quantized:
            # Extremes are rare, and each picture may hold one. The other estimators take NNCF long, and need fewer.
            samples = self.samples if estimator is Estimator.EXTREMES else self.observed
            self._fake_quantized[estimator] = openvino_int8.quantize(self.exported, samples, estimator)
        return self._fake_quantized[estimator]


def _corrected(source: _Source) -> tuple[bytes, ...]:
    quantized = openvino_int8.quantize(source.exported, source.samples, Estimator.EXTREMES, corrected=True)
    return serialize(quantized.without(()))


_NAMES = {Estimator.EXTREMES: "", Estimator.MSE: "mse", Estimator.QUANTILE: "quantile"}


def _recipe(*parts: str) -> str:
    """Those that are not empty, as `bonedge.convert.candidates` writes them."""
    return "-".join(filter(None, parts))


def _outputs(network: LoadedNetwork, samples: Sequence[Pixels]) -> list[list[Pixels]]:
    order = np.argsort([len(shape) for shape in network.output_shapes], kind="stable")
    return [[answer[index] for index in order] for answer in map(network.run, samples)]


def _relative_error(wanted: Sequence[Sequence[Pixels]], found: Sequence[Sequence[Pixels]]) -> float:
    """Mean over outputs of rms(difference) / standard deviation."""
    errors = []
    for a, b in zip(zip(*wanted, strict=True), zip(*found, strict=True), strict=True):
        before, after = np.stack(a), np.stack(b)
        error = np.sqrt(np.mean(np.square(before - after, dtype=np.float64)))
        errors.append(float(error / (before.std(dtype=np.float64) + 1e-12)))
    return float(np.mean(errors))
