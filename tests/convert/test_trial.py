"""What is asked twice is computed once."""

from __future__ import annotations

import numpy as np
import pytest

from bonedge.convert.trial import remembering
from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.edge.records import Pixels

pytestmark = pytest.mark.full


def test_a_remembering_network_computes_each_answer_once() -> None:
    """The fp32 segmenter would run again for every candidate for the classifier; a wrong memory would judge by it."""
    asked: list[float] = []
    buffer = np.zeros((1, 2), np.float32)

    def run(pixels: Pixels) -> list[Pixels]:
        asked.append(float(pixels[0, 0]))
        buffer[:] = 2 * pixels  # as runtimes do, which hand out their own memory
        return [buffer]

    network = remembering(LoadedNetwork((1, 2), ((1, 2),), run), most=2)
    pictures = [np.full((1, 2), value, np.float32) for value in (1, 2, 3)]
    for _ in range(2):
        for picture in pictures:
            assert network.run(picture)[0].tolist() == (2 * picture).tolist()
    assert asked == [1, 2, 3, 3], "the third is one more than it keeps"
