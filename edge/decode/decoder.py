"""Decoding in an expendable process: a file can cost at most its own time and memory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from bonedge.edge.errors import DecodingKilled, InvalidConfiguration, NotARadiograph, UnreadableImage
from bonedge.edge.records import Radiograph

from .wire import (
    NOT_A_RADIOGRAPH,
    PICTURE,
    READY,
    REQUEST,
    UNREADABLE,
    receive_pixels,
    receive_reply,
    send,
    unpack_shape,
    unpack_source,
)

MAXIMUM_FILE_BYTES = 512 << 20
_PROGRAM = "from bonedge.edge.decode.child import main; main()"
_START_SECONDS = 60.0  # for the child's imports, on a machine that is busy or has a slow disk
_PIPE_BYTES = 1 << 20
_CODEC_THREADS = 4
_NO_PATH_KINDS = (
    (stat.S_ISDIR, "a folder, not a file; name the files in it"),
    (stat.S_ISFIFO, "a pipe, not a file; save it as a file first"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISCHR, "a device, not a file"),
    (stat.S_ISBLK, "a device, not a file"),
)


class _ChildLost(Exception):
    """The child ended while the request was still being sent, that is, before it looked at the file."""


class Decoder:
    """Decodes files one after the other in one long-lived child, replaced when a file kills it.

    The child starts with the first file, or earlier with `start`, which returns at once so that the child's imports
    overlap with whatever the caller does next. Not for use by several threads at once.
    """

    def __init__(self, *, timeout_seconds: float = 30.0, memory_mb: int = 2048) -> None:
        """Nothing is started yet.

        Args:
            timeout_seconds: wall-clock limit for one file, from sending it to having its pixels; > 0.
            memory_mb: limit of the child's address space in MiB. About 350 are the interpreter and its libraries;
                a picture takes 4 to 20 bytes per pixel, depending on the codec.
        """
        self._timeout_seconds = timeout_seconds
        self._memory_mb = memory_mb
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Of the child; None while there is none."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Start the child if none is running, without waiting for it."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        # One thread each: every pool of a numeric library would reserve address space per core.
        # Not so OpenJPEG's, which lives as long as one picture and is most of what a user waits for.
        threads = str(min(_CODEC_THREADS, len(os.sched_getaffinity(0))))
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "OPJ_NUM_THREADS": threads,
        }
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own program
            [sys.executable, "-I", "-c", _PROGRAM, str(self._timeout_seconds), str(self._memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what libraries say about a file may quote it
            bufsize=0,
            env=environment,
        )
        for descriptor in self._pipes():
            os.set_blocking(descriptor, False)
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            except PermissionError:
                continue  # beyond the user's pipe quota: only slower

    def close(self) -> None:
        """End the child. The decoder may be used again."""
        child, self._child, self._ready = self._child, None, False
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            child.wait()

    def decode(self, path: Path, working_px: int | None = None) -> Radiograph:
        """Decode a file.

        Args:
            path: a regular file, or a link to one.
            working_px: long side of the picture that the networks are shown: a DICOM picture that is much larger comes
                back smaller, as `bonedge.edge.decode.reduction` says, and sooner. None keeps every pixel.

        Raises:
            NotARadiograph: well formed, and something else.
            UnreadableImage: cannot be opened, or cannot be decoded within the limits.
                Both messages name the path as it was given.
            InvalidConfiguration: the child does not start, whatever the file.
        """
        try:
            return self.decode_content(_read_file(path), working_px)
        except UnreadableImage as error:
            raise type(error)(f"{_shown(path)}: {error}") from error

    def decode_content(self, data: bytes, working_px: int | None = None, sha256: str = "") -> Radiograph:
        """Decode the bytes of a whole file. Raises as `decode` does, with messages that do not name the file.

        Args:
            data: all of it.
            working_px: as `decode` takes it.
            sha256: of `data`, where the caller knows it: of a large file it takes 10 ms.

        Raises:
            DecodingKilled: besides; the child died of the file, or was killed at the limit of time.
        """
        try:
            try:
                return self._decode(data, working_px, sha256)
            except _ChildLost:  # it died of something that came before this file
                return self._decode(data, working_px, sha256)
        except UnreadableImage:
            raise
        except _ChildLost as error:
            raise DecodingKilled("the decoding process was ended twice; try again") from error
        except BaseException:
            self.close()  # interrupted half-way: what is left in the pipes belongs to this file
            raise

    def _decode(self, data: bytes, working_px: int | None, sha256: str) -> Radiograph:
        self._await_ready()
        deadline = monotonic() + self._timeout_seconds
        requests, replies = self._pipes()
        try:
            send(requests, REQUEST.pack(len(data), working_px or 0), deadline)
            send(requests, data, deadline)
        except BrokenPipeError as error:
            self.close()
            raise _ChildLost from error
        except TimeoutError as error:
            raise self._too_slow() from error
        sha256 = sha256 or hashlib.sha256(data).hexdigest()  # while the child decodes
        try:
            kind, content = receive_reply(replies, deadline)
            if kind == PICTURE:
                source = unpack_source(content, sha256)
                return Radiograph(receive_pixels(replies, unpack_shape(content, source), deadline), source)
            message = str(content["message"])
        except TimeoutError as error:
            raise self._too_slow() from error
        except EOFError as error:
            raise self._crashed() from error
        except (ValueError, TypeError, LookupError) as error:
            self.close()
            raise DecodingKilled("decoding it went wrong inside a codec; export it again") from error
        if kind not in (NOT_A_RADIOGRAPH, UNREADABLE):
            self.close()
        raise (NotARadiograph if kind == NOT_A_RADIOGRAPH else UnreadableImage)(message)

    def _await_ready(self) -> None:
        self.start()
        if self._ready:
            return
        try:
            kind, _ = receive_reply(self._pipes()[1], monotonic() + _START_SECONDS)
            self._ready = kind == READY
        except (EOFError, TimeoutError, ValueError):
            self._ready = False
        if not self._ready:
            self.close()
            raise InvalidConfiguration(
                f"the decoding process does not start with {self._memory_mb} MB of memory; allow more, or install again"
            )

    def _pipes(self) -> tuple[int, int]:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        return child.stdin.fileno(), child.stdout.fileno()

    def _too_slow(self) -> DecodingKilled:
        self.close()
        return DecodingKilled(
            f"decoding it took longer than {self._timeout_seconds:g} s and was given up; "
            "raise the time limit if the file is genuine"
        )

    def _crashed(self) -> DecodingKilled:
        assert self._child is not None
        code = self._child.wait()
        self.close()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DecodingKilled(f"decoding it crashed the decoding process ({cause}); export it again")


def _read_file(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UnreadableImage("there is no such file; check the name") from error
    except PermissionError as error:
        raise UnreadableImage("it may not be read by this user; ask for read permission") from error
    except (OSError, ValueError) as error:
        raise UnreadableImage(_unopenable(path, error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage(_kind(status.st_mode))
        if status.st_size == 0:
            raise UnreadableImage("it is empty (0 bytes); copy or export it again")
        if status.st_size > MAXIMUM_FILE_BYTES:
            raise UnreadableImage(
                f"it has {status.st_size >> 20} MiB; radiographs up to {MAXIMUM_FILE_BYTES >> 20} are read"
            )
        return _read_up_to(descriptor, status.st_size)
    except OSError as error:
        raise UnreadableImage(f"reading it failed ({os.strerror(error.errno or 0)}); copy it again") from error
    finally:
        os.close(descriptor)


def _read_up_to(descriptor: int, size: int) -> bytes:
    """The first `size` bytes, or fewer if the file is shortened meanwhile."""
    parts = []
    while size and (part := os.read(descriptor, size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unopenable(path: Path, error: OSError | ValueError) -> str:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        mode = 0
    if mode and not stat.S_ISREG(mode):
        return _kind(mode)
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not a usable path"
    return f"it cannot be opened ({reason}); check the path"


def _kind(mode: int) -> str:
    return "it is " + next((kind for test, kind in _NO_PATH_KINDS if test(mode)), "not a regular file")


def _shown(path: Path) -> str:
    """The path as the caller wrote it, on one line."""
    text = str(path)
    return text if text.isprintable() else repr(text)
