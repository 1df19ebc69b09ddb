"""What a bundle says about itself: the schema of `manifest.json`.

Every number that changes a verdict lives here, so that a bundle behaves the same on every machine.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Of a bundle, and of each file in it: no separators, nothing hidden."""
FileName = Annotated[str, Field(pattern=PLAIN_NAME)]
EngineName = Literal["tflite", "openvino"]
Precision = Literal["int8", "mixed", "fp16", "fp32"]
"""Of a pair: what both networks have in common, else mixed."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Preprocessing(_Strict):
    """From a radiograph to the two networks' inputs. One implementation: `bonedge.edge.preprocess`."""

    working_long_side_px: int = Field(640, ge=256, le=2048)
    """The picture is area-averaged down to this long side (never up) before anything else."""
    low_percentile: float = Field(1.0, ge=0, le=20)
    high_percentile: float = Field(99.5, ge=80, le=100)
    """Ends of the grey window, over the pixels that are neither collimation nor burnt out."""
    median_px: Literal[0, 3, 5] = 3
    """Aperture of the median filter against noise; 0 switches it off."""
    clahe_clip: float = Field(2.0, ge=0, le=20)
    """Clip limit of the contrast-limited adaptive histogram equalization; 0 switches it off."""
    clahe_tiles: int = Field(8, ge=1, le=32)
    segmenter_side_px: int = Field(256, ge=64, le=1024)
    classifier_side_px: int = Field(299, ge=64, le=1024)
    classifier_channels: Literal["grey", "grey, lesion, bone"] = "grey"
    """What the classifier's three channels hold: the picture three times, or beside it the segmenter's two maps."""
    segmenter_turned: bool = False
    """Whether the segmenter is shown every picture a second time, turned by half, and its answers are averaged."""
    mean: float = 0.5
    std: float = Field(0.25, gt=0)
    """Both networks see (grey - mean) / std, grey in 0..1; neither contains a normalisation layer."""
    crop_context: float = Field(1.6, ge=1.0, le=4.0)
    """Side of the square crop around a lesion, as a multiple of the lesion box's longer side."""
    crop_minimum_fraction: float = Field(0.3, gt=0, le=1)
    """The crop is at least this share of the working picture's long side."""
    crop_grid: int = Field(0, ge=0, le=64)
    """Crops are snapped: sides to powers of 2 ** (1/4), centres to multiples of side / crop_grid. 0 leaves them."""

    @property
    def looks(self) -> int:
        """How often the segmenter runs for one picture."""
        return 2 if self.segmenter_turned else 1


class Fusion(_Strict):
    """How both networks are heard on whether there is a tumour: a weighted sum of log odds (logistic regression)."""

    classifier: float = Field(1.0, ge=0)
    """Weight of the classifier's own log odds."""
    suspicion: float = Field(0.0, ge=0)
    """Weight of the log odds in the segmenter's most suspicious places, see `bonedge.edge.classify.suspicion`."""
    offset: float = 0.0


class Decision(_Strict):
    """From probabilities to a verdict."""

    lesion_threshold: float = Field(0.5, gt=0, lt=1)
    """Pixels of the lesion map at or above it belong to a lesion."""
    bone_threshold: float = Field(0.5, gt=0, lt=1)
    lesion_minimum_fraction: float = Field(0.0005, ge=0, lt=1)
    """Regions smaller than this share of the picture are dropped."""
    temperature: float = Field(1.0, gt=0)
    """Logits are divided by it (Guo et al., On Calibration of Modern Neural Networks, 2017)."""
    fusion: Fusion = Fusion()
    """Applied after the temperature; by itself it changes nothing."""
    tumour_threshold: float = Field(0.5, gt=0, lt=1)
    """A picture is called a tumour when 1 - p(normal) reaches it: the operating point."""
    malignant_threshold: float = Field(0.5, gt=0, lt=1)
    """Among tumours, malignant when p(malignant) / (p(malignant) + p(benign)) reaches it."""


class Abstention(_Strict):
    """When to say nothing."""

    minimum_bone_fraction: float = Field(0.02, ge=0, lt=1)
    feature_mean: tuple[float, ...]
    feature_basis: tuple[tuple[float, ...], ...]
    """Rows: whitening directions; distance = || basis @ (features - mean) || (Mahalanobis)."""
    maximum_distance: float = Field(gt=0)


class GoldenAnswer(_Strict):
    """What a pair said about one of the bundle's own pictures when the bundle was made, on a CPU."""

    picture: FileName
    """A simulated radiograph, PNG; never a patient's."""
    label: Literal["normal", "benign", "malignant", "abstain"]
    probabilities: tuple[float, float, float]
    """Of normal, benign, malignant."""
    lesion_fraction: float = Field(ge=0, le=1)
    """Share of the picture that is in the lesion mask."""


class Networks(_Strict):
    """Which files make one runnable pair, and how they were made."""

    engine: EngineName
    precision: Precision
    segmenter: tuple[FileName, ...] = Field(min_length=1, max_length=2)
    """TFLite: one file. OpenVINO: the .xml, then the .bin."""
    classifier: tuple[FileName, ...] = Field(min_length=1, max_length=2)
    segmenter_recipe: str = ""
    """How it was made, in the words of passport.json; empty when it was not converted through the ladder."""
    classifier_recipe: str = ""
    golden: tuple[GoldenAnswer, ...] = ()
    """What a device must say, too, to be trusted: see `bonedge.edge.golden`."""


class Training(_Strict):
    """Where the models come from; `bonedge evaluate` refuses to test on what they were trained on."""

    data: str
    """What they were trained on, in a sentence."""
    phantom_seeds: tuple[int, ...] = ()
    """Seeds used for training, validation or tuning."""
    command: str = ""


class Manifest(_Strict):
    """The whole of manifest.json."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Annotated[str, Field(pattern=PLAIN_NAME)]
    version: str
    """As PEP 440 writes versions (1, 1.2, 1.2.0rc1): others load, except where a minimum version is demanded."""
    created: str
    """ISO 8601, UTC."""
    labels: tuple[Literal["normal"], Literal["benign"], Literal["malignant"]] = (
        "normal",
        "benign",
        "malignant",
    )
    preprocessing: Preprocessing = Preprocessing()
    decision: Decision = Decision()
    abstention: Abstention
    training: Training
    networks: tuple[Networks, ...] = Field(min_length=1)
    """Every pair that the bundle holds; `--precision int8` is what a workstation runs."""
    files: dict[FileName, Digest]
    """Every file of the bundle except manifest.json itself, and its SHA-256."""
