"""`bonedge evaluate` as a user runs it, on a real engine with a bundle of thresholds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.calibration.phantom.dicom import as_dicom, encoding_rng
from bonedge.calibration.phantom.generate import GENERATION, generate
from bonedge.calibration.phantom.records import Regime, Region
from bonedge.edge.bundle import Bundle, write_bundle
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import CLASSES
from bonedge.models.evaluate import read_verdicts, simulate

COUNT, SEED = 9, 424242
_FIGURES = {
    "binary": {"accuracy", "precision", "recall", "f1"},
    "three_class": {"macro_f1", "malignant_sensitivity"},
    "ranking": {"auc", "sensitivity_at_90_specificity", "calibration_error", "calibration_error_by_chance"},
    "segmentation": {"dice_median", "dice_p10"},
}

_CALLS = ("benign", "malignant")


@pytest.fixture(scope="module")
def evaluate(tiny_bundle: Path) -> Callable[..., Any]:
    """`evaluate(*arguments, bundle=...)` runs the command, without TensorFlow to be had."""

    def run(*arguments: object, bundle: Path = tiny_bundle) -> Any:
        script = (
            "import sys\n"
            "for name in ('tensorflow', 'keras', 'nncf'): sys.modules[name] = None\n"
            "from bonedge.edge.cli import main; main()"
        )
        return subprocess.run(
            [sys.executable, "-c", script, "evaluate", "--bundle", str(bundle), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation") / "verdicts.jsonl"


@pytest.fixture(scope="module")
def document(evaluate: Callable[..., Any], verdicts: Path) -> dict[str, Any]:
    """What `--json` prints."""
    done = evaluate("--phantoms", COUNT, "--seed", SEED, "--json", "--jobs", 1, "--verdicts", verdicts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return dict(json.loads(done.stdout))


def test_has_every_figure_for_all_and_per_regime(document: dict[str, Any]) -> None:
    """A script that reads the report would find a key missing, or a figure without its interval."""
    assert set(document["regimes"]) == {"overt", "typical", "subtle"}
    for part in (document, *document["regimes"].values()):
        for group, names in _FIGURES.items():
            assert set(part[group]) == names
            for name, figure in part[group].items():
                assert set(figure) == {"value", "low", "high"}
                if name == "precision" and not any(row[call] for row in part["confusion"].values() for call in _CALLS):
                    assert figure["value"] is None
                else:
                    assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
        assert set(part["abstained"]) == {"value", "low", "high"}
    assert document["phantoms"] == COUNT
    assert document["seed"] == SEED
    assert "not a medical device" in document["notice"]


def test_is_stratified_by_class_and_regime(document: dict[str, Any]) -> None:
    """A report could look good because the set holds mostly what is easy."""
    for part, expected in ((document, 3), *((part, 1) for part in document["regimes"].values())):
        assert [sum(row.values()) for row in part["confusion"].values()] == [expected] * 3


def test_the_figures_follow_from_the_verdicts(document: dict[str, Any], verdicts: Path) -> None:
    """The summary would be of something else than what was examined."""
    lines = [json.loads(line) for line in verdicts.read_text().splitlines()]
    right = [(line["truth"] == "normal") == (line["verdict"] == "normal") for line in lines]
    assert document["binary"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    dices = [line["dice"] for line in lines if line["truth"] != "normal"]
    assert document["segmentation"]["dice_median"]["value"] == pytest.approx(np.median(dices))
    assert all(line["dice"] is None for line in lines if line["truth"] == "normal")


def test_every_picture_is_in_a_slice_of_each_kind(document: dict[str, Any], verdicts: Path) -> None:
    """A weakness of the models in one region or at one manufacturer's contrast would stay hidden in the mean."""
    lines = [json.loads(line) for line in verdicts.read_text().splitlines()]
    found = {(one["by"], one["value"]): one["pictures"] for one in document["slices"]}
    for by in ("region", "finding", "regime", "processing", "contrast", "edge enhancement", "border"):
        assert sum(count for (kind, _), count in found.items() if kind == by) == COUNT
    tumours = [line for line in lines if line["truth"] != "normal"]
    assert sum(count for (kind, _), count in found.items() if kind == "margin") == len(tumours)
    for line in lines:
        assert found["finding", line["family"]] == sum(other["family"] == line["family"] for other in lines)


def test_is_repeatable_and_agrees_with_itself(
    evaluate: Callable[..., Any], document: dict[str, Any], verdicts: Path
) -> None:
    """Two runs could not be compared, with other processes or other engines."""
    done = evaluate("--phantoms", COUNT, "--seed", SEED, "--json", "--jobs", 2, "--compare", verdicts)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    compared = again.pop("compared")
    assert again == document
    assert compared["phantoms"] == COUNT
    assert compared["agreement"]["value"] == 1.0


def test_prints_a_table_for_people(evaluate: Callable[..., Any]) -> None:
    """Without --json there would be nothing to read."""
    done = evaluate("--phantoms", COUNT, "--seed", SEED, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    for word in ("recall", "AUC", "dice median", "overt", "typical", "subtle", "malignant", "abstain"):
        assert word in done.stdout
    assert "…" not in done.stdout


def test_a_place_for_verdicts_that_is_none_is_said_at_once(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    """Minutes of evaluation would end without a figure."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "verdicts.jsonl", tmp_path):
        done = evaluate("--phantoms", COUNT, "--seed", SEED, "--verdicts", place)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "give another --verdicts" in done.stderr


def test_refuses_a_seed_of_the_training(evaluate: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    """A model would be praised for remembering its training pictures."""
    bundle = Bundle.open(tiny_bundle)
    training = bundle.manifest.training.model_copy(update={"phantom_seeds": (7, SEED)})
    manifest = bundle.manifest.model_copy(update={"training": training})
    trained = write_bundle(tmp_path / "trained", manifest, dict(bundle.contents)).folder
    done = evaluate("--phantoms", COUNT, "--seed", SEED, bundle=trained)
    assert done.returncode == 2
    assert f"seed {SEED}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "content",
    [
        "nonsense",
        "{}",
        *(
            json.dumps({"index": 0, "generation": GENERATION, "seed": SEED, "regions": [], "verdict": "normal"} | one)
            for one in (
                {"verdict": "perhaps"},
                {"seed": 1},
                {"generation": GENERATION - 1},
                {"regions": ["hip"]},
            )
        ),
    ],
)
def test_refuses_to_compare_with_something_else(evaluate: Callable[..., Any], tmp_path: Path, content: str) -> None:
    """Agreement would be reported with verdicts on other pictures."""
    path = tmp_path / "other.jsonl"
    path.write_text(content + "\n")
    done = evaluate("--phantoms", COUNT, "--seed", SEED, "--compare", path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr


def test_verdicts_from_before_parts_of_the_body_were_asked_for_are_of_those_by_chance(
    verdicts: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    """Yesterday's run would be called something that `--verdicts` never wrote."""
    lines = [json.loads(line) for line in verdicts.read_text().splitlines()]
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "regions"}) + "\n" for line in lines))
    assert read_verdicts(earlier, SEED) == read_verdicts(verdicts, SEED)
    with pytest.raises(InvalidConfiguration, match="other phantoms"):
        read_verdicts(earlier, SEED, (Region.HIP,))


def test_examines_the_phantom_that_the_generator_makes() -> None:
    """The truth would belong to another picture than the file."""
    sample = simulate(SEED, 4)
    phantom = generate(SEED, 4, label=sample.truth, regime=sample.regime)
    assert sample.truth is CLASSES[1]
    assert sample.regime is Regime.TYPICAL
    assert np.array_equal(sample.lesion_mask, phantom.lesion_mask)
    assert sample.content == as_dicom(phantom, encoding_rng(SEED, 4))


def test_parts_of_the_body_take_turns_with_every_class_and_regime() -> None:
    """A part of the body would be measured on normal limbs only, or on what is easy to see."""
    asked = (Region.HIP, Region.HAND)
    samples = [simulate(SEED, index, asked) for index in (0, 8, 9, 17, 18)]
    assert [sample.region for sample in samples] == ["hip", "hip", "hand", "hand", "hip"]
    assert [(sample.truth, sample.regime) for sample in samples[:2]] == [
        (CLASSES[0], Regime.OVERT),
        (CLASSES[2], Regime.SUBTLE),
    ]
    assert [(sample.truth, sample.regime) for sample in samples[2:4]] == [
        (CLASSES[0], Regime.OVERT),
        (CLASSES[2], Regime.SUBTLE),
    ]


def test_says_which_parts_of_the_body_it_measured(
    evaluate: Callable[..., Any], verdicts: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    """Figures on hips would be taken for figures on all limbs, or be compared with those on others."""
    hips = tmp_path / "hips.jsonl"
    done = evaluate("--phantoms", COUNT, "--seed", SEED, "--region", "hip", "--json", "--jobs", 1, "--verdicts", hips)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["regions"], document["regions"]) == (["hip"], [])
    assert [(one["value"], one["pictures"]) for one in found["slices"] if one["by"] == "region"] == [("hip", COUNT)]
    for asked, other in ((("--region", "hip"), verdicts), ((), hips), (("--region", "hip", "--region", "hand"), hips)):
        done = evaluate("--phantoms", COUNT, "--seed", SEED, *asked, "--compare", other)
        assert done.returncode == 2, asked
        assert "--region" in done.stderr
