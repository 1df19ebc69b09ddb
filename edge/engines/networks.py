"""What an engine hands over: two networks with known shapes, whatever runtime is behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np

from ..errors import BundleRefused
from ..manifest import Preprocessing
from ..records import EngineDescription, Pixels

Shape = tuple[int, ...]
Segment = Callable[[Pixels], tuple[Pixels, Pixels]]
"""float32 "n S S 1" -> maps float32 "n S S 2" in 0..1 (long bone, lesion), features float32 "n C"."""


@dataclass(frozen=True)
class LoadedNetwork:
    """One network inside a runtime."""

    input_shape: Shape
    output_shapes: tuple[Shape, ...]
    run: Callable[[Pixels], list[Pixels]]
    """float32 of `input_shape` -> float32 arrays of `output_shapes`, in the same order. One call at a time."""


@dataclass(frozen=True)
class Networks:
    """The pair, ready to run. Each may be called from several threads; calls of one network wait for each other."""

    segment: Segment
    """Of one picture.

    Raises ValueError on another shape or dtype, BundleRefused when the runtime fails or a number is not finite."""
    classify: Callable[[Pixels], Pixels]
    """float32 "1 K K 3" -> logits float32 "1 3", in the order of `records.CLASSES`. Raises as `segment` does."""
    description: EngineDescription


def pair(
    segmenter: LoadedNetwork,
    classifier: LoadedNetwork,
    description: EngineDescription,
    p: Preprocessing,
    features: int,
) -> Networks:
    """Check both networks against what the manifest promises, and wrap them.

    Outputs are matched by shape and never by order: converters and runtimes reorder them.

    Args:
        segmenter: as loaded.
        classifier: as loaded.
        description: of what runs them.
        p: sides of both inputs, and whether the segmenter looks twice.
        features: how many the segmenter gives.

    Raises:
        BundleRefused: an input or output has another shape than the manifest implies.
    """
    side = p.segmenter_side_px
    find = _checked("segmenter", segmenter, (1, side, side, 1), ((1, side, side, 2), (1, features)))
    tell = _checked("classifier", classifier, (1, p.classifier_side_px, p.classifier_side_px, 3), ((1, 3),))

    def segment(pixels: Pixels) -> tuple[Pixels, Pixels]:
        maps, pooled = find(pixels)
        return maps, pooled

    def classify(pixels: Pixels) -> Pixels:
        return tell(pixels)[0]

    return Networks(look_twice(segment) if p.segmenter_turned else segment, classify, description)


def look_twice(segment: Segment) -> Segment:
    """Asks `segment` of the pictures as they are and turned by half, and averages the answers.

    Nothing in a film says which way is up; what is seen one way only is seldom there. On 679 validation phantoms the
    area under the curve of the suspicion rose from 0.957 to 0.964; mirroring added 0.003, all four ways no more.
    """

    def both(pixels: Pixels) -> tuple[Pixels, Pixels]:
        maps, features = segment(pixels)
        turned_maps, turned_features = segment(np.ascontiguousarray(pixels[:, ::-1, ::-1]))
        half = np.float32(0.5)
        return half * (maps + turned_maps[:, ::-1, ::-1]), half * (features + turned_features)

    return both


def _checked(
    name: str, network: LoadedNetwork, input_shape: Shape, output_shapes: tuple[Shape, ...]
) -> Callable[[Pixels], list[Pixels]]:
    """`network` with its outputs in the order of `output_shapes`, verified on every call."""
    if network.input_shape != input_shape or sorted(network.output_shapes) != sorted(output_shapes):
        raise BundleRefused(
            f"the bundle's {name} takes {_text(network.input_shape)} and gives "
            f"{', '.join(map(_text, network.output_shapes))} where its manifest implies {_text(input_shape)} and "
            f"{', '.join(map(_text, output_shapes))}; convert the bundle again"
        )
    order = [network.output_shapes.index(shape) for shape in output_shapes]
    one_at_a_time = Lock()

    def run(pixels: Pixels) -> list[Pixels]:
        if pixels.shape != input_shape or pixels.dtype != np.float32:
            raise ValueError(f"the {name} takes float32 {_text(input_shape)}, not {pixels.dtype} {_text(pixels.shape)}")
        try:
            with one_at_a_time:
                outputs = network.run(pixels)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise BundleRefused(
                f"the bundle's {name} failed while running ({reason}); use another engine or bundle"
            ) from error
        outputs = [outputs[index] for index in order]
        if not all(np.isfinite(output).all() for output in outputs):
            raise BundleRefused(f"the bundle's {name} gave numbers that are not finite; use another bundle or engine")
        return outputs

    return run


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
