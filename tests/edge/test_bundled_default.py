"""The released bundle is found wherever bonedge is installed, without running the models' code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bonedge.edge
from bonedge.edge.bundle import Bundle, bundled_default
from bonedge.edge.bundle_report import conversion_seeds

SCRIPT = """
import sys
from bonedge.edge.bundle import bundled_default
from bonedge.edge.errors import BundleRefused
try:
    print(bundled_default())
except BundleRefused as refusal:
    print(refusal)
print("bonedge.models" in sys.modules)
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that holds bonedge as a wheel lays it out, released bundle included."""
    source = Path(bonedge.edge.__path__[0])
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, tmp_path / "site" / "bonedge" / "edge", ignore=without_caches)
    released = tmp_path / "site" / "bonedge" / "models" / "released" / "bundle"
    released.mkdir(parents=True)
    (released.parent.parent / "__init__.py").write_text("raise RuntimeError('the models code ran')")
    (released / "manifest.json").write_text("{}")
    return tmp_path / "site"


def default(site: Path) -> list[str]:
    """What an interpreter that knows only `site` and this environment's third-party packages prints."""
    # -S keeps the editable install of this checkout out; the third-party packages come back by path.
    packages = Path(pytest.__file__).parent.parent
    setup = f"import sys; sys.path[:0] = [{str(site)!r}, {str(packages)!r}]\n"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", setup + SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_is_found_in_a_regular_install(installed: Path) -> None:
    """`bonedge predict` from a wheel would not find its models, or would import training code to look for them."""
    assert default(installed) == [str(installed / "bonedge" / "models" / "released" / "bundle"), "False"]


def test_absence_is_said(installed: Path) -> None:
    """An install without models would fail with a traceback instead of naming --bundle."""
    shutil.rmtree(installed / "bonedge" / "models")
    answer, _ = default(installed)
    assert answer == "this installation of bonedge carries no model bundle; give one with --bundle FOLDER"


def test_is_found_in_an_editable_install() -> None:
    """`bonedge predict` from a checkout would not find its models."""
    released = Path(bonedge.edge.__path__[0]).parent / "models" / "released" / "bundle"
    if not released.is_dir():
        pytest.skip("models/released/bundle is not there yet")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(released), "False"]


def test_what_the_bundle_was_converted_with_is_not_evaluated_on() -> None:
    """The card would say that nothing was tuned on pictures that its layers were chosen by."""
    bundle = Bundle.open(bundled_default())
    assert conversion_seeds(bundle.contents) == {910001, 910002}
    script = "from bonedge.edge.cli import main; main()"
    command = [sys.executable, "-c", script, "evaluate", "--phantoms", "9", "--seed", "910002"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "seed 910002 was converted with" in done.stderr


@pytest.mark.parametrize("passport", [b"", b"[1]", b'{"calibration": 3}', b'{"validation": {"from": "phantoms:x"}}'])
def test_a_passport_that_says_nothing_names_no_seeds(passport: bytes) -> None:
    """Somebody else's bundle could not be evaluated."""
    assert conversion_seeds({"passport.json": passport}) == set()
