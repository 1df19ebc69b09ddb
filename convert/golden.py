"""Golden pictures for a bundle: simulated, so that no patient's picture travels with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bonedge.calibration.phantom.dicom import as_png
from bonedge.calibration.phantom.generate import generate
from bonedge.edge.bundle import Bundle, digests
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import Networks, load
from bonedge.edge.golden import PROBABILITY_TOLERANCE, furthest_probability, golden_answer
from bonedge.edge.manifest import Decision, GoldenAnswer, Manifest
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import CLASSES, Label, Radiograph

from .assemble import in_memory

_SEED = 910_003
"""Of the phantoms; neither calibration nor validation uses it."""
_PER_CLASS = 2
_TRIED = 12
"""Phantoms of a class that are looked at for golden ones."""
_MARGIN = 0.12
"""How far a golden picture's probabilities stay from the thresholds: rounding must not change its verdict."""
_EYES = ((-0.05, 0.5), (0.05, 2.0))
"""Keener and duller ones: what is added to the lesion threshold, and how many times the smallest lesion counts."""


def with_golden_pictures(
    manifest: Manifest, contents: Mapping[str, bytes], threads: int
) -> tuple[Manifest, dict[str, bytes]]:
    """The bundle with golden pictures, and what each of its engines answers to them here, on the CPU.

    Pictures that an engine is undecided about are passed over, and those whose answer hangs on a speck, so that there
    may be fewer than two of a class, or none at all when the networks are undecided about everything.
    """
    bundle = in_memory(manifest, contents)
    networks = {one.engine: load(bundle, engine=one.engine, threads=threads) for one in manifest.networks}
    answers: dict[str, list[GoldenAnswer]] = {engine: [] for engine in networks}
    pictures: dict[str, bytes] = {}
    for label in CLASSES:
        found = 0
        for index, png in _phantoms(label):
            name = f"golden-{label.value}-{index}.png"
            radiograph = decode_bytes(png)
            given = {
                engine: golden_answer(name, Pipeline(bundle, one).examine(radiograph))
                for engine, one in networks.items()
            }
            if not all(
                _decided(answer, manifest.decision) and steady(bundle, networks[engine], radiograph, answer)
                for engine, answer in given.items()
            ):
                continue
            pictures[name] = png
            for engine, answer in given.items():
                answers[engine].append(answer)
            found += 1
            if found == _PER_CLASS:
                break
    answered = tuple(one.model_copy(update={"golden": tuple(answers[one.engine])}) for one in manifest.networks)
    whole = {**contents, **pictures}
    return manifest.model_copy(update={"networks": answered, "files": digests(whole)}), whole


def steady(bundle: Bundle, networks: Networks, radiograph: Radiograph, answer: GoldenAnswer) -> bool:
    """Whether the answer stays when lesions are outlined with a somewhat keener, or duller, eye.

    The classifier is sent to a lesion, however small, and to the whole bone where there is none. A speck that is just
    large enough is there for one engine and not for another, and a device that is right would be called a liar.

    Args:
        bundle: whose manifest decides.
        networks: loaded from it.
        radiograph: the golden picture.
        answer: of these networks to it.
    """
    decision = bundle.manifest.decision
    threshold = decision.lesion_threshold
    for more, times in _EYES:
        other = decision.model_copy(
            update={
                # Half way to 0 or 1 at most: a threshold of nearly 0 has no room below it.
                "lesion_threshold": float(np.clip(threshold + more, threshold / 2, (1 + threshold) / 2)),
                "lesion_minimum_fraction": times * decision.lesion_minimum_fraction,
            }
        )
        changed = in_memory(bundle.manifest.model_copy(update={"decision": other}), bundle.contents)
        given = golden_answer(answer.picture, Pipeline(changed, networks).examine(radiograph))
        if given.label != answer.label or furthest_probability(given, answer) > PROBABILITY_TOLERANCE / 2:
            return False
    return True


def _phantoms(label: Label) -> Iterator[tuple[int, bytes]]:
    for index in range(_TRIED):
        yield index, as_png(generate(_SEED, index, label=label))


def _decided(answer: GoldenAnswer, decision: Decision) -> bool:
    if answer.label == "abstain":
        return False
    normal, benign, malignant = answer.probabilities
    clear = abs(1 - normal - decision.tumour_threshold) >= min(_MARGIN, decision.tumour_threshold / 2)
    share = malignant / max(benign + malignant, 1e-9)
    return clear and (answer.label == "normal" or abs(share - decision.malignant_threshold) >= _MARGIN)
