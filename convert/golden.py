"""Golden pictures for a bundle: simulated, so that no patient's picture travels with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bonedge.calibration.phantom.dicom import as_png
from bonedge.calibration.phantom.generate import generate
from bonedge.edge.bundle import digests
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import load
from bonedge.edge.golden import golden_answer
from bonedge.edge.manifest import Decision, GoldenAnswer, Manifest
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import CLASSES, Label

from .assemble import in_memory

_SEED = 910_003
"""Of the phantoms; neither calibration nor validation uses it."""
_PER_CLASS = 2
_TRIED = 12
"""Phantoms of a class that are looked at for golden ones."""
_MARGIN = 0.12
"""How far a golden picture's probabilities stay from the thresholds: rounding must not change its verdict."""


def with_golden_pictures(
    manifest: Manifest, contents: Mapping[str, bytes], threads: int
) -> tuple[Manifest, dict[str, bytes]]:
    """The bundle with golden pictures, and what each of its engines answers to them here, on the CPU.

    Pictures that an engine is undecided about are passed over, so that there may be fewer than two of a class, or
    none at all when the networks are undecided about everything.
    """
    bundle = in_memory(manifest, contents)
    pipelines = {
        one.engine: Pipeline(bundle, load(bundle, engine=one.engine, threads=threads)) for one in manifest.networks
    }
    answers: dict[str, list[GoldenAnswer]] = {engine: [] for engine in pipelines}
    pictures: dict[str, bytes] = {}
    for label in CLASSES:
        found = 0
        for index, png in _phantoms(label):
            name = f"golden-{label.value}-{index}.png"
            radiograph = decode_bytes(png)
            given = {engine: golden_answer(name, one.examine(radiograph)) for engine, one in pipelines.items()}
            if not all(_decided(answer, manifest.decision) for answer in given.values()):
                continue
            pictures[name] = png
            for engine, answer in given.items():
                answers[engine].append(answer)
            found += 1
            if found == _PER_CLASS:
                break
    networks = tuple(one.model_copy(update={"golden": tuple(answers[one.engine])}) for one in manifest.networks)
    whole = {**contents, **pictures}
    return manifest.model_copy(update={"networks": networks, "files": digests(whole)}), whole


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
