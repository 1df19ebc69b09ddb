"""The tools' own int8 beside bonedge's, on the same models, pictures, machine and gates.

`make compare-quantizers` runs it and writes docs/comparisons/quantizers.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from subject import of_pair

from bonedge.convert.candidates import NETWORKS, Candidate, NetworkName
from bonedge.convert.conversion import Ready, climb, set_up
from bonedge.convert.evidence import Request
from bonedge.convert.export import Exported
from bonedge.convert.progress import Steps
from bonedge.convert.quiet import muffled
from bonedge.convert.search import Judged, PairJudged, choose_pair
from bonedge.convert.tflite_int8 import post_training
from bonedge.convert.trial import answer, pipeline
from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.edge.manifest import EngineName
from bonedge.edge.records import Pixels

Maker = Callable[[NetworkName, Sequence[Pixels]], tuple[bytes, ...]]
"""(network, calibration inputs) -> files."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--models", type=Path, required=True)
    arguments.add_argument("--cache", type=Path, required=True)
    arguments.add_argument("--validation-count", type=int, default=3600)
    arguments.add_argument("--control-count", type=int, default=600, help="of these, that accuracy control looks at")
    arguments.add_argument("--drop", type=float, default=0.01, help="that nncf.quantize_with_accuracy_control allows")
    arguments.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    given = arguments.parse_args()
    request = Request(
        models=given.models,
        output=given.cache / "comparison",
        cache=given.cache,
        created="2026-01-01T00:00:00+00:00",
        validation_count=given.validation_count,
    )
    with Steps.shown() as steps:
        _compare(request, given, steps)


def _compare(request: Request, given: argparse.Namespace, steps: Steps) -> None:
    ready = set_up(request, steps)
    makers: dict[tuple[str, EngineName], Maker] = {
        ("TFLiteConverter, defaults", "tflite"): lambda network, inputs: (
            post_training(ready.exported[network], inputs),
        ),
        ("ai-edge-quantizer, static_wi8_ai8", "tflite"): lambda network, inputs: _ai_edge(ready, network, inputs),
        ("nncf.quantize, defaults", "openvino"): lambda network, inputs: _nncf(ready, network, inputs),
        ("nncf.quantize_with_accuracy_control", "openvino"): lambda network, inputs: _controlled(
            ready, network, inputs, given.drop, given.control_count
        ),
    }
    tried: list[_Tried] = []

    def add(one: _Tried) -> None:
        tried.append(one)
        print(_row(one, None), flush=True)

    for engine in request.engines:
        add(_ours(engine, ready, request, steps))
    for (tool, engine), make in makers.items():
        add(_measured(tool, engine, make, ready))
    latencies = {
        engine: _latencies(ready, [one for one in tried if one.engine == engine]) for engine in request.engines
    }
    rows = [_row(one, latencies[one.engine].get(one.tool)) for one in tried]
    given.output.write_text(_page(rows, given, len(ready.validation.cases)))
    print(given.output.read_text())


@dataclass(frozen=True)
class _Tried:
    """A tool's pair for one engine."""

    tool: str
    engine: EngineName
    minutes: float
    pair: PairJudged | None
    failed: str = ""
    """Why there is none."""


def _ours(engine: EngineName, ready: Ready, request: Request, steps: Steps) -> _Tried:
    begun = perf_counter()
    climbs = {network: climb(ready, network, engine, request, steps) for network in NETWORKS}
    found, _ = choose_pair(climbs["segmenter"], climbs["classifier"], ready.bench, steps.pair)
    minutes = (perf_counter() - begun) / 60
    if found is None:
        return _Tried("bonedge", engine, minutes, None, "refused")
    return _Tried(f"bonedge: {found.segmenter.recipe} + {found.classifier.recipe}", engine, minutes, found)


def _ai_edge(ready: Ready, network: NetworkName, inputs: Sequence[Pixels]) -> tuple[bytes, ...]:
    from ai_edge_quantizer import quantizer, recipe

    with muffled():
        maker = quantizer.Quantizer(bytearray(_signed(ready.exported[network])))
        maker.load_quantization_recipe(recipe.static_wi8_ai8())
        statistics = maker.calibrate({"serving_default": [{"picture": one} for one in inputs]}, num_threads=2)
        return (bytes(maker.quantize(statistics).quantized_model),)


def _signed(exported: Exported) -> bytes:
    """The fp32 .tflite with a signature, by which alone the quantizer runs a network; bonedge's own has none."""
    import tensorflow as tf

    form = tf.TensorSpec(exported.input_shape, tf.float32, name="picture")
    serve = tf.function(lambda picture: exported.frozen(picture), input_signature=[form])
    # With something to track, be it empty, it converts by way of a SavedModel, which has signatures.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], tf.Module())
    written: bytes = converter.convert()
    return written


def _nncf(ready: Ready, network: NetworkName, inputs: Sequence[Pixels]) -> tuple[bytes, ...]:
    import nncf

    with muffled():
        return _saved(nncf.quantize(ready.exported[network].openvino, nncf.Dataset(list(inputs))))


def _controlled(
    ready: Ready, network: NetworkName, inputs: Sequence[Pixels], drop: float, count: int
) -> tuple[bytes, ...]:
    """NNCF's accuracy control, which reverts layers until a metric of ours drops no more than `drop`.

    On `count` of the cases: it asks for the metric once for each layer that it considers.
    """
    import nncf

    bench = ready.bench
    seen = bench.cases[:: max(1, len(bench.cases) // count)]

    def accuracy(compiled: Any, _: Any) -> float:
        request = compiled.create_infer_request()
        shapes = tuple(tuple(port.shape) for port in compiled.outputs)

        def run(pixels: Pixels) -> list[Pixels]:
            results = request.infer([pixels])
            return [np.array(results[port], np.float32) for port in compiled.outputs]

        loaded = LoadedNetwork(tuple(compiled.inputs[0].shape), shapes, run)
        both = {**bench.companions, network: loaded}
        workstation = pipeline(bench.frame, both["segmenter"], both["classifier"])
        outcomes = [answer(workstation, bench.frame.manifest.preprocessing, case).outcome for case in seen]
        if network == "segmenter":
            return float(np.median([one.dice for one in outcomes if one.dice is not None]))
        return float(np.mean([one.truth is one.verdict for one in outcomes]))

    with muffled():
        made = nncf.quantize_with_accuracy_control(
            ready.exported[network].openvino,
            calibration_dataset=nncf.Dataset(list(inputs)),
            validation_dataset=nncf.Dataset(list(inputs[:1])),  # the metric brings its own cases
            validation_fn=accuracy,
            max_drop=drop,
        )
        return _saved(made)


def _saved(model: Any) -> tuple[bytes, ...]:
    """As OpenVINO's users save it: bonedge's own writer does more."""
    import openvino

    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.xml"
        openvino.save_model(model, file)
        return file.read_bytes(), file.with_suffix(".bin").read_bytes()


def _measured(tool: str, engine: EngineName, make: Maker, ready: Ready) -> _Tried:
    begun = perf_counter()
    try:
        candidates = {n: Candidate(n, engine, "int8", make(n, ready.inputs.of(n))) for n in NETWORKS}
    except (RuntimeError, ValueError) as error:
        failed = f"failed: {' '.join(str(error).split())[:80]}"
        return _Tried(tool, engine, (perf_counter() - begun) / 60, None, failed)
    minutes = (perf_counter() - begun) / 60
    segmenter, classifier = (Judged(candidates[network], None, (), None) for network in ("segmenter", "classifier"))
    return _Tried(tool, engine, minutes, ready.bench.judge_pair(segmenter, classifier))


def _latencies(ready: Ready, tried: Sequence[_Tried]) -> dict[str, float]:
    """p90 of all inferences for one picture, as a sum, milliseconds, by tool: those of one engine, in turn."""
    pairs = {one.tool: one.pair for one in tried if one.pair is not None}
    if not pairs:
        return {}
    segmenters = ready.bench.race({tool: pair.segmenter for tool, pair in pairs.items()})
    classifiers = ready.bench.race({tool: pair.classifier for tool, pair in pairs.items()})
    return {
        tool: ready.bench.looks * segmenters[tool].p90 + classifiers[tool].p90
        for tool in pairs
        if tool in segmenters and tool in classifiers
    }


def _row(one: _Tried, p90: float | None) -> str:
    if one.pair is None:
        return f"| {one.tool} | {one.engine} | {one.failed} | | | | | {one.minutes:.1f} | |"
    gates = {gate.name: gate for gate in one.pair.gates}
    figures = " | ".join(
        f"{gates[name].candidate:.3f}" for name in ("malignant_sensitivity", "dice_median", "macro_f1", "flips")
    )
    broken = ", ".join(name for name, gate in gates.items() if not gate.passed)
    latency = "" if p90 is None else f"{p90:.1f}"
    return f"| {one.tool} | {one.engine} | {figures} | {latency} | {one.minutes:.1f} | {broken or 'all pass'} |"


def _page(rows: list[str], given: argparse.Namespace, cases: int) -> str:
    head = (
        "| tool | engine | malignant sensitivity | median Dice | macro-F1 | flips | p90, ms | minutes | do not pass |"
    )
    return "\n".join(
        [
            "# bonedge beside the tools' own int8",
            "",
            f"{of_pair(given.models)};",
            f"200 calibration pictures, {cases} validation cases, two threads. Flips are against",
            "fp32 Keras; p90 is of all inferences for a picture, those of one engine timed in turn; the last",
            "column names the gates that do not pass. Minutes are those of making both files; bonedge's are",
            "of making, timing and judging all candidates of the ladder, which none of the tools does.",
            f"NNCF's accuracy control looked at {min(given.control_count, cases)} of the cases.",
            "Made by `make compare-quantizers` (docs/comparisons/quantizers.py).",
            "",
            head,
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
