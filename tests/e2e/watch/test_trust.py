"""The daemon runs no bundle that the configuration does not allow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.keys import generate, read_private_key
from bonedge.edge.sign import sign_bundle

PROGRAM = "from bonedge.edge.cli import main; main()"


@pytest.mark.parametrize(
    ("demand", "code"),
    [
        ('key = "site.pub"\nminimum_version = "1"', 0),
        ('key = "other.pub"', 4),
        ('key = "site.pub"\nminimum_version = "2"', 4),
        ('key = "nowhere.pub"', 2),
    ],
)
def test_what_is_demanded_of_the_bundle_is_checked(tiny_bundle: Path, tmp_path: Path, demand: str, code: int) -> None:
    """If it failed, a workstation would run for months on a bundle that its administrator meant to keep out."""
    given = Bundle.open(tiny_bundle)
    folder = write_bundle(tmp_path / "signed", given.manifest, dict(given.contents)).folder
    site = generate(None)
    (tmp_path / "site.pem").write_bytes(site.private_pem)
    (tmp_path / "site.pub").write_bytes(site.public_pem)
    (tmp_path / "other.pub").write_bytes(generate(None).public_pem)
    (tmp_path / "in").mkdir()
    sign_bundle(folder, read_private_key(tmp_path / "site.pem", lambda: b""))
    config = tmp_path / "bonedge.toml"
    config.write_text(
        f'[watch]\ninput = "in"\noutput = "out"\nstate = "state"\nbundle = "signed"\n[bundle]\n{demand}\n'
    )
    for mode in ("--check-config", "--once"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "watch", "--config", str(config), mode],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        assert (done.stderr.count("bonedge: ") == 1) or (mode == "--once" and code == 0)
