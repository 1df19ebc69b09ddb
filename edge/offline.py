"""Nothing here phones home."""

from __future__ import annotations

import sys


def shut_off_telemetry() -> None:
    """Keep the openvino-telemetry package from ever being imported in this process.

    `import openvino` imports it, reads or creates a client id in the user's home, and starts a thread that posts an
    event over HTTPS; so does `import nncf`. Both fall back to doing nothing when the package is absent, which is what
    this makes them see: no file is written, no environment variable is needed, and the user has nothing to switch off.

    Call it before the first import of either. It is too late, and says so, once telemetry has been imported.

    Raises:
        RuntimeError: the program that embeds bonedge imported openvino-telemetry earlier; call this first.
    """
    if sys.modules.get("openvino_telemetry") is not None:
        raise RuntimeError(
            "openvino-telemetry was imported before bonedge could shut it off and may already have sent an event: "
            "call bonedge.edge.offline.shut_off_telemetry() before importing openvino or nncf"
        )
    # None makes `import openvino_telemetry` raise ModuleNotFoundError (documented in the import system's reference).
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
