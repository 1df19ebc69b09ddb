"""The trainable Keras pair of a released bundle of 16- or 32-bit weights, for a training that goes on from there.

    python docs/restore_weights.py --bundle BUNDLE --data DATA --output RUN
    bonedge train segmenter --weights RUN/segmenter.keras ...

Conversion folds batch normalisation into the convolutions. A folded network trained as it is would be another one, for
normalisation would then undo the folded scale: so each layer's mean and variance are measured on pictures of DATA, and
scale and offset are set to give back what the folded network computes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from bonedge.edge.bundle import Bundle
from bonedge.edge.crop import choose_region, classifier_input
from bonedge.edge.decode import decode_bytes
from bonedge.edge.preprocess import Prepared, prepare
from bonedge.edge.records import Pixels, Source
from bonedge.edge.segment import read_maps
from bonedge.models.classifier import build_classifier
from bonedge.models.datasets import PhantomSet
from bonedge.models.segmenter import build_segmenter

_PICTURES = 96
_BATCH = 16


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bundle", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    given = arguments.parse_args()
    bundle = Bundle.open(given.bundle)
    p = bundle.manifest.preprocessing
    samples = [sample for sample in PhantomSet(given.data).samples if not sample.validation]
    chosen = samples[:: max(1, len(samples) // _PICTURES)][:_PICTURES]
    pictures = [prepare(decode_bytes(sample.picture.read_bytes()), p) for sample in chosen]
    given.output.mkdir(parents=True, exist_ok=True)

    segmenter = build_segmenter(p.segmenter_side_px)
    inputs = np.concatenate([one.segmenter_input for one in pictures])
    _restore(segmenter, given.bundle / "segmenter.xml", inputs)
    segmenter.save(given.output / "segmenter.keras")

    classifier = build_classifier(p.classifier_side_px)
    _restore(classifier, given.bundle / "classifier.xml", _crops(segmenter, inputs, pictures, bundle))
    classifier.save(given.output / "classifier.keras")


def _restore(model: Any, file: Path, inputs: Pixels) -> None:
    """Fill `model` from an OpenVINO file, and say how far its answers are from that file's."""
    normalised = _fill(model, _folded(file))
    _unfold(model, normalised, inputs)
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    wanted = list(compiled(inputs[:1]).values())
    answer = model.predict_on_batch(inputs[:1])
    answers = list(answer.values()) if isinstance(answer, dict) else [answer]
    gaps = [min(np.abs(a - w).max() for w in wanted if w.shape == a.shape) for a in answers]
    print(f"{file.name}: {len(normalised)} layers unfolded; answers differ by at most {max(gaps):.2g}")


def _folded(file: Path) -> list[tuple[str, Pixels, Pixels]]:
    """(operation, kernel, offset) in the order of the graph."""
    found = []
    for operation in openvino.Core().read_model(str(file)).get_ordered_ops():
        kind = operation.get_type_name()
        if kind in ("Convolution", "GroupConvolution", "MatMul"):
            (addition,) = (target.get_node() for target in operation.output(0).get_target_inputs())
            sources = [addition.input(place).get_source_output() for place in (0, 1)]
            (offset,) = (source for source in sources if source.get_node() != operation)
            found.append((kind, _constant(operation.input(1).get_source_output()), _constant(offset).reshape(-1)))
    return found


def _constant(port: Any) -> Pixels:
    node = port.get_node()
    while node.get_type_name() != "Constant":
        node = node.input(0).get_source_output().get_node()
    return np.array(node.get_data(), np.float32)


def _fill(model: Any, folded: Sequence[tuple[str, Pixels, Pixels]]) -> list[Any]:
    """Set every layer. Returns the batch normalisations, each still doing nothing but adding its offset."""
    after = {
        layer._inbound_nodes[0].input_tensors[0]._keras_history.operation.name: layer
        for layer in model.layers
        if type(layer).__name__ == "BatchNormalization"
    }
    weighted = [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense")]
    for layer, (kind, kernel, offset) in zip(weighted, folded, strict=True):
        if kind == "Convolution":
            kernel = kernel.transpose(2, 3, 1, 0)
        elif kind == "GroupConvolution":
            kernel = kernel.reshape(kernel.shape[0], *kernel.shape[-2:]).transpose(1, 2, 0)[..., None]
        else:
            kernel = kernel.T
        if layer.name in after:
            normalisation = after[layer.name]
            ones, zeros = np.ones_like(offset), np.zeros_like(offset)
            layer.set_weights([kernel])
            normalisation.set_weights([ones, offset, zeros, ones - normalisation.epsilon])
        else:
            layer.set_weights([kernel, offset])
    return list(after.values())


def _unfold(model: Any, normalised: Sequence[Any], inputs: Pixels) -> None:
    """Give each batch normalisation the statistics of its input, and the scale and offset that cancel them."""
    import keras

    probe = keras.Model(model.input, [layer._inbound_nodes[0].input_tensors[0] for layer in normalised])
    sums: list[Any] = [0.0] * len(normalised)
    batches = [inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH)]
    for batch in batches:
        moments = [
            (a.mean((0, 1, 2)), np.square(a.astype(np.float64)).mean((0, 1, 2))) for a in probe.predict_on_batch(batch)
        ]
        sums = [total + np.stack(one) / len(batches) for total, one in zip(sums, moments, strict=True)]
    for layer, (mean, square) in zip(normalised, sums, strict=True):
        variance = np.maximum(square - mean**2, 1e-6)
        offset = layer.get_weights()[1]
        layer.set_weights([np.sqrt(variance + layer.epsilon), offset + mean, mean, variance])


def _crops(segmenter: Any, inputs: Pixels, pictures: Sequence[Prepared], bundle: Bundle) -> Pixels:
    """What the classifier is shown of each picture."""
    manifest, crops = bundle.manifest, []
    for place, one in enumerate(pictures):
        rows, columns = one.working.shape
        answer = segmenter.predict_on_batch(inputs[place : place + 1])
        segmentation = read_maps(answer["maps"], answer["features"], one, Source("", rows, columns), manifest.decision)
        region = choose_region(segmentation, one, manifest.preprocessing)
        crops.append(
            classifier_input(one, segmentation.lesion_map, segmentation.bone_map, region, manifest.preprocessing)
        )
    return np.stack(crops)


if __name__ == "__main__":
    main()
