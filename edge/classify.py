"""From the classifier's logits to probabilities that mean what they say."""

from __future__ import annotations

import numpy as np

from .records import BoundingBox, Classification, Pixels


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
