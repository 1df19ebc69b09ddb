"""Nothing opens a socket, and nothing of the converter is loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bonedge.edge.bundle import Bundle

GUARD = """
import os, sys

def guard(event, arguments):
    if event.startswith(("socket.", "http.client.", "urllib.Request")):
        os.write(2, f"socket guard: {event}".encode())
        os._exit(77)

sys.addaudithook(guard)
"""

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
# As in the runtime environment (see test_the_runtime_does_not_depend_on_requests). Where another program brought it,
# pydicom imports it, and urllib3 binds a socket to ::1 to learn whether there is IPv6; no packet leaves.
sys.modules["requests"] = None
import bonedge.edge
for module in pkgutil.walk_packages(bonedge.edge.__path__, "bonedge.edge."):
    importlib.import_module(module.name)
"""

RUN_BOTH_ENGINES = """
import sys
from pathlib import Path
import numpy as np
from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load
bundle = Bundle.open(Path(sys.argv[1]))
sizes = bundle.manifest.preprocessing
for files in bundle.manifest.networks:
    networks = load(bundle, files.engine)
    networks.segment(np.zeros((1, sizes.segmenter_side_px, sizes.segmenter_side_px, 1), np.float32))
    networks.classify(np.zeros((1, sizes.classifier_side_px, sizes.classifier_side_px, 3), np.float32))
    print("ran", networks.description.name, flush=True)
"""


def python(
    script: str, *arguments: object, home: Path, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `script` in a fresh interpreter whose home is empty and which does not look like a CI job."""
    # openvino-telemetry keeps quiet in CI by itself; there the guard would see nothing to stop.
    quiet = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS", "GITLAB_CI", "TRAVIS")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*before, sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_the_guard_bites(home: Path) -> None:
    """The tests below would pass whatever the runtime does."""
    done = python(GUARD + "import socket\nsocket.socket()", home=home)
    assert (done.returncode, done.stderr) == (77, "socket guard: socket.__new__")


def test_opens_no_socket(both: Bundle, home: Path) -> None:
    """A hospital's radiographs would be read by a program that talks to somebody outside."""
    done = python(GUARD + IMPORT_EVERYTHING + RUN_BOTH_ENGINES, both.folder, home=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[:2] == ["ran tflite", "ran openvino"]
    assert list(home.iterdir()) == [], "something was written to the user's home"


def test_opens_no_socket_below_python_either(both: Bundle, home: Path) -> None:
    """A runtime's C++ library would phone home where Python's audit hooks see nothing."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = home.parent / "trace"
    before = ("strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", str(trace))
    control = python("import socket; socket.socket()", home=home, before=before)
    if control.returncode:
        pytest.skip(f"strace may not trace here: {control.stderr.strip()}")
    assert "socket(AF_INET" in trace.read_text()
    done = python(IMPORT_EVERYTHING + RUN_BOTH_ENGINES, both.folder, home=home, before=before)
    assert done.stdout.split("\n")[:2] == ["ran tflite", "ran openvino"], done.stderr
    assert "AF_INET" not in trace.read_text()


def test_the_runtime_does_not_depend_on_requests() -> None:
    """An HTTP client would be installed with the runtime, and pydicom would open a socket when imported."""
    waiting, closure = ["bonedge"], set()
    while waiting:
        name = waiting.pop()
        if name in closure:
            continue
        closure.add(name)
        try:
            requirements = map(Requirement, metadata.requires(name) or ())
        except metadata.PackageNotFoundError:
            continue
        needed = (r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""}))
        waiting += [canonicalize_name(requirement.name) for requirement in needed]
    assert {"pydicom", "openvino", "openvino-telemetry"} <= closure
    assert not {"requests", "urllib3", "httpx", "aiohttp"} & closure


def test_mutes_telemetry_that_was_already_imported(home: Path) -> None:
    """A program that embeds bonedge and imported openvino first would go on sending events for us."""
    script = (
        GUARD
        + """
import openvino_telemetry
from bonedge.edge.offline import shut_off_telemetry
shut_off_telemetry()
talker = openvino_telemetry.Telemetry("test", "1", "tid", "ga4", enable_opt_in_dialog=False)
talker.send_event("category", "action", "label", force_send=True)
talker.sender.executor.shutdown(wait=True)
import openvino
print(openvino.tools.ovc.telemetry.__class__.__module__)
"""
    )
    done = python(script, home=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_the_runtime_loads_without_the_converters_frameworks(home: Path) -> None:
    """A workstation without TensorFlow could not run bonedge, or would need a gigabyte more."""
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'nncf'):\n"
        "    sys.modules[name] = None\n" + IMPORT_EVERYTHING + "print('imported')"
    )
    done = python(script, home=home)
    assert (done.returncode, done.stdout.strip()) == (0, "imported"), done.stderr
