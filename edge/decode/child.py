"""The expendable process that decodes: reads files from standard input, writes pictures to standard output.

Started by `Decoder` as `python -I -c "from bonedge.edge.decode.child import main; main()" SECONDS MEGABYTES`.
It ends when its standard input does, so it never outlives its parent.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

from bonedge.edge.errors import UnreadableImage
from bonedge.edge.failpoints import reach_decoder

from .formats import decode
from .wire import READY, REQUEST, pack_picture, pack_refusal, pack_reply, pixel_bytes

__all__ = ["main"]


def main() -> None:
    """Serve until standard input ends. Arguments: seconds per file, limit of the address space in MiB."""
    timeout_seconds, memory_mb = float(sys.argv[1]), int(sys.argv[2])
    _confine(memory_mb)
    # Codecs written in C may print; the replies go to a descriptor of their own.
    with os.fdopen(os.dup(1), "wb", buffering=0) as replies, os.fdopen(0, "rb") as requests:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _import_dicom()
        _write(replies, pack_reply(READY))
        _import_for_large_pictures()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # not earlier: imports may leave byte code behind
        while (head := _read(requests, REQUEST.size)) is not None:
            size, working_px = REQUEST.unpack(head)
            data = _read(requests, size)
            if data is None:
                return
            # Should the parent die while a file hangs the codec, nobody else would end this process.
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds + 1.0)
            reach_decoder(data)
            _answer(data, working_px or None, replies)
            signal.setitimer(signal.ITIMER_REAL, 0)


def _confine(memory_mb: int) -> None:
    """Limits that hold whatever a codec does: memory, and no core dump with a patient's picture in it."""
    limit = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("900")  # when memory runs out, this process goes and not the one that it works for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    logging.disable()


def _import_dicom() -> None:
    """Load pydicom while the parent is still loading its engines."""
    # pydicom imports an HTTP client for its test files when there is one: a fifth of its start-up.
    sys.modules.setdefault("requests", None)  # type: ignore[arg-type]  # None is what makes the import fail
    from . import dicom  # noqa: F401


def _import_for_large_pictures() -> None:
    """Load what shrinks a picture before the first one is here to wait for it."""
    import cv2

    cv2.setNumThreads(1)
    with suppress(ImportError):  # the whole picture is decoded then
        from PIL import Jpeg2KImagePlugin  # noqa: F401


def _answer(data: bytes, working_px: int | None, replies: BinaryIO) -> None:
    try:
        radiograph = decode(data, "", working_px)
    except UnreadableImage as error:
        _write(replies, pack_refusal(error))
        return
    _write(replies, pack_picture(radiograph))
    _write(replies, pixel_bytes(radiograph.pixels))


def _read(requests: BinaryIO, length: int) -> bytes | None:
    """Exactly `length` bytes; None when standard input ends first."""
    data = requests.read(length)
    return data if len(data) == length else None


def _write(replies: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[replies.write(view) :]
