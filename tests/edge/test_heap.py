"""Threads of a process that runs for months take their memory from one heap."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="there is no glibc")
PROGRAM = """
import ctypes, sys, threading
from bonedge.edge.heap import share_one_heap

if sys.argv[1] == "shared":
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
together = threading.Barrier(6)

def take():
    together.wait()
    for _ in range(2000):
        libc.malloc(2000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""

HOLES = """
import ctypes, resource
from pathlib import Path
from bonedge.edge.heap import give_back

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

blocks = [libc.malloc(100_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for number, block in enumerate(blocks):
    if number % 10:
        libc.free(block)
before = resident_mb()
give_back()
print(before - resident_mb())
"""


def heaps(how: str, file: Path) -> int:
    subprocess.run([sys.executable, "-c", PROGRAM, how, str(file)], check=True, timeout=60)
    return file.read_text().count("<heap nr=")


def test_all_threads_share_one_heap(tmp_path: Path) -> None:
    """If it failed, the daemon would keep a heap's leftovers for every thread that it ever had."""
    assert heaps("as usual", tmp_path / "usual.xml") > 1, "nothing would be proven otherwise"
    assert heaps("shared", tmp_path / "shared.xml") == 1


def test_unused_memory_is_given_back() -> None:
    """If it failed, the daemon would keep what its busiest minute took, between what is still in use."""
    done = subprocess.run([sys.executable, "-c", HOLES], check=True, timeout=60, capture_output=True, text=True)
    assert float(done.stdout) > 60
