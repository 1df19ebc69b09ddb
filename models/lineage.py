"""What a network learned from, itself and whatever it began with.

Weights outlive their data: who trains on from an earlier pair, or averages two, has a network that knows pictures which
are in none of the folders at hand. `NAME.lineage.json` beside each network says which, so that nothing is proved on
them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.manifest import Training

from .cache import PictureCache
from .datasets import REAL, SampleSet, known_pictures, shortened, trained_on


class Lineage(BaseModel):
    """Of one network. Pictures are named as in `TRAINING_PICTURES`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phantom_seeds: frozenset[int] = frozenset()
    """Of simulated radiographs that it was trained, watched or tuned on."""
    learned: frozenset[str] = frozenset()
    """Pictures that its weights were fitted to."""
    seen: frozenset[str] = frozenset()
    """Others that something was chosen by, or of which it is not known what they were for."""
    real: bool = False
    """Whether real radiographs are among them."""

    @property
    def pictures(self) -> frozenset[str]:
        return self.learned | self.seen

    def learned_from(self, data: SampleSet, cache: PictureCache) -> Lineage:
        """This, and the pictures of one more training."""
        fingerprints = np.array(cache.fingerprints())
        training, validation = (shortened(fingerprints[cache.validation == side]) for side in (False, True))
        real = REAL in data.description
        own = Lineage(phantom_seeds=data.phantom_seeds, learned=training, seen=validation, real=real)
        return together([self, own])

    def check_unknown(self, held_out: Collection[str]) -> None:
        """Refuse to choose anything by pictures that were learned by heart.

        Args:
            held_out: fingerprints.

        Raises:
            InvalidConfiguration: some were learned from.
        """
        known = trained_on(held_out, self.learned)
        if known:
            raise InvalidConfiguration(
                f"the pair, or what it began with, was trained on {len(known)} of the {len(held_out)} pictures that "
                "are held out for validation, so that thresholds would be fitted to what it knows by heart. Hold out "
                "others with --held-out, and leave the folders with these out of --data"
            )

    def save(self, run: Path, name: str) -> None:
        """Write RUN/NAME.lineage.json."""
        document = {field: value if isinstance(value, bool) else sorted(value) for field, value in self}
        write_whole(_file(run, name), (json.dumps(document, indent=0) + "\n").encode())


class _Fitted(BaseModel):
    """Of operation.json, what is said of the training."""

    training: Training


def read_lineage(run: Path, name: str) -> Lineage:
    """Of `segmenter` or `classifier` in a run folder, or in that of a pair which says less: nothing if that is unknown.

    Raises:
        InvalidConfiguration: the file is damaged.
    """
    file = _file(run, name)
    try:
        return Lineage.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        told = _told(run / "operation.json")
        return Lineage(phantom_seeds=told.phantom_seeds, seen=known_pictures(run), real=REAL in told.data)
    except (OSError, ValidationError) as error:
        raise InvalidConfiguration(
            f"{file}: cannot be read ({type(error).__name__}); `bonedge train {name}` writes there what it learned "
            "from, and nothing may be proved on that: restore the file, or train again"
        ) from error


def lineage_of_weights(file: Path | None) -> Lineage:
    """Of what a training begins with: a network of a run folder, a file from elsewhere, or nothing."""
    return Lineage() if file is None else read_lineage(file.parent, file.stem)


def together(lineages: Iterable[Lineage]) -> Lineage:
    """Of a network that has something of each."""
    each = list(lineages)
    learned = frozenset[str]().union(*(one.learned for one in each))
    return Lineage(
        phantom_seeds=frozenset[int]().union(*(one.phantom_seeds for one in each)),
        learned=learned,
        seen=frozenset[str]().union(*(one.seen for one in each)) - learned,
        real=any(one.real for one in each),
    )


def _told(operation: Path) -> Training:
    try:
        return _Fitted.model_validate_json(operation.read_bytes()).training
    except (OSError, ValidationError):
        return Training(data="")


def _file(run: Path, name: str) -> Path:
    return run / f"{name}.lineage.json"
