"""What passes between a `Decoder` and its child: lengths, JSON and raw float32; nothing that could run.

    parent to child    u64 length of the file, u32 working size (0: every pixel), file bytes
    child to parent    u32 length, JSON reply; when it announces a picture of a shape, its float32 pixels
    child, once ready  the reply {"kind": "ready"}

Both ends are on one machine, numbers are little-endian.
"""

from __future__ import annotations

import json
import os
import select
import struct
from dataclasses import asdict
from time import monotonic
from typing import Any

import numpy as np

from bonedge.edge.errors import NotARadiograph, UnreadableImage
from bonedge.edge.records import Pixels, Radiograph, Source, Spacing

from .limits import check_size

REQUEST = struct.Struct("<QI")
REPLY = struct.Struct("<I")
MAXIMUM_REPLY_BYTES = 1 << 16
READY, PICTURE, NOT_A_RADIOGRAPH, UNREADABLE = "ready", "picture", "not a radiograph", "unreadable"


def pack_reply(kind: str, **content: Any) -> bytes:
    """A reply without pixels."""
    text = json.dumps({"kind": kind, **content}).encode()
    return REPLY.pack(len(text)) + text


def pack_picture(radiograph: Radiograph) -> bytes:
    """The reply that announces a picture; its pixels follow."""
    return pack_reply(PICTURE, source=asdict(radiograph.source), shape=radiograph.pixels.shape)


def pack_refusal(error: UnreadableImage) -> bytes:
    """The reply that says why there is no picture."""
    return pack_reply(NOT_A_RADIOGRAPH if isinstance(error, NotARadiograph) else UNREADABLE, message=str(error)[:2000])


def pixel_bytes(pixels: Pixels) -> memoryview:
    """The memory of a contiguous picture, as bytes; not a copy."""
    return pixels.reshape(-1).view(np.uint8).data


def unpack_reply(text: bytes) -> tuple[str, dict[str, Any]]:
    """A reply's kind and content.

    Raises:
        ValueError: not a reply. A child that a hostile file has taken over may write anything.
    """
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise ValueError("no reply")
    return content["kind"], content


def unpack_source(content: dict[str, Any], sha256: str) -> Source:
    """The source that a picture's reply announces, with the hash that the parent took itself.

    Raises:
        ValueError, TypeError, KeyError: not what `pack_picture` writes.
        UnreadableImage: a size that is not plausible.
    """
    source = content["source"]
    rows, columns = int(source["rows"]), int(source["columns"])
    check_size(rows, columns)
    spacing = source["spacing"]
    if spacing is not None:
        spacing = Spacing.plausible(float(spacing["row_mm"]), float(spacing["column_mm"]))
        if spacing is None:
            raise ValueError("impossible spacing")
    names = {name: source[name] for name in ("sop_instance_uid", "study_instance_uid", "modality", "body_part")}
    if any(name is not None and not (isinstance(name, str) and len(name) <= 64) for name in names.values()):
        raise ValueError("impossible attribute")
    return Source(sha256=sha256, rows=rows, columns=columns, spacing=spacing, **names)


def unpack_shape(content: dict[str, Any], source: Source) -> tuple[int, int]:
    """(rows, columns) of the pixels that follow.

    Raises:
        ValueError, TypeError, KeyError: not what `pack_picture` writes.
    """
    rows, columns = (int(side) for side in content["shape"])
    if not (1 <= rows <= source.rows and 1 <= columns <= source.columns):
        raise ValueError("more pixels than the picture has")
    return rows, columns


def send(descriptor: int, data: bytes | memoryview, deadline: float) -> None:
    """Write everything to a non-blocking pipe.

    Raises:
        TimeoutError: the deadline (on the monotonic clock, seconds) passed.
        BrokenPipeError: the other end is gone.
    """
    view, poll = memoryview(data), select.poll()
    poll.register(descriptor, select.POLLOUT)
    while view:
        _wait(poll, deadline)
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            continue


def receive(descriptor: int, view: memoryview, deadline: float) -> None:
    """Fill `view` from a non-blocking pipe.

    Raises:
        TimeoutError: the deadline (on the monotonic clock, seconds) passed.
        EOFError: the other end is gone.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while view:
        _wait(poll, deadline)
        try:
            count = os.readv(descriptor, [view])
        except BlockingIOError:
            continue
        if count == 0:
            raise EOFError
        view = view[count:]


def receive_reply(descriptor: int, deadline: float) -> tuple[str, dict[str, Any]]:
    """The next reply.

    Raises:
        ValueError, TimeoutError, EOFError: as `unpack_reply` and `receive`.
    """
    head = bytearray(REPLY.size)
    receive(descriptor, memoryview(head), deadline)
    (length,) = REPLY.unpack(head)
    if length > MAXIMUM_REPLY_BYTES:
        raise ValueError("no reply")
    text = bytearray(length)
    receive(descriptor, memoryview(text), deadline)
    return unpack_reply(bytes(text))


def receive_pixels(descriptor: int, shape: tuple[int, int], deadline: float) -> Pixels:
    """The pixels that follow a picture's reply.

    Raises:
        ValueError: values outside 0..1.
        TimeoutError, EOFError: as `receive`.
    """
    pixels = np.empty(shape, np.float32)
    receive(descriptor, pixel_bytes(pixels), deadline)
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError("pixels outside 0..1")
    return pixels


def _wait(poll: select.poll, deadline: float) -> None:
    remaining = deadline - monotonic()
    if remaining <= 0 or not poll.poll(remaining * 1000):
        raise TimeoutError
