"""What `bonedge benchmark` says of inference beside what the runtimes' own tools say of the same files.

`make compare-engines` runs it and writes docs/comparisons/engines.md. The tools take turns, round after round.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from subject import of_bundle

from bonedge.edge.engines import openvino, tflite, usual_threads
from bonedge.edge.machine import describe_machine
from bonedge.edge.manifest import Manifest

NETWORKS = ("segmenter", "classifier")
_AGREEMENT = 0.10
_WARM_UP = 20
_TURNS = 4
"""Of bonedge and the tool with each other in a round. Whoever is first in one is second in the next: machines drift."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bundle", type=Path, default=Path("models/released/bundle"))
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seconds", type=int, default=5, help="of each tool and network in each turn")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    given = arguments.parse_args()
    peers = {"tflite": ("litert-benchmark", _litert), "openvino": ("benchmark_app", _benchmark_app)}
    ours: dict[str, list[float]] = {engine: [] for engine in peers}
    alone: dict[str, list[float]] = {engine: [] for engine in peers}
    theirs: dict[str, list[float]] = {engine: [] for engine in peers}
    manifest = Manifest.model_validate_json((given.bundle / "manifest.json").read_bytes())
    looks = (manifest.preprocessing.looks, 1)
    for number in range(given.rounds):
        for engine, (tool, measure) in peers.items():
            document = _bonedge(given.bundle, engine, given.threads, 12 * given.seconds)
            ours[engine].append(document["results"][0]["inference"]["latency"]["p50"])
            files = [given.bundle / f"{name}.{'tflite' if engine == 'tflite' else 'xml'}" for name in NETWORKS]
            for turn in range(_TURNS):
                both = [(alone, _alone), (theirs, measure)]
                for found, of in both if turn % 2 else reversed(both):
                    found[engine].append(
                        sum(n * of(file, given.threads, given.seconds) for n, file in zip(looks, files, strict=True))
                    )
            print(
                f"round {number + 1}: {engine}: bonedge {ours[engine][-1]:.2f} ms, each network by itself "
                f"{_shown(alone[engine])} ms, {tool} {_shown(theirs[engine])} ms",
                flush=True,
            )
    rows = []
    for engine, (tool, _) in peers.items():
        in_turn, mine, other = (statistics.median(found[engine]) for found in (ours, alone, theirs))
        agrees = abs(mine / other - 1) <= _AGREEMENT
        rows.append(
            f"| {engine} | {in_turn:.2f} | {mine:.2f} | {tool} | {other:.2f} | {mine / other:.2f} | "
            f"{'yes' if agrees else 'no'} |"
        )
    given.output.write_text(_page([*rows, "", *_sweep(given.bundle, given.seconds)], given))
    print(given.output.read_text())


def _shown(times: list[float]) -> str:
    """Of the last round."""
    return " ".join(f"{one:.2f}" for one in times[-_TURNS:])


def _bonedge(bundle: Path, engine: str, threads: int, seconds: int) -> dict[str, Any]:
    """Half of `seconds` goes to inference alone, both networks one after the other."""
    command = ["benchmark", "--bundle", str(bundle), "--engine", engine, "--threads", str(threads)]
    document: dict[str, Any] = json.loads(_run("bonedge", *command, "--duration", str(seconds), "--json"))
    return document


def _sweep(bundle: Path, seconds: int) -> list[str]:
    """Every engine and number of threads, and where among them `--engine auto` is."""
    choice = json.loads(_run("bonedge", "benchmark", "--bundle", str(bundle), "--explain", "--json"))
    counts = range(1, usual_threads() + 1)
    command = ["benchmark", "--bundle", str(bundle), "--threads", ",".join(map(str, counts)), "--json"]
    results = json.loads(_run("bonedge", *command, "--duration", str(24 * seconds * len(counts))))["results"]
    medians = {(one["engine"], one["threads"]): one["inference"]["latency"]["p50"] for one in results}
    auto = (choice["engine"], usual_threads())
    lines = [
        f"| {engine} | {threads} | {median:.2f} | {'`--engine auto`' if (engine, threads) == auto else ''} |"
        for (engine, threads), median in sorted(medians.items(), key=lambda item: item[1])
    ]
    return [
        f"`--engine auto` is {auto[0]} with {auto[1]} threads, {medians[auto] / min(medians.values()):.2f} times the "
        "best of every engine and number of threads, measured in turns:",
        "",
        "| Engine | Threads | Both networks, p50 ms | |",
        "|---|---|---|---|",
        *lines,
    ]


def _alone(file: Path, threads: int, seconds: int) -> float:
    """Median milliseconds of one network again and again, as the tools run it, through what the pipeline calls."""
    if file.suffix == ".tflite":
        network = tflite.load(file.name, file.read_bytes(), threads)
    else:
        network = openvino.load(file.name, file.read_bytes(), file.with_suffix(".bin").read_bytes(), "CPU", threads)
    picture = np.random.default_rng(0).normal(size=network.input_shape).astype(np.float32)
    for _ in range(_WARM_UP):
        network.run(picture)
    took, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        network.run(picture)
        took.append(time.perf_counter() - begun)
    return 1000 * statistics.median(took)


def _litert(file: Path, threads: int, seconds: int) -> float:
    """Median milliseconds; as many runs as fill the time."""
    once = _litert_median(file, threads, 50)
    return _litert_median(file, threads, max(50, int(1000 * seconds / once)))


def _litert_median(file: Path, threads: int, runs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        _run("litert-benchmark", f"--model={file}", f"--num_threads={threads}", f"--num_runs={runs}",
             f"--result_json={report}")  # fmt: skip
        return float(json.loads(report.read_text())["latency"]["median_ms"])


def _benchmark_app(file: Path, threads: int, seconds: int) -> float:
    """Median milliseconds of one request at a time, in the precision that bonedge asks for."""
    said = _run("benchmark_app", "-m", str(file), "-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1",
                "-nthreads", str(threads), "-infer_precision", "f32", "-t", str(seconds))  # fmt: skip
    found = re.search(r"Median:\s+([\d.]+) ms", said)
    assert found, said[-2000:]
    return float(found[1])


def _run(tool: str, *arguments: str) -> str:
    """What a tool that is installed beside this interpreter says."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / tool), *arguments], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        sys.exit(
            f"{tool} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def _page(rows: list[str], given: argparse.Namespace) -> str:
    machine = describe_machine()
    versions = ", ".join(f"{name} {version}" for name, version in machine.runtimes.items())
    return "\n".join(
        (
            "# Inference alone: `bonedge benchmark` beside the runtimes' own tools",
            "",
            f"Both networks of {of_bundle(given.bundle)}, one after the other and as often as the bundle asks "
            f"for one picture, {given.threads} threads, "
            f"on {machine.named}; {versions}.",
            f"Medians of {given.rounds} rounds; in each, bonedge and the tool took {_TURNS} turns of {given.seconds} s "
            "with each network, now the one first and now the other. The tools run one network again and again on "
            "random data: so bonedge's is run for the comparison, each by "
            "itself. `bonedge benchmark` asks both in turn about a phantom, as a workstation does, which takes longer. "
            "Made by `make compare-engines`.",
            "",
            "| Engine | bonedge, in turn, p50 ms | Each by itself | Tool | Tool, p50 ms | Ratio | Within 10 % |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        )
    )


if __name__ == "__main__":
    main()
