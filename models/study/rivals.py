"""The networks that are compared: each as its authors describe it up to the last convolution, then the same end.

The same end: global average pooling, dropout, one dense layer. VGG16's own three dense layers hold 124 of its 138
million weights and were made for a thousand classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonedge.edge.records import CLASSES
from bonedge.models.classifier import build_classifier
from bonedge.models.segmenter import FAMILY
from bonedge.models.transfer import transfer_weights

LOGITS, EVIDENCE = "logits", "evidence"
"""Outputs of `with_heads`, beside `FAMILY`."""


@dataclass(frozen=True)
class Architecture:
    """A network up to its last feature map."""

    build: Callable[[int], Any]
    """side -> keras.Model from float32 "batch side side 3" to "batch rows columns channels"."""
    learning_rate: float
    """Highest of the schedule."""


def _efficientnet(side: int) -> Any:
    import keras

    model = build_classifier(side)
    return keras.Model(model.input, model.get_layer("top_activation").output, name="efficientnetb0")


def _resnet(side: int) -> Any:
    import keras

    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(side, side, 3))


def _vgg(side: int) -> Any:
    import keras

    return keras.applications.VGG16(include_top=False, weights=None, input_shape=(side, side, 3))


def _sequential(side: int) -> Any:
    """Nine convolutions, each with batch normalisation, halved after every second; the dense layer is the tenth."""
    import keras
    from keras import layers

    picture = x = layers.Input((side, side, 3))
    for number, channels in enumerate((32, 32, 64, 64, 128, 128, 256, 256, 256)):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"convolution{number + 1}")(x)
        x = layers.BatchNormalization(name=f"normalization{number + 1}")(x)
        x = layers.ReLU(name=f"relu{number + 1}")(x)
        if number % 2 == 1:
            x = layers.MaxPooling2D(name=f"pool{number // 2 + 1}")(x)
    return keras.Model(picture, x, name="sequential10")


ARCHITECTURES = {
    "EfficientNetB0": Architecture(_efficientnet, 1e-3),
    "ResNet-50": Architecture(_resnet, 1e-3),
    # It has no batch normalisation, and so is given smaller steps. Not tuned.
    "VGG16": Architecture(_vgg, 1e-4),
    "10-layer CNN": Architecture(_sequential, 1e-3),
}
"""EfficientNetB0 as bonedge ships it (see `bonedge.models.classifier`); ResNet-50 (He et al., CVPR 2016) and VGG16
(Simonyan and Zisserman, ICLR 2015) from keras.applications; and a plain stack of ten layers."""
IMAGENET_FILES = {
    "EfficientNetB0": "efficientnetb0_notop.h5",
    "ResNet-50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "VGG16": "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
"""As keras.applications names them. A ten-layer network has none."""


def with_heads(architecture: str, side: int, families: int, maps: int) -> Any:
    """A network that is trained: every one has the same heads and is told the same.

    Args:
        architecture: one of `ARCHITECTURES`.
        side: of the square input, pixels.
        families: how many families of lesions and look-alikes are named; 0 leaves that head out.
        maps: channels of the coarse map of what is where.

    Returns:
        keras.Model, float32 "batch side side 3" -> `logits` "batch 3", `evidence` "batch rows columns maps" and, with
        families, `family` "batch families", all logits.
    """
    import keras
    from keras import layers

    backbone = ARCHITECTURES[architecture].build(side)
    features = backbone.output
    pooled = layers.Dropout(0.2, name="dropout")(layers.GlobalAveragePooling2D(name="average")(features))
    outputs = {
        LOGITS: layers.Dense(len(CLASSES), name=LOGITS)(pooled),
        EVIDENCE: layers.Conv2D(maps, 1, name=EVIDENCE)(features),
    }
    if families:
        outputs[FAMILY] = layers.Dense(families, name=FAMILY)(pooled)
    return keras.Model(backbone.input, outputs, name=f"study_{backbone.name}")


def with_region_head(architecture: str, side: int, regions: int) -> Any:
    """The network of the related task: which part of the body is it? Output `region`, logits "batch regions"."""
    import keras
    from keras import layers

    backbone = ARCHITECTURES[architecture].build(side)
    pooled = layers.GlobalAveragePooling2D(name="average")(backbone.output)
    return keras.Model(backbone.input, {"region": layers.Dense(regions, name="region")(pooled)})


def begin_from(model: Any, architecture: str, file: Path) -> None:
    """Copy weights into `model`: from a .keras that `with_region_head` became, or a published ImageNet .h5.

    Raises:
        InvalidConfiguration: they do not fit.
    """

    def published() -> Any:
        import keras

        if architecture == "EfficientNetB0":
            return keras.applications.EfficientNetB0(include_top=False, weights=None)
        return ARCHITECTURES[architecture].build(224)

    transfer_weights(model, file, architecture, lambda: ARCHITECTURES[architecture].build(224), published)


def deployed(model: Any) -> Any:
    """Of `with_heads`, the part that gives a verdict: input -> `logits`."""
    import keras

    return keras.Model(model.input, model.get_layer(LOGITS).output)
