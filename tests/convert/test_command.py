"""`bonedge convert` as a user runs it, from a trained pair to a bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonedge.calibration.phantom.command import Order, make
from bonedge.convert.gates import GATES
from bonedge.edge.bundle import Bundle
from bonedge.edge.bundle_report import conversion_seeds
from bonedge.edge.cli import main
from bonedge.edge.decode import decode_bytes
from bonedge.edge.engines import ENGINES, load
from bonedge.edge.pipeline import Pipeline
from bonedge.edge.records import CLASSES

pytestmark = [
    pytest.mark.full,
    # Keras saves weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def bonedge(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = "from bonedge.edge.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=550,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`refused(*arguments)` -> exit code and standard error, in this process: TensorFlow takes seconds to load."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["bonedge", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert isinstance(left.value.code, int)
        return left.value.code, capfd.readouterr().err

    return run


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder to calibrate with and one to be judged on; neither of the training's seed."""
    folders = {}
    for purpose, seed, count in (("calibration", 6, 18), ("validation", 7, 12)):
        folders[purpose] = tmp_path_factory.mktemp(purpose)
        make(Order(folders[purpose], seed, 256, "png", CLASSES, (), sheet=False), count, jobs=1)
    return folders


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of finished candidates: what one test had made is not made again for the next."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def converted(
    pair_folder: Path, phantoms: dict[str, Path], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """The bundle's folder, and the document that `--json` printed. Random weights, so the gates are wide open."""
    output = tmp_path_factory.mktemp("converted") / "bundle"
    sets = [part for purpose, folder in phantoms.items() for part in (f"--{purpose}", folder)]
    limits = [part for gate in GATES for part in ("--max-drop", f"{gate.name}=1")]
    # Not mixed: whether a tiny network's first layers are as fast in float is the machine's to say.
    options = ("--slowest", "int8", "--repair", phantoms["calibration"], "--cache", cache, "--json")
    done = bonedge("convert", pair_folder, "--output", output, *sets, *limits, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one document and nothing else"
    assert done.stderr, "progress"
    return output, json.loads(done.stdout)


def test_writes_a_bundle_with_both_formats_and_its_passport(converted: tuple[Path, Any]) -> None:
    """If it failed, a workstation would lack a format, or the bundle its proof."""
    output, document = converted
    bundle = Bundle.open(output)
    assert [files.engine for files in bundle.manifest.networks] == list(ENGINES)
    assert {files.precision for files in bundle.manifest.networks} == {"int8"}
    assert bundle.manifest.training.phantom_seeds == (5,)
    assert json.loads(bundle.contents["passport.json"]) == document
    assert "MODEL_CARD.md" not in bundle.contents, "its figures are another bundle's"
    assert conversion_seeds(bundle.contents) == {6, 7}, "of phantoms that were given as folders, too"
    assert document["repair"]["sha256"] == document["calibration"]["sha256"] != document["validation"]["sha256"]
    assert not list(output.parent.glob(".*")), "nothing temporary is left"


def test_engines_answer_alike(converted: tuple[Path, Any], phantoms: dict[str, Path]) -> None:
    """If it failed, the verdict on a picture would depend on which engine a workstation has."""
    bundle = Bundle.open(converted[0])
    pictures = [decode_bytes(path.read_bytes()) for path in sorted(phantoms["validation"].glob("*.png"))[:4]]
    answers = []
    for engine in ENGINES:
        pipeline = Pipeline(bundle, load(bundle, engine=engine, threads=1))
        answers.append(np.array([pipeline.examine(picture).classification.probabilities for picture in pictures]))
    assert np.abs(answers[0] - answers[1]).max() < 0.1


def test_pictures_of_patients_stay_out_of_the_bundle(
    pair_folder: Path, phantoms: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    """If it failed, radiographs and file names of a hospital's patients would go to every workstation with the models.

    The same run finds the picture that is there twice, and says of random weights that they know nothing.
    """
    real = tmp_path / "real"
    (real / "images").mkdir(parents=True)
    (real / "masks").mkdir()
    rows = ["file,label"]
    index = [json.loads(line) for line in (phantoms["validation"] / "index.jsonl").read_text().splitlines()]
    for number, row in enumerate([*index, index[0]]):
        name = f"MUELLER-{number}.png"
        shutil.copy(phantoms["validation"] / row["file"], real / "images" / name)
        if row["label"] != "normal":
            shutil.copy(phantoms["validation"] / row["lesion_mask"], real / "masks" / name)
        rows.append(f"{name},{row['label']}")
    (real / "labels.csv").write_text("\n".join(rows))
    output = tmp_path / "bundle"
    done = bonedge(
        *("convert", pair_folder, "--output", output, "--cache", cache, "--fp32", "--format", "tflite"),
        *("--calibration", phantoms["calibration"], "--validation", real),
        *(part for gate in GATES for part in ("--max-drop", f"{gate.name}=1")),
    )
    assert done.returncode == 0, done.stderr
    shipped = (output / "report.html").read_text()
    assert "MUELLER" not in shipped
    assert "do not travel with a bundle" in shipped
    assert not any(b"MUELLER" in content for content in Bundle.open(output).contents.values())
    passport = json.loads((output / "passport.json").read_text())
    assert any(f'mono">{digest[:16]}' in shipped for digest in passport["validation"]["picture_sha256"])
    beside = tmp_path / "bundle-report.html"
    assert "MUELLER" in beside.read_text()
    assert str(beside) in done.stdout
    assert passport["validation"]["pictures"] == len(index)
    assert "1 validation pictures are copies" in done.stdout
    assert "that nothing was lost says little" in done.stdout


def test_a_folder_that_holds_something_else_is_refused_before_any_work(pair_folder: Path, tmp_path: Path) -> None:
    """If it failed, a mistyped --output would cost a user's files, or minutes before it is refused."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("Dear")
    done = bonedge("convert", pair_folder, "--output", tmp_path / "letters")
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, "no step was begun"
    assert "letters" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["to-mother.txt"]


def test_too_few_pictures_are_refused_before_minutes_are_spent(
    pair_folder: Path,
    phantoms: dict[str, Path],
    tmp_path: Path,
    cache: Path,
    refused: Callable[..., tuple[int, str]],
) -> None:
    """If it failed, twelve pictures would be taken for a proof, or a user would wait for what cannot pass."""
    sets = [part for purpose, folder in phantoms.items() for part in (f"--{purpose}", folder)]
    code, said = refused("convert", pair_folder, "--output", tmp_path / "bundle", "--cache", cache, *sets)
    assert code == 5
    assert "Exporting" not in said
    message = said.splitlines()[-1]
    for word in ("nothing was converted", "holds 4 cases", "at least 200", "--validation"):
        assert word in message
    assert not list(tmp_path.iterdir())


def test_nothing_is_shipped_that_lost_too_much(
    pair_folder: Path, phantoms: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    """If it failed, a bundle that lost more than was allowed would reach a clinic, or nobody would see why it did not.

    No rounding passes where nothing may be lost: 16-bit weights move every probability a little.
    """
    done = bonedge(
        *("convert", pair_folder, "--output", tmp_path / "bundle", "--cache", cache, "--fp16", "--slowest", "fp16"),
        *("--calibration", phantoms["calibration"], "--validation", phantoms["validation"], "--format", "tflite"),
        *(part for gate in GATES for part in ("--max-drop", f"{gate.name}={int(gate.name != 'calibration_error')}")),
    )
    assert done.returncode == 5
    assert not (tmp_path / "bundle").exists()
    message = done.stderr.splitlines()[-1]
    for word in ("no bundle was written", "calibration error went from", "What to try"):
        assert word in message
    evidence = tmp_path / "bundle-refused"
    passport = json.loads((evidence / "passport.json").read_text())
    assert passport["summary"]["outcome"] == "refused"
    assert passport["chosen"] == []
    assert passport["candidates"]
    page = (evidence / "report.html").read_text()
    assert "refused" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibration": "validation"}, "12 different calibration pictures are too few"),
        ({"validation": "calibration"}, "are also in the calibration set"),
        ({"repair": "validation"}, "are also in the repair set"),
    ],
)
def test_sets_that_prove_nothing_are_refused(
    pair_folder: Path,
    phantoms: dict[str, Path],
    tmp_path: Path,
    refused: Callable[..., tuple[int, str]],
    change: dict[str, str],
    said: str,
) -> None:
    """If it failed, a model would be judged on what it was fitted to, or fitted to next to nothing."""
    sets = phantoms | {purpose: phantoms[other] for purpose, other in change.items()}
    given = [part for purpose, folder in sets.items() for part in (f"--{purpose}", folder)]
    code, errors = refused("convert", pair_folder, "--output", tmp_path / "bundle", "--cache", tmp_path, *given)
    assert code == 2, errors
    assert said in errors.splitlines()[-1]
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--name", "bone v2"), "letters, digits"),
        (("--version", "1.0 beta"), "not a version"),
        (("--fp32", "--ladder", "auto"), "--ladder auto starts at int8"),
        (("--fp16", "--repair", "phantoms:1"), "--repair is for eight bits"),
    ],
)
def test_options_that_would_fail_later_fail_now(
    tmp_path: Path, refused: Callable[..., tuple[int, str]], options: tuple[str, ...], said: str
) -> None:
    """If it failed, a name with a blank would be told after half an hour, or half of what was asked left undone."""
    code, errors = refused("convert", tmp_path, "--output", tmp_path / "bundle", *options)
    assert code == 2
    assert said in errors


@pytest.mark.parametrize("taken", ["bundle", "bundle-refused", "cache"])
def test_places_that_cannot_be_written_are_refused_before_any_work(
    tmp_path: Path, refused: Callable[..., tuple[int, str]], taken: str
) -> None:
    """If it failed, the work of an hour would end with nowhere to put it."""
    (tmp_path / taken).write_text("a file")
    places = ("--output", tmp_path / "bundle" / "inside" if taken == "bundle" else tmp_path / "bundle")
    code, errors = refused("convert", tmp_path, *places, "--cache", tmp_path / "cache" / "inside")
    assert code == 2
    (message,) = errors.splitlines()
    assert str(tmp_path / taken) in message


@pytest.mark.parametrize("purpose", ["calibration", "validation", "repair"])
@pytest.mark.parametrize(("where", "said"), [("phantoms:x", "comes a seed"), ("nowhere", "no such folder")])
def test_a_mistyped_set_is_refused_before_any_work(
    tmp_path: Path, refused: Callable[..., tuple[int, str]], purpose: str, where: str, said: str
) -> None:
    """If it failed, a typing error would be told after the models were loaded, or in the midst of the ladder."""
    code, errors = refused("convert", tmp_path, "--output", tmp_path / "bundle", f"--{purpose}", where)
    assert code == 2
    (message,) = errors.splitlines()
    assert message.startswith(f"bonedge: {where}")
    assert said in message
