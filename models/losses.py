"""What the two networks are trained to make small. `keras.ops` only: the same on TensorFlow, JAX and torch."""

from __future__ import annotations

from typing import Any

_BONE_WEIGHT = 0.4
"""Bones are large and easy; the lesion is what the network is for."""


def segmentation_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy on both maps, and soft Dice on the lesion.

    Dice loss after Milletari et al., V-Net, 2016. It is taken over the batch: a picture without a lesion has no Dice
    of its own, and its false positives still count.

    Args:
        targets: float32 "batch side side 2", 0..1.
        logits: the same shape.
    """
    from keras import ops

    # log(1 + exp(x)) - x * y, the form of cross-entropy that does not overflow.
    entropy = ops.mean(ops.softplus(logits) - logits * targets, axis=(0, 1, 2))
    lesion, truth = ops.sigmoid(logits[..., 1]), targets[..., 1]
    dice = (2 * ops.sum(lesion * truth) + 1.0) / (ops.sum(lesion) + ops.sum(truth) + 1.0)
    return _BONE_WEIGHT * entropy[0] + 4 * entropy[1] + 1 - dice


def classification_loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy. `targets`: float32 "batch 3", each row times its weight; `logits`: float32 "batch 3"."""
    from keras import ops

    return ops.mean(-ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))
