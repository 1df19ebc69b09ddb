"""models.toml: somebody else's pair, described so that the runtime can use it.

[segmenter]
file = "unet.keras"            # .keras, .h5 or the folder of a SavedModel
[classifier]
file = "classifier.h5"
labels = ["benign", "malignant", "normal"]    # in the order of its outputs
output = "probabilities"                      # or "logits", the default
[training]
data = "1,200 radiographs of the university hospital, 2019-2024"
# [preprocessing], [decision] and [abstention] as in a bundle's manifest.json; all may be left out
"""

from __future__ import annotations

import tomllib
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Abstention, Decision, Preprocessing, Training
from bonedge.edge.records import CLASSES

from .quiet import frameworks, muffled

DESCRIPTION = "models.toml"
_GRID = 4
"""Without features of its own, a segmenter is described by its maps' means on a grid of so many cells a side."""
_UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, IndexError, EOFError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What Keras raises on files that are damaged or not its own."""
_SMALLEST = 1e-7
"""Probabilities are held above it before their logarithm."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmenterFile(_Strict):
    """The `[segmenter]` table."""

    file: str


class ClassifierFile(_Strict):
    """The `[classifier]` table."""

    file: str
    labels: tuple[str, ...]
    output: Literal["logits", "probabilities"] = "logits"


class Description(_Strict):
    """The whole file."""

    segmenter: SegmenterFile
    classifier: ClassifierFile
    preprocessing: Preprocessing = Preprocessing()
    decision: Decision = Decision()
    abstention: Abstention | None = None
    """None: fitted on the calibration set."""
    training: Training = Field(default=Training(data="Not said."))


def read_description(file: Path) -> Description:
    """The description in `file`.

    Raises:
        InvalidConfiguration: it is not TOML, has a wrong key or value, or its labels are not the three classes.
    """
    try:
        found = Description.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"{file}: cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidConfiguration(f"{file}: {place}: {first['msg']}; see docs/conversion.md") from error
    if sorted(found.classifier.labels) != sorted(map(str, CLASSES)):
        raise InvalidConfiguration(
            f"{file}: classifier.labels names {len(found.classifier.labels)} classes "
            f"({', '.join(found.classifier.labels)}); bonedge needs {', '.join(CLASSES)}, each once, in the "
            "order of the classifier's outputs"
        )
    return found


def load_network(path: Path, side: int, channels: int) -> Any:
    """A keras.Model from a .keras or .h5 file or a SavedModel folder.

    Args:
        path: of the file or folder.
        side: of the square input, pixels; only a SavedModel needs it.
        channels: likewise.

    Returns:
        A functional model that computes in float32, whatever the file's was and did while it was trained.

    Raises:
        InvalidConfiguration: it cannot be loaded.
    """
    frameworks()
    import keras
    import tensorflow as tf

    try:
        with muffled(replay=False):
            if not path.is_dir():
                return _in_float32(_functional(keras.saving.load_model(path, compile=False)))
            picture = keras.Input(batch_shape=(1, side, side, channels), name="picture")
            answer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")(picture)
            return keras.Model(picture, answer)
    except (*_UNREADABLE, tf.errors.OpError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise InvalidConfiguration(
            f"{path} cannot be loaded as a Keras model ({reason}); custom layers cannot be converted, and files of "
            "another Keras version may have to be saved again"
        ) from error


def _functional(model: Any) -> Any:
    import keras

    return keras.Model(model.inputs, model.outputs[0]) if isinstance(model, keras.Sequential) else model


def _in_float32(model: Any) -> Any:
    """`model`, or a copy where layers compute in 16 bits: no converter takes them, and their weights are kept in 32."""
    import keras

    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers(include_self=False)):
        return model

    def copied(layer: Any) -> Any:
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=copied, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def as_segmenter(model: Any, side: int) -> Any:
    """`model` with the outputs `maps`, "side side 2", and `features`, which are made when there are none.

    Raises:
        InvalidConfiguration: it has no output of maps, or one that nobody knows.
    """
    import keras
    from keras import layers

    outputs = model.outputs
    maps = [one for one in outputs if tuple(one.shape[1:]) == (side, side, len(("bone", "lesion")))]
    others = [one for one in outputs if len(one.shape) == 2]
    if len(maps) != 1 or len(maps) + len(others) != len(outputs) or len(others) > 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in outputs)
        raise InvalidConfiguration(
            f"the segmenter's outputs are {shapes}; needed are maps of (batch, {side}, {side}, 2), long bone and "
            "lesion, 0 to 1, and perhaps features of (batch, channels)"
        )
    if others:
        features = others[0]
    else:
        pooled = layers.AveragePooling2D(side // _GRID, name="pooled_maps")(maps[0])
        features = layers.Reshape((_GRID * _GRID * 2,), name="map_features")(pooled)
    return keras.Model(model.inputs, {"maps": maps[0], "features": features}, name="segmenter")


def as_classifier(model: Any, described: ClassifierFile) -> Any:
    """`model` with logits in the order of `CLASSES`.

    Raises:
        InvalidConfiguration: it does not have one output of three numbers.
    """
    import keras
    import numpy as np
    from keras import layers, ops

    outputs = model.outputs
    if len(outputs) != 1 or tuple(outputs[0].shape[1:]) != (len(CLASSES),):
        shapes = ", ".join(str(tuple(one.shape)) for one in outputs)
        raise InvalidConfiguration(
            f"the classifier's output is {shapes} where {len(CLASSES)} labels are declared: (batch, {len(CLASSES)})"
        )
    logits = outputs[0]
    if described.output == "probabilities":
        logits = ops.log(ops.maximum(logits, _SMALLEST))
    order = [described.labels.index(label) for label in CLASSES]
    if order != list(range(len(CLASSES))):
        permute = layers.Dense(len(CLASSES), use_bias=False, name="in_bonedge_order")
        logits = permute(logits)
        permute.set_weights([np.eye(len(CLASSES), dtype=np.float32)[:, order]])
    return keras.Model(model.inputs, logits, name="classifier")
