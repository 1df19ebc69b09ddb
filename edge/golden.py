"""Golden pictures: a bundle brings its own questions, and the answers that it was released with.

An engine, a driver or a device that computes something else is found out on the machine where it does, before any
patient's picture is shown to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from .bundle import Bundle
from .decode import decode_bytes
from .engines import Networks
from .errors import BundleRefused, UnreadableImage
from .manifest import GoldenAnswer
from .pipeline import Pipeline
from .records import CLASSES, Examination, Radiograph

PROBABILITY_TOLERANCE = 0.05
"""An eight-bit network may round the other way on another processor; more than this is another network."""
LESION_TOLERANCE = 0.01
"""Of the picture's area."""


def golden_radiographs(bundle: Bundle) -> dict[str, Radiograph]:
    """The bundle's golden pictures by name, decoded; empty when it brings none.

    Raises:
        BundleRefused: one cannot be read although its digest is right.
    """
    names = dict.fromkeys(answer.picture for networks in bundle.manifest.networks for answer in networks.golden)
    try:
        return {name: decode_bytes(bundle.contents[name]) for name in names}
    except UnreadableImage as error:
        raise BundleRefused(f"bundle {bundle.folder}: a golden {error}; convert the bundle again") from error


def golden_answer(name: str, examination: Examination) -> GoldenAnswer:
    """What is kept of an examination of golden picture `name`."""
    verdict = examination.verdict
    normal, benign, malignant = (round(float(verdict.probabilities[label]), 4) for label in CLASSES)
    return GoldenAnswer(
        picture=name,
        label=verdict.label.value,
        probabilities=(normal, benign, malignant),
        lesion_fraction=round(float(examination.segmentation.mask.mean()), 5),
    )


def furthest_probability(answer: GoldenAnswer, wanted: GoldenAnswer) -> float:
    """The largest difference between the probabilities of one class, 0..1."""
    return max(abs(a - b) for a, b in zip(answer.probabilities, wanted.probabilities, strict=True))


def disagreements(bundle: Bundle, networks: Networks, pictures: Mapping[str, Radiograph] | None = None) -> list[str]:
    """Where `networks` do not answer as the bundle says they should, a sentence each; empty when they do.

    Args:
        bundle: with the right answers; one without golden pictures cannot be disagreed with.
        networks: loaded from it, on any device.
        pictures: from `golden_radiographs`, when they are decoded already.

    Raises:
        BundleRefused: the networks do not run, or a golden picture cannot be read.
    """
    engine, device = networks.description.name, networks.description.device
    if pictures is None:
        pictures = golden_radiographs(bundle)
    pipeline = Pipeline(bundle, networks)
    found = []
    for wanted in (answer for one in bundle.manifest.networks if one.engine == engine for answer in one.golden):
        answer = golden_answer(wanted.picture, pipeline.examine(pictures[wanted.picture]))
        place = f"{engine} on {device} calls {wanted.picture}"
        if answer.label != wanted.label:
            found.append(f"{place} {answer.label} and not {wanted.label}.")
            continue
        off = furthest_probability(answer, wanted)
        if off > PROBABILITY_TOLERANCE:
            found.append(f"{place} {answer.label} with a probability that is off by {off:.2f}.")
        elif abs(answer.lesion_fraction - wanted.lesion_fraction) > LESION_TOLERANCE:
            found.append(
                f"{place} {answer.label} with a lesion of {answer.lesion_fraction:.1%} of the picture and not "
                f"{wanted.lesion_fraction:.1%}."
            )
    return found
