"""Which file systems raise no events."""

from __future__ import annotations

import pytest

from bonedge.edge.mounts import blind_kinds

LINE = "{number} 1 0:{number} / {point} rw,relatime shared:1 - {kind} {source} rw"


def mountinfo(*mounts: tuple[str, str]) -> str:
    return "\n".join(
        LINE.format(number=number, point=point, kind=kind, source="srv:/x")
        for number, (point, kind) in enumerate(mounts)
    )


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse", "fuse.sshfs", "fuseblk", "9p", "virtiofs"])
def test_shares_are_blind(kind: str) -> None:
    """Files on this kind of share would only be seen at the slow rescan."""
    assert blind_kinds(mountinfo(("/", "ext4"), ("/in", kind)), "/in/study") == {kind}


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "vfat"])
def test_local_disks_are_not(kind: str) -> None:
    """A local disk would be polled, for nothing."""
    assert blind_kinds(mountinfo(("/", "ext4"), ("/in", kind)), "/in") == set()


def test_the_longest_and_latest_mount_counts() -> None:
    """A folder would be judged by the disk below it, or by a mount that is covered."""
    text = mountinfo(("/", "ext4"), ("/in", "nfs"), ("/in", "ext4"), ("/input", "cifs"))
    assert blind_kinds(text, "/in") == set()
    assert blind_kinds(text, "/input/x") == {"cifs"}


def test_a_share_below_the_folder_counts_too() -> None:
    """One ward's share, mounted inside the input folder, would be served slowly."""
    assert blind_kinds(mountinfo(("/", "ext4"), ("/in/ward 1".replace(" ", "\\040"), "nfs4")), "/in") == {"nfs4"}


def test_nonsense_is_survived() -> None:
    """A kernel with another format would end the daemon."""
    assert blind_kinds("garbage\n\n - \n1 2 3 - nfs", "/in") == set()
