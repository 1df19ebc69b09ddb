"""Real models, small enough to build on the spot without TensorFlow, and the bundle that holds them.

Segmenter: "1 64 64 1" -> maps = sigmoid(a * pixels + b), two channels; features = mean of the pixels, five times over.
Classifier: "1 64 64 3" -> logits = W @ mean over rows and columns + bias.
Both formats hold the same numbers, so that the engines can be held against plain numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from bonedge.edge.bundle import Bundle, digests, write_bundle
from bonedge.edge.manifest import Abstention, Manifest, Networks, Preprocessing, Training
from bonedge.edge.offline import shut_off_telemetry

SIDE, FEATURES = 64, 5
GAIN, OFFSET = np.array([2.0, -1.0], np.float32), np.array([0.5, -0.25], np.float32)
WEIGHTS = np.array([[1, 2, 3], [-1, 0, 1], [0.5, 0.5, -4]], np.float32)
"""Classifier, "class channel"."""
BIAS = np.array([0.1, 0.2, 0.3], np.float32)


def expected_maps(pixels: Any) -> Any:
    """What the segmenter's maps are, by numpy."""
    return 1 / (1 + np.exp(-(pixels * GAIN + OFFSET)))


def expected_features(pixels: Any) -> Any:
    """What the segmenter's features are, by numpy."""
    return np.repeat(pixels.mean(axis=(1, 2)), FEATURES, axis=1)


def expected_logits(pixels: Any) -> Any:
    """What the classifier's logits are, by numpy."""
    return pixels.mean(axis=(1, 2)) @ WEIGHTS.T + BIAS


@pytest.fixture(scope="session")
def expected() -> dict[str, Callable[[Any], Any]]:
    """Name of an output -> the numpy function that computes it."""
    return {"maps": expected_maps, "features": expected_features, "logits": expected_logits}


@pytest.fixture(scope="session")
def tflite_models() -> dict[str, bytes]:
    """segmenter.tflite, classifier.tflite, and segmenter-int8-io.tflite, whose input and maps are stored as int8."""
    return {
        "segmenter.tflite": _tflite_segmenter(),
        "classifier.tflite": _tflite_classifier(),
        "segmenter-int8-io.tflite": _tflite_segmenter(int8=True),
    }


@pytest.fixture(scope="session")
def openvino_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """segmenter.xml, .bin, classifier.xml, .bin."""
    folder = tmp_path_factory.mktemp("openvino")
    shut_off_telemetry()
    import openvino
    from openvino import opset13 as ops

    pixels = ops.parameter([1, SIDE, SIDE, 1], np.float32)
    maps = ops.sigmoid(ops.add(ops.multiply(pixels, GAIN), OFFSET))
    features = ops.tile(ops.reduce_mean(pixels, np.array([1, 2]), False), np.array([1, FEATURES]))
    crop = ops.parameter([1, SIDE, SIDE, 3], np.float32)
    logits = ops.add(ops.matmul(ops.reduce_mean(crop, np.array([1, 2]), False), WEIGHTS, False, True), BIAS)
    # Features first: an engine that goes by order, not by shape, is caught.
    graphs = {
        "segmenter": openvino.Model([ops.result(features), ops.result(maps)], [pixels], "segmenter"),
        "classifier": openvino.Model([ops.result(logits)], [crop], "classifier"),
    }
    for name, graph in graphs.items():
        openvino.save_model(graph, folder / f"{name}.xml", compress_to_fp16=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def make_manifest() -> Callable[[dict[str, bytes]], Manifest]:
    """`make_manifest(contents)`: names each engine whose four or two files are among `contents`."""

    def make(contents: dict[str, bytes]) -> Manifest:
        pairs = []
        if "segmenter.tflite" in contents:
            pairs.append(
                Networks(
                    engine="tflite",
                    precision="fp32",
                    segmenter=("segmenter.tflite",),
                    classifier=("classifier.tflite",),
                )
            )
        if "segmenter.xml" in contents:
            pairs.append(
                Networks(
                    engine="openvino",
                    precision="fp32",
                    segmenter=("segmenter.xml", "segmenter.bin"),
                    classifier=("classifier.xml", "classifier.bin"),
                )
            )
        return Manifest(
            name="tiny",
            version="1",
            created="2026-01-01T00:00:00Z",
            preprocessing=Preprocessing(segmenter_side_px=SIDE, classifier_side_px=SIDE),
            abstention=Abstention(
                feature_mean=(0.0,) * FEATURES, feature_basis=((1.0,) * FEATURES,), maximum_distance=9.0
            ),
            training=Training(data="Nothing: arithmetic."),
            networks=tuple(pairs),
            files=digests(contents),
        )

    return make


@pytest.fixture(scope="session")
def both(
    tmp_path_factory: pytest.TempPathFactory,
    tflite_models: dict[str, bytes],
    openvino_models: dict[str, bytes],
    make_manifest: Callable[[dict[str, bytes]], Manifest],
) -> Bundle:
    """A bundle with networks for both engines, on disk and opened."""
    contents = {n: b for n, b in (tflite_models | openvino_models).items() if "int8" not in n}
    folder: Path = tmp_path_factory.mktemp("both") / "bundle"
    return write_bundle(folder, make_manifest(contents), contents)


@pytest.fixture
def picture() -> Callable[[int], Any]:
    """`picture(channels)` -> float32 "1 64 64 channels", -2..2, always the same."""
    return lambda channels: np.random.default_rng(7).uniform(-2, 2, (1, SIDE, SIDE, channels)).astype(np.float32)


class _Graph:
    """A TensorFlow Lite graph under construction, through the runtime's own copy of the file schema."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape: tuple[int, ...], value: Any = None, quantization: tuple[float, int] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.name, tensor.buffer = list(shape), f"t{len(self.graph.tensors)}".encode(), 0
        tensor.type = schema.TensorType.FLOAT32
        if quantization:
            tensor.type = schema.TensorType.INT8
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantization[0]], [quantization[1]]
        if value is not None:
            if value.dtype == np.int32:
                tensor.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, value: Any) -> int:
        return self.tensor(value.shape, value)

    def apply(self, code: int, inputs: list[int], output: int, options: tuple[int, Any] = (0, None)) -> int:
        kind = schema.OperatorCodeT()
        kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = code, code, 1
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes), inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = options
        self.model.operatorCodes.append(kind)
        self.graph.operators.append(operator)
        return output

    def mean(self, source: int, channels: int) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = False
        return self.apply(
            schema.BuiltinOperator.MEAN,
            [source, self.constant(np.array([1, 2], np.int32))],
            self.tensor((1, channels)),
            (schema.BuiltinOptions.ReducerOptions, options),
        )

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _tflite_segmenter(int8: bool = False) -> bytes:
    made, op = _Graph(), schema.BuiltinOperator
    shape = (1, SIDE, SIDE, 1)
    entrance = made.tensor(shape, quantization=(1 / 32, -3) if int8 else None)
    pixels = made.apply(op.DEQUANTIZE, [entrance], made.tensor(shape)) if int8 else entrance
    scaled = made.apply(
        op.MUL,
        [pixels, made.constant(GAIN)],
        made.tensor((1, SIDE, SIDE, 2)),
        (schema.BuiltinOptions.MulOptions, schema.MulOptionsT()),
    )
    moved = made.apply(
        op.ADD,
        [scaled, made.constant(OFFSET)],
        made.tensor((1, SIDE, SIDE, 2)),
        (schema.BuiltinOptions.AddOptions, schema.AddOptionsT()),
    )
    maps = made.apply(op.LOGISTIC, [moved], made.tensor((1, SIDE, SIDE, 2)))
    if int8:
        maps = made.apply(op.QUANTIZE, [maps], made.tensor((1, SIDE, SIDE, 2), quantization=(1 / 256, -128)))
    features = made.apply(
        op.TILE,
        [made.mean(pixels, 1), made.constant(np.array([1, FEATURES], np.int32))],
        made.tensor((1, FEATURES)),
    )
    return made.finish([entrance], [maps, features])


def _tflite_classifier() -> bytes:
    made = _Graph()
    crop = made.tensor((1, SIDE, SIDE, 3))
    logits = made.apply(
        schema.BuiltinOperator.FULLY_CONNECTED,
        [made.mean(crop, 3), made.constant(WEIGHTS), made.constant(BIAS)],
        made.tensor((1, 3)),
        (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT()),
    )
    return made.finish([crop], [logits])
