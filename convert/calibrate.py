"""The calibration set: what both networks are shown while their ranges are measured, and whether it is fit for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.crop import choose_region, classifier_input
from bonedge.edge.engines.networks import Networks
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.judge import feature_distance
from bonedge.edge.manifest import Abstention, Decision, Preprocessing
from bonedge.edge.records import CLASSES, Label, Pixels
from bonedge.edge.segment import read_maps

from .candidates import NetworkName
from .cases import Case, CaseSet

LEAST = 16
"""Fewer different pictures than this are refused: one odd picture would set the ranges."""
RECOMMENDED = 100
"""Fewer draw a warning. In trials 300 did no better."""
_STRANGE = 0.2
"""Share of limbs that may lie far from the training pictures before the set is taken for another kind of picture."""
_FLAT = 2.0
"""Standard deviation of the greys, of 255, below which a picture holds nothing."""


@dataclass(frozen=True)
class Inputs:
    """Of both networks, made by the code that a workstation runs."""

    segmenter: tuple[Pixels, ...]
    """Each float32 "1 S S 1"."""
    classifier: tuple[Pixels, ...]
    """Each float32 "1 K K 3": cropped where the fp32 segmenter says."""
    features: Pixels
    """float32 "n C": the segmenter's, one row per picture."""
    bone_fractions: NDArray[np.float64]
    """float64 "n": share of each picture that is long bone."""

    def of(self, network: NetworkName) -> tuple[Pixels, ...]:
        """Of one of them."""
        return self.segmenter if network == "segmenter" else self.classifier


def network_inputs(cases: Iterable[Case], networks: Networks, p: Preprocessing, decision: Decision) -> Inputs:
    """Segment in fp32 and crop.

    Args:
        cases: of the calibration set.
        networks: the fp32 pair.
        p: of the trained pair.
        decision: of the trained pair; decides where lesions are.
    """
    squares, crops, pooled, fractions = [], [], [], []
    for case in cases:
        prepared = case.prepared(p)
        maps, features = networks.segment(prepared.segmenter_input)
        segmentation = read_maps(maps, features, prepared, case.source, decision)
        squares.append(prepared.segmenter_input)
        region = choose_region(segmentation, prepared, p)
        crops.append(classifier_input(prepared, segmentation.lesion_map, segmentation.bone_map, region, p)[None])
        pooled.append(features[0])
        fractions.append(segmentation.bone_fraction)
    return Inputs(tuple(squares), tuple(crops), np.stack(pooled), np.array(fractions))


def check_pictures(calibration: CaseSet) -> list[str]:
    """Refuse a set that cannot calibrate; what can be said before any network runs.

    Returns:
        Warnings: whole sentences.

    Raises:
        InvalidConfiguration: too few, empty or all-alike pictures, or a class that is missing.
    """
    where, cases = calibration.where, calibration.cases
    empty = [case.name for case in cases if case.grey.std() < _FLAT]
    if empty:
        raise InvalidConfiguration(
            f"{where}: {len(empty)} of {len(cases)} calibration pictures are empty (black or of one grey), the first "
            f"is {empty[0]}; ranges from them would clip every real radiograph: remove them"
        )
    different = len({case.fingerprint for case in cases})
    if different < LEAST:
        raise InvalidConfiguration(
            f"{where}: {different} different calibration pictures are too few to measure ranges with; give at least "
            f"{LEAST}, better {RECOMMENDED} or more"
        )
    missing = [label for label in CLASSES if not any(case.truth is label for case in cases)]
    if missing:
        raise InvalidConfiguration(
            f"{where}: the calibration set holds no {' and no '.join(missing)} picture; what they alone excite would "
            "be clipped: give pictures of all three classes"
        )
    warnings = []
    if different < RECOMMENDED:
        warnings.append(
            f"{different} calibration pictures are few; ranges may be too narrow for unusual ones. "
            f"{RECOMMENDED} or more are recommended."
        )
    if different < len(cases):
        warnings.append(f"{len(cases) - different} calibration pictures are copies of others and add nothing.")
    return warnings


def check_likeness(calibration: CaseSet, features: Pixels, abstention: Abstention) -> None:
    """Refuse pictures of another kind than the models were trained on: a stale or foreign set.

    Args:
        calibration: the set.
        features: float32 "n C", of its pictures in order.
        abstention: what the training pictures' features look like.

    Raises:
        InvalidConfiguration: too many limbs lie beyond the distance at which the runtime abstains.
    """
    limbs = [row for case, row in zip(calibration.cases, features, strict=True) if case.truth is not Label.ABSTAIN]
    far = _far(limbs, abstention)
    if far > _STRANGE * len(limbs):
        raise InvalidConfiguration(
            f"{calibration.where}: {far} of {len(limbs)} calibration pictures are unlike what the models were trained "
            "on (the runtime would abstain on them); the set is stale or of another kind: calibrate with pictures "
            "like those of the training"
        )


def _far(features: Sequence[Pixels], abstention: Abstention) -> int:
    return sum(not feature_distance(row, abstention) <= abstention.maximum_distance for row in features)
