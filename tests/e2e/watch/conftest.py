"""A real `bonedge watch` in a process of its own, real files and signals; nothing here sleeps to let things happen.

The same proofs run in two sizes: short ones in `make test`, and full ones, with BONEDGE_SOAK set, in `make soak`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

PROGRAM = "from bonedge.edge.cli import main; main()"
SOAK = bool(os.environ.get("BONEDGE_SOAK"))
DEADLINE_SECONDS = 300.0 if SOAK else 60.0
"""Only how long a failure takes; long where other proofs share the machine."""
QUICK = {"settle_seconds": 0.05, "incomplete_seconds": 1.0, "zero_tail_seconds": 0.2, "rescan_seconds": 0.5}
"""Settings that make waiting short; what is tested is the same."""


class Watch:
    """A daemon over folders of its own. `start` may be called again after `kill` or `stop`."""

    def __init__(self, folder: Path, bundle: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, {"bundle": str(bundle), **QUICK, **settings}
        self.input, self.output, self.state = (
            Path(self.settings.setdefault(name, str(folder / name))) for name in ("input", "output", "state")
        )
        folder.mkdir(exist_ok=True)
        self.config = folder / "bonedge.toml"
        self.configure()
        for made in (self.input, self.output, self.state):
            made.mkdir(parents=True, exist_ok=True)
        self.events: list[dict[str, Any]] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._stderr = (folder / "stderr").open("wb")

    def configure(self, **settings: Any) -> None:
        self.settings |= settings
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        self.config.write_text("[watch]\n" + "\n".join(lines) + "\n")

    def start(
        self, *arguments: str, failpoints: str = "", ready: bool = True, wrapper: tuple[str, ...] = (), **env: str
    ) -> Watch:
        environment = {**os.environ, **env}
        if failpoints:
            environment["BONEDGE_FAILPOINTS"] = failpoints
        began = len(self.events)
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-c", PROGRAM, "watch", "--config", str(self.config), *arguments],
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        if ready:
            self.wait(lambda: "ready" in self.said(began) or self.process.poll() is not None)
            assert "ready" in self.said(began), self.complaint()
        return self

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.events.append(json.loads(line))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self, since: int = 0) -> Counter[str]:
        return Counter(event["event"] for event in self.events[since:])

    def complaint(self) -> str:
        return (self.folder / "stderr").read_text("utf-8", "replace")

    def close(self) -> None:
        if self.alive:
            self.kill()
        self._stderr.close()

    def wait(self, condition: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
        """Until `condition` holds; fails when the daemon dies first or the deadline passes."""
        deadline = time.monotonic() + seconds
        while not (held := condition()):
            assert time.monotonic() < deadline, f"in vain; said {dict(self.said())}, last {self.events[-3:]}"
            time.sleep(0.01)
        return held

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        assert self.process is not None
        if self.alive:
            self.process.kill()
        self.finish()

    def stop(self) -> int:
        if self.alive:
            self.signal(signal.SIGTERM)
        return self.finish()

    def finish(self, seconds: float = DEADLINE_SECONDS) -> int:
        assert self.process is not None
        assert self._reader is not None
        code = self.process.wait(seconds)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def rows(self, query: str = "SELECT content, state, reason, path, tries, deaths, result FROM outcome") -> list[Any]:
        path = self.state / "ledger.sqlite"
        if not path.exists():
            return []
        database = sqlite3.connect(path, timeout=10)
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            database.close()

    def states(self) -> Counter[str]:
        return Counter(row[1] for row in self.rows())

    def seen(self) -> set[str]:
        """Paths that are settled, whatever became of them."""
        return {os.fsdecode(path) for (path,) in self.rows("SELECT path FROM seen")}

    def results(self) -> list[dict[str, Any]]:
        """Every visible result, each checked: it parses, and the pictures that it names are whole."""
        found = []
        for path in sorted(self.output.glob("[!.]*.json")):
            document = json.loads(path.read_text())
            assert path.name == f"{document['result_id']}.json"
            for kind, name in document["files"].items():
                picture = cv2.imdecode(np.frombuffer((self.output / name).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
                assert picture is not None
                source = document["source"]
                assert kind != "mask" or picture.shape == (source["rows"], source["columns"])
            found.append(document)
        return found


def drop(folder: Path, name: str, content: bytes) -> Path:
    """Write a file as a careful exporter does: under another name, then renamed into place."""
    part = folder / f".{name[-40:]}.part"
    part.write_bytes(content)
    path = folder / name
    part.rename(path)
    return path


@pytest.fixture
def scale() -> Callable[[Any, Any], Any]:
    """`scale(short, full)`."""
    return lambda short, full: full if SOAK else short


@pytest.fixture
def watching(tmp_path: Path, tiny_bundle: Path) -> Iterator[Callable[..., Watch]]:
    """`watching(**settings)` makes a daemon, not started; what still runs at the end is killed."""
    made: list[Watch] = []

    def make(folder: Path | None = None, **settings: Any) -> Watch:
        made.append(Watch(folder or tmp_path, tiny_bundle, settings))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


@pytest.fixture(scope="session")
def radiograph(paint: Callable[..., Any]) -> Callable[..., bytes]:
    """`radiograph(number)` -> a small PNG; each number has a content of its own, the same each time."""
    plain = {
        lesion: cv2.imencode(".png", (paint(600, 450, lesion=lesion) * 255).astype(np.uint8))[1].tobytes()
        for lesion in (None, "benign", "malignant")
    }

    def encoded(number: int, lesion: str | None = "malignant") -> bytes:
        text = b"tEXtnumber\0" + str(number).encode()
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return plain[lesion][:33] + chunk + plain[lesion][33:]  # after the header, so that a cut file keeps it

    return encoded


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the simulated disk with")
    library = tmp_path_factory.mktemp("disk") / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-pthread", "-o", library, source, "-ldl"], check=True)
    return library
