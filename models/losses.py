"""What the two networks are trained to make small. `keras.ops` only: the same on TensorFlow, JAX and torch."""

from __future__ import annotations

from typing import Any

UNKNOWN = -1.0
"""A target of which nothing is known; nothing is learned from it."""
_BONE_WEIGHT = 0.4
"""Bones are large and easy; the lesion is what the network is for."""
_LESION_WEIGHT = 6.0
_EVIDENCE_WEIGHT = 2.0
_LESION_CELL = 3.0
_FAMILY_WEIGHT = 0.5
_ALARM_GRID = 64
"""Cells along a side; the smallest lesion that counts at run time fills two."""
_ALARM_CELLS = 8
_SMOOTH = 4.0
"""Pixels added above and below the fraction, so that a lesion of a few pixels has a gradient before it is found."""


def segmentation_loss(targets: Any, logits: Any, *, alarm: float = 0.0) -> Any:
    """Cross-entropy on both maps, soft Dice on each lesion, and whether there is a lesion at all.

    Dice loss after Milletari et al., V-Net, 2016. It is taken picture by picture, over the pictures that have a
    lesion: taken over the batch, the few large lesions decided it and the network learned to leave the small ones
    out (median Dice 0 after eleven epochs). Cross-entropy holds false positives down everywhere.

    Dice rewards every lesion found and cross-entropy hardly notices a small false one: 6 normals in 10 had one. So
    the most suspicious places of a picture are asked, as one, whether it has a lesion (multiple-instance learning:
    Ilse et al., 2018, with the mean of the highest as pooling).

    Args:
        targets: float32 "batch side side 2", 0..1; the bones' may be `UNKNOWN`.
        logits: the same shape.
        alarm: weight of that question.
    """
    from keras import ops

    entropy = ops.mean(_entropy(targets, logits), axis=(0, 1, 2))
    lesion, truth = ops.sigmoid(logits[..., 1]), targets[..., 1]
    area = ops.sum(truth, axis=(1, 2))
    overlap = ops.sum(lesion * truth, axis=(1, 2))
    dice = (2 * overlap + _SMOOTH) / (ops.sum(lesion, axis=(1, 2)) + area + _SMOOTH)
    present = ops.cast(area > 1, dice.dtype)
    missed = ops.sum(present * (1 - dice)) / (ops.sum(present) + 1)
    loss = _BONE_WEIGHT * entropy[0] + _LESION_WEIGHT * entropy[1] + missed
    if alarm == 0:
        return loss
    cells = ops.average_pool(logits[..., 1:], max(1, logits.shape[1] // _ALARM_GRID))
    highest, _ = ops.top_k(ops.reshape(cells, (ops.shape(cells)[0], -1)), _ALARM_CELLS)
    suspicion = ops.mean(highest, axis=1)
    return loss + alarm * ops.mean(ops.softplus(suspicion) - suspicion * present)


def classification_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy. `targets`: float32 "batch 3", each row times its weight; `logits`: float32 "batch 3"."""
    from keras import ops

    return ops.mean(-ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))


def family_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy, less heavy than the label's. Rows of targets that are all 0 do not count."""
    return _FAMILY_WEIGHT * classification_loss(targets, logits)


def evidence_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy of a coarse map of evidence. Both float32 "batch rows columns channels"; targets are shares.

    The lesion's cells weigh more, for most cells hold none. Channels add up: each kind of lesion is its own question.
    """
    from keras import ops

    weighted = ops.sum(_entropy(targets, logits) * (1 + _LESION_CELL * targets), axis=-1)
    return _EVIDENCE_WEIGHT / 3 * ops.mean(weighted)


def _entropy(targets: Any, logits: Any) -> Any:
    """Cross-entropy place by place; 0 where nothing is known."""
    from keras import ops

    # log(1 + exp(x)) - x * y, the form that does not overflow.
    return ops.where(targets < 0, 0.0, ops.softplus(logits) - logits * targets)
