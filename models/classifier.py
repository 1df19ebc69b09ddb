"""EfficientNetB0 (Tan and Le, ICML 2019), made fit for eight bits.

Same blocks, widths, kernels, squeeze-and-excitation and parameters as `keras.applications`. Two things change:

- swish becomes ReLU6, as in EfficientNet-Lite (Google, 2020, made for the same reason). Swish has a long negative tail
  of tiny values and no upper end, so int8 steps are either too coarse or clip; ReLU6 is 0..6 for every layer and is
  fused into the convolution;
- the application's own Rescaling and Normalization layers are gone: normalisation happens once, in
  `bonedge.edge.preprocess`, with the numbers of the bundle's manifest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import CLASSES

from .ranges import near_one
from .segmenter import FAMILY
from .transfer import transfer_weights


def build_classifier(
    side: int, *, weights: Path | None = None, dropout: float = 0.2, range_penalty: float = 0.0
) -> Any:
    """The network as a `keras.Model`, randomly initialised or from a file.

    The weights do not depend on `side`, so that training may begin small and end at the run-time size.

    Args:
        side: of the square input, pixels.
        weights: a local .keras, .weights.h5 or (keras.applications, without top) .h5 file for transfer learning.
        dropout: before the last layer, 0..1.
        range_penalty: see `bonedge.models.ranges`.

    Returns:
        float32 "batch side side 3" (normalised grey, three times) -> logits float32 "batch 3" in the order of
        `bonedge.edge.records.CLASSES`.

    Raises:
        InvalidConfiguration: `weights` cannot be used.
    """
    if str(weights) == "imagenet":
        raise InvalidConfiguration(
            "--weights imagenet would need the network, which bonedge never uses: download efficientnetb0_notop.h5 "
            "elsewhere and give its path"
        )
    import keras
    from keras import layers

    original = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(side, side, 3))

    def quantizable(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, (layers.Rescaling, layers.Normalization)):
            return layers.Identity(name=layer.name)
        if config.get("activation") in ("swish", "silu"):
            config["activation"] = "relu6"
        if isinstance(layer, layers.Dropout):
            # Stochastic depth is for hundreds of epochs; in two dozen it keeps the network from learning at all.
            config["rate"] = 0.0
        if isinstance(layer, layers.BatchNormalization):
            config["gamma_regularizer"] = near_one(range_penalty)
        return type(layer).from_config(config)

    blocks = keras.models.clone_model(original, clone_function=quantizable)
    x = layers.GlobalAveragePooling2D(name="pool")(blocks.output)
    x = layers.Dropout(dropout, name="top_dropout")(x)
    logits = layers.Dense(len(CLASSES), name="logits")(x)
    model = keras.Model(blocks.input, logits, name="classifier")
    if weights is not None:
        transfer_weights(
            model,
            weights,
            "EfficientNetB0",
            lambda: build_classifier(side),
            lambda: keras.applications.EfficientNetB0(include_top=False, weights=None),
        )
    return model


EVIDENCE = {"evidence16": "block6a_expand_activation", "evidence32": "top_activation"}
"""Names of the training heads and the layers that they read, at 1/16 and 1/32 of the input's resolution."""


def with_evidence(classifier: Any, maps: int = 3, families: int = 0) -> Any:
    """The same layers with more outputs, for training only: where in the crop the evidence is, and for what.

    Three thousand labels are few for four million weights: trained on labels alone the network stayed at chance for
    seven epochs. A coarse map of what is where, known exactly for phantoms, says which pixels a label comes from; the
    name of the lesion's family says more about it than one of three classes does.

    Args:
        classifier: from `build_classifier`.
        maps: channels of the maps: kinds of lesion, then long bone.
        families: how many families there are to be named; 0 leaves that head out.

    Returns:
        A keras.Model with the outputs `logits` ("batch 3"), those of `EVIDENCE` (logits, "batch rows columns maps")
        and, with families, `FAMILY` (logits, "batch families").
    """
    import keras
    from keras import layers

    heads = {
        name: layers.Conv2D(maps, 1, name=name)(classifier.get_layer(layer).output) for name, layer in EVIDENCE.items()
    }
    if families:
        heads[FAMILY] = layers.Dense(families, name=FAMILY)(classifier.get_layer("top_dropout").output)
    return keras.Model(
        classifier.input, {"logits": classifier.get_layer("logits").output, **heads}, name="classifier_evidence"
    )


def evidence_sides(side: int) -> dict[str, int]:
    """Rows (and columns) of each output of `EVIDENCE` for a square input of `side` pixels."""
    sides = [side]
    for _ in range(5):
        sides.append((sides[-1] + 1) // 2)
    return {"evidence16": sides[4], "evidence32": sides[5]}
