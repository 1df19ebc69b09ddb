"""The cases on which a conversion changed most, as pictures that a person can judge."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import CLASSES, Label, Mask

from .cases import Case
from .search import Bench, PairJudged
from .trial import Answer, pipeline

_MALIGNANT = CLASSES.index(Label.MALIGNANT)


@dataclass(frozen=True)
class Changed:
    """One case before and after."""

    case: Case
    before: Answer
    after: Answer

    @property
    def flipped(self) -> bool:
        return self.before.outcome.verdict is not self.after.outcome.verdict

    @property
    def lost_malignant(self) -> bool:
        """A malignant tumour that fp32 called malignant and the conversion did not."""
        was, now = self.before.outcome, self.after.outcome
        return was.truth is Label.MALIGNANT is was.verdict and now.verdict is not Label.MALIGNANT

    @property
    def dice_lost(self) -> float:
        if self.before.outcome.dice is None or self.after.outcome.dice is None:
            return 0.0
        return self.before.outcome.dice - self.after.outcome.dice

    @property
    def shift(self) -> float:
        """Largest change of a probability."""
        return float(np.abs(self.before.outcome.probabilities - self.after.outcome.probabilities).max())


def worst(bench: Bench, one: PairJudged, count: int) -> list[Changed]:
    """Lost malignant tumours first, then other flips, then lost outlines, then shifted probabilities."""
    changed = [Changed(*row) for row in zip(bench.cases, bench.reference, one.answers, strict=True)]
    changed.sort(key=lambda c: (c.lost_malignant, c.flipped, round(c.dice_lost, 1), c.shift), reverse=True)
    return changed[:count]


def picture(changed: Changed, bench: Bench, one: PairJudged) -> bytes:
    """PNG: the radiograph with the true outline, the fp32 one and the converted one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    case = changed.case
    reference = pipeline(bench.frame, bench.companions["segmenter"], bench.companions["classifier"])
    converted = pipeline(bench.frame, one.segmenter.load(bench.threads), one.classifier.load(bench.threads))
    outlines: Sequence[tuple[Mask | None, str, str]] = (
        (case.lesion, "#4cd07d", "truth"),
        (_mask(reference, case), "#5aa9ff", "fp32"),
        (_mask(converted, case), "#ff5d5d", "converted"),
    )
    rows, columns = case.grey.shape
    figure = Figure(figsize=(3.2, 3.2 * rows / columns if rows < 1.6 * columns else 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(case.grey, cmap="gray", vmin=0, vmax=255, extent=(0, case.source.columns, case.source.rows, 0))
    for mask, colour, _ in outlines:
        if mask is not None and mask.any():
            axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.4)
    axes.set_axis_off()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, facecolor="#111")
    return content.getvalue()


def _mask(run: Pipeline, case: Case) -> Mask:
    prepared = case.prepared(run.bundle.manifest.preprocessing)
    return run.read(case.source, prepared).segmentation.mask
