"""What to say about a picture, and when to say nothing."""

from __future__ import annotations

import re

import numpy as np

from .manifest import Abstention, Decision
from .records import CLASSES, Classification, Label, Pixels, Segmentation, Source, Verdict

_PLAIN_FILM = frozenset({"CR", "DX", "RG", "OT"})
"""DICOM modalities (PS3.3 C.7.3.1.1.1) that a radiograph of a limb carries; OT is what converters write."""
_OTHER_FILM = {
    "PX": "a panoramic dental radiograph",
    "IO": "an intra-oral dental radiograph",
    "MG": "a mammogram",
    "RF": "fluoroscopy",
    "XA": "an angiogram",
    "BMD": "a bone densitometry picture",
    "DXA": "a bone densitometry picture",
}

_LEAST_LONG_PX, _LEAST_SHORT_PX = 256, 100
"""Of a picture that is judged. Of 36 phantoms of 640 pixels the seventeenth bundle called 31 right; of the same at 320
and 256 pixels 27, at 192 23, at 128 15."""

# fmt: off
_OUTSIDE_WORDS = frozenset(
    (
        "ABDOMEN", "ABDOMENPELVIS", "ABDOMINAL", "AORTA", "BLADDER", "BRAIN", "BREAST", "BRONCHUS", "BUTTOCK",
        "CAROTID", "CHEST", "CHESTABDOMEN", "CHESTABDOMENPELVIS", "CHESTABDPELVIS", "COCCYX", "COLON", "CSPINE",
        "CTSPINE", "DENTAL", "DENTITION", "ESOPHAGUS", "EYE", "FACE", "FACIAL", "FACIALBONES", "GALLBLADDER",
        "HEADNECK", "HEART", "IAC", "JAW", "KIDNEY", "KUB", "LARYNX", "LIVER", "LSPINE", "LSSPINE", "LUMBAR",
        "LUNG", "LUNGS", "MAMMA", "MANDIBLE", "MASTOID", "MAXILLA", "MEDIASTINUM", "MOUTH", "NASAL",
        "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "NOSE", "ORBIT", "ORBITS", "PANCREAS", "PARANASAL",
        "PAROTID", "PELVIS", "PHARYNX", "PROSTATE", "RIB", "RIBS", "SACRUM", "SCOLIOSIS", "SELLA", "SIJOINT",
        "SINUS", "SINUSES", "SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "TEETH", "THORACIC",
        "THORAX", "THYMUS", "THYROID", "TLSPINE", "TMJ", "TONGUE", "TOOTH", "TRACHEA", "TSPINE", "UTERUS",
        "WHOLEBODY", "WHOLESPINE", "ZYGOMA",
    )
)
# fmt: on
"""Terms of DICOM PS3.16 Annex L (Body Part Examined) and their spellings in the field, that show no limb's long bones.

Hip and shoulder are not among them: they show the ends of the femur and the humerus.
"""
_OUTSIDE_WHOLE = frozenset({"BODY", "CERVICAL", "HEAD", "NECK"})
"""Outside only when nothing else is said: RADIAL HEAD and FEMORAL NECK are limbs."""


def judge(
    source: Source,
    segmentation: Segmentation,
    classification: Classification,
    decision: Decision,
    abstention: Abstention,
) -> Verdict:
    """The verdict on one picture, with its reasons as whole sentences.

    Abstains when the file says that it is something else, when the picture is no larger than a preview, when there is
    too little long bone in it, or when the segmenter's features lie far from those of the training pictures. Otherwise
    calls a tumour at the operating point, and among tumours a malignant one by its share.
    """
    probabilities = {label: float(value) for label, value in zip(CLASSES, classification.probabilities, strict=True)}
    against = _reasons_to_abstain(source, segmentation, abstention)
    if against:
        return Verdict(Label.ABSTAIN, probabilities, tuple(against))
    tumour = 1 - probabilities[Label.NORMAL]
    if tumour < decision.tumour_threshold:
        label = Label.NORMAL
        reasons = [
            f"The probability of a tumour, {tumour:.2f}, is below the operating point, {decision.tumour_threshold:.2f}."
        ]
    else:
        share = probabilities[Label.MALIGNANT] / max(
            probabilities[Label.MALIGNANT] + probabilities[Label.BENIGN], float(np.finfo(np.float32).tiny)
        )
        label = Label.MALIGNANT if share >= decision.malignant_threshold else Label.BENIGN
        reasons = [
            f"The probability of a tumour, {tumour:.2f}, reaches the operating point, {decision.tumour_threshold:.2f}.",
            f"Of that, {share:.0%} speaks for malignant; {decision.malignant_threshold:.0%} is needed to call it so.",
        ]
    return Verdict(label, probabilities, (*reasons, _outlined(segmentation, label)))


def feature_distance(features: Pixels, abstention: Abstention) -> float:
    """Mahalanobis distance of `features` (float32 "channels") from the training pictures.

    The norm of basis @ (features - mean); after Lee et al., A Simple Unified Framework for Detecting
    Out-of-Distribution Samples, 2018.
    """
    mean = np.asarray(abstention.feature_mean, np.float64)
    basis = np.asarray(abstention.feature_basis, np.float64)
    return float(np.linalg.norm(basis @ (features.astype(np.float64) - mean)))


def _reasons_to_abstain(source: Source, segmentation: Segmentation, abstention: Abstention) -> list[str]:
    reasons = []
    if min(source.rows, source.columns) < _LEAST_SHORT_PX or max(source.rows, source.columns) < _LEAST_LONG_PX:
        reasons.append(
            f"The picture has {source.columns} x {source.rows} pixels, too few to tell a lesion; give the radiograph "
            "itself, not a preview."
        )
    if source.modality is not None and source.modality not in _PLAIN_FILM:
        what = _OTHER_FILM.get(source.modality, f"of modality {source.modality}")
        reasons.append(f"The file says that it is {what}, not a plain radiograph of a limb.")
    part = outside_limbs(source.body_part)
    if part is not None:
        reasons.append(f"The file says that it shows {part}, not a limb.")
    if segmentation.bone_fraction < abstention.minimum_bone_fraction:
        reasons.append(
            f"Long bone covers {segmentation.bone_fraction:.1%} of the picture; "
            f"at least {abstention.minimum_bone_fraction:.1%} is needed."
        )
    distance = feature_distance(segmentation.features, abstention)
    # Written so that a distance that is not a number abstains too.
    if not distance <= abstention.maximum_distance:
        reasons.append(
            f"The picture is unlike those that the models were trained on "
            f"(distance {distance:.1f}, at most {abstention.maximum_distance:.1f})."
        )
    return reasons


def outside_limbs(body_part: str | None) -> str | None:
    """The term by which DICOM Body Part Examined (0018,0015) names something that is no limb; None otherwise."""
    if not body_part:
        return None
    words = re.findall(r"[A-Z]+", body_part.upper())
    together = "".join(words)
    if together in _OUTSIDE_WORDS or together in _OUTSIDE_WHOLE:
        return together
    return next((word for word in words if word in _OUTSIDE_WORDS), None)


def _outlined(segmentation: Segmentation, label: Label) -> str:
    """One sentence on what was outlined."""
    if not segmentation.lesions:
        return "No lesion was outlined; the classifier looked at the long bones as a whole."
    lesion, count = segmentation.lesions[0], len(segmentation.lesions)
    size = "" if lesion.longest_diameter_mm is None else f", {lesion.longest_diameter_mm:.0f} mm across"
    regions = "One region was" if count == 1 else f"{count} regions were"
    look = "the classifier looked at it" if count == 1 else "the classifier looked at the strongest"
    end = " and did not call it a tumour" if label is Label.NORMAL else ""
    return f"{regions} outlined{size if count == 1 else ''}; {look}{size if count > 1 else ''}{end}."
