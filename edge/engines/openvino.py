"""OpenVINO models, on the CPU, an Intel GPU, or whatever OpenVINO's AUTO picks."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np

from ..errors import BundleRefused, EngineUnavailable
from ..machine import describe_machine
from ..offline import shut_off_telemetry
from ..records import Pixels
from .compiled import CompiledModels
from .networks import LoadedNetwork


def load(
    name: str, model: bytes, weights: bytes, device: str, threads: int, compiled_models: CompiledModels | None = None
) -> LoadedNetwork:
    """Compile a model from memory.

    Args:
        name: the .xml file's, for messages.
        model: the .xml file; one float32 input, float32 outputs, all of fixed shape.
        weights: the .bin file.
        device: CPU, GPU or AUTO.
        threads: of the CPU, at least 1; other devices ignore it.
        compiled_models: what earlier starts compiled for the CPU; None compiles anew.

    Raises:
        BundleRefused: the bytes are no OpenVINO model.
        EngineUnavailable: openvino is not installed, or the device is missing or cannot run this model.
    """
    core = _core()
    if compiled_models is None or device != "CPU":
        return _network(_compile(core, name, model, weights, device, threads))
    machine = describe_machine()
    about = json.dumps([settings(device, threads), machine.runtimes, machine.processor, machine.flags])
    grounds = (model, weights, about.encode())
    compiled = _read_back(core, compiled_models.find(grounds), device, threads)
    if compiled is None:
        compiled = _compile(core, name, model, weights, device, threads)
        compiled_models.keep(grounds, compiled.export_model().getvalue())
    return _network(compiled)


def _read_back(core: Any, compiled: bytes | None, device: str, threads: int) -> Any:
    """None where there is nothing, or where this runtime does not take it."""
    if compiled is None:
        return None
    try:
        return core.import_model(BytesIO(compiled), device, settings(device, threads))
    except RuntimeError:
        return None


def _compile(core: Any, name: str, model: bytes, weights: bytes, device: str, threads: int) -> Any:
    """Raises as `load` does."""
    try:
        read = core.read_model(model=model, weights=weights)
    except RuntimeError as error:
        raise BundleRefused(
            f"OpenVINO cannot read {name} although its digest is right ({_first_line(error)}); convert again"
        ) from error
    if len(read.inputs) != 1 or any(port.get_partial_shape().is_dynamic for port in (*read.inputs, *read.outputs)):
        raise BundleRefused(f"{name} needs one input and fixed shapes to be run here; convert the bundle again")
    try:
        return core.compile_model(read, device, settings(device, threads))
    except RuntimeError as error:
        raise EngineUnavailable(
            f"OpenVINO cannot run {name} on {device} ({_first_line(error)}); use --device CPU or --engine tflite"
        ) from error


def settings(device: str, threads: int) -> dict[str, Any]:
    """OpenVINO properties for `device`.

    The precision is always asked for: left alone, recent CPUs silently compute fp32 layers in bf16, GPUs in fp16.
    f32 is the precision of what is not quantized; int8 layers stay int8.
    """
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        properties["INFERENCE_NUM_THREADS"] = threads
    return properties


def _core() -> Any:
    try:
        shut_off_telemetry()
        import openvino
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            f"OpenVINO cannot be loaded here ({_first_line(error)}); install openvino or use --engine tflite"
        ) from error
    return openvino.Core()


def _network(compiled: Any) -> LoadedNetwork:
    request = compiled.create_infer_request()

    def run(pixels: Pixels) -> list[Pixels]:
        results = request.infer([np.ascontiguousarray(pixels)], share_inputs=True)
        # Copied: the results are views of buffers that the next call overwrites.
        return [np.array(results[port], np.float32) for port in compiled.outputs]

    return LoadedNetwork(
        tuple(compiled.inputs[0].shape),
        tuple(tuple(port.shape) for port in compiled.outputs),
        run,
    )


def _first_line(error: Exception) -> str:
    """OpenVINO's errors are several lines that begin with a source location; the last one says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
