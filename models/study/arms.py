"""Train each arm of the study, once per seed, and ask it about the test pictures. Interrupted, it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache as remembered
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from bonedge.edge.manifest import Preprocessing
from bonedge.models.checkpoint import save_model
from bonedge.models.fit_operation import best_temperature
from bonedge.models.fitting import Schedule, Task, fit
from bonedge.models.losses import classification_loss, evidence_loss
from bonedge.models.train import naming

from .cost import Cost, cost
from .examples import Examples, RegionBatches
from .protocol import Arm, Protocol, Shown, Start
from .results import Result, Store, Wanted, plan
from .rivals import (
    ARCHITECTURES,
    EVIDENCE,
    IMAGENET_FILES,
    LOGITS,
    begin_from,
    deployed,
    with_heads,
    with_region_head,
)

_WATCHED = 120
"""Validation pictures whose figures are logged after each epoch."""
_CHOICE = 0x57D1
"""Stirs the choice of training pictures."""


@dataclass(frozen=True)
class Networks:
    """The study's networks. `data`: identifies training, validation and test pictures and the U-Net."""

    protocol: Protocol
    training: Examples
    test: Examples
    p: Preprocessing
    folder: Path
    data: str
    imagenet: Path | None = None
    """Folder of the files of `IMAGENET_FILES`."""
    _compiled: dict[tuple[str, str], dict[Any, Any]] = field(default_factory=dict, repr=False)

    def arms(self) -> list[Arm]:
        """What is trained; from ImageNet where there is a file."""
        offered = list(self.protocol.arms(self.imagenet is not None))
        return [arm for arm in offered if arm.start is not Start.IMAGENET or arm.architecture in IMAGENET_FILES]

    def tasks(self, on_begin: Callable[[str], None]) -> list[Wanted]:
        """Every arm with every seed. `on_begin`: told the title of each that is trained."""
        return [self._task(arm, seed, on_begin) for seed in self.protocol.seeds for arm in self.arms()]

    def costs(self) -> dict[str, Cost]:
        """Of each architecture. Measured whenever asked for: other work on this machine makes networks slower."""
        families, maps = len(self.training.cache.families), self.training.maps()
        return {
            name: cost(deployed(with_heads(name, self.protocol.side, families, maps)))
            for name in self.protocol.architectures
        }

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """Numbers of the training pictures: the same ones for every arm and seed."""
        limbs = self.training.limbs
        offered = limbs[~self.training.cache.validation[limbs]]
        order = np.random.default_rng(_CHOICE).permutation(offered)
        return np.sort(order[: self.protocol.training_pictures])

    def _task(self, arm: Arm, seed: int, on_begin: Callable[[str], None]) -> Wanted:
        name, wanted = f"{arm.slug}-{seed}", plan("arm", self.data, self.protocol.training, arm, seed)

        def train() -> Result:
            on_begin(f"{arm.title}, seed {seed}")
            return self._train(arm, seed, wanted)

        return Wanted(name, wanted, train, claim=name)

    def _train(self, arm: Arm, seed: int, wanted: str) -> Result:
        side = self.protocol.side
        beginning = self._beginning(arm, seed)
        families = len(self.training.cache.families)
        evidence_side = _evidence_side(arm.architecture, side, families, self.training.maps())

        def build(side: int) -> Any:
            model = self._settling(with_heads(arm.architecture, side, families, self.training.maps()))
            if beginning is not None:
                begin_from(model, arm.architecture, beginning)
            return model

        watched = self._validation[:_WATCHED]
        task = Task(
            name=f"{arm.slug}-{seed}",
            build=build,
            loss={
                LOGITS: classification_loss,
                EVIDENCE: evidence_loss,
                **naming(self.training.cache),
            },
            batches=lambda epoch, side: self.training.batches(
                arm.shown, arm.augmented, self.chosen, self.p, side=side, seed=seed, epoch=epoch,
                size=self.protocol.batch, evidence_side=evidence_side,
            ),
            validate=lambda model, side: self._figures(model, arm.shown, watched),
            schedule=self._schedule(arm, self.protocol.epochs),
            seed=seed,
            data=self.data,
            options={"arm": arm.slug},
            compiled=self._compiled.setdefault(("arm", arm.architecture), {}),
        )  # fmt: skip
        model, seconds = self._fit(task)
        heard = self.training.logits(model, arm.shown, self._validation, self.p, side)
        temperature = best_temperature(heard, self.training.truths(self._validation))
        logits = self.test.logits(model, arm.shown, self.test.limbs, self.p, side)
        return Result(
            plan=wanted,
            group="networks",
            system=arm.architecture,
            shown=arm.shown.value,
            start=arm.start.value,
            augmented=arm.augmented,
            seed=seed,
            probabilities=softmax(logits.astype(np.float64) / temperature, axis=1).round(6).tolist(),
            seconds=round(seconds, 1),
            pictures_per_second=round(self.protocol.epochs * len(self.chosen) / seconds, 1),
        )

    def _beginning(self, arm: Arm, seed: int) -> Path | None:
        """The file whose weights an arm begins with."""
        if arm.start is Start.SCRATCH:
            return None
        if arm.start is Start.IMAGENET:
            assert self.imagenet is not None
            return self.imagenet / IMAGENET_FILES[arm.architecture]
        return self._pretrained(arm, seed)

    def _pretrained(self, arm: Arm, seed: int) -> Path:
        """Weights after the related task; the same for all arms of an architecture and seed."""
        name = f"pretrained-{arm.architecture}-{seed}".lower().replace(" ", "-")
        wanted = plan("pretraining", self.data, self.protocol.training, arm.architecture, seed)
        file = self.folder / "pretrained" / f"{name}-{wanted[:12]}.keras"
        with Store(self.folder).claim(name, wait=True):
            if not file.is_file():
                self._pretrain(arm, seed, name, file)
        return file

    def _pretrain(self, arm: Arm, seed: int, name: str, file: Path) -> None:
        task = Task(
            name=name,
            build=lambda side: self._settling(with_region_head(arm.architecture, side, len(self.training.regions))),
            loss={"region": classification_loss},
            batches=lambda epoch, side: RegionBatches(
                self.training, self.chosen, self.p, side, seed, epoch, self.protocol.batch
            ),
            validate=lambda model, side: {},
            schedule=self._schedule(arm, self.protocol.pretraining_epochs),
            seed=seed,
            data=self.data,
            compiled=self._compiled.setdefault(("pretraining", arm.architecture), {}),
        )
        model, _ = self._fit(task)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, file)

    def _settling(self, model: Any) -> Any:
        """`model`, whose batch normalisation follows as quickly as the protocol says."""
        import keras

        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = self.protocol.momentum
        return model

    def _schedule(self, arm: Arm, epochs: int) -> Schedule:
        return Schedule((self.protocol.side,) * epochs, ARCHITECTURES[arm.architecture].learning_rate)

    def _fit(self, task: Task) -> tuple[Any, float]:
        """The trained model and the seconds that its epochs took, interruptions not counted."""
        run = self.folder / "unfinished" / task.name
        run.mkdir(parents=True, exist_ok=True)
        model = fit(task, run, resume=True)
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        seconds = _seconds(run / f"{task.name}.log.jsonl")
        (run / f"{task.name}.log.jsonl").replace(logs / f"{task.name}.jsonl")
        shutil.rmtree(run)
        return model, seconds

    def _figures(self, model: Any, shown: Shown, indices: NDArray[np.int64]) -> dict[str, float]:
        verdicts = self.training.logits(model, shown, indices, self.p, self.protocol.side).argmax(axis=1)
        return {"tumour_accuracy": float(np.mean((verdicts > 0) == (self.training.truths(indices) > 0)))}

    @cached_property
    def _validation(self) -> NDArray[np.int64]:
        limbs = self.training.limbs
        return limbs[self.training.cache.validation[limbs]]


@remembered
def _evidence_side(architecture: str, side: int, families: int, maps: int) -> int:
    """Rows of its map of evidence."""
    return int(with_heads(architecture, side, families, maps).get_layer(EVIDENCE).output.shape[1])


def _seconds(log: Path) -> float:
    return sum(float(json.loads(line)["seconds"]) for line in log.read_text("utf-8").splitlines())
