"""Keeping TensorFlow, NNCF and OpenVINO off the user's terminal, and off the network, while models are converted."""

from __future__ import annotations

import os
import sys

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.offline import shut_off_telemetry
from bonedge.models.quiet import muffled, terminal

__all__ = ["frameworks", "muffled", "terminal"]


def frameworks() -> None:
    """Set what TensorFlow, Keras and NNCF read when they are imported; call before importing any of them.

    Raises:
        InvalidConfiguration: this process already runs Keras on another backend, which cannot be converted.
    """
    shut_off_telemetry()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Conversion traces and runs single pictures; a GPU would only take seconds to start.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if "keras" not in sys.modules:
        # Whatever the pair was trained on, only TensorFlow graphs can be turned into TensorFlow Lite.
        os.environ["KERAS_BACKEND"] = "tensorflow"
    with muffled():
        import keras
    if keras.backend.backend() != "tensorflow":
        raise InvalidConfiguration(
            f"Keras runs on {keras.backend.backend()} in this process; convert in a fresh process, "
            "where bonedge can choose TensorFlow"
        )
