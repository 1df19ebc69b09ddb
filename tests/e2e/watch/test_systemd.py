"""Proof 7: the unit is as closed as it says, and really runs under systemd, in a container that boots."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import SOAK, drop

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "systemd" / "bonedge.service"
EXPOSURE_LIMIT = 0.3
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in arguments], capture_output=True, text=True, timeout=60)


@needs_analyze
def test_the_unit_is_closed() -> None:
    """A file that takes over the decoder would have the workstation."""
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for bonedge.service: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE_LIMIT, done.stdout


@needs_analyze
def test_the_unit_is_understood(tmp_path: Path) -> None:
    """A misspelt setting would be ignored by systemd, with a warning that nobody reads."""
    # The same but for the interpreter, which need not be installed where this runs.
    text = UNIT.read_text().replace("/opt/bonedge/bin/python", sys.executable).replace("/opt/bonedge", sys.prefix)
    (tmp_path / "bonedge.service").write_text(text)
    done = run("systemd-analyze", "verify", "--man=no", tmp_path / "bonedge.service")
    complaints = [line for line in done.stderr.splitlines() if "bonedge" in line]
    assert (done.returncode, complaints) == (0, [])


class Machine:
    """A booted container with the unit in it."""

    def __init__(self, nspawn: subprocess.Popen[bytes], folder: Path) -> None:
        self.nspawn, self.folder = nspawn, folder
        self.leader = 0

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.nspawn.poll() is None, (self.folder / "console").read_text()
            assert time.monotonic() < deadline, f"{what}\n{self.log()[-3000:]}"
            time.sleep(0.1)

    def find_leader(self) -> bool:
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        self.leader = int(children[0]) if children else 0
        return bool(children)

    def inside(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("nsenter", "-t", str(self.leader), "-a", *arguments)

    def log(self) -> str:
        return self.inside("journalctl", "--no-pager", "-o", "cat", "-u", "bonedge").stdout

    def systemctl(self, *arguments: str) -> str:
        return self.inside("systemctl", "--no-pager", *arguments).stdout.strip()

    def main_pid(self) -> int:
        return int(self.systemctl("show", "-P", "MainPID", "bonedge") or 0)

    def in_the_service(self, script: str) -> subprocess.CompletedProcess[str]:
        """A Python script in the service's own namespaces, as its user."""
        pid, user = self.main_pid(), self.inside("id", "-u", "bonedge").stdout.strip()
        return self.inside(
            "nsenter", "-t", str(pid), "-m", "-n", "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
            "env", "LD_LIBRARY_PATH=/opt/python/lib", "/opt/bonedge/bin/python", "-c", script,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, tiny_bundle: Path) -> Iterator[Machine]:
    """Boots; skips where a container cannot."""
    if not SOAK and not os.environ.get("BONEDGE_NSPAWN"):
        pytest.skip("booting a container is part of make soak")
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("there is no systemd-nspawn here, or no superuser")
    if ROOT.is_relative_to("/tmp"):
        pytest.skip("the service has a /tmp of its own and would not see this checkout: run it from elsewhere")
    for name in ("input", "output", "state"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    base = "/opt/python"
    (tmp_path / "bonedge.toml").write_text(
        '[watch]\ninput = "/srv/bonedge/input"\noutput = "/srv/bonedge/output"\nbundle = "/srv/bundle"\n'
        "decode_seconds = 2\nhang_seconds = 1\nsettle_seconds = 0.1\n"
    )
    (tmp_path / "proof.conf").write_text(
        "[Service]\nWatchdogSec=4\nEnvironment=BONEDGE_FAILPOINTS=examined=hang@2 BONEDGE_DEBUG=1\n"
        f"Environment=LD_LIBRARY_PATH={base}/lib\n"
        # The container's own cgroups have no controllers.
        "MemoryHigh=infinity\nMemoryMax=infinity\n"
    )
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "lib").mkdir()
    # The interpreter of whoever runs the tests may be in a home, which the service does not see.
    (environment / "bin" / "python").symlink_to(f"{base}/bin/python{sys.version_info[0]}.{sys.version_info[1]}")
    (environment / "pyvenv.cfg").write_text(f"home = {base}/bin\n")
    binds = {
        environment: "/opt/bonedge",
        f"{sys.prefix}/lib": "/opt/bonedge/lib",
        sys.base_prefix: base,
        UNIT: "/etc/systemd/system/bonedge.service",
        tmp_path / "proof.conf": "/etc/systemd/system/bonedge.service.d/proof.conf",
        ROOT / "systemd" / "sysusers.conf": "/etc/sysusers.d/bonedge.conf",
        ROOT / "systemd" / "tmpfiles.conf": "/etc/tmpfiles.d/bonedge.conf",
        tmp_path / "bonedge.toml": "/etc/bonedge/bonedge.toml",
        tiny_bundle: "/srv/bundle",
        ROOT: ROOT,
    }
    console = (tmp_path / "console").open("wb")
    nspawn = subprocess.Popen(
        [
            "systemd-nspawn", "--boot", "--volatile=yes", "--directory=/", f"--machine=bonedge-{os.getpid()}",
            "--register=no", "--keep-unit", "--private-network", "--console=pipe",
            *(f"--bind-ro={source}:{target}" for source, target in binds.items()),
            f"--bind={tmp_path / 'input'}:/srv/bonedge/input", f"--bind={tmp_path / 'output'}:/srv/bonedge/output",
        ],
        stdin=subprocess.DEVNULL, stdout=console, stderr=console, env={**os.environ,
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
    )  # fmt: skip
    made = Machine(nspawn, tmp_path)
    try:
        deadline = time.monotonic() + 60
        while nspawn.poll() is None and time.monotonic() < deadline:
            if made.find_leader() and made.inside("systemctl", "is-system-running").stdout.strip() in (
                "running", "degraded", "starting",
            ):  # fmt: skip
                break
            time.sleep(0.2)
        else:
            pytest.skip(f"a container cannot boot here: {(tmp_path / 'console').read_text()[-300:]}")
        yield made
    finally:
        if made.leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(made.leader, signal.SIGKILL)
        nspawn.terminate()
        nspawn.wait(30)
        console.close()


def test_the_service_really_runs(machine: Machine, radiograph: Callable[..., bytes]) -> None:
    """All of the above might be true on paper only."""
    machine.inside("systemctl", "start", "--no-block", "bonedge")
    machine.wait(lambda: machine.systemctl("is-active", "bonedge") == "active", "READY never came")
    first = machine.main_pid()
    drop(machine.folder / "input", "a.png", radiograph(1))
    results = machine.folder / "output"
    machine.wait(lambda: len(list(results.glob("[!.]*.json"))) == 1, "no result")
    assert next(results.glob("*.json")).stat().st_mode & 0o777 == 0o644

    wrote = machine.in_the_service("open('/srv/bonedge/input/x', 'w')")
    assert "Read-only file system" in wrote.stderr, wrote.stderr
    elsewhere = machine.in_the_service("open('/usr/x', 'w')")
    assert "Read-only file system" in elsewhere.stderr, elsewhere.stderr
    network = machine.in_the_service(
        "import socket; print([name for _, name in socket.if_nameindex()]); "
        "socket.create_connection(('192.0.2.1', 80), 3)"
    )
    assert network.stdout.strip() == "['lo']"
    assert "unreachable" in network.stderr.lower(), network.stderr

    drop(machine.folder / "input", "b.png", radiograph(2))  # hangs its worker
    machine.wait(lambda: machine.main_pid() not in (0, first), "the watchdog did not restart it")
    assert "watchdog" in machine.log().lower()
    machine.wait(lambda: len(list(results.glob("[!.]*.json"))) == 2, "no result after the restart")
    machine.inside("systemctl", "reload", "bonedge")
    machine.wait(lambda: '"event": "reloaded"' in machine.log(), "no reload")
    machine.inside("systemctl", "stop", "bonedge")
    assert machine.systemctl("show", "-P", "Result", "bonedge") == "success"
