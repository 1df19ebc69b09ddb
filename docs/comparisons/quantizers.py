"""The tools' own int8 beside bonedge's, on the same models, pictures, machine and gates.

`make compare-quantizers` runs it and writes docs/comparisons/quantizers.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from subject import of_pair

from bonedge.convert.candidates import NETWORKS, Candidate, NetworkName
from bonedge.convert.conversion import Ready, climb, set_up
from bonedge.convert.evidence import Request
from bonedge.convert.progress import Steps
from bonedge.convert.quiet import muffled
from bonedge.convert.search import Judged, PairJudged, choose_pair
from bonedge.convert.tflite_int8 import post_training
from bonedge.convert.trial import Latency, answer, pipeline
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
    rows: list[str] = []

    def add(row: str) -> None:
        """Written each time: what comes last may take an hour."""
        rows.append(row)
        print(row, flush=True)
        given.output.write_text(_page(rows, given, len(ready.validation.cases)))

    for engine in request.engines:
        add(_ours(engine, ready, request, steps))
    for (tool, engine), make in makers.items():
        add(_measured(tool, engine, make, ready))


def _ours(engine: EngineName, ready: Ready, request: Request, steps: Steps) -> str:
    begun = perf_counter()
    climbs = {network: climb(ready, network, engine, request, steps) for network in NETWORKS}
    found, _ = choose_pair(climbs["segmenter"], climbs["classifier"], ready.bench, steps.pair)
    minutes = (perf_counter() - begun) / 60
    if found is None:
        return f"| bonedge convert | {engine} | refused | | | | | {minutes:.1f} | |"
    raced = {one.network: ready.bench.race({"x": one})["x"] for one in (found.segmenter, found.classifier)}
    title = f"bonedge: {found.segmenter.recipe} + {found.classifier.recipe}"
    return _row(title, engine, found, _p90(ready, raced), minutes)


def _ai_edge(ready: Ready, network: NetworkName, inputs: Sequence[Pixels]) -> tuple[bytes, ...]:
    from ai_edge_quantizer import quantizer, recipe

    with muffled():
        maker = quantizer.Quantizer(bytearray(ready.exported[network].tflite))
        maker.load_quantization_recipe(recipe.static_wi8_ai8())
        statistics = maker.calibrate({"serving_default": [{"picture": one} for one in inputs]}, num_threads=2)
        return (bytes(maker.quantize(statistics).quantized_model),)


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


def _measured(tool: str, engine: EngineName, make: Maker, ready: Ready) -> str:
    begun = perf_counter()
    try:
        candidates = {n: Candidate(n, engine, "int8", make(n, ready.inputs.of(n))) for n in NETWORKS}
    except (RuntimeError, ValueError) as error:
        return f"| {tool} | {engine} | failed: {' '.join(str(error).split())[:80]} | | | | | | |"
    minutes = (perf_counter() - begun) / 60
    judged = {}
    for network in NETWORKS:
        race = ready.bench.race({"x": candidates[network], "fp32": ready.workshops[network].reference(engine)})
        judged[network] = Judged(candidates[network], race["x"], (), None, fp32=race["fp32"])
    pair = ready.bench.judge_pair(judged["segmenter"], judged["classifier"])
    return _row(tool, engine, pair, _p90(ready, {name: one.latency for name, one in judged.items()}), minutes)


def _p90(ready: Ready, raced: Mapping[NetworkName, Latency | None]) -> float:
    """Of all inferences for one picture, as a sum, milliseconds."""
    looks = {"segmenter": ready.bench.looks, "classifier": 1}
    return sum(looks[name] * one.p90 for name, one in raced.items() if one is not None)


def _row(tool: str, engine: EngineName, pair: PairJudged, p90: float, minutes: float) -> str:
    gates = {one.name: one for one in pair.gates}
    figures = " | ".join(
        f"{gates[name].candidate:.3f}" for name in ("malignant_sensitivity", "dice_median", "macro_f1", "flips")
    )
    broken = [one.name for one in pair.gates if not one.passed]
    return f"| {tool} | {engine} | {figures} | {p90:.1f} | {minutes:.1f} | {', '.join(broken) or 'all pass'} |"


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
            "fp32 Keras; p90 is of all inferences for a picture; the last column names the gates that do not pass.",
            "Minutes are those of making both files; bonedge's are of making, timing and judging all candidates of the",
            "ladder, which none of the tools does.",
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
