"""A trained pair -> an fp32 reference bundle and an int8 bundle: the steps in their order."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bonedge.edge.bundle import Bundle, check_destination, write_bundle
from bonedge.edge.engines import ENGINES, load
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import EngineName
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import Radiograph

from .agreement import Agreement, Finding, compare
from .assemble import assemble, candidate, in_memory
from .calibrate import CalibrationSet, calibration_set, decoded
from .candidates import Candidate, Judged, choose
from .export import Exported, export, serialize
from .pictures import PictureSet, draw, from_folder, simulated
from .progress import Steps
from .quantize import Ranges, quantize_openvino, quantize_tflite
from .trained import Operation, TrainedPair

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Request:
    """What `bonedge convert` was asked for."""

    models: Path
    output: Path
    int8: bool
    name: str
    version: str
    created: str
    """ISO 8601, UTC: becomes the manifests' `created`."""
    data: Path | None = None
    """A folder with index.jsonl; None simulates the phantoms that the pair was trained on again."""
    calibration_count: int = 200
    comparison_count: int = 100
    seed: int = 0
    """Of the draw of calibration and comparison pictures."""

    @property
    def fp32_output(self) -> Path:
        return self.output.with_name(self.output.name + "-fp32")


@dataclass(frozen=True)
class Conversion:
    """What was written, and what int8 changed."""

    fp32: Bundle
    int8: Bundle | None = None
    judged: tuple[Judged, ...] = ()
    """All candidates, in the order in which they were tried."""
    chosen: tuple[Judged, ...] = ()
    """One per engine: what the int8 bundle holds."""
    formats: Agreement | None = None
    """The chosen TensorFlow Lite networks (as reference) against the chosen OpenVINO ones."""
    calibration: CalibrationSet | None = None


def convert(request: Request, steps: Steps) -> Conversion:
    """Carry out `request`; nothing is written before the fp32 networks agree with Keras.

    Raises:
        InvalidConfiguration: the models or the data cannot be used.
        BundleRefused: an output folder holds something else than a bundle.
        GateFailed: a converted network is not what it was.
        UnreadableImage: a picture of the data folder cannot be decoded.
    """
    outputs = (request.output, request.fp32_output) if request.int8 else (request.fp32_output,)
    for folder in outputs:
        check_destination(folder)
    with steps.step("Loading the trained pair"):
        trained = TrainedPair.open(request.models)
    pictures = _pictures(request, trained.operation) if request.int8 else None
    with tempfile.TemporaryDirectory(prefix="bonedge-convert-") as scratch:
        pair = []
        for name, model in (("segmenter", trained.segmenter), ("classifier", trained.classifier)):
            with steps.step(f"Exporting the {name} to fp32 and checking it against Keras"):
                pair.append(export(name, model, Path(scratch)))
        reference = _fp32_bundle(request, trained.operation, pair)
        if pictures is None:
            return Conversion(reference)
        return _quantized(request, trained.operation, pair, reference, pictures, steps)


def _quantized(
    request: Request,
    operation: Operation,
    pair: Sequence[Exported],
    reference: Bundle,
    pictures: PictureSet,
    steps: Steps,
) -> Conversion:
    rng = np.random.default_rng(request.seed)
    drawn = draw(pictures.training, request.calibration_count, rng)
    compared = draw(pictures.held_out, request.comparison_count, rng)
    radiographs = steps.count(decoded(drawn), "Preparing calibration pictures", len(drawn))
    calibration = calibration_set(drawn, radiographs, load(reference), operation.preprocessing, operation.decision)
    candidates = _candidates(pair, calibration, steps)
    held_out = list(steps.count(decoded(compared), "Preparing held-out pictures", len(compared)))
    expected = {engine: _findings(reference, engine, held_out) for engine in ENGINES}
    judged, answers = [], {}
    for one in candidates:
        with steps.step(f"Comparing {one.name} with fp32"):
            manifest, contents = assemble(
                operation, (one,), {}, name=request.name, version=request.version, created=request.created
            )
            answers[one.name] = _findings(in_memory(manifest, contents), one.engine, held_out)
            judged.append(Judged(one, compare(expected[one.engine], answers[one.name])))
    chosen = tuple(choose([one for one in judged if one.candidate.engine == engine]) for engine in ENGINES)
    manifest, contents = assemble(
        operation,
        [one.candidate for one in chosen],
        {CALIBRATION: calibration.record(request.seed)},
        name=request.name,
        version=request.version,
        created=request.created,
    )
    formats = compare(*(answers[one.candidate.name] for one in chosen))
    bundle = write_bundle(request.output, manifest, contents)
    return Conversion(reference, bundle, tuple(judged), chosen, formats, calibration)


def _candidates(pair: Sequence[Exported], calibration: CalibrationSet, steps: Steps) -> list[Candidate]:
    samples = (calibration.segmenter, calibration.classifier)
    with steps.step("Quantizing for TensorFlow Lite"):
        lite = [(quantize_tflite(one, inputs),) for one, inputs in zip(pair, samples, strict=True)]
    candidates = [candidate("tflite-int8", "tflite", "int8", *lite)]
    for ranges in Ranges:
        with steps.step(f"Quantizing for OpenVINO, {ranges} ranges"):
            graphs = [
                serialize(quantize_openvino(one, inputs, ranges)) for one, inputs in zip(pair, samples, strict=True)
            ]
        candidates.append(candidate(f"openvino-int8-{ranges}", "openvino", "int8", *graphs))
    return candidates


def _fp32_bundle(request: Request, operation: Operation, pair: Sequence[Exported]) -> Bundle:
    candidates = (
        candidate("tflite-fp32", "tflite", "fp32", *((one.tflite,) for one in pair)),
        candidate("openvino-fp32", "openvino", "fp32", *(serialize(one.openvino) for one in pair)),
    )
    manifest, contents = assemble(
        operation, candidates, {}, name=f"{request.name}-fp32", version=request.version, created=request.created
    )
    return write_bundle(request.fp32_output, manifest, contents)


def _findings(bundle: Bundle, engine: EngineName, radiographs: Sequence[Radiograph]) -> list[Finding]:
    pipeline = Pipeline(bundle, load(bundle, engine=engine))
    return [Finding.of(pipeline.examine(radiograph)) for radiograph in radiographs]


def _pictures(request: Request, operation: Operation) -> PictureSet:
    seeds = operation.training.phantom_seeds
    if request.data is not None:
        return from_folder(request.data)
    if seeds:
        return simulated(seeds)
    raise InvalidConfiguration(
        f"{request.models} was not trained on phantoms, so nothing is known to calibrate with; "
        "give the training pictures with --data"
    )
