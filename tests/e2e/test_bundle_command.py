"""`bonedge bundle`, and demands on bundles in `predict` and `evaluate`, as users run them."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_RUN = "from bonedge.edge.cli import main; main()"
_TRIPWIRE = """
import atexit, sys
from bonedge.edge.manifest import Manifest
parse, parsed = Manifest.model_validate_json, []
def parsing(*arguments, **options):
    parsed.append(1)
    return parse(*arguments, **options)
Manifest.model_validate_json = parsing
runtimes = ("openvino", "ai_edge_litert", "tflite_runtime")
atexit.register(lambda: print("REACHED", len(parsed), [name for name in runtimes if name in sys.modules]))
"""
_WITHOUT_CRYPTOGRAPHY = "import sys\nsys.modules['cryptography'] = None"

Run = Callable[..., subprocess.CompletedProcess[str]]


def run(folder: Path, *arguments: object, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, output piped."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{_RUN}", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def bonedge(tmp_path: Path) -> Run:
    """`bonedge(*arguments)` runs the command in `tmp_path`."""
    return partial(run, tmp_path)


@pytest.fixture(scope="module")
def made(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `site` and `site.pub`, the site's keys, and `bundle`, signed with them; made by the command."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(tiny_bundle, folder / "bundle")
    for arguments in (("keygen", "--output", "site"), ("sign", "bundle", "--key", "site")):
        done = run(folder, "bundle", *arguments)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    """A copy of `made`, to be spoilt."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def picture(tmp_path: Path, paint: Callable[..., Any]) -> Path:
    """A picture with a malignant lesion."""
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), (paint(600, 450, lesion="malignant") * 65535).astype(np.uint16))
    return path


def flip(path: Path, index: int = 20) -> None:
    content = bytearray(path.read_bytes())
    content[index] ^= 1
    path.write_bytes(content)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.parents[1] / "elsewhere")
    path.symlink_to(path.parents[1] / "elsewhere")


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line with which it ended."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("bonedge: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_key_signs_and_its_other_half_verifies(site: Path, bonedge: Run) -> None:
    """If it failed, nobody could vouch for a bundle."""
    assert stat.S_IMODE((site / "site").stat().st_mode) == 0o600
    done = bonedge("bundle", "verify", "bundle", "--key", "site.pub", "--minimum-version", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert document["signature"]["state"] == "verified"
    key_id = document["signature"]["key_id"]
    assert key_id in (site / "bundle" / "manifest.sig").read_text()
    people = bonedge("bundle", "verify", "bundle", "--key", "site.pub")
    assert people.returncode == 0
    assert f"signed by {key_id}, verified" in people.stdout
    without = bonedge("bundle", "verify", "bundle")
    assert without.returncode == 0
    assert f"signed by {key_id}, not verified" in without.stdout


TAMPERINGS: dict[str, tuple[Callable[[Path], Any], str, int]] = {
    "flipped weight": (lambda b: flip(b / "segmenter.bin", 0), "segmenter.bin was altered", 1),
    "flipped manifest": (lambda b: flip(b / "manifest.json"), "does not fit its manifest.json", 0),
    "flipped signature": (lambda b: flip(b / "manifest.sig", 100), "", 0),
    "flipped key id": (lambda b: flip(b / "manifest.sig", 8), "", 0),
    "extra": (lambda b: (b / "extra.txt").write_text(""), "holds 'extra.txt'", 1),
    "missing": (lambda b: (b / "classifier.xml").unlink(), "'classifier.xml' is missing", 1),
    "symlink": (lambda b: link(b / "classifier.xml"), "classifier.xml is a symbolic link", 1),
    "linked signature": (lambda b: link(b / "manifest.sig"), "manifest.sig is a symbolic link", 0),
    "unsigned": (lambda b: (b / "manifest.sig").unlink(), "is not signed, and a key is demanded", 0),
    "truncated signature": (lambda b: os.truncate(b / "manifest.sig", 60), "manifest.sig is damaged", 0),
    "signature is a pipe": (lambda b: pipe(b / "manifest.sig"), "manifest.sig is not a regular file", 0),
}


@pytest.mark.parametrize(("tamper", "says", "parsed"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_tampering_is_exit_4_before_anything_interprets_it(
    site: Path, bonedge: Run, picture: Path, tamper: Callable[[Path], Any], says: str, parsed: int
) -> None:
    """If it failed, an altered bundle would give verdicts, or its bytes would reach a parser written in C++."""
    tamper(site / "bundle")
    demanding = ("--key", "site.pub")
    verified = bonedge("bundle", "verify", "bundle", *demanding, "--json")
    message = complaint(verified, 4)
    assert says in message
    assert json.loads(verified.stdout) == {
        "ok": False,
        "folder": "bundle",
        "error": {"kind": "BundleRefused", "message": message.removeprefix("bonedge: ").rstrip("\n")},
    }
    predicted = bonedge("predict", picture, "--bundle", "bundle", *demanding, before=_TRIPWIRE)
    assert complaint(predicted, 4) == message
    assert predicted.stdout == f"REACHED {parsed} []\n"


def test_a_wrong_key_is_named(site: Path, bonedge: Run, picture: Path) -> None:
    """If it failed, a stranger's bundle would be run, or nobody would learn whose it is."""
    other = json.loads(bonedge("bundle", "keygen", "--output", "other", "--json").stdout)
    done = bonedge("predict", picture, "--bundle", "bundle", "--key", "other.pub", before=_TRIPWIRE)
    message = complaint(done, 4)
    assert "wrong key" in message
    assert other["key_id"] in message
    assert done.stdout == "REACHED 0 []\n"
    (site / "both.pub").write_bytes((site / "other.pub").read_bytes() + (site / "site.pub").read_bytes())
    assert bonedge("bundle", "verify", "bundle", "--key", "both.pub").returncode == 0


def test_an_older_bundle_is_refused(site: Path, bonedge: Run, picture: Path) -> None:
    """If it failed, a withdrawn model could be put back on a workstation."""
    for arguments in (("bundle", "verify", "bundle"), ("predict", picture, "--bundle", "bundle")):
        done = bonedge(*arguments, "--minimum-version", "1.0.1")
        assert "is version 1, older than the minimum 1.0.1" in complaint(done, 4)
    assert bonedge("bundle", "verify", "bundle", "--minimum-version", "1.0").returncode == 0
    assert "'newest' is not a version" in complaint(
        bonedge("bundle", "verify", "bundle", "--minimum-version", "newest"), 2
    )


def test_evaluate_demands_what_predict_demands(site: Path, bonedge: Run) -> None:
    """If it failed, figures could be reported for a bundle that no workstation would load."""
    (site / "bundle" / "manifest.sig").unlink()
    done = bonedge("evaluate", "--seed", 1, "--bundle", "bundle", "--key", "site.pub", before=_TRIPWIRE)
    assert "is not signed" in complaint(done, 4)
    assert done.stdout == "REACHED 0 []\n"
    done = bonedge("evaluate", "--seed", 1, "--bundle", "bundle", "--minimum-version", "2")
    assert "older than the minimum 2" in complaint(done, 4)


def test_a_configured_workstation_takes_signed_bundles_only(site: Path, bonedge: Run, picture: Path) -> None:
    """If it failed, the key in the configuration file would protect nobody."""
    (site / "etc").mkdir()
    shutil.move(site / "site.pub", site / "etc" / "site.pub")
    (site / "etc" / "bonedge.toml").write_text(
        '[bundle]\nkey = "site.pub"\nminimum_version = "1"\n[predict]\nbundle = "../bundle"\n'
    )
    configured = ("--config", "etc/bonedge.toml")
    assert bonedge("bundle", "verify", "bundle", *configured).returncode == 0
    done = bonedge("predict", picture, *configured, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"]["label"] == "malignant"
    assert "older" in complaint(bonedge("predict", picture, *configured, "--minimum-version", "3"), 4)
    (site / "bundle" / "manifest.sig").unlink()
    for arguments in (("predict", picture), ("bundle", "verify", "bundle")):
        assert "is not signed" in complaint(bonedge(*arguments, *configured), 4)
    (site / "etc" / "site.pub").unlink()
    assert "site.pub: the key cannot be read" in complaint(bonedge("predict", picture, *configured), 2)


@pytest.mark.parametrize("name", ["absent", "folder", "rsa.pub", "ec.pub", "garbage", "empty", "site"])
def test_a_key_that_is_none_is_exit_2(site: Path, bonedge: Run, picture: Path, name: str) -> None:
    """If it failed, a mistake in the key would be blamed on the bundle, or switch the check off."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    (site / "folder").mkdir()
    (site / "garbage").write_bytes(os.urandom(100))
    (site / "empty").write_bytes(b"")
    for kind, key in (
        ("rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        ("ec", ec.generate_private_key(ec.SECP256R1())),
    ):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (site / f"{kind}.pub").write_bytes(pem)
    done = bonedge("predict", picture, "--bundle", "bundle", "--key", name, before=_TRIPWIRE)
    assert name in complaint(done, 2)
    assert done.stdout == "REACHED 0 []\n"


def test_signing_with_what_is_no_private_key_is_exit_2(site: Path, bonedge: Run) -> None:
    """If it failed, a bundle could seem signed and be refused everywhere."""
    before = (site / "bundle" / "manifest.sig").read_bytes()
    (site / "garbage").write_text("x")
    for name, says in {
        "site.pub": "holds a public key",
        "garbage": "is no private key",
        "absent": "cannot be read",
    }.items():
        assert says in complaint(bonedge("bundle", "sign", "bundle", "--key", name), 2)
    flip(site / "bundle" / "classifier.bin", 0)
    assert "classifier.bin was altered" in complaint(bonedge("bundle", "sign", "bundle", "--key", "site"), 4)
    assert (site / "bundle" / "manifest.sig").read_bytes() == before


def test_a_passphrase_protects_the_private_key(tiny_bundle: Path, bonedge: Run, tmp_path: Path) -> None:
    """If it failed, a stolen key file would be enough to sign."""
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (tmp_path / "pass").write_text("correct horse battery staple\nsecond line\n")
    (tmp_path / "wrong").write_text("Tr0ub4dor&3\n")
    (tmp_path / "blank").write_text("\n")
    made = bonedge("bundle", "keygen", "--output", "k", "--passphrase-file", "pass", "--json")
    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads(made.stdout)["encrypted"] is True
    assert "ENCRYPTED PRIVATE KEY" in (tmp_path / "k").read_text()
    sign = ("bundle", "sign", "bundle", "--key", "k")
    assert "is encrypted; give --passphrase-file" in complaint(bonedge(*sign), 2)
    wrong = complaint(bonedge(*sign, "--passphrase-file", "wrong"), 2)
    assert "wrong passphrase" in wrong
    assert "keygen" not in wrong, "a new key would have to be brought to every workstation"
    assert "is a folder" in complaint(bonedge("bundle", "keygen", "--output", "."), 2)
    assert "first line is empty" in complaint(bonedge(*sign, "--passphrase-file", "blank"), 2)
    assert "passphrase cannot be read" in complaint(bonedge(*sign, "--passphrase-file", "absent"), 2)
    assert not (tmp_path / "bundle" / "manifest.sig").exists()
    done = bonedge(*sign, "--passphrase-file", "pass", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signature"]["state"] == "verified"
    assert bonedge("bundle", "verify", "bundle", "--key", "k.pub").returncode == 0
    no_terminal = bonedge("bundle", "keygen", "--output", "k2", "--passphrase")
    assert "no terminal to ask" in complaint(no_terminal, 2)
    assert not (tmp_path / "k2").exists()


def test_a_passphrase_that_nothing_needed_is_named(tiny_bundle: Path, bonedge: Run, tmp_path: Path) -> None:
    """Who gives one would go on believing that the key is protected by it."""
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (tmp_path / "pass").write_text("correct horse battery staple\n")
    assert bonedge("bundle", "keygen", "--output", "k").returncode == 0
    plain = bonedge("bundle", "sign", "bundle", "--key", "k")
    needless = bonedge("bundle", "sign", "bundle", "--key", "k", "--passphrase-file", "pass")
    assert (plain.returncode, needless.returncode) == (0, 0)
    assert plain.stderr == ""
    assert needless.stderr == "k is not encrypted: --passphrase-file was not needed.\n"


def test_a_terminal_is_asked_for_the_passphrase(tiny_bundle: Path, tmp_path: Path, bonedge: Run) -> None:
    """If it failed, the passphrase would have to lie in a file, or would be shown while it is typed."""
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    for arguments, answers in (
        (("keygen", "--output", "k", "--passphrase"), 2),
        (("sign", "bundle", "--key", "k"), 1),
    ):
        parent, child = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", _RUN, "bundle", *arguments],
            cwd=tmp_path,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        ) as process:
            os.close(child)
            seen, asked = b"", 0
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    chunk = os.read(parent, 4096)
                except OSError:  # how Linux reports that the other side of a terminal is closed
                    break
                if not chunk:
                    break
                seen += chunk
                if asked < answers and seen.count(b": ") > asked:
                    asked += 1
                    # getpass drops what was typed before it switched the echo off.
                    time.sleep(0.3)
                    os.write(parent, b"open sesame\n")
            assert process.wait(timeout=60) == 0, seen
        os.close(parent)
        assert b"sesame" not in seen
    assert "ENCRYPTED" in (tmp_path / "k").read_text()
    assert bonedge("bundle", "verify", "bundle", "--key", "k.pub").returncode == 0


def test_a_key_is_never_overwritten(site: Path, bonedge: Run) -> None:
    """If it failed, repeating a command would destroy the key that all workstations trust."""
    before = {name: (site / name).read_bytes() for name in ("site", "site.pub")}
    assert "site: exists" in complaint(bonedge("bundle", "keygen", "--output", "site"), 2)
    assert {name: (site / name).read_bytes() for name in before} == before


def test_a_private_key_that_others_can_read_is_said(site: Path, bonedge: Run) -> None:
    """If it failed, nobody would notice that everybody can sign."""
    assert bonedge("bundle", "sign", "bundle", "--key", "site").stderr == ""
    (site / "site").chmod(0o644)
    done = bonedge("bundle", "sign", "bundle", "--key", "site")
    assert done.returncode == 0
    assert done.stderr == "site can be read by others: chmod 600 it\n"


def test_show_tells_people_and_programs(site: Path, bonedge: Run) -> None:
    """If it failed, a hospital's physicist could not see which models a workstation runs."""
    done = bonedge("bundle", "show", "bundle", "--key", "site.pub")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("tiny 1", "verified", "openvino fp32", "segmenter.bin", "Nothing: the networks are thresholds."):
        assert words in done.stdout
    assert "…" not in done.stdout
    (site / "bundle" / "extra.txt").write_text("")
    assert "holds 'extra.txt'" in complaint(bonedge("bundle", "show", "bundle"), 4)
    (site / "bundle" / "extra.txt").unlink()
    document = json.loads(bonedge("bundle", "show", "bundle", "--json").stdout)
    assert document["signature"]["state"] == "not verified"
    assert document["folder"] == "bundle"


def test_show_without_a_bundle_is_about_the_released_one(bonedge: Run) -> None:
    """If it failed, the models that came with bonedge could not be looked at without searching for them."""
    done = bonedge("bundle", "show", "--json")
    if done.returncode == 4:
        assert "carries no model bundle" in done.stderr
    else:
        assert json.loads(done.stdout)["folder"].endswith("released/bundle")


def test_the_released_bundle_is_signed_with_the_test_key(bonedge: Run) -> None:
    """If it failed, the release was changed after it was signed, or the documented key is another one."""
    released = Path(__file__).parents[2] / "models" / "released"
    if not (released / "bundle" / "manifest.json").is_file():
        pytest.skip("models/released/bundle is not there yet")
    key = released / "test-key.pem.pub"
    done = bonedge("bundle", "verify", released / "bundle", "--key", key)
    assert done.returncode == 0, done.stderr
    documented = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"bonedge test key").digest()).public_key()
    assert documented.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == key.read_bytes()


def test_without_a_key_nothing_of_cryptography_is_needed(site: Path, bonedge: Run, picture: Path) -> None:
    """If it failed, every start would pay for a check that nobody asked for."""
    for arguments in (("predict", picture, "--bundle", "bundle", "--json"), ("bundle", "verify", "bundle")):
        done = bonedge(*arguments, before=_WITHOUT_CRYPTOGRAPHY)
        assert done.returncode == 0, done.stderr
    (site / "bundle" / "manifest.sig").unlink()
    done = bonedge("predict", picture, "--bundle", "bundle", "--json", before=_WITHOUT_CRYPTOGRAPHY)
    assert done.returncode == 0, done.stderr
