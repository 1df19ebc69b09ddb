"""Inference engines. Each lives in one module, and only that module imports its runtime, when it loads a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ..bundle import Bundle
from ..errors import EngineUnavailable, InvalidConfiguration
from ..manifest import EngineName
from ..manifest import Networks as NetworkFiles
from ..records import EngineDescription
from . import openvino, tflite
from .compiled import CompiledModels
from .networks import LoadedNetwork, Networks, pair

__all__ = ["DEVICES", "ENGINES", "Networks", "load", "usual_threads"]

ENGINES: tuple[EngineName, ...] = ("tflite", "openvino")
"""In the order in which `auto` tries them."""
DEVICES = ("CPU", "GPU", "AUTO")
_THREADS_CAP = 4
"""Beyond it, networks this small gain nothing at batch 1."""


def load(
    bundle: Bundle,
    engine: Literal["auto"] | EngineName = "auto",
    device: str = "CPU",
    threads: int | None = None,
    *,
    compiled: Path | None = None,
) -> Networks:
    """Make the bundle's networks ready to run.

    `auto` takes tflite where it loads, else openvino: TensorFlow Lite starts in milliseconds, OpenVINO compiles for a
    second or two when it has not before, and their speeds are alike after that. On another device than the CPU, `auto`
    is openvino.

    Args:
        bundle: checked and in memory.
        engine: "auto", "tflite" or "openvino".
        device: one of `DEVICES`; tflite runs on the CPU only.
        threads: of the CPU; by default the processors that this process may use, at most 4.
        compiled: folder in which what OpenVINO compiled is kept from one start to the next; None keeps nothing.

    Raises:
        EngineUnavailable: the bundle holds no such networks, or no runtime here can load them; says why for each.
        BundleRefused: a model is damaged, or has other shapes than the manifest implies.
        InvalidConfiguration: unknown engine or device, or fewer than one thread.
    """
    if engine != "auto" and engine not in ENGINES:
        raise InvalidConfiguration(f"unknown engine {engine!r}; use auto, {' or '.join(ENGINES)}")
    if device not in DEVICES:
        raise InvalidConfiguration(f"unknown device {device!r}; use {', '.join(DEVICES)}")
    if threads is not None and threads < 1:
        raise InvalidConfiguration(f"{threads} threads cannot run anything; use 1 or more")
    if threads is None:
        threads = usual_threads()
    held = {files.engine: files for files in bundle.manifest.networks}
    reasons = []
    for name in ENGINES if engine == "auto" else (engine,):
        if name not in held:
            reasons.append(f"the bundle holds no {name} networks")
            continue
        try:
            return _load(bundle, held[name], device, threads, compiled)
        except EngineUnavailable as error:
            reasons.append(str(error))
    raise EngineUnavailable(f"bundle {bundle.folder} cannot be run: {'; '.join(reasons)}")


def usual_threads() -> int:
    """What `load` takes when no number is given."""
    return min(_THREADS_CAP, len(os.sched_getaffinity(0)))


def _load(bundle: Bundle, files: NetworkFiles, device: str, threads: int, compiled: Path | None) -> Networks:
    if files.engine == "tflite" and device != "CPU":
        raise EngineUnavailable(f"tflite does not run on {device}; use --device CPU or --engine openvino")

    kept = None if compiled is None else CompiledModels(compiled)

    def network(names: tuple[str, ...]) -> LoadedNetwork:
        contents = [bundle.contents[name] for name in names]
        if files.engine == "tflite":
            return tflite.load(names[0], contents[0], threads)
        return openvino.load(names[0], contents[0], contents[1], device, threads, kept)

    return pair(
        network(files.segmenter),
        network(files.classifier),
        EngineDescription(files.engine, device, files.precision),
        bundle.manifest.preprocessing,
        len(bundle.manifest.abstention.feature_mean),
    )
