"""Running networks over the cases through the workstation's own pipeline, and timing them against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from bonedge.edge.bundle import Bundle
from bonedge.edge.engines.networks import LoadedNetwork, pair
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.pipeline import Pipeline, Reading
from bonedge.edge.records import EngineDescription, Pixels
from bonedge.models.metrics import dice

from .cases import Case
from .gates import Outcome

_LEAST_REPEATS = 12
_MOST_REPEATS = 100
_REMEMBERED = 2000
"""3.2 GB of a segmenter's answers at 448 pixels: 1,000 cases looked at twice."""


@dataclass(frozen=True)
class Answer:
    """What a pair said about one case."""

    outcome: Outcome
    logits: Pixels
    """float32 "3"."""

    @classmethod
    def of(cls, case: Case, reading: Reading) -> Answer:
        """The part of a reading that is judged."""
        overlap = None if case.lesion is None else dice(reading.segmentation.mask, case.lesion)
        outcome = Outcome(case.truth, reading.verdict.label, reading.classification.probabilities, overlap)
        return cls(outcome, np.asarray(reading.logits[0], np.float32))


@dataclass(frozen=True)
class Latency:
    """Of one inference, milliseconds."""

    p50: float
    p90: float
    repeats: int


@dataclass(frozen=True)
class Fidelity:
    """How closely probabilities follow the reference's, whatever the truth."""

    mean: float
    """Mean over cases and classes of the absolute difference, 0..1."""
    largest: float


def pipeline(frame: Bundle, segmenter: LoadedNetwork, classifier: LoadedNetwork) -> Pipeline:
    """The workstation's pipeline over two networks that are in no bundle yet.

    Args:
        frame: a bundle whose manifest holds the pair's preprocessing, decision and abstention.
        segmenter: loaded.
        classifier: loaded.
    """
    networks = pair(
        segmenter,
        classifier,
        EngineDescription("trial", "CPU", "mixed"),
        frame.manifest.preprocessing,
        len(frame.manifest.abstention.feature_mean),
    )
    return Pipeline(frame, networks)


def answer(run: Pipeline, p: Preprocessing, case: Case) -> Answer:
    """What the pipeline says about a case. May be asked from several threads."""
    return Answer.of(case, run.read(case.source, case.prepared(p)))


def keras_network(model: Any) -> LoadedNetwork:
    """A Keras model behind the runtime's interface: the reference that everything is compared with."""
    import tensorflow as tf

    # A traced function: an eager call of EfficientNetB0 spends more time between layers than in them.
    traced = tf.function(lambda picture: model(picture, training=False))

    def run(pixels: Pixels) -> list[Pixels]:
        answer = traced(tf.constant(pixels))
        return [np.asarray(value, np.float32) for value in (answer.values() if isinstance(answer, dict) else (answer,))]

    shapes = tuple((1, *(int(size) for size in tensor.shape[1:])) for tensor in _tensors(model))
    return LoadedNetwork((1, *(int(size) for size in model.inputs[0].shape[1:])), shapes, run)


def remembering(network: LoadedNetwork, most: int = _REMEMBERED) -> LoadedNetwork:
    """The same network, which does not compute again what it was asked before.

    The fp32 segmenter stands beside every candidate for the classifier, and is shown the same pictures each time.

    Args:
        network: loaded.
        most: answers that are kept, the first ones; a segmenter's at 448 pixels take 1.6 MB each.
    """
    known: dict[bytes, list[Pixels]] = {}

    def run(pixels: Pixels) -> list[Pixels]:
        key = hashlib.sha256(np.ascontiguousarray(pixels).data).digest()
        answer = known.get(key)
        if answer is None:
            answer = network.run(pixels)
            if len(known) < most:
                known[key] = [output.copy() for output in answer]
        return answer

    return replace(network, run=run)


def fidelity(reference: Sequence[Answer], candidate: Sequence[Answer]) -> Fidelity:
    """Of the probabilities of the same cases."""
    differences = np.array(
        [
            np.abs(a.outcome.probabilities.astype(np.float64) - b.outcome.probabilities)
            for a, b in zip(reference, candidate, strict=True)
        ]
    )
    return Fidelity(float(differences.mean()), float(differences.max()))


def race(
    networks: Mapping[str, LoadedNetwork], sample: Pixels, *, seconds: float = 3.0, warm: int = 3
) -> dict[str, Latency]:
    """Latency of each network on one input, measured in turn (A B C A B C ...) so that all share the machine's moods.

    Args:
        networks: by name.
        sample: float32 of their input's shape.
        seconds: for each network, about; at least 12 repeats.
        warm: runs before anything is counted.
    """
    for network in networks.values():
        for _ in range(warm):
            network.run(sample)
    taken: dict[str, list[float]] = {name: [] for name in networks}
    while any(len(times) < _LEAST_REPEATS or sum(times) < seconds for times in taken.values()):
        for name, network in networks.items():
            begun = perf_counter()
            network.run(sample)
            taken[name].append(perf_counter() - begun)
        if all(len(times) >= _MOST_REPEATS for times in taken.values()):
            break
    return {name: _latency(times) for name, times in taken.items()}


def _latency(times: list[float]) -> Latency:
    p50, p90 = np.percentile(times, (50, 90))
    return Latency(1000 * float(p50), 1000 * float(p90), len(times))


def _tensors(model: Any) -> list[Any]:
    outputs = model.output
    return list(outputs.values()) if isinstance(outputs, dict) else [outputs]
