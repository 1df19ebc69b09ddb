"""Keeping the numbers inside a network in a range that eight bits can hold.

An int8 tensor has one step for all its channels. Batch normalisation is free to make one channel a hundred times
larger than its neighbour, which then lives on two or three steps: that is where plain int8 loses accuracy. Pulling the
scales towards 1 while training keeps channels alike at no cost in what the network can say (the next convolution
rescales them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def near_one(strength: float) -> Callable[[Any], Any] | None:
    """A penalty `strength * sum((gamma - 1)^2)` for `BatchNormalization(gamma_regularizer=...)`; None for 0."""
    if strength == 0:
        return None

    def penalty(gamma: Any) -> Any:
        from keras import ops

        return strength * ops.sum(ops.square(gamma - 1.0))

    return penalty
