"""Proof 2: after a power cut, whatever was acknowledged is there, whole.

The disk is simulated (disk.c): it keeps what was synced, as it was when it was synced. Two cuts are tried in turn:
one takes everything else, names included; one keeps the names as they were last, and takes only contents, which is
what a journalling file system does to a file that is renamed before it is synced.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Watch, drop


def key(path: Path) -> str:
    done = subprocess.run(["stat", "-c", "%i-%W %w", path], capture_output=True, text=True, check=True)
    inode, birth = done.stdout.split()[0], done.stdout.split()[2]
    return f"{inode}.{int(birth.partition('.')[2])}"


def cut_power(folder: Path, durable: Path, *, names_survive: bool) -> None:
    """Leave in `folder` what a power cut would have left."""
    listing = durable / key(folder)
    if names_survive:
        entries = {path.name: key(path) for path in folder.iterdir()}
    else:
        parts = listing.read_bytes().split(b"\0")[:-1] if listing.exists() else []
        entries = {os.fsdecode(name): ident.decode() for name, ident in zip(parts[::2], parts[1::2], strict=True)}
    contents = {
        name: (durable / ident).read_bytes() if (durable / ident).exists() else b"" for name, ident in entries.items()
    }
    for path in folder.iterdir():
        path.unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    # What is there after the cut is durable.
    for path in folder.iterdir():
        shutil.copy(path, durable / key(path))
    listing.write_bytes(
        b"".join(os.fsencode(path.name) + b"\0" + key(path).encode() + b"\0" for path in folder.iterdir())
    )


def test_acknowledged_results_survive(
    watching: Callable[..., Watch], radiograph: Callable[..., bytes], scale: Callable[[Any, Any], Any], disk: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """After a power failure, a verdict that was given would be an empty file, and nobody would give it again."""
    watch, rng, durable = watching(), random.Random(3), tmp_path / "durable"
    durable.mkdir()
    rounds, count, acknowledged = scale(6, 200), 0, set[str]()
    environment = {
        "LD_PRELOAD": str(disk),
        "DISK_ROOTS": f"{watch.output}:{watch.state}",
        "DISK_DURABLE": str(durable),
    }
    for turn in range(rounds):
        for _ in range(6):
            drop(watch.input, f"{count}.png", radiograph(count))
            count += 1
        began = len(watch.events)
        watch.start(**environment)
        wanted = rng.randrange(1, 5)
        watch.wait(lambda began=began, wanted=wanted: watch.said(began)["done"] >= wanted)
        deadline = time.monotonic() + 0.05 * rng.random()
        while time.monotonic() < deadline:
            time.sleep(0.001)
        watch.kill()
        acknowledged |= {event["result"] for event in watch.events if event["event"] == "done"}
        for folder in (watch.output, watch.state):
            cut_power(folder, durable, names_survive=turn % 2 == 1)
        # In a copy: reading a ledger whose writer was killed folds its log in, behind the simulated disk's back.
        copy = Watch(tmp_path / "copy", Path(watch.settings["bundle"]), {})
        shutil.copytree(watch.state, copy.state, dirs_exist_ok=True)
        assert copy.rows("PRAGMA integrity_check") == [("ok",)]
        assert {row[6] for row in copy.rows() if row[1] == "done"} >= acknowledged
        copy.close()
        shutil.rmtree(tmp_path / "copy")
        assert {
            result["result_id"] for result in watch.results()
        } >= acknowledged  # results() checks that each is whole
    watch.start()
    watch.wait(lambda: len(watch.seen()) == count, 120)
    watch.stop()
    assert len(watch.results()) == watch.states()["done"] == count
    print(f"\n{rounds} power cuts over {count} files: {len(acknowledged)} acknowledged before a cut, 0 of them lost")
