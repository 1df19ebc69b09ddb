"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bonedge.edge.cli import cli

ROOT = Path(__file__).parents[1]
FOLDERS = ("edge", "calibration", "models", "convert")
COMMANDS = cli.list_commands(click.Context(cli))
_BOUNDARIES = ["edge/cli.py", "edge/crew.py"]
"""Where any exception may be caught: the command line's own boundary, and the daemon's around each arrival."""
_WITHOUT_CONVERTER = """
import sys
for name in ("tensorflow", "keras", "nncf", "matplotlib", "jax", "torch"):
    sys.modules[name] = None
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=600)


def tool(name: str) -> str:
    """The path of a tool that is installed beside this interpreter."""
    return str(Path(sys.executable).parent / name)


def catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    reraises = any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    return "Exception" in names or ("BaseException" in names and not reraises)


def imported(node: ast.AST) -> list[str]:
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def test_imports_go_one_way() -> None:
    """The runtime would come to depend on what trains and converts, and with it on TensorFlow."""
    done = run(tool("lint-imports"))
    assert done.returncode == 0, done.stdout


@pytest.mark.full
def test_types_are_sound() -> None:
    """A stage could be handed something else than what it says it takes."""
    done = run(sys.executable, "-m", "mypy")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=" ".join)
def test_code_is_linted_and_formatted(arguments: tuple[str, ...]) -> None:
    """A change would be hidden among reformatted lines, or bring in what the linter knows to be a mistake."""
    done = run(tool("ruff"), *arguments)
    assert done.returncode == 0, done.stdout


def test_exceptions_are_swallowed_at_the_boundary_only() -> None:
    """A defect would be taken for a bad input, and nobody would hear of it."""
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    ]
    assert found == _BOUNDARIES


def test_keys_are_handled_in_one_place() -> None:
    """A second place that checks signatures would be the one with the mistake."""
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in imported(node)
        if name.partition(".")[0] == "cryptography"
    }
    assert found == {"edge/keys.py"}


def test_the_runtime_and_the_phantoms_import_without_the_converter() -> None:
    """On a workstation, without TensorFlow, a command would end in an import error."""
    script = (
        _WITHOUT_CONVERTER
        + """
import importlib, pkgutil
import bonedge.calibration, bonedge.edge
for package in (bonedge.edge, bonedge.calibration):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import bonedge.models.evaluate
"""
    )
    done = run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_help_loads_nothing_heavy() -> None:
    """`bonedge --help` and tab completion would take a second."""
    script = """
import sys
from bonedge.edge.cli import cli
cli.main(["--help"], standalone_mode=False)
heavy = {"numpy", "cv2", "pydicom", "openvino", "ai_edge_litert", "pydantic", "rich", "tensorflow", "keras",
         "cryptography", "packaging"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"
    assert "predict" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_without_the_converter(name: str) -> None:
    """A user could not even read what a command needs before installing what it needs."""
    done = run(sys.executable, "-c", f"{_WITHOUT_CONVERTER}\nfrom bonedge.edge.cli import main; main()", name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: bonedge {name}")


def test_every_command_is_in_the_readme() -> None:
    """Whoever reads the README would not learn that a command exists."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"bonedge {name}" not in readme] == []
