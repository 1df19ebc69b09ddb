"""Large phantoms decoded whole and as finely as anything looks at them: is it the same reading, and what does it save?

`make compare-decoding` runs it and writes docs/comparisons/reduction.md.
"""

from __future__ import annotations

import argparse
from functools import partial
from io import BytesIO
from pathlib import Path
from time import process_time

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless
from subject import of_bundle

from bonedge.calibration.phantom.dicom import as_dicom, encoding_rng
from bonedge.calibration.phantom.generate import generate
from bonedge.calibration.production import produce
from bonedge.edge.bundle import open_bundle
from bonedge.edge.decode.formats import decode
from bonedge.edge.engines import load
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import Label
from bonedge.edge.trust import Trust
from bonedge.models.metrics import dice

_SYNTAXES = (ExplicitVRLittleEndian, JPEG2000Lossless)
_LABELS = (Label.NORMAL, Label.BENIGN, Label.MALIGNANT)

Row = tuple[bool, float, float, float, float]
"""Same verdict, largest difference of a probability, Dice of the masks, seconds of CPU whole and reduced."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bundle", type=Path, default=Path("models/released/bundle"))
    arguments.add_argument("--count", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=20261126)
    arguments.add_argument("--size", type=int, default=1920, help="long side, pixels")
    arguments.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    given = arguments.parse_args()
    make = partial(_compared, given.bundle, given.seed, given.size)
    found = list(produce(make, given.count, title="Comparing"))
    rows = [_row(str(syntax.name), [one[place] for one in found]) for place, syntax in enumerate(_SYNTAXES)]
    given.output.write_text(_page(given, rows))
    print(given.output.read_text())


def _compared(bundle: Path, seed: int, size: int, index: int) -> list[Row]:
    opened = open_bundle(bundle, Trust())
    pipeline = Pipeline(opened, load(opened, threads=1))
    phantom = generate(seed, index, size=size, label=_LABELS[index % 3])
    dataset = pydicom.dcmread(BytesIO(as_dicom(phantom, encoding_rng(seed, index))))
    dataset.decompress(generate_instance_uid=False)
    rows = []
    for syntax in _SYNTAXES:
        if syntax == JPEG2000Lossless:
            dataset.compress(syntax, generate_instance_uid=False)
        buffer = BytesIO()
        dataset.save_as(buffer)
        readings, seconds = [], []
        for working_px in (None, pipeline.working_px):
            begun = process_time()
            radiograph = decode(buffer.getvalue(), "0" * 64, working_px)
            seconds.append(process_time() - begun)
            readings.append(pipeline.examine(radiograph))
        whole, reduced = readings
        gaps = [
            abs(value - reduced.verdict.probabilities[label]) for label, value in whole.verdict.probabilities.items()
        ]
        same = whole.verdict.label is reduced.verdict.label
        overlap = dice(whole.segmentation.mask, reduced.segmentation.mask)
        rows.append((same, max(gaps, default=0.0), overlap, seconds[0], seconds[1]))
    return rows


def _row(name: str, rows: list[Row]) -> str:
    same, gaps, overlaps, whole, reduced = (np.array(column) for column in zip(*rows, strict=True))
    return (
        f"| {name} | {int(same.sum())} of {len(rows)} | {np.median(gaps):.4f} | {np.percentile(gaps, 99):.3f} "
        f"| {np.median(overlaps):.3f} | {np.percentile(overlaps, 5):.3f} "
        f"| {1000 * np.median(whole):.0f} | {1000 * np.median(reduced):.0f} |"
    )


def _page(given: argparse.Namespace, rows: list[str]) -> str:
    return "\n".join(
        (
            "# Large radiographs: decoded whole, and as finely as anything looks at them",
            "",
            f"{given.count} phantoms of {given.size} pixels (seed {given.seed}, a third of each class) as a modality "
            f"writes them, read twice by {of_bundle(given.bundle)}. CPU time is that of decoding and windowing. "
            "Made by `make compare-decoding`.",
            "",
            "| stored as | same verdict | probability differs by, median | 99th percentile | Dice of the masks, median "
            "| 5th percentile | whole, CPU ms | reduced, CPU ms |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        )
    )


if __name__ == "__main__":
    main()
