"""From the classifier's logits, and the segmenter's suspicion, to probabilities that mean what they say."""

from __future__ import annotations

import math

import numpy as np

from .manifest import Fusion
from .records import CLASSES, BoundingBox, Classification, Label, Pixels

_SUSPICIOUS_SHARE = 0.0015
"""Of the segmenter's square: 100 of 65,536 pixels, a lesion of 4 % of the picture's side."""
_SURE = 0.002
"""A probability this close to 0 or 1 is as good as certain: half a step of an eight-bit map."""
_NORMAL = CLASSES.index(Label.NORMAL)


def read_logits(logits: Pixels, temperature: float, region: BoundingBox) -> Classification:
    """Softmax of the logits over a temperature (Guo et al., On Calibration of Modern Neural Networks, 2017).

    Args:
        logits: float32 "1 3", in the order of `CLASSES`.
        temperature: > 0; above 1 makes the network less sure of itself.
        region: what the classifier looked at, for the record.
    """
    values = logits[0].astype(np.float64)
    # Subtracting the largest first keeps exp() from overflowing and changes nothing else.
    powers = np.exp((values - values.max()) / temperature)
    return Classification(np.asarray(powers / powers.sum(), np.float32), region)


def suspicion(lesion_map: Pixels) -> float:
    """Log odds of a lesion in the most suspicious places of a picture.

    Args:
        lesion_map: float32 "side side", lesion probability 0..1 on the segmenter's square.
    """
    values = lesion_map.ravel()
    count = max(1, round(_SUSPICIOUS_SHARE * values.size))
    return log_odds(float(np.partition(values, -count)[-count:].mean()))


def fuse(classification: Classification, lesion_map: Pixels, fusion: Fusion) -> Classification:
    """The classification with the segmenter heard as well on whether there is a tumour.

    The classifier alone decides what kind: benign and malignant keep their proportion.

    Args:
        classification: of one region.
        lesion_map: as for `suspicion`.
        fusion: weights, fitted by `bonedge train operation`.
    """
    if fusion == Fusion():
        return classification
    given = classification.probabilities.astype(np.float64)
    normal, tumours = given[_NORMAL], np.delete(given, _NORMAL)
    own = log_odds(1 - normal)
    fused = fusion.classifier * own + fusion.suspicion * suspicion(lesion_map) + fusion.offset
    probability = 1 / (1 + math.exp(-fused))
    kinds = tumours / max(tumours.sum(), 1e-30)
    probabilities = np.insert(probability * kinds, _NORMAL, 1 - probability)
    return Classification(np.asarray(probabilities, np.float32), classification.region)


def log_odds(probability: float) -> float:
    """ln(p / (1 - p)), within what an eight-bit probability can tell."""
    kept = min(max(probability, _SURE), 1 - _SURE)
    return math.log(kept / (1 - kept))
