"""Somebody else's pair: loaded from any Keras form, its outputs put in the runtime's order, its faults named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.convert.described import DESCRIPTION
from bonedge.convert.trained import TrainedPair
from bonedge.edge.errors import InvalidConfiguration

pytestmark = [
    pytest.mark.full,
    # Keras, TensorFlow and numpy warn about each other; nobody here can act on it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
SIDE = 64
_TOML = """
[segmenter]
file = "{segmenter}"
[classifier]
file = "{classifier}"
labels = {labels}
output = "{output}"
[preprocessing]
segmenter_side_px = 64
classifier_side_px = 64
[training]
data = "Nothing."
"""


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """A segmenter without features, and a classifier that gives probabilities."""
    pytest.importorskip("keras")
    from bonedge.convert.quiet import frameworks

    frameworks()
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    picture = layers.Input((SIDE, SIDE, 1))
    maps = layers.Conv2D(2, 3, padding="same", activation="sigmoid")(picture)
    crop = layers.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(crop))
    return {
        "segmenter": keras.Model(picture, maps),
        "classifier": keras.Model(crop, layers.Dense(3, activation="softmax")(x)),
    }


@pytest.fixture
def described(theirs: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """`described(segmenter=..., classifier=..., labels=..., output=..., models={})` writes a pair with models.toml."""

    def write(
        segmenter: str = "s.keras",
        classifier: str = "c.keras",
        labels: str = '["benign", "malignant", "normal"]',
        output: str = "probabilities",
        models: dict[str, Any] | None = None,
    ) -> Path:
        for name, file in (("segmenter", segmenter), ("classifier", classifier)):
            model = (models or {}).get(name, theirs[name])
            if Path(file).suffix:
                model.save(tmp_path / file)
            else:
                model.export(tmp_path / file, verbose=False)
        text = _TOML.format(segmenter=segmenter, classifier=classifier, labels=labels, output=output)
        (tmp_path / DESCRIPTION).write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(("segmenter", "classifier"), [("s.keras", "c.h5"), ("s.h5", "c.keras"), ("saved", "also")])
def test_every_keras_form_gives_logits_in_bonedge_order(
    theirs: dict[str, Any], described: Callable[..., Path], segmenter: str, classifier: str
) -> None:
    """A benign tumour would be called normal because somebody listed the classes alphabetically."""
    pair = TrainedPair.open(described(segmenter, classifier))
    crop = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 3)).astype(np.float32)
    benign, malignant, normal = np.asarray(theirs["classifier"](crop))[0]
    logits = np.asarray(pair.classifier(crop))[0].astype(np.float64)
    found = np.exp(logits) / np.exp(logits).sum()
    assert found == pytest.approx([normal, benign, malignant], abs=1e-5)
    picture = crop[..., :1]
    answer = pair.segmenter(picture)
    assert np.allclose(answer["maps"], theirs["segmenter"](picture), atol=1e-6)
    assert answer["features"].shape == (1, 32)
    assert pair.operation.abstention is None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_what_was_trained_in_16_bits_is_converted_in_32(
    theirs: dict[str, Any], described: Callable[..., Path], policy: str
) -> None:
    """If it failed, every pair that was trained on a GPU in mixed precision would end in the converter's own words."""
    import keras

    mixed = keras.models.clone_model(
        theirs["classifier"],
        clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": policy}),
    )
    mixed.set_weights(theirs["classifier"].get_weights())
    picture = np.random.default_rng(3).normal(size=(1, SIDE, SIDE, 3)).astype(np.float32)
    both = (mixed, theirs["classifier"])
    asked = [np.asarray(TrainedPair.open(described(models={"classifier": one})).classifier(picture)) for one in both]
    assert {one.dtype for one in asked} == {np.dtype(np.float32)}
    assert np.allclose(asked[0], asked[1], atol=1e-6)


def test_a_sequential_network_is_taken(described: Callable[..., Path]) -> None:
    """If it failed, the commonest way to write a small classifier would be called a defect of bonedge."""
    import keras

    layers = [
        keras.layers.Input((SIDE, SIDE, 3)),
        keras.layers.Conv2D(4, 3),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    pair = TrainedPair.open(described(output="logits", models={"classifier": keras.Sequential(layers)}))
    assert isinstance(pair.classifier, keras.Model)
    assert not isinstance(pair.classifier, keras.Sequential)
    assert tuple(pair.classifier.output.shape) == (None, 3)


def test_an_input_of_bytes_is_said(described: Callable[..., Path]) -> None:
    """If it failed, the converter would be blamed for what the model asks."""
    import keras

    picture = keras.layers.Input((SIDE, SIDE, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(picture))
    folder = described(models={"classifier": keras.Model(picture, keras.layers.Dense(3)(pooled))})
    with pytest.raises(InvalidConfiguration, match="its input is uint8"):
        TrainedPair.open(folder)


def test_a_missing_label_is_said(described: Callable[..., Path]) -> None:
    """A classifier of two classes would be converted for minutes before anything is found to be wrong."""
    with pytest.raises(InvalidConfiguration, match="each once"):
        TrainedPair.open(described(labels='["normal", "malignant"]'))


def test_another_number_of_outputs_is_said(described: Callable[..., Path]) -> None:
    """Labels and outputs would not belong to each other."""
    from keras import Model, layers

    crop = layers.Input((SIDE, SIDE, 3))
    four = Model(crop, layers.Dense(4)(layers.GlobalAveragePooling2D()(crop)))
    with pytest.raises(InvalidConfiguration, match="3 labels are declared"):
        TrainedPair.open(described(models={"classifier": four}))


@pytest.mark.parametrize("shape", [(None, None, 3), (32, 32, 3), (SIDE, SIDE, 1), (SIDE * 3,)])
def test_another_input_than_declared_is_said(described: Callable[..., Path], shape: tuple[int | None, ...]) -> None:
    """Free sizes, wrong sizes and wrong ranks would fail deep inside a converter."""
    from keras import Model, layers

    crop = layers.Input(shape)
    pooled = crop if len(shape) == 1 else layers.GlobalAveragePooling2D()(crop)
    with pytest.raises(InvalidConfiguration, match="is declared"):
        TrainedPair.open(described(models={"classifier": Model(crop, layers.Dense(3)(pooled))}))


def test_weights_that_are_no_numbers_are_said(described: Callable[..., Path]) -> None:
    """A model that diverged would be quantized, and every range with it."""
    from keras import Model, layers

    crop = layers.Input((SIDE, SIDE, 3))
    model = Model(crop, layers.Dense(3)(layers.GlobalAveragePooling2D()(crop)))
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    with pytest.raises(InvalidConfiguration, match="not finite"):
        TrainedPair.open(described(models={"classifier": model}))


def test_maps_of_another_size_are_said(described: Callable[..., Path]) -> None:
    """Lesions would be drawn in the wrong place, if at all."""
    from keras import Model, layers

    picture = layers.Input((SIDE, SIDE, 1))
    with pytest.raises(InvalidConfiguration, match="needed are maps"):
        TrainedPair.open(described(models={"segmenter": Model(picture, layers.Conv2D(2, 3, strides=2)(picture))}))


@pytest.mark.parametrize(
    ("text", "said"),
    [("[segmenter", "cannot be read"), ("[segmenter]\nfile = 3", "segmenter.file"), ("nonsense = 1", "segmenter")],
)
def test_a_wrong_description_is_said(tmp_path: Path, text: str, said: str) -> None:
    """A typing error would look like a broken model."""
    (tmp_path / DESCRIPTION).write_text(text)
    with pytest.raises(InvalidConfiguration, match=said):
        TrainedPair.open(tmp_path)


def test_a_file_that_is_not_there_is_said(described: Callable[..., Path]) -> None:
    """The message would be Keras's own, several lines long."""
    folder = described()
    (folder / "c.keras").unlink()
    with pytest.raises(InvalidConfiguration, match="correct its name"):
        TrainedPair.open(folder)
