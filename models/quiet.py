"""Keeping frameworks and converters off the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def muffled(*, replay: bool = True) -> Iterator[None]:
    """Hold back everything written to standard output and error, by Python or by native code.

    The converters greet, list every variable and draw progress bars of their own, and `--json` promises a single
    document on standard output.

    Args:
        replay: when the block fails, print what was held back on standard error: it may say why.
    """
    _flush()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as held, contextlib.ExitStack() as undo:
        for descriptor in (1, 2):
            original = os.dup(descriptor)
            undo.callback(os.close, original)
            undo.callback(os.dup2, original, descriptor)
            os.dup2(held.fileno(), descriptor)
        # Ordinary streams write to these descriptors and stay: a logger that is first used in the block keeps what it
        # finds, and would later write to a file that is closed.
        if not _ordinary(sys.stdout, 1):
            undo.enter_context(contextlib.redirect_stdout(held))
        if not _ordinary(sys.stderr, 2):
            undo.enter_context(contextlib.redirect_stderr(held))
        # Deprecations between TensorFlow, Keras and NNCF: nobody who runs bonedge can act on them.
        undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        try:
            yield
        except BaseException:
            _flush()
            undo.close()
            if replay:
                held.seek(0)
                sys.stderr.write(held.read()[-20_000:])
            raise
        _flush()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _ordinary(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def terminal() -> Iterator[TextIO]:
    """Standard error as it is now, through a descriptor of its own that `muffled` does not divert."""
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):
        # Replaced by something without a descriptor: a test's buffer, an embedding program.
        yield sys.stderr
        return
    with os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="replace") as stream:
        yield stream
