"""`bonedge benchmark` as a user runs it: real processes, real files, a real engine. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bonedge.edge.benchmark_document import result_of, schema
from bonedge.edge.errors import BundleRefused, InvalidConfiguration
from bonedge.edge.measurement import Runs, Setting, cold_starts
from bonedge.edge.page import check_pages_can_be_made

DOCS = Path(__file__).parents[2] / "docs"
_RUN = "from bonedge.edge.cli import main; main()"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def bonedge(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`bonedge(*arguments)` runs `bonedge benchmark` in a folder of its own."""
    folder = tmp_path_factory.mktemp("benchmark")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _RUN, "benchmark", *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def document(bonedge: Run, golden_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What --json says about the golden bundle with one and two threads."""
    scratch = tmp_path_factory.mktemp("scratch")
    done = bonedge("--bundle", golden_bundle, "--threads", "1,2", "--duration", 2, "--scratch", scratch, "--json")
    assert done.returncode == 0, done.stderr
    assert list(scratch.iterdir()) == []
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_published_schema_is_the_one_in_use() -> None:
    """If it failed, a program written after the documentation would not understand the output."""
    assert (DOCS / "benchmark.schema.json").read_text() == schema()


def test_every_setting_is_measured_in_every_round_and_stage(document: dict[str, Any]) -> None:
    """If it failed, a figure in the table would rest on nothing."""
    jsonschema.validate(document, json.loads(schema()))
    assert [(one["engine"], one["threads"]) for one in document["results"]] == [("openvino", 1), ("openvino", 2)]
    for one in document["results"]:
        assert one["disagreements"] == []
        for what in ("end_to_end", "inference"):
            assert len(one[what]["rounds_ms"]) == 4
            assert one[what]["latency"]["count"] == sum(map(len, one[what]["rounds_ms"]))
        assert set(one["stages"]) == {"decode", "preprocess", "segment", "classify", "write"}
        # Stages are parts of the whole, so that no time is hidden between them.
        parts = sum(stage["p50"] for stage in one["stages"].values())
        assert 0.5 * one["end_to_end"]["latency"]["p50"] < parts < 1.5 * one["end_to_end"]["latency"]["p50"]
        assert len(one["cold_starts"]) == 3
        for start in one["cold_starts"]:
            assert 0 < start["processor_seconds"] < 60
            assert start["peak_memory_mb"] > 50
        assert set(one["pictures_per_second"]) >= {"1", "2"}
        assert one["processor_seconds_per_picture"] > 0
    assert [max(one["rows"], one["columns"]) for one in document["pictures"]] == [3000] * 3


def test_a_start_without_a_verdict_is_no_start(golden_bundle: Path, tmp_path: Path) -> None:
    """If it failed, a process that fails at once would be the quickest of all."""
    (tmp_path / "broken.dcm").write_bytes(b"DICM")
    with pytest.raises(BundleRefused, match=r"no verdict with openvino on CPU \(status 3\)"):
        cold_starts(golden_bundle, Setting("openvino", "CPU", 1), tmp_path / "broken.dcm", tmp_path)


def test_energy_is_of_the_pictures_that_were_weighed() -> None:
    """If it failed, a counter that wraps around would halve what a picture costs."""
    runs = Runs(Setting("openvino", "CPU", 1), "fp32", 1.0, None, (), joules=6.0, weighed=3)
    runs.end_to_end, runs.inference = [[1.0] * 3, [1.0] * 2], [[1.0], [1.0]]
    runs.stages = dict.fromkeys(runs.stages, runs.end_to_end)
    assert result_of(runs, (), {}).joules_per_picture == 2.0


def test_a_person_reads_a_table_and_the_notice(bonedge: Run, golden_bundle: Path) -> None:
    """If it failed, nobody would look at it twice."""
    done = bonedge("--bundle", golden_bundle, "--duration", 1)
    assert done.returncode == 0, done.stderr
    for words in ("From file to durable result", "Where the time goes", "A fresh process", "not a medical device"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_comparing_tells_a_change_from_none(bonedge: Run, document: dict[str, Any], tmp_path: Path) -> None:
    """If it failed, a regression would pass, or every run would be one."""
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(document))
    assert bonedge("--compare", before, before).returncode == 0
    slower = json.loads(json.dumps(document))
    for measured in (slower["results"][0]["end_to_end"], slower["results"][0]["inference"]):
        measured["rounds_ms"] = [[30 * value for value in one] for one in measured["rounds_ms"]]
    after.write_text(json.dumps(slower))
    done = bonedge("--compare", before, after, "--json")
    assert done.returncode == 5, done.stderr
    rulings = {(one["setting"], one["what"]): one["ruling"] for one in json.loads(done.stdout)["comparisons"]}
    assert rulings["openvino CPU x1", "end to end"] == "slower"
    assert rulings["openvino CPU x2", "end to end"] == "noise"
    assert "slower" in bonedge("--compare", before, after).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--threads", "two"), 2, "such as 1,2"),
        (("--image", "missing.dcm"), 3, "missing.dcm"),
        (("--scratch", "missing/folder"), 2, "another --scratch"),
        (("--compare", "a.json", "b.json"), 2, "--compare measures nothing"),
        (("--explain", "--threads", "1,2"), 2, "--explain takes"),
        (("--explain", "--engine", "openvino"), 2, "--explain takes"),
        (("--duration", "nan"), 2, "not a number"),
        (("--report", "/proc/nowhere"), 2, "another --report"),
        (("--engine", "tflite"), 4, "holds no tflite"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    bonedge: Run, golden_bundle: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """If it failed, a user would see a Python error."""
    done = bonedge("--bundle", golden_bundle, "--duration", 1, *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda of: of["bundle"].update(digest="another"), 0, "The bundle is another: "),
        (lambda of: of["machine"].update(processor="another"), 0, "The processor is another: "),
        (lambda of: of["results"].pop(), 0, "Only before: openvino CPU x2."),
        (
            lambda of: of["results"][0]["inference"]["steadiness"].update(steady=False),
            0,
            "Unsteady after: openvino CPU x1",
        ),
        (lambda of: of["results"][0].update(disagreements=["It is wrong."]), 0, "Do not use, after: It is wrong."),
        (lambda of: of["pictures"][0].update(bytes=7), 0, "The set of pictures is another: "),
        (lambda of: [one.update(rows=640, columns=500) for one in of["pictures"]], 2, "pictures of other sizes"),
        (lambda of: of["results"][0]["inference"].update(rounds_ms=[[]]), 2, "rounds without times"),
        (lambda of: of["results"][0]["end_to_end"].update(rounds_ms=[[0.0]]), 2, "rounds without times"),
    ],
)
def test_what_makes_a_comparison_doubtful_is_said(
    bonedge: Run, document: dict[str, Any], tmp_path: Path, spoil: Callable[[Any], Any], code: int, said: str
) -> None:
    """If it failed, another processor, or smaller pictures, would be taken for a change of bonedge."""
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    changed = json.loads(json.dumps(document))
    spoil(changed)
    before.write_text(json.dumps(document))
    after.write_text(json.dumps(changed))
    done = bonedge("--compare", before, after)
    assert done.returncode == code, done.stderr
    assert said in " ".join((done.stdout + done.stderr).split())
    if code == 0:
        remarks = json.loads(bonedge("--compare", before, after, "--json").stdout)["remarks"]
        assert any(remark.startswith(said) for remark in remarks)


@pytest.mark.full
def test_a_report_is_one_page_that_needs_nothing_else(bonedge: Run, golden_bundle: Path, tmp_path: Path) -> None:
    """A physicist would open a page without plots, or one that asks a server for them."""
    folder = tmp_path / "new" / "report"
    done = bonedge(
        "--bundle", golden_bundle, "--threads", 1, "--duration", 1, "--scratch", tmp_path, "--report", folder
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["benchmark.html", "benchmark.json"]
    found = json.loads((folder / "benchmark.json").read_text())
    jsonschema.validate(found, json.loads(schema()))
    page = (folder / "benchmark.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 3
    for fetched in ("http:", "https:", 'src="/', "url("):
        assert fetched not in page
    assert found["notice"] in page
    assert f"{found['results'][0]['end_to_end']['latency']['p50']:.0f}" in page
    assert "{{" not in page


def test_a_report_that_cannot_be_made_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two minutes of measuring would be lost on a workstation, which has no matplotlib."""
    monkeypatch.setattr("bonedge.edge.page.find_spec", lambda name: None)
    with pytest.raises(InvalidConfiguration, match=r"bonedge\[report\]"):
        check_pages_can_be_made()


def test_a_file_that_is_no_benchmark_is_refused(bonedge: Run, tmp_path: Path) -> None:
    """If it failed, a comparison would rest on something else."""
    (tmp_path / "other.json").write_text("{}")
    done = bonedge("--compare", tmp_path / "other.json", tmp_path / "other.json")
    assert done.returncode == 2
    assert "bonedge benchmark --json" in done.stderr
    assert "cannot be read" in bonedge("--compare", tmp_path / "no.json", tmp_path / "other.json").stderr


def test_auto_is_explained(bonedge: Run, golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it failed, nobody could tell why a workstation uses the engine that it uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told = bonedge("--bundle", golden_bundle, "--explain", "--json")
    assert told.returncode == 0, told.stderr
    choice = json.loads(told.stdout)
    assert choice["engine"] == "openvino"
    assert choice["trials"][0]["milliseconds"] > 0
    assert len(list((tmp_path / "bonedge").iterdir())) == 1
    again = bonedge("--bundle", golden_bundle, "--explain")
    assert "--engine auto is openvino on CPU" in again.stdout
    assert json.loads(bonedge("--bundle", golden_bundle, "--explain", "--json").stdout) == choice
