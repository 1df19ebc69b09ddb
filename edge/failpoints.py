"""Named places at which a proof makes the daemon die, hang or fail; dead code unless an environment variable arms it.

`BONEDGE_FAILPOINTS` is a list, separated by commas, of `name=action` or `name=action@n`: at the n-th time (default 1)
that the place is reached in this process, the action happens. Actions: `kill` (SIGKILL to this process), `hang`,
`error` (an exception that nobody foresaw). In the decoding process, `decode-abort`, `decode-hang` and `decode-exhaust`
take no action but theirs, and only for files that contain their own name after `bonedge `.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

NAMES = (
    "opened",
    "read",
    "begun",
    "decoded",
    "examined",
    "written",
    "acknowledged",
    "settled",
    "quarantining",
    "quarantined",
    "scanning",
    "ready",
)
"""In the order in which a file passes them, then the ones that it may miss."""
_IN_THE_DECODER = ("decode-abort", "decode-hang", "decode-exhaust")


def _armed(text: str) -> dict[str, tuple[str, int]]:
    armed = {}
    for part in filter(None, text.split(",")):
        name, _, action = part.partition("=")
        action, _, count = action.partition("@")
        armed[name] = (action, int(count or "1"))
    return armed


_ARMED: Mapping[str, tuple[str, int]] = _armed(os.environ.get("BONEDGE_FAILPOINTS", ""))
_REACHED: dict[str, int] = {}


def reach(name: str) -> None:
    """Say that the place called `name` is reached."""
    if not _ARMED or name not in _ARMED:
        return
    action, count = _ARMED[name]
    _REACHED[name] = _REACHED.get(name, 0) + 1
    if _REACHED[name] != count:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "hang":
        time.sleep(1e6)
    raise ZeroDivisionError(f"failpoint {name}")


def reach_decoder(content: bytes) -> None:
    """In the decoding process: abort, hang or ask for all memory, if the file says so and the environment allows it."""
    if not _ARMED:
        return
    for name in _IN_THE_DECODER:
        if name in _ARMED and f"bonedge {name}".encode() in content:
            if name == "decode-abort":
                os.abort()
            if name == "decode-hang":
                time.sleep(1e6)
            bytearray(1 << 40)
