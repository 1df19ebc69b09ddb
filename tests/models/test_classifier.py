"""EfficientNetB0 for eight bits: its contract, its likeness to the original, and weights from elsewhere."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.classifier import EVIDENCE, build_classifier, evidence_sides, with_evidence
from bonedge.models.segmenter import build_segmenter

pytestmark = [
    pytest.mark.full,
    # Keras saves weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def small() -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    return build_classifier(64)


@pytest.fixture(scope="module")
def original() -> Any:
    """The application of Keras, without its head."""
    keras = pytest.importorskip("keras")
    return keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(64, 64, 3))


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for a connection ends the test."""

    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise AssertionError(f"asked for the network: {arguments}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def crop(side: int, count: int = 1) -> Any:
    return np.repeat(np.random.default_rng(side).normal(0, 1, (count, side, side, 1)), 3, axis=3).astype(np.float32)


def blocks(model: Any) -> dict[str, Any]:
    """Name -> kind, shapes of weights, geometry, and what it reads, of all layers that are numbered by block.

    Dropout's rate is left out: stochastic depth is switched off here. Keras numbers its own input and normalisation
    layers anew for each model.
    """
    kept = ("kernel_size", "strides", "padding", "filters", "use_bias", "epsilon", "momentum", "axis")
    unnamed = ("InputLayer", "Rescaling", "Normalization", "Identity")
    return {
        layer.name: (
            type(layer).__name__,
            [tuple(weight.shape) for weight in layer.get_weights()],
            {name: value for name, value in layer.get_config().items() if name in kept},
            [
                (type(source).__name__, source.name if type(source).__name__ not in unnamed else None)
                for source in (tensor._keras_history.operation for tensor in _tensors(layer.input))
            ],
        )
        for layer in model.layers
        if type(layer).__name__ not in unnamed
    }


def _tensors(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def publish(model: Any, file: Path) -> None:
    """Write weights as the files are written that Keras publishes for its applications."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = root.create_group(layer.name)
            names = [f"{layer.name}/{number}:0" for number in range(len(layer.get_weights()))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value


def test_gives_three_logits(small: Any) -> None:
    """If it failed, no engine would accept the converted network."""
    logits = small.predict_on_batch(crop(64, 2))
    assert logits.shape == (2, 3)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert small.outputs[0].shape == (None, 3)
    # No softmax at the end: the temperature divides logits.
    assert not np.allclose(logits.sum(1), 1)


def test_has_the_blocks_of_efficientnetb0(small: Any, original: Any) -> None:
    """If it failed, the model card would be wrong, and weights of EfficientNetB0 would not fit."""
    ours, theirs = blocks(small), blocks(original)
    head = {name: ours.pop(name) for name in ("pool", "top_dropout", "logits")}
    assert [kind for kind, *_ in head.values()] == ["GlobalAveragePooling2D", "Dropout", "Dense"]
    sources = {"Normalization": "Identity", "Rescaling": "Identity"}
    expected = {
        name: (kind, shapes, geometry, [(sources.get(source, source), label) for source, label in read])
        for name, (kind, shapes, geometry, read) in theirs.items()
    }
    assert ours == expected
    normalisation = sum(layer.count_params() for layer in original.layers if type(layer).__name__ == "Normalization")
    assert small.count_params() == original.count_params() - normalisation + 1280 * 3 + 3


def test_activations_are_bounded_and_nothing_normalises(small: Any) -> None:
    """If it failed, int8 would lose accuracy, or pictures would be normalised twice."""
    activations = Counter(layer.get_config().get("activation") for layer in small.layers)
    assert activations["relu6"] > 40
    assert set(activations) <= {"relu6", "sigmoid", "linear", None}
    assert not any(type(layer).__name__ in ("Rescaling", "Normalization") for layer in small.layers)


def test_the_same_weights_fit_every_side(small: Any) -> None:
    """If it failed, training could not begin with small crops."""
    other = build_classifier(96)
    other.set_weights(small.get_weights())
    assert other.predict_on_batch(crop(96)).shape == (1, 3)


def test_dropout_is_for_training_only(small: Any) -> None:
    """If it failed, the same picture would get another verdict each time."""
    assert np.array_equal(small.predict_on_batch(crop(64)), small.predict_on_batch(crop(64)))


@pytest.mark.parametrize("form", ["pair.keras", "own.weights.h5", "notop.h5"])
def test_begins_from_the_weights_in_a_file(small: Any, original: Any, tmp_path: Path, form: str) -> None:
    """If it failed, transfer learning would silently begin from random numbers."""
    file = tmp_path / form
    donor = original if form == "notop.h5" else small
    write = {"pair.keras": small.save, "own.weights.h5": small.save_weights}
    write.get(form, lambda path: publish(original, path))(file)
    started = build_classifier(96, weights=file)
    shared = [layer.name for layer in donor.layers if layer.get_weights() and "normalization" not in layer.name]
    assert ("logits" in shared) == (donor is small)
    assert len(shared) > 100
    for name in shared:
        for mine, given in zip(started.get_layer(name).get_weights(), donor.get_layer(name).get_weights(), strict=True):
            assert np.array_equal(mine, given)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("imagenet", None, "never uses.*efficientnetb0_notop.h5"),
        ("missing.h5", None, "no such file"),
        ("garbage.keras", b"garbage", "not weights of EfficientNetB0"),
        ("garbage.h5", b"garbage", "not weights of EfficientNetB0"),
        ("empty.h5", b"", "not weights of EfficientNetB0"),
        ("zip.keras", b"PK\x05\x06" + bytes(18), "not weights of EfficientNetB0"),
    ],
)
def test_a_file_that_is_no_use_is_refused_without_asking_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_network: None, file: str, content: Any, said: str
) -> None:
    """If it failed, a hospital's machine would call out, or a wrong file end in a Python error."""
    pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(file).write_bytes(content)
    with pytest.raises(InvalidConfiguration, match=f"--weights {file}.*{said}"):
        build_classifier(64, weights=Path(file))


def test_another_network_is_refused(tmp_path: Path) -> None:
    """If it failed, training would begin from random numbers although weights were given."""
    pytest.importorskip("keras")
    build_segmenter(64).save(tmp_path / "segmenter.keras")
    with pytest.raises(InvalidConfiguration, match="no layer fits EfficientNetB0"):
        build_classifier(64, weights=tmp_path / "segmenter.keras")


def test_evidence_is_another_view_of_the_same_network(small: Any) -> None:
    """If it failed, the heads that only training has would be shipped, or train other weights than are shipped."""
    view = with_evidence(small)
    heads = [layer.name for layer in view.layers if layer not in small.layers]
    assert sorted(heads) == sorted(EVIDENCE)
    naming = with_evidence(small, maps=7, families=5)
    assert naming.predict_on_batch(crop(64, 2))["family"].shape == (2, 5)
    assert naming.output["evidence16"].shape[-1] == 7
    answer = view.predict_on_batch(crop(64, 2))
    assert np.allclose(answer["logits"], small.predict_on_batch(crop(64, 2)), atol=1e-5)


@pytest.mark.parametrize("side", [64, 128, 192, 299])
def test_evidence_has_the_size_that_batches_are_made_with(side: int) -> None:
    """If it failed, training would stop at the last size, after an hour."""
    view = with_evidence(build_classifier(side))
    for name, cells in evidence_sides(side).items():
        assert tuple(view.output[name].shape) == (None, cells, cells, 3)
