"""Golden pictures: a device that computes something else is found out before a patient's picture is shown to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.engines import Networks, load
from bonedge.edge.errors import BundleRefused, InvalidConfiguration
from bonedge.edge.golden import disagreements, golden_radiographs
from bonedge.edge.records import Pixels
from bonedge.edge.specimens import LONG_SIDE_PX, write_specimens


@pytest.fixture(scope="module")
def bundle(golden_bundle: Path) -> Bundle:
    return Bundle.open(golden_bundle)


@pytest.fixture(scope="module")
def networks(bundle: Bundle) -> Networks:
    return load(bundle)


def test_the_engine_that_gave_the_answers_agrees_with_them(bundle: Bundle, networks: Networks) -> None:
    """If it failed, a good device would be refused."""
    assert len(golden_radiographs(bundle)) == 3
    assert disagreements(bundle, networks) == []


def test_without_golden_pictures_nothing_can_be_disagreed_with(tiny_bundle: Path) -> None:
    """If it failed, older bundles could not be used."""
    plain = Bundle.open(tiny_bundle)
    assert disagreements(plain, load(plain)) == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda maps: maps * 0 + 0.9, "lesion of"),  # bone and lesion everywhere
        (lambda maps: maps * 0, "abstain and not"),
    ],
)
def test_a_segmenter_that_answers_otherwise_is_found_out(
    bundle: Bundle, networks: Networks, broken: Callable[[Pixels], Pixels], said: str
) -> None:
    """If it failed, a graphics driver's mistake would reach a patient."""

    def segment(pixels: Pixels) -> tuple[Pixels, Pixels]:
        maps, features = networks.segment(pixels)
        return broken(maps), features

    found = disagreements(bundle, replace(networks, segment=segment))
    assert len(found) == 3
    assert any(said in sentence for sentence in found), found


def test_a_classifier_that_answers_otherwise_is_found_out(bundle: Bundle, networks: Networks) -> None:
    """The same, where the verdict stays and only its probability moves."""
    found = disagreements(bundle, replace(networks, classify=lambda pixels: networks.classify(pixels) * 0.2))
    assert any("a probability that is off by" in sentence for sentence in found), found
    assert all("openvino on CPU" in sentence for sentence in found)


def test_answers_to_a_picture_that_is_missing_are_refused(golden_bundle: Path, tmp_path: Path) -> None:
    """If it failed, a bundle could skip its own test by leaving the pictures out."""
    whole = Bundle.open(golden_bundle)
    lost = next(iter(golden_radiographs(whole)))
    contents = {name: content for name, content in whole.contents.items() if name != lost}
    files = {name: digest for name, digest in whole.manifest.files.items() if name != lost}
    with pytest.raises(BundleRefused, match=f"golden answers of openvino need '{lost}'"):
        write_bundle(tmp_path / "bundle", whole.manifest.model_copy(update={"files": files}), contents)


def test_specimens_are_as_large_as_a_film_and_show_the_same(bundle: Bundle, networks: Networks, tmp_path: Path) -> None:
    """If it failed, the benchmark would measure thumbnails, or pictures that the bundle does not know."""
    from bonedge.edge.decode import decode_bytes
    from bonedge.edge.pipeline import Pipeline

    paths = write_specimens(bundle, tmp_path)
    assert len(paths) == 3
    labels = set()
    for path in paths:
        radiograph = decode_bytes(path.read_bytes())
        assert max(radiograph.pixels.shape) == LONG_SIDE_PX
        labels.add(Pipeline(bundle, networks).examine(radiograph).verdict.label.value)
    assert labels == {"normal", "benign", "malignant"}


def test_a_bundle_without_golden_pictures_asks_for_some(tiny_bundle: Any, tmp_path: Path) -> None:
    """If it failed, the user would not know what to do."""
    with pytest.raises(InvalidConfiguration, match="--image"):
        write_specimens(Bundle.open(tiny_bundle), tmp_path)
