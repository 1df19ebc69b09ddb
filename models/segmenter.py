"""A compact U-Net that marks long bones and lesions.

U-Net: Ronneberger, Fischer and Brox, MICCAI 2015. What differs, and why:

- the first convolution halves the picture and the logits are doubled back bilinearly at the end: a quarter of the
  work, and a lesion's outline is not known better than two pixels of its grid anyway;
- every convolution is followed by batch normalisation (folded away in conversion) and ReLU6, whose fixed range
  0..6 gives int8 activations a step that no outlier can stretch;
- it goes up by nearest-neighbour upsampling and a 1 x 1 convolution instead of a transposed convolution, which
  quantizes badly and breaks converters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .ranges import near_one
from .transfer import transfer_weights

CHANNELS = (16, 32, 64, 128, 192)
"""Per level, from half the input's resolution down to the bottleneck at 1/32."""
FAMILY = "family"
"""Name of the training head that names the family."""


def build_segmenter(side: int, *, weights: Path | None = None, range_penalty: float = 0.0) -> Any:
    """The network as a `keras.Model`, randomly initialised or from a file. Its weights do not depend on `side`.

    Args:
        side: of the square input, pixels; a multiple of 32.
        weights: a local .keras or .weights.h5 file of an earlier training.
        range_penalty: strength of the pull of batch normalisation's scales towards 1, see `bonedge.models.ranges`.

    Returns:
        float32 "batch side side 1" (normalised grey) -> dict with `maps`, float32 "batch side side 2",
        (long bone, lesion) probabilities 0..1, and `features`, float32 "batch channels", the pooled bottleneck.

    Raises:
        InvalidConfiguration: `weights` cannot be used.
    """
    import keras
    from keras import layers

    if side % (2 ** len(CHANNELS)):
        raise ValueError(f"the segmenter's side must be a multiple of {2 ** len(CHANNELS)}, not {side}")

    def convolve(x: Any, channels: int, name: str, *, kernel: int = 3, strides: int = 1) -> Any:
        x = layers.Conv2D(channels, kernel, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(gamma_regularizer=near_one(range_penalty), name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    picture = layers.Input((side, side, 1), name="picture")
    x = picture
    skips = []
    for level, channels in enumerate(CHANNELS):
        if level == 0:
            x = convolve(x, channels, "down0_stem", strides=2)
        else:
            x = layers.MaxPooling2D(name=f"down{level}_pool")(x)
            x = convolve(x, channels, f"down{level}_a")
        x = convolve(x, channels, f"down{level}_b")
        skips.append(x)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    for level in range(len(CHANNELS) - 2, -1, -1):
        x = convolve(x, CHANNELS[level], f"up{level}_narrow", kernel=1)
        x = layers.UpSampling2D(interpolation="nearest", name=f"up{level}_double")(x)
        x = layers.Concatenate(name=f"up{level}_join")([x, skips[level]])
        x = convolve(x, CHANNELS[level], f"up{level}_a")
        x = convolve(x, CHANNELS[level], f"up{level}_b")
    # Most of a picture is neither; a network that begins by saying so has less to unlearn (Lin et al., 2017).
    x = layers.Conv2D(2, 1, bias_initializer=keras.initializers.Constant(-2.0), name="half_logits")(x)
    logits = layers.UpSampling2D(interpolation="bilinear", name="logits")(x)
    maps = layers.Activation("sigmoid", name="maps")(logits)
    model = keras.Model(picture, {"maps": maps, "features": features}, name="segmenter")
    if weights is not None:
        transfer_weights(model, weights, "this U-Net", lambda: build_segmenter(side))
    return model


def trainable_view(segmenter: Any, families: int = 0) -> Any:
    """The same layers with other outputs, for training: what the loss is computed on.

    Args:
        segmenter: from `build_segmenter`.
        families: how many families of lesions and of what may pass for one there are to be named from the pooled
            bottleneck; 0 leaves that head out.

    Returns:
        A keras.Model with the outputs `logits` ("batch side side 2") and, with families, `family` ("batch families").
    """
    import keras

    outputs = {"logits": segmenter.get_layer("logits").output}
    if families:
        outputs[FAMILY] = keras.layers.Dense(families, name=FAMILY)(segmenter.get_layer("features").output)
    return keras.Model(segmenter.input, outputs, name="segmenter_training")
