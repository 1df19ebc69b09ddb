"""Which engine is the quickest here that answers rightly: measured once per machine, bundle and runtime version.

`bonedge watch` and `bonedge benchmark --explain` measure; `bonedge predict` takes a choice that was made and otherwise
the engine that starts the quickest, for measuring takes longer than a few pictures do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from .bundle import Bundle
from .engines import Networks, load
from .errors import BundleRefused, EngineUnavailable
from .files import write_whole
from .golden import disagreements, golden_radiographs
from .machine import describe_machine
from .manifest import EngineName
from .pipeline import Pipeline
from .preprocess import prepare
from .records import Pixels, Radiograph

_ROUNDS, _PER_ROUND, _WARM_UP = 4, 20, 3
"""Long rounds: the first answers wait for what the other engine's threads and caches left behind."""
_AS_GOOD = 0.03
"""A median within this share of the best is as good; then the engine that starts sooner is taken."""
_GPU_DRIVER = Path("/usr/lib/x86_64-linux-gnu/intel-opencl/libigdrcl.so")
_FORMAT = 2

Loader = Callable[[Bundle, EngineName, str, int | None], Networks]
Inputs = tuple[Pixels, Pixels]
"""What the segmenter and the classifier are shown of one picture."""


@dataclass(frozen=True)
class Trial:
    """One engine on one device."""

    engine: EngineName
    device: str
    milliseconds: float | None
    """Median of both networks together; None when it was not measured."""
    refused: str
    """Why it must not be used; empty when it may be."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and on what grounds."""

    engine: EngineName
    device: str
    made: str
    """ISO 8601, UTC."""
    trials: tuple[Trial, ...]


_CHOICE = TypeAdapter(Choice)
_ANSWER: TypeAdapter[Choice | str] = TypeAdapter(Choice | str)
_PROGRAM = "from bonedge.edge.choice import main; main()"


def load_chosen(
    bundle: Bundle,
    engine: Literal["auto"] | EngineName,
    device: str,
    threads: int | None,
    *,
    folder: Path,
    make: bool,
) -> Networks:
    """The networks that `auto` stands for, or the ones that were asked for by name.

    Args:
        bundle: opened.
        engine: "auto", or a name, which is taken as it is.
        device: CPU, GPU or AUTO; on another than the CPU there is only one engine.
        threads: of the CPU.
        folder: where choices are remembered, and what was compiled.
        make: measure when none is remembered; else the first engine that loads is taken.

    Raises:
        BundleRefused: nothing can be loaded, or nothing that answers rightly.
    """
    loader = partial(load, compiled=folder)
    if engine != "auto" or device != "CPU":
        return loader(bundle, engine, device, threads)
    choice = remembered(bundle, threads, folder)
    if choice is not None:
        with contextlib.suppress(EngineUnavailable):
            return loader(bundle, choice.engine, choice.device, threads)
    if not make or not any(one.golden for one in bundle.manifest.networks):
        return loader(bundle, threads=threads)
    made = choose_apart(bundle, threads, folder)
    if made is None:
        return loader(bundle, threads=threads)
    remember(made, bundle, threads, folder)
    return loader(bundle, made.engine, made.device, threads)


def choose_apart(bundle: Bundle, threads: int | None, folder: Path) -> Choice | None:
    """`choose` in a process of its own, for a service: no engine that is tried there can end it or stay in its memory.

    On Linux 6.18 and two busy processors the kernel ended 11 of 15 services within a minute after they had measured
    themselves and dropped OpenVINO (SIGSEGV on the return from a system call); of 10 that measured so, none.

    Returns:
        None when an engine ended that process.

    Raises:
        BundleRefused: as `choose` does.
    """
    arguments = (str(bundle.folder), bundle.digest, str(threads or 0), str(folder))
    child = subprocess.run(  # noqa: S603 - our own interpreter, our own program
        [sys.executable, "-I", "-c", _PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    try:
        answer = _ANSWER.validate_json(child.stdout)
    except ValidationError:
        return None
    if isinstance(answer, str):
        raise BundleRefused(answer)
    return answer


def main() -> None:
    """The process of `choose_apart`: prints what was chosen, or why nothing could be, as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    folder, digest, threads, compiled = sys.argv[1:]
    # Runtimes written in C may print; the answer goes to a descriptor of its own.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        answer: Choice | str
        try:
            bundle = Bundle.open(Path(folder))
            if bundle.digest != digest:
                raise BundleRefused(f"{folder}: was exchanged while it was opened; start again")
            loader = partial(load, compiled=Path(compiled))
            _, answer = choose(bundle, int(threads) or None, devices(), loader)
        except BundleRefused as error:
            answer = str(error)
        out.write(_ANSWER.dump_json(answer))


def choose(
    bundle: Bundle, threads: int | None, available: Sequence[tuple[EngineName, str]], loader: Loader = load
) -> tuple[Networks, Choice]:
    """Measure every engine and device on the bundle's golden pictures; the quickest that answers rightly wins.

    Args:
        bundle: with golden pictures.
        threads: of the CPU.
        available: engine and device, the one that starts the soonest first.
        loader: makes networks ready; `bonedge.edge.engines.load`, or a stand-in for a device that is not here.

    Raises:
        BundleRefused: none can be loaded, or none answers rightly; says why for each.
    """
    pictures = golden_radiographs(bundle)
    held = {one.engine for one in bundle.manifest.networks}
    ready: list[tuple[EngineName, str, Networks]] = []
    refused: list[Trial] = []
    for engine, device in available:
        if engine not in held:
            continue
        try:
            networks = loader(bundle, engine, device, threads)
            off = disagreements(bundle, networks, pictures)
        except BundleRefused as error:
            off = [str(error)]
        if off:
            refused.append(Trial(engine, device, None, " ".join(off)))
        else:
            ready.append((engine, device, networks))
    if not ready:
        reasons = "; ".join(trial.refused for trial in refused) or "it holds networks for none of them"
        raise BundleRefused(f"bundle {bundle.folder}: no engine here answers its golden pictures rightly ({reasons})")
    inputs = network_inputs(Pipeline(bundle, ready[0][2]), next(iter(pictures.values())))
    times = _times([networks for _, _, networks in ready], inputs)
    best = min(times)
    trials = [Trial(engine, device, time, "") for (engine, device, _), time in zip(ready, times, strict=True)]
    engine, device, networks = next(
        one for one, time in zip(ready, times, strict=True) if time <= best * (1 + _AS_GOOD)
    )
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return networks, Choice(engine, device, made, (*trials, *refused))


def devices() -> tuple[tuple[EngineName, str], ...]:
    """Engines and devices of this machine; the GPU only where its driver is, for asking OpenVINO takes a second."""
    found: list[tuple[EngineName, str]] = [("tflite", "CPU"), ("openvino", "CPU")]
    if _GPU_DRIVER.exists() and any(Path("/dev/dri").glob("renderD*")):
        found.append(("openvino", "GPU"))
    return tuple(found)


def remembered(bundle: Bundle, threads: int | None, folder: Path) -> Choice | None:
    """The choice that was made for this bundle on this machine as it is now; None when there is none."""
    try:
        return _CHOICE.validate_json((folder / _name(bundle, threads)).read_bytes())
    except (OSError, ValidationError):
        return None


def remember(choice: Choice, bundle: Bundle, threads: int | None, folder: Path) -> None:
    """Keep it; where nothing can be kept, it will be made again."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _name(bundle, threads), json.dumps(asdict(choice), indent=1).encode())


def choice_folder() -> Path:
    """Where a user's choices are kept, after the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "bonedge"


def network_inputs(pipeline: Pipeline, radiograph: Radiograph) -> Inputs:
    """What both networks are shown of a picture."""
    shown: list[Pixels] = []

    def classify(pixels: Pixels) -> Pixels:
        shown.append(pixels.copy())
        return pipeline.networks.classify(pixels)

    networks = Networks(pipeline.networks.segment, classify, pipeline.networks.description)
    prepared = prepare(radiograph, pipeline.bundle.manifest.preprocessing)
    Pipeline(pipeline.bundle, networks).read(radiograph.source, prepared)
    return prepared.segmenter_input, shown[0]


def infer(networks: Networks, inputs: Inputs) -> None:
    """Both networks once."""
    networks.segment(inputs[0])
    networks.classify(inputs[1])


def _times(candidates: Sequence[Networks], inputs: Inputs) -> list[float]:
    """Median milliseconds of each, in turns."""
    for networks in candidates:
        for _ in range(_WARM_UP):
            infer(networks, inputs)
    taken: list[list[float]] = [[] for _ in candidates]
    for _ in range(_ROUNDS):
        for networks, times in zip(candidates, taken, strict=True):
            for _ in range(_PER_ROUND):
                begun = perf_counter()
                infer(networks, inputs)
                times.append(1000 * (perf_counter() - begun))
    return [median(times) for times in taken]


def _name(bundle: Bundle, threads: int | None) -> str:
    """Changes with everything that may change the outcome."""
    machine = describe_machine()
    driver = _GPU_DRIVER.stat() if _GPU_DRIVER.exists() else None
    grounds = [
        _FORMAT, bundle.digest, threads, machine.processor, machine.flags, machine.usable_processors,
        machine.processor_limit, machine.kernel, machine.runtimes,
        None if driver is None else (driver.st_size, driver.st_mtime_ns), [list(one) for one in devices()],
    ]  # fmt: skip
    return f"engine-{hashlib.sha256(json.dumps(grounds).encode()).hexdigest()[:20]}.json"
