"""A trained pair as `bonedge train` leaves it: two Keras models and the numbers that they are run with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Abstention, Decision, Preprocessing, Training
from bonedge.models.datasets import known_pictures

from .described import DESCRIPTION, as_classifier, as_segmenter, load_network, read_description

SEGMENTER = "segmenter.keras"
CLASSIFIER = "classifier.keras"
OPERATION = "operation.json"


class Operation(BaseModel):
    """The whole of operation.json: what was fitted beside the weights, in the manifest's own words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preprocessing: Preprocessing = Preprocessing()
    decision: Decision = Decision()
    abstention: Abstention | None
    """None when it is still to be fitted, on the calibration set."""
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

    @property
    def tunable(self) -> bool:
        """Whether both networks can be copied layer by layer, which those of SavedModels cannot."""
        import keras

        layers = (*self.segmenter.layers, *self.classifier.layers)
        return not any(isinstance(layer, keras.layers.TFSMLayer) for layer in layers)

    @classmethod
    def open(cls, folder: Path) -> TrainedPair:
        """Read the three files of `folder`.

        Raises:
            InvalidConfiguration: a file is missing or damaged, or the models do not fit operation.json.
        """
        if (folder / DESCRIPTION).is_file():
            return cls._described(folder)
        missing = [name for name in (SEGMENTER, CLASSIFIER, OPERATION) if not (folder / name).is_file()]
        if missing:
            raise InvalidConfiguration(
                f"{folder} holds no {missing[0]}; give the folder that 'bonedge train' wrote, with {SEGMENTER}, "
                f"{CLASSIFIER} and {OPERATION}, or one with a {DESCRIPTION} (see docs/conversion.md)"
            )
        operation = _operation(folder / OPERATION)
        p = operation.preprocessing
        before = _digests(folder, (SEGMENTER, CLASSIFIER, OPERATION))
        return cls._checked(
            folder,
            load_network(folder / SEGMENTER, p.segmenter_side_px, 1),
            load_network(folder / CLASSIFIER, p.classifier_side_px, 3),
            operation,
            before,
        )

    @classmethod
    def _described(cls, folder: Path) -> TrainedPair:
        found = read_description(folder / DESCRIPTION)
        p = found.preprocessing
        files = (found.segmenter.file, found.classifier.file)
        for file in files:
            if not (folder / file).exists():
                raise InvalidConfiguration(f"{folder / DESCRIPTION}: there is no {folder / file}; correct its name")
        before = _digests(folder, (*files, DESCRIPTION))
        models = []
        for file, side, channels in zip(files, (p.segmenter_side_px, p.classifier_side_px), (1, 3), strict=True):
            model = load_network(folder / file, side, channels)
            _check_input(folder / file, model, (side, side, channels))
            models.append(model)
        operation = Operation(
            preprocessing=p, decision=found.decision, abstention=found.abstention, training=found.training
        )
        return cls._checked(
            folder,
            as_segmenter(models[0], p.segmenter_side_px),
            as_classifier(models[1], found.classifier),
            operation,
            before,
        )

    @classmethod
    def _checked(
        cls, folder: Path, segmenter: Any, classifier: Any, operation: Operation, digests: dict[str, str]
    ) -> TrainedPair:
        # What is proved must be what is named: loading takes half a minute, and a training may be going on.
        if _digests(folder, digests) != digests:
            raise InvalidConfiguration(
                f"{folder}: a file changed while it was read; convert when its training has ended"
            )
        pair = cls(segmenter, classifier, operation, digests, known_pictures(folder))
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


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: _digest(folder / name) for name in names}


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files by name."""
    if not path.is_dir():
        return sha256(path.read_bytes()).hexdigest()
    inside = sorted(one for one in path.rglob("*") if one.is_file())
    lines = (f"{one.relative_to(path)} {sha256(one.read_bytes()).hexdigest()}" for one in inside)
    return sha256("\n".join(lines).encode()).hexdigest()


def _check_input(file: Path, model: Any, wanted: tuple[int, ...]) -> None:
    kinds = {str(one.dtype) for one in model.inputs}
    if kinds != {"float32"}:
        raise InvalidConfiguration(
            f"{file}: its input is {' and '.join(sorted(kinds))}, and bonedge gives float32; save the model with a "
            "float32 input"
        )
    shapes = _shapes(model.inputs)
    if shapes != [wanted]:
        raise InvalidConfiguration(
            f"{file}: its input is {shapes} where {[wanted]} is declared; a free size is not enough, save the "
            "model with the size that it is used at, or correct [preprocessing]"
        )


def _check(folder: Path, pair: TrainedPair) -> None:
    p = pair.operation.preprocessing
    s, k = p.segmenter_side_px, p.classifier_side_px
    abstention = pair.operation.abstention
    features = len(abstention.feature_mean) if abstention else int(pair.segmenter.output["features"].shape[-1])
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

    for name, model in zip(pair.digests, (pair.segmenter, pair.classifier), strict=False):
        broken = [v.path for v in model.variables if not np.isfinite(np.asarray(v)).all()]
        if broken:
            raise InvalidConfiguration(
                f"{folder / name}: {len(broken)} of its weights hold numbers that are not finite, the first is "
                f"{broken[0]}; train it again"
            )


def _shapes(tensors: Any) -> list[tuple[int | None, ...]]:
    """Without the batch, fewest axes first; None for a free size."""
    shapes = [tuple(None if size is None else int(size) for size in tensor.shape[1:]) for tensor in tensors]
    return sorted(shapes, key=lambda one: (len(one), tuple(size or 0 for size in one)))
