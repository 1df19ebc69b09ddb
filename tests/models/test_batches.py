"""What one training step is made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.edge.crop import classifier_input, crop
from bonedge.edge.geometry import resize
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import BoundingBox
from bonedge.models.augmentation import Augmentation
from bonedge.models.batches import ClassifierBatches, SegmenterBatches, for_keras, lesion_kinds, replace_side
from bonedge.models.cache import OUT_OF_SCOPE, PictureCache
from bonedge.models.regions import THRESHOLDS, Regions, draw_region

UNCHANGED = Augmentation(
    flip=0, geometry=0, gamma=0, contrast=0, brightness=0, shading=0, window=0, inversion=0, noise=0, blur=0,
    collimation=0, occlusion=0,
)  # fmt: skip
SEED = 5


@pytest.fixture(scope="module")
def regions(cache: PictureCache) -> Regions:
    """The whole picture, or its middle half, whatever the segmenter says."""
    predicted = np.zeros((len(cache.label), len(THRESHOLDS), 4), np.int32)
    for index, (rows, columns) in enumerate(cache.size):
        predicted[index] = 0, 0, max(rows, columns), max(rows, columns)
        predicted[index, 1:] = columns // 4, rows // 4, columns // 4 + 120, rows // 4 + 120
    # The truth, half as sure as it could be, in place of what a segmenter would find.
    maps = np.stack([cache.lesion // 2, cache.bone], axis=3)
    return Regions(predicted, predicted[:, 1], maps)


@pytest.fixture(scope="module")
def limbs(cache: PictureCache) -> Any:
    return np.flatnonzero((cache.label < 3) & ~cache.validation)


def of_segmenter(cache: PictureCache, p: Preprocessing, indices: Any, **changed: Any) -> SegmenterBatches:
    return replace(SegmenterBatches(cache, indices, p, 64, SEED, 0, 4), **changed)


def of_classifier(
    cache: PictureCache, regions: Regions, p: Preprocessing, indices: Any, **changed: Any
) -> ClassifierBatches:
    return replace(ClassifierBatches(cache, regions, indices, p, 64, SEED, 0, 4), **changed)


def arrays(batch: tuple[Any, Any]) -> list[Any]:
    """Inputs and all targets."""
    inputs, targets = batch
    return [inputs, *(targets.values() if isinstance(targets, dict) else [targets])]


def test_is_a_pure_function_of_seed_epoch_and_number(
    cache: PictureCache, regions: Regions, p: Preprocessing, limbs: Any
) -> None:
    """If it failed, a training that was interrupted would end in other weights than one that was not."""
    for kind in (of_segmenter(cache, p, limbs), of_classifier(cache, regions, p, limbs)):
        # In any order, as loader threads ask for them; from another object, as after a restart.
        first = {number: kind.batch(number) for number in (2, 0, 1)}
        for number in range(3):
            for one, other in zip(arrays(first[number]), arrays(replace(kind).batch(number)), strict=True):
                assert np.array_equal(one, other)
        for changed in (replace(kind, seed=SEED + 1), replace(kind, epoch=1)):
            assert not np.array_equal(changed.batch(0)[0], first[0][0])
        assert not np.array_equal(first[1][0], first[0][0])


@given(pictures=st.integers(1, 24), size=st.integers(1, 30), epoch=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_each_picture_is_shown_once_an_epoch(
    cache: PictureCache, p: Preprocessing, pictures: int, size: int, epoch: int
) -> None:
    """If it failed, some pictures would count more than others, or never be learned from."""
    indices = np.arange(3, 3 + pictures)
    batches = of_segmenter(cache, p, indices, size=size, epoch=epoch, augmentation=UNCHANGED, side=256)
    known = {cache.picture[index].tobytes(): int(index) for index in range(len(cache.label))}
    shown: Counter[int] = Counter()
    for number in range(len(batches)):
        inputs = batches.batch(number)[0]
        assert len(inputs) == size
        grey = np.rint((inputs[..., 0] * p.std + p.mean) * 255).astype(np.uint8)
        shown.update(known[one.tobytes()] for one in grey)
    assert set(shown) <= set(indices.tolist())
    if size <= pictures:
        # What does not fill a batch is left out, of this epoch only.
        assert set(shown.values()) == {1}
        assert len(shown) == pictures - pictures % size
    else:
        assert len(shown) == pictures
        assert max(shown.values()) - min(shown.values()) <= 1


def test_what_one_epoch_leaves_out_another_shows(cache: PictureCache, p: Preprocessing, limbs: Any) -> None:
    """If it failed, the same pictures would be left out of training for good."""
    known = {cache.picture[index].tobytes(): int(index) for index in range(len(cache.label))}
    seen = set()
    for epoch in range(12):
        batches = of_segmenter(cache, p, limbs, size=9, epoch=epoch, augmentation=UNCHANGED, side=256)
        for number in range(len(batches)):
            grey = np.rint((batches.batch(number)[0][..., 0] * p.std + p.mean) * 255).astype(np.uint8)
            seen |= {known[one.tobytes()] for one in grey}
    assert seen == set(limbs.tolist())


def test_the_segmenter_sees_what_the_runtime_shows_it_with_the_masks_of_that_picture(
    cache: PictureCache, p: Preprocessing, limbs: Any
) -> None:
    """If it failed, the network would be trained on other numbers, or with another picture's truth."""
    batches = of_segmenter(cache, p, limbs, side=256, augmentation=UNCHANGED)
    inputs, by_output = batches.batch(0)
    targets = by_output["logits"]
    assert inputs.shape == (4, 256, 256, 1)
    assert targets.shape == (4, 256, 256, 2)
    assert inputs.dtype == targets.dtype == np.float32
    for picture, planes in zip(inputs, targets, strict=True):
        index = next(
            i for i in limbs if np.allclose(picture[..., 0], (cache.picture[i] / 255 - p.mean) / p.std, atol=1e-4)
        )
        assert np.allclose(planes[..., 0], cache.bone[index] / 255, atol=1e-6)
        assert np.allclose(planes[..., 1], cache.lesion[index] / 255, atol=1e-6)


def test_small_pictures_are_averages_of_large_ones(cache: PictureCache, p: Preprocessing, limbs: Any) -> None:
    """If it failed, what is learned at a small size would be of no use at the size of the workstation."""
    large = of_segmenter(cache, p, limbs, side=256, augmentation=UNCHANGED).batch(0)
    small = of_segmenter(cache, p, limbs, side=64, augmentation=UNCHANGED).batch(0)
    for one, other in ((large[0], small[0]), (large[1]["logits"], small[1]["logits"])):
        averaged = one.reshape(4, 64, 4, 64, 4, -1).mean((2, 4))
        assert np.allclose(averaged, other, atol=1e-4)


def test_the_classifier_sees_the_region_as_the_runtime_cuts_it(
    cache: PictureCache, regions: Regions, p: Preprocessing, limbs: Any
) -> None:
    """If it failed, the classifier would learn from crops that are shifted, scaled or lit otherwise than later."""
    side = 128
    batches = of_classifier(cache, regions, p, limbs, side=side, size=len(limbs), augmentation=UNCHANGED, smoothing=0.0)
    inputs, by_output = batches.batch(0)
    targets = by_output["logits"]
    assert inputs.shape == (len(limbs), side, side, 3)
    assert inputs.dtype == targets.dtype == np.float32
    assert np.array_equal(inputs[..., 0], inputs[..., 1])
    assert np.array_equal(inputs[..., 0], inputs[..., 2])
    order = np.random.default_rng((SEED, 0)).permutation(limbs)
    for index, shown, target in zip(order, inputs, targets, strict=True):
        assert target.argmax() == cache.label[index]
        region = draw_region(cache, regions, int(index), np.random.default_rng((SEED, 0, int(index))), p)
        wanted = crop(cache.working_picture(int(index)), region, replace_side(p, side))

        def difference(box: BoundingBox, shown: Any = shown, index: int = int(index)) -> float:
            other = crop(cache.working_picture(index), box, replace_side(p, side))
            return float(np.abs(other - shown).mean())

        # A crop that is interpolated on another grid differs a little at edges; one shifted by a 16th differs more.
        moved = region.width // 16
        shifted = BoundingBox(region.left + moved, region.top + moved, region.right + moved, region.bottom + moved)
        assert np.abs(wanted - shown).mean() < 0.2
        assert difference(region) < difference(shifted)


def test_the_maps_beside_the_crop_are_the_runtimes(cache: PictureCache, regions: Regions, p: Preprocessing) -> None:
    """If it failed, the classifier would learn to read maps that lie elsewhere than at run time."""
    with_maps = p.model_copy(update={"classifier_channels": "grey, lesion, bone"})
    tumours = np.flatnonzero((cache.label == 1) | (cache.label == 2))
    side = 128
    settings = {"side": side, "size": len(tumours), "augmentation": UNCHANGED}
    inputs, _ = of_classifier(cache, regions, with_maps, tumours, **settings).batch(0)
    order = np.random.default_rng((SEED, 0)).permutation(tumours)
    wiped = 0
    for index, shown in zip(order, inputs, strict=True):
        region = draw_region(cache, regions, int(index), np.random.default_rng((SEED, 0, int(index))), with_maps)
        lesion, bone = (regions.maps[index][..., c].astype(np.float32) / 255 for c in (0, 1))
        prepared = cache.prepared(int(index), with_maps)
        wanted = classifier_input(prepared, lesion, bone, region, replace_side(with_maps, side)) * p.std + p.mean
        found = shown * p.std + p.mean
        assert np.abs(wanted[..., 2] - found[..., 2]).mean() < 0.02
        outside = wanted[..., 1] < 0.01
        # Two grids differ by a pixel at edges; a map that lies elsewhere differs by whole lesions.
        assert found[..., 1][outside].mean() < 0.01
        wiped += bool(wanted[..., 1].max() > 0.3 and found[..., 1].max() < 0.01)
    assert wiped < len(tumours) / 2


def test_targets_are_smoothed_and_classes_weigh_alike(cache: PictureCache, regions: Regions, p: Preprocessing) -> None:
    """If it failed, the network would favour the class of which there are most pictures."""
    # Nine normal, three benign, one malignant.
    of = [np.flatnonzero(cache.label == label) for label in range(3)]
    indices = np.concatenate([of[0][:9], of[1][:3], of[2][:1]])
    batches = of_classifier(cache, regions, p, indices, size=13, smoothing=0.06, side=64)
    targets = batches.batch(0)[1]["logits"]
    labels = targets.argmax(1)
    weights = targets.sum(1)
    assert sorted(Counter(labels.tolist()).items()) == [(0, 9), (1, 3), (2, 1)]
    totals = [weights[labels == label].sum() for label in range(3)]
    assert totals == pytest.approx([13 / 3] * 3, rel=1e-5)
    assert np.allclose(np.sort(targets / weights[:, None], axis=1), [0.02, 0.02, 0.96], atol=1e-6)


def test_evidence_lies_where_the_lesion_is(cache: PictureCache, regions: Regions, p: Preprocessing, limbs: Any) -> None:
    """If it failed, the classifier would be taught to look beside the lesion, or at the wrong kind of it."""
    batches = of_classifier(cache, regions, p, limbs, side=128, size=len(limbs), augmentation=UNCHANGED)
    targets = batches.batch(0)[1]
    order = np.random.default_rng((SEED, 0)).permutation(limbs)
    for place, index in enumerate(order):
        label = int(cache.label[index])
        for name, side in (("evidence16", 8), ("evidence32", 4)):
            benign, malignant, bone = np.moveaxis(targets[name][place], 2, 0)
            assert benign.shape == (side, side)
            assert (benign.max() > 0) <= (label == 1)
            assert (malignant.max() > 0) <= (label == 2)
            assert 0 <= bone.min() <= bone.max() <= 1 + 1e-6
    region = draw_region(cache, regions, int(order[0]), np.random.default_rng((SEED, 0, int(order[0]))), p)
    bone = cache.letterbox(int(order[0])).inner(cache.bone[order[0]].astype(np.float32) / 255)
    bone_mask = resize(bone, *cache.working_picture(int(order[0])).shape)
    cut = crop(bone_mask, region, replace_side(p, 8))[..., 0] * p.std + p.mean
    assert np.abs(cut - targets["evidence16"][0][..., 2]).mean() < 0.1


def test_families_are_told_apart_where_they_are_known(
    cache: PictureCache, regions: Regions, p: Preprocessing, limbs: Any
) -> None:
    """If it failed, a network would be taught one family's name on another's picture."""
    names = ("cyst", "island", "sarcoma")
    family = np.choose(np.minimum(cache.label, 2), (1, 0, 2)).astype(np.int16)
    family[cache.label == OUT_OF_SCOPE] = -1
    known = replace(cache, family=family, families=names)
    assert lesion_kinds(cache) == ("benign", "malignant")
    assert lesion_kinds(known) == ("cyst", "sarcoma")
    batches = of_classifier(known, regions, p, limbs, side=128, size=len(limbs), augmentation=UNCHANGED)
    targets = batches.batch(0)[1]
    plain = replace(batches, cache=cache).batch(0)[1]
    for name in ("evidence16", "evidence32"):
        assert np.array_equal(targets[name], plain[name])
    order = np.random.default_rng((SEED, 0)).permutation(limbs)
    assert np.array_equal(targets["family"], np.eye(3, dtype=np.float32)[family[order]])
    strangers = np.flatnonzero(cache.label == OUT_OF_SCOPE)
    both = of_segmenter(known, p, np.concatenate([strangers, limbs[:2]]), size=4).batch(0)[1]
    assert sorted(both["family"].sum(1)) == [0, 0, 1, 1]
    assert "family" not in of_segmenter(cache, p, limbs).batch(0)[1]


def test_crops_stay_within_the_grey_scale(cache: PictureCache, regions: Regions, p: Preprocessing, limbs: Any) -> None:
    """If it failed, regions that overhang the picture would show the classifier greys that do not exist."""
    for epoch in range(3):
        inputs, _ = of_classifier(cache, regions, p, limbs, size=len(limbs), epoch=epoch).batch(0)
        grey = inputs * p.std + p.mean
        assert grey.min() > -1e-5
        assert grey.max() < 1 + 1e-5


@pytest.mark.full
def test_keras_gets_the_same_batches_in_order(cache: PictureCache, p: Preprocessing, limbs: Any) -> None:
    """If it failed, what is trained on would depend on which loader thread is faster."""
    pytest.importorskip("keras")
    batches = of_segmenter(cache, p, limbs)
    dataset = for_keras(batches)
    assert len(dataset) == len(batches)
    for number in range(len(batches)):
        for one, other in zip(arrays(dataset[number]), arrays(batches.batch(number)), strict=True):
            assert np.array_equal(one, other)
