"""What `bonedge bundle show` says of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bonedge.edge.bundle import Bundle, digests, write_bundle
from bonedge.edge.bundle_report import describe, passport_summary, print_sheet, printable
from bonedge.edge.trust import Trust

from .conftest import Signer

SUMMARY = {"headline": "int8 passed 7 of 7 gates", "flips": 0.004, "gates": {"dice": "passed"}}
CARD = b"# Model card\n\n\tTrained on [bold]phantoms[/bold].\n"


@pytest.fixture
def documented(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    """The tiny bundle with a passport and a model card, and training data in words that look like markup."""
    plain = Bundle.open(tiny_bundle)
    passport = json.dumps({"summary": SUMMARY, "candidates": []}).encode()
    contents = {**plain.contents, "passport.json": passport, "MODEL_CARD.md": CARD}
    manifest = plain.manifest.model_copy(
        update={
            "files": digests(contents),
            "created": "2026\x1b[31m",
            "training": plain.manifest.training.model_copy(update={"data": "Phantoms [red]of[/red] [0, 1]."}),
        }
    )
    return write_bundle(tmp_path / "bundle", manifest, contents)


def test_the_document_says_what_would_be_loaded(documented: Bundle) -> None:
    """If it failed, an inventory of workstations would list other models than they run."""
    document = json.loads(json.dumps(describe(documented)))
    assert document["name"] == "tiny"
    assert document["digest"] == documented.digest
    assert document["labels"] == ["normal", "benign", "malignant"]
    assert document["networks"] == [
        {
            "engine": "openvino",
            "precision": "fp32",
            "segmenter": ["segmenter.xml", "segmenter.bin"],
            "classifier": ["classifier.xml", "classifier.bin"],
            "segmenter_recipe": "",
            "classifier_recipe": "",
            "golden": [],
        }
    ]
    assert set(document["files"]) == set(documented.contents)
    for name, file in document["files"].items():
        assert file == {"bytes": len(documented.contents[name]), "sha256": documented.manifest.files[name]}
    assert document["decision"]["tumour_threshold"] == 0.5
    assert document["training"]["data"].startswith("Phantoms")
    assert document["passport"] == SUMMARY
    assert document["model_card"] == CARD.decode()
    assert document["signature"] == {"state": "unsigned", "key_id": None}


def test_the_three_states_of_a_signature(signed: Path, signer: Signer) -> None:
    """If it failed, an unchecked signature would be shown as a checked one."""
    claimed, verified = Bundle.open(signed), Bundle.open(signed, trust=Trust(signer.public))
    assert describe(claimed)["signature"] == {"state": "not verified", "key_id": signer.id}
    assert describe(verified)["signature"] == {"state": "verified", "key_id": signer.id}


def test_the_sheet_shows_everything_and_steers_nothing(
    documented: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a bundle could hide a line from whoever inspects it, or write to the terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    print_sheet(describe(documented))
    seen = capsys.readouterr().out
    for words in (
        "tiny 1",
        documented.digest,
        "unsigned",
        "normal, benign, malignant",
        "openvino fp32",
        "Phantoms [red]of[/red] [0, 1].",
        "segmenter.bin",
        "int8 passed 7 of 7 gates",
        '{"dice": "passed"}',
        "# Model card",
        "Trained on [bold]phantoms[/bold].",
    ):
        assert words in seen
    assert "\x1b" not in seen


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"summary"',
        b'{"summary": 3}',
        b'{"summary": ["a"]}',
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"summary": {"a": ' + b"9" * 5000 + b"}}",
    ],
)
def test_a_passport_that_says_nothing_is_passed_over(content: bytes) -> None:
    """If it failed, a bundle could not be looked at because of a file that nothing depends on."""
    assert passport_summary({"passport.json": content}) is None
    assert passport_summary({}) is None


@pytest.mark.parametrize("letters", ["\x1b[2J", "\r", "\x07", "\N{RIGHT-TO-LEFT OVERRIDE}", "\x9b", "\x7f", "\n"])
def test_letters_that_steer_a_terminal_are_replaced(letters: str) -> None:
    """If it failed, a bundle's text could fake the line that says `verified`."""
    shown: Any = printable(f"a{letters}b")
    assert shown.isprintable()
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\N{REPLACEMENT CHARACTER}"
