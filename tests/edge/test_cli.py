"""The command line's outer shell, in real processes."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from bonedge.edge import cli

_RUN = "import sys; from bonedge.edge.cli import main; main()"


def bonedge(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{_RUN}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_lists_all_commands_and_imports_none() -> None:
    """If it failed, `bonedge --help` would be slow, or break when an optional part is missing."""
    probe = """
import atexit, sys
def heavy():
    loaded = {"numpy", "cv2", "pydantic", "openvino", "rich", "tensorflow", "keras"} & set(sys.modules)
    print("LOADED", sorted(loaded))
atexit.register(heavy)
"""
    done = bonedge("--help", before=probe)
    assert done.returncode == 0
    assert "LOADED []" in done.stdout
    for name in ("convert", "evaluate", "phantom", "predict", "train"):
        assert f"\n  {name} " in done.stdout


def test_version_is_the_installed_one() -> None:
    """If it failed, a bug report would name the wrong version."""
    done = bonedge("--version")
    assert done.stdout == f"bonedge {importlib.metadata.version('bonedge')}\n"


@pytest.mark.parametrize("arguments", [("frobnicate",), ("predict",), ("predict", "--engine", "onnx", "x"), ("--no",)])
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    """If it failed, a script could not tell a typing error from an unreadable picture."""
    done = bonedge(*arguments)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "x.dcm", "--output", ""),
        ("watch", "--input", ""),
        ("bundle", "show", ""),
        ("phantom", "--count", "1", "--seed", "1", "--output", ""),
    ],
)
def test_a_place_without_a_name_is_exit_2(arguments: tuple[str, ...]) -> None:
    """If it failed, `--output "$RESULTS"` with the variable unset would write to wherever one happens to be."""
    done = bonedge(*arguments)
    assert done.returncode == 2
    assert "it is empty" in done.stderr
    assert done.stdout == ""


def test_every_command_of_the_runtime_explains_itself() -> None:
    """If it failed, the table of commands would name a module that is not there."""
    done = bonedge("predict", "--help")
    assert done.returncode == 0
    for option in ("--output", "--bundle", "--engine", "--device", "--threads", "--json", "--config"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        ("train", "keras", "convert"),
        ("convert", "scipy", "convert"),
        ("study", "scipy", "study"),
        ("train", "imagehash", "data"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_remedy(command: str, missing: str, extra: str) -> None:
    """If it failed, a user without TensorFlow would get a traceback instead of the command to install it."""
    without = f"""
import sys
sys.modules["{missing}"] = None
import bonedge.edge.cli as cli
def refuse(name):
    import {missing}
cli.import_module = refuse
"""
    done = bonedge(command, before=without)
    assert done.returncode == 2
    assert done.stderr == f'bonedge: This command needs {missing}: pip install "bonedge[{extra}]"\n'


def test_a_defect_is_one_line_too() -> None:
    """If it failed, an unforeseen error would bury the user in a traceback."""
    broken = """
import bonedge.edge.cli as cli
def refuse(name):
    raise ZeroDivisionError("first line\\nsecond line")
cli.import_module = refuse
"""
    done = bonedge("predict", "x", before=broken)
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1
    assert "ZeroDivisionError: first line second line" in done.stderr
    assert "BONEDGE_DEBUG=1" in done.stderr


def test_a_full_disk_is_no_defect() -> None:
    """If it failed, whoever's disk is full would report a defect."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr.startswith("bonedge: standard output or a file: cannot be written (No space left on device)")


def test_a_reader_that_goes_away_is_no_defect() -> None:
    """If it failed, `bonedge predict --json ... | head -1` would end in an error message."""
    flood = "import click, bonedge.edge.cli as cli\ncli.import_module = lambda name: type('M', (), {'command': flood})"
    command = "import click\n@click.command()\ndef flood():\n    [click.echo('x' * 99) for _ in range(99999)]\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{command}{flood}\n{_RUN}", "predict"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_commands_are_described_once() -> None:
    """If it failed, the list in `bonedge --help` would lack a command's description."""
    assert all(target.count(":") == 1 and text.endswith(".") for target, text in cli._COMMANDS.values())
