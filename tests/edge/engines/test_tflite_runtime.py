"""The fallback: tflite-runtime 2.14 under numpy 1, in an environment of its own (`make test-tflite-runtime`).

BONEDGE_TFLITE_RUNTIME_PYTHON names that environment's interpreter, in which bonedge is installed; the tests run here,
with ai-edge-litert, and compare.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import bonedge.edge
from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load

PYTHON = os.environ.get("BONEDGE_TFLITE_RUNTIME_PYTHON")
RELEASED = Path(bonedge.edge.__path__[0]).parent / "models" / "released" / "bundle"

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="BONEDGE_TFLITE_RUNTIME_PYTHON is not set; `make test-tflite-runtime` sets it"
)

THERE = """
import sys
from pathlib import Path
import numpy as np
from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load
networks = load(Bundle.open(Path(sys.argv[1])), "tflite")
inputs = np.load(sys.argv[2])
answers = {}
for name in inputs.files:
    if name.startswith("segmenter"):
        answers[name + " maps"], answers[name + " features"] = networks.segment(inputs[name])
    else:
        answers[name + " logits"] = networks.classify(inputs[name])
np.savez(sys.argv[3], **answers)
print(np.__version__, *(name for name in ("tflite_runtime", "ai_edge_litert") if name in sys.modules))
"""


def pictures(bundle: Bundle) -> dict[str, Any]:
    """Smooth bright bars in noise, as the networks get them: normalised float32, three per network."""
    sizes, generator = bundle.manifest.preprocessing, np.random.default_rng(1)
    inputs = {}
    for network, side, channels in (
        ("segmenter", sizes.segmenter_side_px, 1),
        ("classifier", sizes.classifier_side_px, 3),
    ):
        across = np.linspace(-1, 1, side, dtype=np.float32)
        for number in range(3):
            bar = np.exp(-(((across - 0.3 * number + 0.3) / 0.4) ** 2))[None, :] * np.cos(across)[:, None]
            grey = np.clip(bar + generator.normal(0, 0.03, (side, side)), 0, 1)
            pixels = np.repeat(((grey - sizes.mean) / sizes.std)[None, :, :, None], channels, axis=3)
            inputs[f"{network} {number}"] = pixels.astype(np.float32)
    return inputs


def answers_there(folder: Path, inputs: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The outputs of tflite-runtime, which is asserted to be what ran."""
    assert PYTHON is not None
    np.savez(tmp_path / "inputs.npz", **inputs)
    arguments = [folder, tmp_path / "inputs.npz", tmp_path / "answers.npz"]
    done = subprocess.run([PYTHON, "-c", THERE, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numpy_version, *runtimes = done.stdout.split()
    assert numpy_version.startswith("1.")
    assert runtimes == ["tflite_runtime"]
    with np.load(tmp_path / "answers.npz") as answers:
        return dict(answers)


def answers_here(bundle: Bundle, inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs of ai-edge-litert."""
    networks, answers = load(bundle, "tflite"), {}
    for name, pixels in inputs.items():
        if name.startswith("segmenter"):
            answers[f"{name} maps"], answers[f"{name} features"] = networks.segment(pixels)
        else:
            answers[f"{name} logits"] = networks.classify(pixels)
    return answers


def quantization_steps(model: bytes) -> dict[tuple[int, ...], float]:
    """Shape of each output -> how far one quantization step of its last rounded tensor moves it; 0 for real numbers.

    Whatever stands behind that tensor passes the step on. A sigmoid at the end is fed a tensor whose steps are far
    coarser than its own output's (1/256): one of those moves the output by up to a quarter of it, the sigmoid's
    steepest slope, and the output's own rounding adds its step. A last layer in float sums what it is fed: when all of
    that is a step off, the output is off by up to the step times the sum of the weights' magnitudes.
    """
    made = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = made.subgraphs[0]
    makers = {index: operator for operator in graph.operators for index in operator.outputs}

    def weight_sum(index: int) -> float:
        """Largest sum of magnitudes over the output channels, which come first in a kernel."""
        tensor, kind, expected = graph.tensors[index], "float32", schema.TensorType.FLOAT32
        if index in makers:  # stored in 16 bits, and widened when the file is loaded
            tensor, kind, expected = graph.tensors[makers[index].inputs[0]], "float16", schema.TensorType.FLOAT16
        assert tensor.type == expected
        buffer = made.buffers[tensor.buffer]
        stored = bytes(buffer.data) if buffer.data is not None else model[buffer.offset : buffer.offset + buffer.size]
        kernel = np.frombuffer(stored, kind).astype(np.float32)
        return float(np.abs(kernel.reshape(tensor.shape[0], -1)).sum(axis=1).max())

    def step(index: int) -> float:
        quantization = graph.tensors[index].quantization
        own = float(quantization.scale[0]) if quantization is not None and quantization.scale is not None else 0.0
        maker = makers.get(index)
        if maker is None:
            return own
        code, before = made.operatorCodes[maker.opcodeIndex], maker.inputs[0]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind == schema.BuiltinOperator.LOGISTIC:
            return own + step(before) / 4
        if own > 0:
            return own
        if kind in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED):
            return step(before) * weight_sum(maker.inputs[1])
        if kind in (schema.BuiltinOperator.DEQUANTIZE, schema.BuiltinOperator.RESIZE_BILINEAR):
            return step(before)
        raise AssertionError(f"no rule for how operator {kind} passes a step on")

    return {tuple(map(int, graph.tensors[output].shape)): step(output) for output in graph.outputs}


def test_computes_the_same_in_float(both: Bundle, tmp_path: Path) -> None:
    """A workstation that is held at numpy 1 could not run bonedge, or would get other answers."""
    inputs = pictures(both)
    there, here = answers_there(both.folder, inputs, tmp_path), answers_here(both, inputs)
    assert there.keys() == here.keys()
    for name, answer in here.items():
        np.testing.assert_allclose(there[name], answer, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_released_bundle_agrees_to_the_last_quantization_step(tmp_path: Path) -> None:
    """The same radiograph would get another verdict on a workstation that is held at numpy 1."""
    if not RELEASED.is_dir():
        pytest.skip("models/released/bundle is not there yet")
    bundle = Bundle.open(RELEASED)
    (files,) = (networks for networks in bundle.manifest.networks if networks.engine == "tflite")
    steps = quantization_steps(bundle.contents[files.segmenter[0]])
    steps |= quantization_steps(bundle.contents[files.classifier[0]])
    inputs = pictures(bundle)
    there, here = answers_there(bundle.folder, inputs, tmp_path), answers_here(bundle, inputs)
    assert there.keys() == here.keys()
    for name, answer in here.items():
        step = steps[answer.shape]
        assert step > 0, f"{name} is not quantized"
        assert np.abs(there[name] - answer).max() <= 1.001 * step, name
