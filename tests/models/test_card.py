"""`bonedge card`: from a bundle and its evaluation to the card that travels with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonedge.calibration.phantom.generate import GENERATION
from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.keys import generate, read_private_key
from bonedge.edge.sign import sign_bundle

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def bonedge() -> Run:
    def run(*arguments: object) -> Any:
        script = "from bonedge.edge.cli import main; main()"
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture(scope="module")
def evaluation(bonedge: Run, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluation") / "evaluation.json"
    done = bonedge(
        "evaluate", "--bundle", tiny_bundle, "--phantoms", 9, "--seed", 31, "--region", "leg", "--jobs", 1, "--json"
    )
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout)
    return path


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Of thresholds, said to come from phantoms; what decides its verdicts is as it was evaluated."""
    tiny = Bundle.open(tiny_bundle)
    training = tiny.manifest.training.model_copy(update={"phantom_seeds": (5,)})
    manifest = tiny.manifest.model_copy(update={"training": training})
    return write_bundle(tmp_path / "bundle", manifest, dict(tiny.contents)).folder


def test_the_card_is_in_the_bundle_and_says_what_was_measured(bonedge: Run, bundle: Path, evaluation: Path) -> None:
    """A physicist would look for the figures in vain, or find others than were measured."""
    (bundle.parent / "remarks.md").write_text("Made on a Sunday.")
    before = Bundle.open(bundle)
    done = bonedge("card", bundle, "--evaluation", evaluation, "--remarks", bundle.parent / "remarks.md")
    assert done.returncode == 0, done.stderr
    after = Bundle.open(bundle)
    assert {**after.contents, "MODEL_CARD.md": b""} == {**before.contents, "MODEL_CARD.md": b""}
    document = json.loads(evaluation.read_text())
    shown = bonedge("bundle", "show", bundle, "--json")
    card = json.loads(shown.stdout)["model_card"]
    recall = document["binary"]["recall"]
    assert f"| recall | {100 * recall['value']:.1f} ({100 * recall['low']:.1f}-{100 * recall['high']:.1f})" in card
    phantoms = f"phantoms of generation {GENERATION}, seed 31"
    asked = ("and so leg.", "--seed 31 --region leg --engine")
    for word in ("not a medical device", phantoms, *asked, "knee", "osteosarcoma", "AUC", "Made on a Sunday."):
        assert word in card
    assert "None" not in card
    for row in (line for line in card.splitlines() if line.startswith("|")):
        assert row.endswith("|")


def without(key: str, evaluation: Path, folder: Path) -> Path:
    """A copy of the evaluation that does not say `key`."""
    document = json.loads(evaluation.read_text())
    del document[key]
    less = folder / "less.json"
    less.write_text(json.dumps(document))
    return less


def test_an_evaluation_from_before_parts_of_the_body_were_asked_for_still_serves(
    bonedge: Run, bundle: Path, evaluation: Path, tmp_path: Path
) -> None:
    """It would have to be measured again, or the command would end in a traceback."""
    done = bonedge("card", bundle, "--evaluation", without("regions", evaluation, tmp_path))
    assert done.returncode == 0, done.stderr
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "and so the difficulties; knee, leg, ankle, forearm by chance. To abstain" in card
    assert "--seed 31 --engine" in card


def card_of(bonedge: Run, bundle: Path, evaluation: Path, **told: Any) -> str:
    """The card of `bundle` when its manifest tells something else of its training."""
    opened = Bundle.open(bundle)
    training = opened.manifest.training.model_copy(update=told)
    write_bundle(bundle, opened.manifest.model_copy(update={"training": training}), dict(opened.contents))
    done = bonedge("card", bundle, "--evaluation", evaluation)
    assert done.returncode == 0, done.stderr
    return (bundle / "MODEL_CARD.md").read_text()


def test_real_pictures_are_not_called_phantoms(bonedge: Run, bundle: Path, evaluation: Path) -> None:
    """The card of a pair that learned from patients would say that there were none."""
    card = card_of(bonedge, bundle, evaluation, data="90 real radiographs (COCO).", phantom_seeds=())
    assert "90 real radiographs (COCO). Where" in card
    assert "No patient" not in card
    assert "from the simulator" not in card


def test_real_pictures_among_phantoms_are_not_denied(bonedge: Run, bundle: Path, evaluation: Path) -> None:
    """The card of a pair that learned from both would say in one line that there were patients and none."""
    data = "4000 simulated radiographs; no real patients. 90 real radiographs (COCO)."
    card = card_of(bonedge, bundle, evaluation, data=data)
    assert "90 real radiographs (COCO). Where the real ones come from" in card
    assert "No patient" not in card
    assert "Of the simulated ones:" in card


def test_a_second_card_takes_the_first_ones_place(bonedge: Run, bundle: Path, evaluation: Path) -> None:
    """The evaluation would have to be repeated because of a remark."""
    for _ in range(2):
        done = bonedge("card", bundle, "--evaluation", evaluation)
        assert done.returncode == 0, done.stderr


def test_another_bundles_evaluation_is_refused(bonedge: Run, bundle: Path, evaluation: Path) -> None:
    """The card would promise what other networks, or other thresholds, can do."""
    opened = Bundle.open(bundle)
    decision = opened.manifest.decision.model_copy(update={"tumour_threshold": 0.987})
    write_bundle(bundle, opened.manifest.model_copy(update={"decision": decision}), dict(opened.contents))
    done = bonedge("card", bundle, "--evaluation", evaluation)
    assert done.returncode == 2
    assert "other networks or thresholds" in done.stderr
    assert Bundle.open(bundle).contents == opened.contents


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"bundle": {}}', "\udcff"])
def test_what_is_no_evaluation_is_refused(bonedge: Run, bundle: Path, tmp_path: Path, content: str) -> None:
    """A mistyped file name would end in a Python error, or in an empty card."""
    path = tmp_path / "other.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    done = bonedge("card", bundle, "--evaluation", path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr


def test_an_evaluation_that_lacks_something_is_said(
    bonedge: Run, bundle: Path, evaluation: Path, tmp_path: Path
) -> None:
    """What another version wrote would be called a defect of this one."""
    done = bonedge("card", bundle, "--evaluation", without("engine", evaluation, tmp_path))
    assert done.returncode == 2
    assert "does not say 'engine'" in done.stderr


def test_a_signed_bundle_is_left_alone(bonedge: Run, bundle: Path, evaluation: Path, tmp_path: Path) -> None:
    """A signature would silently be lost."""
    (tmp_path / "key.pem").write_bytes(generate(None).private_pem)
    sign_bundle(bundle, read_private_key(tmp_path / "key.pem", lambda: b""))
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    done = bonedge("card", bundle, "--evaluation", evaluation)
    assert done.returncode == 4
    assert "sign it afterwards" in done.stderr
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
