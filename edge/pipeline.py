"""The stages strung together: the only place where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from .bundle import Bundle
from .classify import fuse, read_logits
from .crop import choose_region, classifier_input
from .engines import Networks
from .geometry import clip_box, scale_box
from .judge import judge
from .preprocess import Prepared, prepare
from .records import Classification, Examination, Pixels, Radiograph, Segmentation, Source, Timings, Verdict
from .segment import read_maps


@dataclass(frozen=True)
class Reading:
    """Everything that the networks say about one prepared picture."""

    segmentation: Segmentation
    classification: Classification
    verdict: Verdict
    logits: Pixels
    """float32 "1 3", before the temperature."""
    segment_ms: float
    classify_ms: float
    """Wall-clock milliseconds, cropping and judging included."""


class Pipeline:
    """One bundle on one engine, ready for any number of pictures."""

    def __init__(self, bundle: Bundle, networks: Networks, clock: Callable[[], float] = perf_counter) -> None:
        """Keep what every examination needs.

        Args:
            bundle: whose manifest says how to prepare, decide and abstain.
            networks: the bundle's pair, loaded.
            clock: seconds from any origin; read between the stages.
        """
        self.bundle = bundle
        self.networks = networks
        self._clock = clock

    @property
    def working_px(self) -> int:
        """Long side of the picture that the networks are shown: for `Decoder.decode`."""
        return self.bundle.manifest.preprocessing.working_long_side_px

    def examine(self, radiograph: Radiograph, decode_ms: float = 0.0) -> Examination:
        """Everything that bonedge has to say about one picture.

        Args:
            radiograph: as decoded.
            decode_ms: what decoding took, for the record.

        Raises:
            BundleRefused: the networks do not answer as the manifest promises.
        """
        begun = self._clock()
        prepared = prepare(radiograph, self.bundle.manifest.preprocessing)
        preprocessed = self._clock()
        reading = self.read(radiograph.source, prepared)
        return Examination(
            radiograph,
            reading.segmentation,
            reading.classification,
            reading.verdict,
            Timings(
                decode=decode_ms,
                preprocess=1000 * (preprocessed - begun),
                segment=reading.segment_ms,
                classify=reading.classify_ms,
            ),
        )

    def read(self, source: Source, prepared: Prepared) -> Reading:
        """What both networks say about one picture that is already prepared.

        Args:
            source: of the picture.
            prepared: by `prepare` with the bundle's own preprocessing.

        Raises:
            BundleRefused: the networks do not answer as the manifest promises.
        """
        manifest = self.bundle.manifest
        begun = self._clock()
        maps, features = self.networks.segment(prepared.segmenter_input)
        segmentation = read_maps(maps, features, prepared, source, manifest.decision)
        segmented = self._clock()
        region = choose_region(segmentation, prepared, manifest.preprocessing)
        shown = classifier_input(
            prepared, segmentation.lesion_map, segmentation.bone_map, region, manifest.preprocessing
        )
        logits = self.networks.classify(shown[None])
        rows, columns = prepared.working.shape
        seen = clip_box(scale_box(region, source.columns / columns, source.rows / rows), source.rows, source.columns)
        heard = read_logits(logits, manifest.decision.temperature, seen)
        classification = fuse(heard, segmentation.lesion_map, manifest.decision.fusion)
        verdict = judge(source, segmentation, classification, manifest.decision, manifest.abstention)
        judged = self._clock()
        return Reading(
            segmentation, classification, verdict, logits, 1000 * (segmented - begun), 1000 * (judged - segmented)
        )
