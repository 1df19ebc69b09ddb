"""What `pip install bonedge` brings."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
_HEAVY = ("tensorflow", "keras", "nncf", "matplotlib")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that no build folder of this or an earlier run gets into it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for folder in FOLDERS.values():
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)], cwd=source, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("*.whl")
    return zipfile.ZipFile(path)


def packages_found() -> set[str]:
    return {
        ".".join([package, *init.parent.relative_to(ROOT / folder).parts])
        for package, folder in FOLDERS.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }


def test_every_package_is_listed() -> None:
    """A forgotten package works in a checkout and is missing from the wheel."""
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_found()


def test_the_type_checkers_links_lead_to_the_folders() -> None:
    """mypy would check nothing, and say that all is well."""
    links = {link.name: link.resolve() for link in (ROOT / ".typing" / "bonedge").iterdir()}
    assert links == {folder: ROOT / folder for folder in FOLDERS.values()}


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    """An installed bonedge would lack a module that a checkout has."""
    expected = {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name for name in wheel.namelist() if name.endswith(".py")} == expected


def test_the_wheel_is_typed(wheel: zipfile.ZipFile) -> None:
    """Whoever builds on bonedge would get no types."""
    for package in FOLDERS:
        assert f"{package.replace('.', '/')}/py.typed" in wheel.namelist()


def test_the_wheel_holds_the_released_bundle_and_no_training_models(wheel: zipfile.ZipFile) -> None:
    """`bonedge predict` would have no model after pip install, or every workstation would carry the Keras files."""
    released = ROOT / "models" / "released"
    expected = {
        f"bonedge/models/released/bundle/{path.name}" for path in (released / "bundle").glob("*") if path.is_file()
    }
    inside = {name for name in wheel.namelist() if name.startswith("bonedge/models/released/")}
    assert inside - {"bonedge/models/released/MODEL_CARD.md"} == expected
    assert ("bonedge/models/released/MODEL_CARD.md" in inside) == (released / "MODEL_CARD.md").is_file()


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Tests, data or results would be installed into everybody's site-packages."""
    for name in wheel.namelist():
        top = name.split("/")[0]
        assert top == "bonedge" or top.endswith(".dist-info"), name
        assert "__pycache__" not in name


def test_the_wheel_carries_command_licence_and_light_requirements(wheel: zipfile.ZipFile) -> None:
    """There would be no `bonedge`, no licence, or a gigabyte of TensorFlow on a workstation."""
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "bonedge = bonedge.edge.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    always = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert always
    assert not [line for line in always if line.startswith(_HEAVY)]
    assert metadata["License-Expression"] == "Apache-2.0"
