"""What a latency was measured on, as far as it can be found out without asking anybody."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "hypervisor")
"""Of /proc/cpuinfo: what decides how fast int8 and bf16 are, and whether the machine is a guest."""
_RUNTIMES = ("ai-edge-litert", "tflite-runtime", "openvino", "opencv-python-headless", "numpy", "pydicom")
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


@dataclass(frozen=True)
class Machine:
    """A machine, without its name."""

    processor: str
    flags: tuple[str, ...]
    """Those of `_TELLING_FLAGS` that it has."""
    usable_processors: int
    """That this process may run on."""
    processor_limit: float | None
    """Of the container, in processors; None without a limit."""
    memory_mb: int
    memory_limit_mb: int | None
    """Of the container; None without a limit."""
    governor: str | None
    """Of the processor's frequency; None where the kernel does not tell."""
    kernel: str
    python: str
    runtimes: dict[str, str]
    """Package -> version, of those that are installed."""

    @property
    def named(self) -> str:
        """Its processor's name, and how many of them there are to be used."""
        many = "" if self.usable_processors == 1 else "s"
        return f"{self.processor}, {self.usable_processors} processor{many}"


@dataclass(frozen=True)
class ProcessorTime:
    """A look at /proc/stat: ticks since boot, over all processors."""

    total: int
    stolen: int

    @classmethod
    def now(cls) -> ProcessorTime:
        """All 0 where there is no /proc."""
        try:
            ticks = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        except (OSError, ValueError, IndexError):
            return cls(0, 0)
        return cls(sum(ticks), ticks[7] if len(ticks) > 7 else 0)

    def stolen_since(self, earlier: ProcessorTime) -> float:
        """Share of all processor time that a hypervisor gave away between two looks, 0..1."""
        return (self.stolen - earlier.stolen) / max(1, self.total - earlier.total)


def processor() -> tuple[str, frozenset[str]]:
    """Its model, and all flags that the kernel knows of it."""
    information = _text(Path("/proc/cpuinfo"))
    model = _first(r"^model name\s*:\s*(.*)$", information) or platform.processor() or platform.machine()
    return model, frozenset(_first(r"^(?:flags|Features)\s*:\s*(.*)$", information).split())


def describe_machine() -> Machine:
    """This one."""
    model, flags = processor()
    total = _first(r"^MemTotal:\s*(\d+) kB$", _text(Path("/proc/meminfo")))
    return Machine(
        processor=model,
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in flags),
        usable_processors=len(os.sched_getaffinity(0)),
        processor_limit=_processor_limit(),
        memory_mb=int(total or 0) // 1024,
        memory_limit_mb=_memory_limit_mb(),
        governor=_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip() or None,
        kernel=platform.release(),
        python=platform.python_version(),
        runtimes={name: version for name in _RUNTIMES if (version := _version(name))},
    )


def processor_seconds(process_id: int) -> float:
    """Processor time of a process so far, without its children's. Raises OSError when there is none."""
    # Fields 14 and 15, counted after the name in brackets, which may itself hold blanks.
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def energy_joules() -> float | None:
    """Of the processor package since some time in the past (RAPL); None where it cannot be read."""
    text = _text(_RAPL).strip()
    return int(text) / 1e6 if text.isdecimal() else None


def _processor_limit() -> float | None:
    quota, _, period = _text(Path("/sys/fs/cgroup/cpu.max")).strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _memory_limit_mb() -> int | None:
    limit = _text(Path("/sys/fs/cgroup/memory.max")).strip()
    return int(limit) // 2**20 if limit.isdecimal() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
