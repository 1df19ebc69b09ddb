"""What is trained in the study, on what and for how long: the same for every arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import product

from .rivals import ARCHITECTURES


class Shown(StrEnum):
    """What of a radiograph a network sees."""

    WHOLE = "whole image"
    SEGMENTED = "U-Net region"
    TRUE = "true region"


class Start(StrEnum):
    """Which weights a network begins with."""

    SCRATCH = "from scratch"
    TRANSFER = "transfer (parts of the body)"
    IMAGENET = "transfer (ImageNet)"


@dataclass(frozen=True)
class Arm:
    """One cell of the study; trained once per seed."""

    architecture: str
    shown: Shown
    start: Start
    augmented: bool

    @property
    def slug(self) -> str:
        """For file names."""
        words = (self.architecture, self.shown.name, self.start.name, "augmented" if self.augmented else "plain")
        return "-".join(words).lower().replace(" ", "-")

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.architecture}, {self.shown}, {self.start}, {'' if self.augmented else 'not '}augmented"


_CHOICE_OF_ARMS = {"seeds", "every_combination", "architectures"}


@dataclass(frozen=True)
class Protocol:
    """How long, how large, how often."""

    side: int
    """Of the square that networks see, pixels."""
    epochs: int
    pretraining_epochs: int
    """On the related task, for arms that transfer."""
    training_pictures: int
    """At most so many of the data's training part; the same ones for every arm."""
    seeds: tuple[int, ...]
    every_combination: bool
    """Every input with every start with and without augmentation; else each factor is varied on its own."""
    batch: int = 16
    momentum: float = 0.99
    """Of the statistics that batch normalisation keeps: they follow the last 1 / (1 - momentum) steps or so."""
    bfloat16: bool = False
    """Whether convolutions are computed in it: see `bonedge.models.kernels.convolve_in_bfloat16`."""
    architectures: tuple[str, ...] = tuple(ARCHITECTURES)

    def arms(self, imagenet: bool = False) -> Iterator[Arm]:
        """What is trained; with `imagenet` also from those weights.

        Without `every_combination`: each architecture on each input from scratch with augmentation; and on what the
        U-Net found also with transferred weights, and without augmentation.
        """
        starts = [Start.SCRATCH, Start.TRANSFER, *([Start.IMAGENET] if imagenet else [])]
        if self.every_combination:
            for architecture, shown, start, augmented in product(self.architectures, Shown, starts, (True, False)):
                yield Arm(architecture, shown, start, augmented)
            return
        for architecture in self.architectures:
            for shown in Shown:
                yield Arm(architecture, shown, Start.SCRATCH, augmented=True)
            for start in starts[1:]:
                yield Arm(architecture, Shown.SEGMENTED, start, augmented=True)
            yield Arm(architecture, Shown.SEGMENTED, Start.SCRATCH, augmented=False)

    @property
    def training(self) -> str:
        """Everything that decides what an arm becomes, for comparing plans. Which others are trained does not."""
        return str({name: value for name, value in asdict(self).items() if name not in _CHOICE_OF_ARMS})


REDUCED = Protocol(
    side=64,
    epochs=7,
    pretraining_epochs=3,
    training_pictures=1200,
    seeds=(1, 2, 3),
    every_combination=False,
    # With Keras's 0.99 and half of these 525 steps a fourteenth was left of where the statistics began, in each of 49
    # layers: EfficientNetB0 then gave every picture the same verdict.
    momentum=0.95,
)
"""For one machine: not quite two hours on two cores with AVX-512 BF16, a process on each, phantoms not counted. Shows
what is learned in few steps, not a network at its best."""
FULL = Protocol(
    side=299,
    epochs=40,
    pretraining_epochs=10,
    training_pictures=100_000,
    seeds=(1, 2, 3, 4, 5),
    every_combination=True,
)
"""For a machine with an accelerator."""
