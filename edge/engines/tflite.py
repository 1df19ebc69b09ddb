"""TensorFlow Lite models, through ai-edge-litert or, where that is missing or unusable, tflite-runtime."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import BundleRefused, EngineUnavailable
from ..records import Pixels
from .networks import LoadedNetwork

_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
_CHATTER = (b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n",)


def load(name: str, model: bytes, threads: int) -> LoadedNetwork:
    """Build an interpreter on `model` with the first runtime that can.

    Importing proves nothing: tflite-runtime 2.14 imports under numpy 2 and fails when an interpreter is built, and an
    old runtime refuses newer operators only then.

    Args:
        name: the file's, for messages.
        model: the .tflite file. Inputs and outputs may be float32 or quantized (int8, uint8).
        threads: of the CPU, at least 1.

    Raises:
        BundleRefused: the bytes are no TensorFlow Lite model.
        EngineUnavailable: no runtime is installed, or none can run this model.
    """
    # The file identifier of the schema, after the 4-byte offset of the root table.
    if model[4:8] != b"TFL3":
        raise BundleRefused(f"{name} is not a TensorFlow Lite model although its digest is right; convert again")
    reasons = []
    for runtime in _RUNTIMES:
        try:
            with _quiet_about_delegates():
                return _network(name, _interpreter(runtime, model, threads))
        except (ImportError, OSError, AttributeError, SystemError, RuntimeError, ValueError) as error:
            # AttributeError and SystemError: how extensions built for numpy 1 fail under numpy 2.
            cause = error.__cause__ or error
            reasons.append(f"{runtime.partition('.')[0]}: {' '.join(str(cause).split()) or type(cause).__name__}")
    raise EngineUnavailable(
        f"no TensorFlow Lite runtime here can load {name} ({'; '.join(reasons)}); "
        "install ai-edge-litert or use --engine openvino"
    )


def _interpreter(runtime: str, model: bytes, threads: int) -> Any:
    with warnings.catch_warnings():
        # tflite-runtime 2.14 imports the deprecated `imp` machinery; nobody who runs bonedge can act on it.
        warnings.simplefilter("ignore")
        interpreter = importlib.import_module(runtime).Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def _network(name: str, interpreter: Any) -> LoadedNetwork:
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1:
        raise BundleRefused(f"{name} has {len(inputs)} inputs instead of one; convert the bundle again")
    entrance = inputs[0]

    def run(pixels: Pixels) -> list[Pixels]:
        interpreter.set_tensor(entrance["index"], quantize(pixels, entrance))
        interpreter.invoke()
        return [dequantize(interpreter.get_tensor(output["index"]), output) for output in outputs]

    return LoadedNetwork(_shape(entrance), tuple(_shape(output) for output in outputs), run)


def _shape(details: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in details["shape"])


def quantize(values: Pixels, details: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Real numbers -> what the tensor stores: q = round(r / scale) + zero point (TFLite 8-bit quantization spec)."""
    if details["dtype"] == np.float32:
        return np.asarray(values)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    rounded = np.rint(values / np.float32(scale)) + zero_point
    return np.asarray(np.clip(rounded, limits.min, limits.max), details["dtype"])


def dequantize(stored: np.ndarray[Any, Any], details: dict[str, Any]) -> Pixels:
    """What the tensor stores -> real numbers, float32. `details`: as the interpreter describes the tensor."""
    if details["dtype"] == np.float32:
        return np.asarray(stored, np.float32)
    scale, zero_point = details["quantization"]
    return np.asarray((stored.astype(np.float32) - np.float32(zero_point)) * np.float32(scale), np.float32)


@contextmanager
def _quiet_about_delegates() -> Iterator[None]:
    """Drop the runtime's greeting from standard error, and pass on everything else that was written meanwhile.

    The line is printed by C++ code that offers no switch, so file descriptor 2 itself is diverted for the few
    milliseconds in which an interpreter is built.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        original = os.dup(2)
        try:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(original, 2)
        finally:
            os.close(original)
        held.seek(0)
        for line in held:
            if line not in _CHATTER:
                os.write(2, line)
