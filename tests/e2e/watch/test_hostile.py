"""Proof 5: whatever a file contains or is called, it costs at most itself; the next good file has its normal time."""

from __future__ import annotations

import random
import statistics
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ...edge.decode.conftest import NATIVE, build, encode, walk
from .conftest import Watch, drop

Watching = Callable[..., Watch]
Picture = Callable[..., bytes]
SYNTAXES = (
    *NATIVE, RLELossless, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless,
    JPEGLSNearLossless, JPEG2000Lossless, HTJ2KLossless,
)  # fmt: skip


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged DICOM of every transfer syntax: bytes changed, cut, doubled, zeroed, lengths blown up."""
    rng = random.Random(seed)
    for number in range(count):
        syntax = SYNTAXES[number % len(SYNTAXES)]
        eight = syntax == JPEGBaseline8Bit
        picture = walk(40, 50, 0, 255, "u1") if eight else walk(40, 50, 0, 4095, "u2")
        data = bytearray(build(picture, syntax=syntax, bits_stored=8 if eight else 12, PatientID=str(number)))
        for _ in range(rng.randint(1, 8)):
            begin = rng.randrange(132, len(data)) if rng.random() < 0.8 else rng.randrange(len(data))
            span = rng.randint(1, 64)
            kind = rng.randrange(5)
            if kind == 0:
                data[begin] = rng.randrange(256)
            elif kind == 1:
                del data[begin : begin + span]
            elif kind == 2:
                data[begin:begin] = data[begin : begin + span]
            elif kind == 3:
                data[begin : begin + span] = bytes(min(span, len(data) - begin))
            else:
                data[begin : begin + 4] = b"\xff\xff\xff\x7f"
        yield f"mutation-{number}.dcm", bytes(data)


def crafted() -> Iterator[tuple[str, bytes]]:
    """Attacks by hand."""
    flat = walk(40, 50, 0, 4095, "u2")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(512)) + deflate.flush()
    plain = build(flat, syntax=NATIVE[3])
    head = plain[: plain.index(b"1.2.840.10008.1.2.1.99") + 22]
    yield "deflate bomb.dcm", head + bomb
    yield "rle bomb.dcm", build(
        flat, syntax=RLELossless, frame=struct.pack("<16I", 2, 64, 80, *([0] * 13)) + b"\x81\0" * 8,
        Rows=30000, Columns=3000,
    )  # fmt: skip
    codestream = bytearray(encode(flat, flat, JPEG2000Lossless, 12))
    at = codestream.index(b"\xff\x51")
    codestream[at + 6 : at + 14] = struct.pack(">II", 0x7FFFFFFF, 0x7FFFFFFF)
    yield "j2k lies.dcm", build(flat, syntax=JPEG2000Lossless, bits_stored=12, frame=bytes(codestream))
    yield "rows lie.dcm", build(flat, Rows=65535, Columns=65535)
    yield "nested.dcm", nested(10_000)
    for number, name in enumerate(("../../../../tmp/evil", "/etc/passwd", 'x\n{"event":"forged"}', "a\0b", "\x1b[2J")):
        yield f"traversal-{number}.dcm", build(flat, PatientName=name, SOPInstanceUID=name[:64], StudyInstanceUID=name)
    good = build(flat)
    for magic in (
        b"%PDF-1.7\n",
        b"\x7fELF\x02\x01\x01",
        b"PK\x03\x04",
        b"MZ\x90\0",
        b"II*\0",
        b"#!/bin/sh\nrm -rf /\n",
    ):
        yield f"polyglot-{magic[1:4].hex()}.dcm", magic.ljust(128, b"\0") + good[128:]
    yield "huge png.png", b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60000, 60000, 16, 0, 0, 0, 0)
    yield "empty.dcm", b""
    yield "one byte.dcm", b"\0"


def nested(depth: int) -> bytes:
    """Sequences in sequences, written by hand: a library would not."""
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = NATIVE[1]
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.1", "1.2.3", "CR"
    dataset.ModalityLUTSequence = Sequence([])
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    opening = struct.pack("<HH2sHI", 0x0028, 0x3000, b"SQ", 0, 0xFFFFFFFF)
    return buffer.getvalue() + (opening + item) * depth


def outside(watch: Watch, *but: Path) -> dict[str, int]:
    """Everything beside output and state, and when it was changed."""
    return {
        str(path): path.lstat().st_mtime_ns
        for path in watch.folder.rglob("*")
        if path.is_file() and not any(path.is_relative_to(part) for part in but)
    }


def good_times(watch: Watch, radiograph: Picture, numbers: range) -> list[float]:
    """Milliseconds from arrival to result of good files, one after the other."""
    times = []
    for number in numbers:
        before = len(watch.events)
        drop(watch.input, f"good-{number}.png", radiograph(number))
        watch.wait(lambda before=before: watch.said(before)["done"] >= 1)
        times += [event["latency_ms"] for event in watch.events[before:] if event["event"] == "done"]
    return times


def check(
    watch: Watch, pid: int, files: int, good: int, before: dict[str, int], normal: list[float], after: list[float]
) -> None:
    assert watch.pid == pid
    assert watch.stop() == 0
    assert len(watch.seen()) == files
    assert not watch.rows("SELECT * FROM outcome WHERE state = 'pending' OR in_hand = 1")
    contents = watch.rows("SELECT count(*), count(DISTINCT content) FROM outcome")
    assert contents[0][0] == contents[0][1]  # one state each
    assert watch.states()["done"] >= good
    assert len(watch.results()) == watch.states()["done"]
    ignored = (watch.output, watch.state, watch.folder / "stderr")
    assert outside(watch, *ignored) == before
    assert all(not path.is_dir() for folder in (watch.output, watch.state) for path in folder.iterdir())
    assert "forged" not in {event["event"] for event in watch.events}
    assert watch.complaint() == ""
    print(f"\ngood files: {statistics.median(normal):.0f} ms before, {statistics.median(after):.0f} ms after")
    assert statistics.median(after) < 3 * statistics.median(normal) + 500


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_hostile_files(watching: Watching, radiograph: Picture, scale: Callable[[Any, Any], Any]) -> None:
    """One crafted file would take the service down, or write where it must not."""
    watch = watching(decode_seconds=5, incomplete_seconds=0.2).start()
    pid = watch.pid
    normal = good_times(watch, radiograph, range(5))
    files = 5
    for name, content in (*crafted(), *mutations(scale(60, 2600), 2026)):
        drop(watch.input, name, content)
        files += 1
    before = outside(watch, watch.output, watch.state, watch.folder / "stderr")
    watch.wait(lambda: len(watch.seen()) == files, scale(120, 1800))
    after = good_times(watch, radiograph, range(5, 10))
    added = outside(watch, watch.output, watch.state, watch.folder / "stderr").keys() - before.keys()
    assert {Path(path).name for path in added} == {f"good-{number}.png" for number in range(5, 10)}
    before |= outside(watch, watch.output, watch.state, watch.folder / "stderr")
    check(watch, pid, files + 5, 10, before, normal, after)
    print(f"{files} files, {dict(watch.states())}")


def test_files_that_abort_hang_or_exhaust_the_decoder(watching: Watching, radiograph: Picture) -> None:
    """A codec that crashes or hangs would stop the service, or cost the file that comes after."""
    watch = watching(decode_seconds=1, decode_memory_mb=600)
    watch.start(failpoints="decode-abort=x,decode-hang=x,decode-exhaust=x")
    pid = watch.pid
    normal = good_times(watch, radiograph, range(3))
    names = ("abort", "hang", "exhaust")
    for name in names:
        drop(watch.input, f"{name}.png", radiograph(50) + f"bonedge decode-{name}".encode())
    after = good_times(watch, radiograph, range(10, 16))
    watch.wait(lambda: {f"{name}.png" for name in names} <= watch.seen())
    after += good_times(watch, radiograph, range(20, 23))
    reasons = {row[3].decode(): (row[2], row[4]) for row in watch.rows() if row[1] == "quarantined"}
    assert reasons["abort.png"] == (
        "given up after 3 tries: decoding it crashed the decoding process (SIGABRT); export it again", 3
    )  # fmt: skip
    assert "took longer than 1 s" in reasons["hang.png"][0]
    assert "exhaust.png" in reasons
    before = outside(watch, watch.output, watch.state, watch.folder / "stderr")
    check(watch, pid, len(watch.seen()), 12, before, normal, after)


def test_public_dicom_files(watching: Watching, radiograph: Picture, scale: Callable[[Any, Any], Any]) -> None:
    """A file from a real device of another kind would be left undecided, or end the service."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    public = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    contents = {path.read_bytes() for path in public if path.stat().st_size < scale(300_000, 1 << 40)}
    watch = watching(decode_seconds=10, incomplete_seconds=0.2).start()
    pid = watch.pid
    normal = good_times(watch, radiograph, range(3))
    for number, content in enumerate(sorted(contents)):
        drop(watch.input, f"public-{number}.dcm", content)
    watch.wait(lambda: len(watch.seen()) == len(contents) + 3, scale(120, 600))
    after = good_times(watch, radiograph, range(3, 6))
    before = outside(watch, watch.output, watch.state, watch.folder / "stderr")
    check(watch, pid, len(contents) + 6, 6, before, normal, after)
    print(f"{len(contents)} public files, {dict(watch.states())}")


def test_numpy_is_what_the_builder_expects() -> None:
    """The attacks above would all be refused for the same dull reason if the builder could not write a good file."""
    from bonedge.edge.decode import decode_bytes

    assert decode_bytes(build(walk(40, 50, 0, 4095, "u2"))).pixels.dtype == np.float32
