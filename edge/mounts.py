"""Which file system a folder is on, and which raise no events for what other machines write: /proc/self/mountinfo."""

from __future__ import annotations

import os
import re
from pathlib import Path

_BLIND = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "gpfs",
     "virtiofs", "vboxsf", "prl_fs", "drvfs", "davfs", "ocfs2", "gfs2", "orangefs"}
)  # fmt: skip
"""A change that another machine makes is not an event here."""
_ESCAPE = re.compile(r"\\([0-7]{3})")


def raises_no_events(folder: Path) -> bool:
    """Whether `folder`, or anything mounted below it, is on a file system that inotify is blind for.

    Where that cannot be found out it is taken to be so: polling is always right, only less quick.
    """
    try:
        text = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
        return bool(blind_kinds(text, os.path.realpath(folder)))
    except OSError:
        return True


def blind_kinds(mountinfo: str, folder: str) -> set[str]:
    """The kinds of file system at or below `folder` (absolute, without links) that raise no events.

    Args:
        mountinfo: the text of /proc/self/mountinfo (proc_pid_mountinfo(5)): mount point in the fifth field, kind in
            the first after the lone hyphen. Of several mounts on one point the last is the one that is seen.
        folder: what is asked about.
    """
    kinds = _kinds(mountinfo)
    below = {kind for point, kind in kinds.items() if _holds(folder, point)}
    return {kind for kind in below | {_own(kinds, folder)} if kind in _BLIND or kind.startswith("fuse")}


def file_system(folder: Path) -> str:
    """The kind of file system that `folder` is on, such as ext4 or tmpfs; "unknown" where that is not told."""
    try:
        text = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return "unknown"
    return _own(_kinds(text), os.path.realpath(folder)) or "unknown"


def _kinds(mountinfo: str) -> dict[str, str]:
    """Mount point -> kind of file system."""
    kinds: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()[:1]
        if len(fields) >= 5 and kind:
            kinds[_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])] = kind[0]
    return kinds


def _own(kinds: dict[str, str], folder: str) -> str:
    own = max((point for point in kinds if _holds(point, folder)), key=len, default="/")
    return kinds.get(own, "")


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
