"""Transfer learning: begin from weights that another training ended with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bonedge.edge.errors import InvalidConfiguration


def transfer_weights(
    model: Any, file: Path, name: str, twin: Callable[[], Any], published: Callable[[], Any] | None = None
) -> None:
    """Copy every layer of the same name and shapes from a file into `model`.

    Args:
        model: a `keras.Model`, changed in place.
        file: a .keras model; a .weights.h5 of `twin`; or another .h5 of `published`.
        name: of the architecture, for messages.
        twin: builds the network that `model` is.
        published: builds the network as keras.applications has it, when it does.

    Raises:
        InvalidConfiguration: there is no such file, or nothing in it fits.
    """
    import keras

    if not file.is_file():
        raise InvalidConfiguration(f"--weights {file}: there is no such file")
    try:
        if file.suffix == ".keras":
            donor = keras.models.load_model(file, compile=False)
        else:
            donor = (twin if published is None or file.name.endswith(".weights.h5") else published)()
            donor.load_weights(file)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidConfiguration(f"--weights {file}: these are not weights of {name} ({reason})") from error
    given = {layer.name: layer.get_weights() for layer in donor.layers}
    copied = 0
    for layer in model.layers:
        wanted, offered = layer.get_weights(), given.get(layer.name, [])
        if wanted and [w.shape for w in wanted] == [w.shape for w in offered]:
            layer.set_weights(offered)
            copied += 1
    if copied == 0:
        raise InvalidConfiguration(f"--weights {file}: no layer fits {name}")
