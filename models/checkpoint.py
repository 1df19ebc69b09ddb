"""Training that can be interrupted: everything that the next epoch needs, in one file that is there whole or not."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole

History = list[dict[str, float]]
"""One row of figures per finished epoch."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `len(history)` epochs."""

    weights: list[Any]
    """As `model.get_weights()`."""
    optimizer: list[Any]
    """The optimizer's variables, in order; empty when there is none."""
    history: History

    def save(self, file: Path, plan: str) -> None:
        """Write to `file`. `plan` names the run; another plan cannot go on from it."""
        arrays = {f"weight_{n:04d}": value for n, value in enumerate(self.weights)}
        arrays |= {f"optimizer_{n:04d}": value for n, value in enumerate(self.optimizer)}
        about = json.dumps({"plan": plan, "history": self.history})
        content = io.BytesIO()
        np.savez(content, about=np.array(about), **arrays)
        write_whole(file, content.getvalue())

    @classmethod
    def load(cls, file: Path, plan: str) -> Checkpoint:
        """Read `file`.

        Raises:
            InvalidConfiguration: it is not a checkpoint, or one of another plan.
        """
        try:
            # Opened here: numpy leaves the file open when it is damaged.
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                planned, history = about["plan"], about["history"]
                names = sorted(arrays.files)
                weights = [arrays[name] for name in names if name.startswith("weight_")]
                optimizer = [arrays[name] for name in names if name.startswith("optimizer_")]
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise InvalidConfiguration(f"{file}: not a checkpoint ({error}); --restart begins anew") from error
        if planned != plan:
            raise InvalidConfiguration(
                f"{file}: a checkpoint of other data or options ({planned}, now {plan}); repeat them to go on, "
                "or give --restart to begin anew"
            )
        return cls(weights, optimizer, history)


def capture(model: Any, history: History) -> Checkpoint:
    """The state of a compiled model."""
    return Checkpoint(model.get_weights(), [_numpy(v) for v in model.optimizer.variables], list(history))


def restore(model: Any, checkpoint: Checkpoint, *, optimizer: bool = True) -> None:
    """Put a state into a compiled model of the same layers (its input size may differ)."""
    model.set_weights(checkpoint.weights)
    if optimizer and checkpoint.optimizer:
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(model.optimizer.variables, checkpoint.optimizer, strict=True):
            variable.assign(value)


def restart(model: Any, beginning: Any) -> None:
    """Put a compiled model where it was before its first step, with the weights of `beginning`."""
    model.set_weights(beginning.get_weights())
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))


def save_model(model: Any, file: Path) -> None:
    """Write a .keras file, deflated, which Keras does not and which saves a ninth; it appears whole or not at all."""
    stored = file.with_name(f".{file.stem}.part.keras")
    model.save(stored)
    deflated = io.BytesIO()
    with (
        zipfile.ZipFile(stored) as parts,
        zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed,
    ):
        for part in parts.infolist():
            packed.writestr(part.filename, parts.read(part))
    write_whole(file, deflated.getvalue())
    stored.unlink()


def _numpy(variable: Any) -> Any:
    from keras import ops

    return ops.convert_to_numpy(variable.value)
