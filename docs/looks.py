"""What a second look of the segmenter is worth on a run's validation limbs: the table of decision 15.

python docs/looks.py --data DATA --run RUN
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from bonedge.edge.classify import suspicion
from bonedge.edge.records import Pixels
from bonedge.models.cache import OUT_OF_SCOPE, open_cache
from bonedge.models.datasets import join
from bonedge.models.layouts import open_samples
from bonedge.models.metrics import dice
from bonedge.models.networks import PREPROCESSING, load_keras
from bonedge.models.regions import segment_all

_AS_IS, _MIRRORED, _UPSIDE_DOWN, _TURNED = (1, 1), (1, -1), (-1, 1), (-1, -1)
_LOOKS = {
    "as it is": (_AS_IS,),
    "and mirrored": (_AS_IS, _MIRRORED),
    "and turned by half": (_AS_IS, _TURNED),
    "all four": (_AS_IS, _MIRRORED, _UPSIDE_DOWN, _TURNED),
}
_RECALL, _LESION_THRESHOLD = 0.96, 0.4


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, action="append", help="may be repeated")
    arguments.add_argument("--run", type=Path, required=True, help="with segmenter.keras")
    given = arguments.parse_args()
    load_keras()
    import keras

    segmenter = keras.models.load_model(given.run / "segmenter.keras", compile=False)
    once = PREPROCESSING.model_copy(update={"segmenter_side_px": segmenter.input_shape[1], "segmenter_turned": False})
    cache = open_cache(
        join([open_samples(one) for one in given.data]), given.run / "cache", once, lambda done, total: None
    )
    limbs = np.flatnonzero((cache.label != OUT_OF_SCOPE) & cache.validation)
    tumour, truths = cache.label[limbs] > 0, cache.lesion[limbs] >= 128

    def seen(down: int, across: int) -> Pixels:
        def flipped(pixels: Pixels) -> dict[str, Pixels]:
            answer = segmenter.predict_on_batch(np.ascontiguousarray(pixels[:, ::down, ::across]))
            return {**answer, "maps": answer["maps"][:, ::down, ::across]}

        return segment_all(flipped, cache, limbs, once)[0][..., 1]

    maps = {way: seen(*way) for way in _LOOKS["all four"]}
    print(
        f"{len(limbs)} validation limbs\n\n| looks | AUC | accuracy at 96 % recall | median Dice |\n|---|---|---|---|"
    )
    for title, ways in _LOOKS.items():
        average = np.mean([maps[way] for way in ways], axis=0)
        scores = np.array([suspicion(one) for one in average])
        threshold = np.sort(scores[tumour])[int((1 - _RECALL) * tumour.sum())]
        overlaps = [
            dice(one >= _LESION_THRESHOLD, truth) for one, truth in zip(average, truths, strict=True) if truth.any()
        ]
        accuracy = np.mean((scores >= threshold) == tumour)
        print(f"| {title} | {roc_auc_score(tumour, scores):.3f} | {accuracy:.3f} | {np.median(overlaps):.3f} |")


if __name__ == "__main__":
    main()
