"""What converters print does not reach the user's standard output, and what they print when they fail does."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import NoReturn

import pytest

from bonedge.models.quiet import muffled, terminal


def fail(last_words: bytes) -> NoReturn:
    os.write(1, last_words)
    raise RuntimeError("gave up")


def test_holds_back_python_and_native_output(capfd: pytest.CaptureFixture[str]) -> None:
    """If it failed, `--json` would print more than one document."""
    with muffled():
        print("from Python")
        os.write(1, b"from C\n")
        os.write(2, b"from C, too\n")
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        print("and there", file=sys.stderr)
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_tells_what_was_held_back_when_something_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """If it failed, the reason that a converter printed before it gave up would be lost."""
    with pytest.raises(RuntimeError, match="gave up"), muffled():
        fail(b"operation X is not supported\n")
    out, err = capfd.readouterr()
    assert out == ""
    assert "operation X is not supported" in err
    with pytest.raises(RuntimeError), muffled(replay=False):
        fail(b"chatter\n")
    assert capfd.readouterr() == ("", "")


def test_progress_is_seen_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """If it failed, a conversion would look dead for minutes."""
    with terminal() as stream, muffled():
        print("step", file=stream)
    assert capfd.readouterr() == ("", "step\n")


def test_a_logger_that_began_in_the_block_goes_on_after_it() -> None:
    """If it failed, TensorFlow's next warning would be ten lines about a file that is closed."""
    program = (
        "import logging; from bonedge.models.quiet import muffled\n"
        "with muffled():\n"
        "    logging.basicConfig(); logging.warning('held back'); print('and this')\n"
        "logging.warning('told'); print('and that')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("and that\n", "WARNING:root:told\n")


def test_leaves_no_descriptor_open() -> None:
    """If it failed, a long conversion would run out of file descriptors."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with muffled():
            pass
    assert len(os.listdir("/proc/self/fd")) == before
