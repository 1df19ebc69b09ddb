"""Trained networks as files of a run folder, and the Keras that reads them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.manifest import Preprocessing

from .checkpoint import save_model
from .progress import say
from .quiet import muffled

PREPROCESSING = Preprocessing(
    segmenter_side_px=448, classifier_channels="grey, lesion, bone", crop_minimum_fraction=0.2, crop_grid=16
)
"""Of the pair that is trained. A lesion of 0.15 of the long side fills half the width of a crop of three tenths."""


def load_keras() -> None:
    """Import Keras, quietly: TensorFlow reports its build at start, which is no news to the user.

    And with oneDNN, which TensorFlow by itself uses on processors with AVX-512 only: with AVX2, a step of the segmenter
    took 450 ms without and 200 to 290 ms with it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with muffled():
        import keras  # noqa: F401 - whichever backend it runs on is loaded with it


def load_network(run: Path, name: str) -> Any:
    """`segmenter` or `classifier` of a run folder, a `keras.Model`. Raises InvalidConfiguration."""
    file = run / f"{name}.keras"
    if not file.is_file():
        raise InvalidConfiguration(f"{file}: there is no such file; run `bonedge train {name}` with this folder first")
    sides = {"segmenter": PREPROCESSING.segmenter_side_px, "classifier": PREPROCESSING.classifier_side_px}
    return load_for(file, sides[name])


def load_for(file: Path, side: int) -> Any:
    """The `keras.Model` in a file, which must take pictures of `side` pixels. Raises InvalidConfiguration."""
    import keras

    model = keras.models.load_model(file, compile=False)
    if model.input_shape[1] != side:
        raise InvalidConfiguration(
            f"{file}: it is for {model.input_shape[1]} pixels, where pairs are now trained for {side}; train it on, "
            f"with --weights {file} and another --output"
        )
    return model


def save_network(model: Any, run: Path, name: str, before: Sequence[str] = ()) -> None:
    """Write NAME.keras, without optimizer, and the command that made it, after those that must come `before` it."""
    save_model(model, run / f"{name}.keras")
    write_whole(_command(run, name), f"{joined([*before, typed()])}\n".encode())
    say(f"{run / name}.keras: {model.count_params():,} parameters")


def made_by(run: Path, name: str) -> str:
    """The command that made a network of a run folder. Raises InvalidConfiguration."""
    try:
        return _command(run, name).read_text("utf-8").strip()
    except OSError as error:
        raise InvalidConfiguration(
            f"{_command(run, name)}: cannot be read ({error.strerror}); `bonedge train {name}` writes there what it "
            "was told, and the pair carries it: write how this network was trained, if by other means"
        ) from error


def joined(histories: Iterable[str]) -> str:
    """Commands in one line, each where it comes first: what is averaged shares a beginning."""
    return "; ".join(dict.fromkeys("; ".join(histories).split("; ")))


def typed() -> str:
    """The command line that this process was started with."""
    return shlex.join(["bonedge", *sys.argv[1:]])


def _command(run: Path, name: str) -> Path:
    return run / f"{name}.command.txt"
