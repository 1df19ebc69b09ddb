"""A trained pair as `bonedge train` leaves it: two Keras models and the numbers that they are run with."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Abstention, Decision, Preprocessing, Training
from bonedge.models.datasets import TRAINING_PICTURES

from .quiet import frameworks, muffled

SEGMENTER = "segmenter.keras"
CLASSIFIER = "classifier.keras"
OPERATION = "operation.json"
MODEL_CARD = "MODEL_CARD.md"


class Operation(BaseModel):
    """The whole of operation.json: what was fitted beside the weights, in the manifest's own words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preprocessing: Preprocessing = Preprocessing()
    decision: Decision = Decision()
    abstention: Abstention
    training: Training


@dataclass(frozen=True)
class TrainedPair:
    """Both networks in memory, checked against each other and against operation.json."""

    segmenter: Any
    """keras.Model: float32 "batch S S 1" -> {maps: float32 "batch S S 2", features: float32 "batch C"}."""
    classifier: Any
    """keras.Model: float32 "batch K K 3" -> logits float32 "batch 3"."""
    operation: Operation
    digests: dict[str, str]
    """SHA-256 of each file by name."""
    pictures: frozenset[str]
    """Fingerprints of the pictures that were trained on; empty when the training did not keep them."""
    card: bytes | None
    """The model card, where there is one."""

    @classmethod
    def open(cls, folder: Path) -> TrainedPair:
        """Read the three files of `folder`.

        Raises:
            InvalidConfiguration: a file is missing or damaged, or the models do not fit operation.json.
        """
        missing = [name for name in (SEGMENTER, CLASSIFIER, OPERATION) if not (folder / name).is_file()]
        if missing:
            raise InvalidConfiguration(
                f"{folder} holds no {missing[0]}; give the folder that 'bonedge train' wrote, with {SEGMENTER}, "
                f"{CLASSIFIER} and {OPERATION}"
            )
        operation = _operation(folder / OPERATION)
        kept = (folder / TRAINING_PICTURES).read_text().split() if (folder / TRAINING_PICTURES).is_file() else ()
        card = folder / MODEL_CARD
        pair = cls(
            _model(folder / SEGMENTER),
            _model(folder / CLASSIFIER),
            operation,
            {name: sha256((folder / name).read_bytes()).hexdigest() for name in (SEGMENTER, CLASSIFIER, OPERATION)},
            frozenset(kept),
            card.read_bytes() if card.is_file() else None,
        )
        _check(folder, pair)
        return pair


def _operation(file: Path) -> Operation:
    try:
        return Operation.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            reason = error.strerror or str(error)
        raise InvalidConfiguration(f"{file}: {reason}; train the pair again or correct the file") from error


def _model(file: Path) -> Any:
    frameworks()
    import keras

    try:
        with muffled(replay=False):
            return keras.saving.load_model(file, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidConfiguration(f"{file} cannot be loaded as a Keras model ({reason}); train it again") from error


def _check(folder: Path, pair: TrainedPair) -> None:
    p = pair.operation.preprocessing
    s, k = p.segmenter_side_px, p.classifier_side_px
    features = len(pair.operation.abstention.feature_mean)
    found = {
        "segmenter's input": (_shapes(pair.segmenter.inputs), [(s, s, 1)]),
        "segmenter's outputs": (_shapes(pair.segmenter.outputs), [(features,), (s, s, 2)]),
        "classifier's input": (_shapes(pair.classifier.inputs), [(k, k, 3)]),
        "classifier's output": (_shapes(pair.classifier.outputs), [(3,)]),
    }
    for what, (given, wanted) in found.items():
        if given != wanted:
            raise InvalidConfiguration(
                f"{folder}: the {what} should be {wanted} by {OPERATION} but is {given}; "
                "the files belong to different trainings"
            )

    for name, model in ((SEGMENTER, pair.segmenter), (CLASSIFIER, pair.classifier)):
        broken = [v.path for v in model.variables if not np.isfinite(np.asarray(v)).all()]
        if broken:
            raise InvalidConfiguration(
                f"{folder / name}: {len(broken)} of its weights hold numbers that are not finite, the first is "
                f"{broken[0]}; train it again"
            )


def _shapes(tensors: Any) -> list[tuple[int, ...]]:
    """Without the batch, fewest axes first."""
    return sorted(
        (tuple(int(size) for size in tensor.shape[1:]) for tensor in tensors), key=lambda one: (len(one), one)
    )
