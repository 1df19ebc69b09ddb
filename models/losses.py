"""What the two networks are trained to make small. `keras.ops` only: the same on TensorFlow, JAX and torch."""

from __future__ import annotations

from typing import Any

_BONE_WEIGHT = 0.4
"""Bones are large and easy; the lesion is what the network is for."""
_LESION_WEIGHT = 6.0
_EVIDENCE_WEIGHT = 2.0
_LESION_CELL = 3.0
_SMOOTH = 4.0
"""Pixels added above and below the fraction, so that a lesion of a few pixels has a gradient before it is found."""


def segmentation_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy on both maps, and soft Dice on each lesion.

    Dice loss after Milletari et al., V-Net, 2016. It is taken picture by picture, over the pictures that have a
    lesion: taken over the batch, the few large lesions decided it and the network learned to leave the small ones
    out (median Dice 0 after eleven epochs). Cross-entropy holds false positives down everywhere.

    Args:
        targets: float32 "batch side side 2", 0..1.
        logits: the same shape.
    """
    from keras import ops

    # log(1 + exp(x)) - x * y, the form of cross-entropy that does not overflow.
    entropy = ops.mean(ops.softplus(logits) - logits * targets, axis=(0, 1, 2))
    lesion, truth = ops.sigmoid(logits[..., 1]), targets[..., 1]
    area = ops.sum(truth, axis=(1, 2))
    overlap = ops.sum(lesion * truth, axis=(1, 2))
    dice = (2 * overlap + _SMOOTH) / (ops.sum(lesion, axis=(1, 2)) + area + _SMOOTH)
    present = ops.cast(area > 1, dice.dtype)
    missed = ops.sum(present * (1 - dice)) / (ops.sum(present) + 1)
    return _BONE_WEIGHT * entropy[0] + _LESION_WEIGHT * entropy[1] + missed


def classification_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy. `targets`: float32 "batch 3", each row times its weight; `logits`: float32 "batch 3"."""
    from keras import ops

    return ops.mean(-ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))


def evidence_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy of a coarse map of evidence. Both float32 "batch rows columns channels"; targets are shares.

    The lesion's cells weigh more, for most cells hold none.
    """
    from keras import ops

    entropy = ops.softplus(logits) - logits * targets
    return _EVIDENCE_WEIGHT * ops.mean(entropy * (1 + _LESION_CELL * targets))
