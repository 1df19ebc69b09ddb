"""Nothing here phones home."""

from __future__ import annotations

import sys
from typing import Any


def shut_off_telemetry() -> None:
    """Keep the openvino-telemetry package from being imported in this process; call before openvino or nncf is.

    `import openvino` imports it, reads or creates a client id in the user's home, and starts a thread that posts an
    event over HTTPS; so does `import nncf`. Both do nothing of the kind when the package is absent, which is what
    this makes them see: no file is written, no environment variable is needed, the user has nothing to switch off.

    A program that embeds bonedge may have imported it earlier. What that sent cannot be taken back; from here on its
    sender drops whatever it is given.
    """
    imported = sys.modules.get("openvino_telemetry")
    if imported is not None:
        imported.main.TelemetrySender.send = _drop
    # None makes `import openvino_telemetry` raise ModuleNotFoundError (Python reference, the import system).
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def _drop(sender: Any, backend: Any, message: Any) -> None:
    """Stands in for openvino_telemetry's TelemetrySender.send."""
