"""`bonedge predict` as a user runs it: a process of its own, files on disk, a real engine."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())
_RUN = "from bonedge.edge.cli import main; main()"
_PATIENT = "Zzyzx^Quentin"


@pytest.fixture
def bonedge(tiny_bundle: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`bonedge(*arguments)` runs `bonedge predict` in `tmp_path` with the tiny bundle, output piped."""

    def run(*arguments: object, bundle: Path | None = tiny_bundle, before: str = "", **options: Any) -> Any:
        chosen = () if bundle is None else ("--bundle", str(bundle))
        return subprocess.run(
            [sys.executable, "-c", f"{before}\n{_RUN}", "predict", *chosen, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def png(tmp_path: Path, paint: Callable[..., Any]) -> Callable[..., Path]:
    """`png(name, **painted)` writes a 16-bit picture."""

    def written(name: str, **painted: Any) -> Path:
        path = tmp_path / name
        cv2.imwrite(str(path), (paint(600, 450, **painted) * 65535).astype(np.uint16))
        return path

    return written


@pytest.fixture
def dicom(tmp_path: Path, paint: Callable[..., Any]) -> Callable[..., Path]:
    """`dicom(name, **attributes)` writes a 12-bit CR picture of a malignant lesion, 0.2 mm pixels."""

    def written(name: str, *, lesion: str | None = "malignant", frames: int = 1, **attributes: Any) -> Path:
        stored = (paint(600, 450, lesion=lesion) * 4095).astype(np.uint16)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = ComputedRadiographyImageStorage
        dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1", "2.25.2", "2.25.3"
        dataset.PatientName, dataset.PatientID, dataset.Modality = _PATIENT, "ID-87654321", "CR"
        dataset.Rows, dataset.Columns = stored.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.PixelSpacing, dataset.WindowCenter, dataset.WindowWidth = [0.2, 0.2], 2048, 4096
        dataset.PixelData = stored.tobytes() * frames
        if frames > 1:
            dataset.NumberOfFrames = frames
            dataset.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
        for name_, value in attributes.items():
            setattr(dataset, name_, value)
        path = tmp_path / name
        dataset.save_as(path, enforce_file_format=True)
        return path

    return written


def structured_report(path: Path) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = BasicTextSRStorage, "2.25.9", "SR"
    dataset.PatientName = _PATIENT
    dataset.save_as(path, enforce_file_format=True)
    return path


def documents(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_radiograph_gets_its_verdict_with_evidence(
    bonedge: Callable[..., Any], dicom: Callable[..., Path], tmp_path: Path
) -> None:
    """If it failed, the one thing that bonedge is for would not work."""
    done = bonedge(dicom("knee.dcm"), "--json", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (document,) = documents(done)
    jsonschema.validate(document, SCHEMA)
    assert document["verdict"]["label"] == "malignant"
    (lesion,) = document["lesions"]
    assert lesion["longest_diameter_mm"] == pytest.approx(2 * 60 * 0.2, rel=0.06)
    assert document["source"]["pixel_spacing_mm"] == [0.2, 0.2]
    assert document["source"]["sop_instance_uid"] == "2.25.1"
    assert document["engine"]["name"] == "openvino"
    assert all(value > 0 for value in document["timings_ms"].values())
    names = {f"{document['result_id']}.json", *document["files"].values()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out" / f"{document['result_id']}.json").read_text()) == document


def test_nothing_that_names_the_patient_leaves(
    bonedge: Callable[..., Any], dicom: Callable[..., Path], tmp_path: Path
) -> None:
    """If it failed, results could not be shared without giving the patient away."""
    done = bonedge(dicom("Zzyzx_Quentin.dcm"), "--json", "--output", "out")
    assert done.returncode == 0, done.stderr
    left = done.stdout.encode() + b"".join(
        path.name.encode() + path.read_bytes() for path in (tmp_path / "out").iterdir()
    )
    for secret in (b"zzyzx", b"quentin", b"87654321"):
        assert secret not in left.lower()


def test_bad_inputs_cost_one_line_each_and_nothing_else(
    bonedge: Callable[..., Any], png: Callable[..., Path], dicom: Callable[..., Path], tmp_path: Path
) -> None:
    """If it failed, one bad file among a morning's radiographs would cost the others."""
    whole = dicom("whole.dcm").read_bytes()
    (tmp_path / "truncated.dcm").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "text.dcm").write_text("Dear colleague, thank you for referring this patient.\n" * 40)
    (tmp_path / "folder").mkdir()
    bomb = dicom("bomb.dcm", Rows=32000, Columns=16384, PixelData=b"\0" * 1024)
    cut_png = png("cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut_png[: len(cut_png) // 2])
    bad = ["truncated.dcm", "empty.dcm", "text.dcm", "folder", "missing.dcm", bomb.name, "cut.png",
           structured_report(tmp_path / "report.dcm").name, dicom("frames.dcm", frames=3).name]  # fmt: skip
    first, last = png("first.png", lesion="benign").name, png("last.png").name
    done = bonedge(first, *bad, last, "--json", "--output", "out")
    assert done.returncode == 3
    lines = documents(done)
    assert [line["verdict"]["label"] for line in (lines[0], lines[-1])] == ["benign", "normal"]
    assert [line["error"]["input"] for line in lines[1:-1]] == bad
    assert len(list((tmp_path / "out").glob("*.json"))) == 2
    complaints = done.stderr.splitlines()
    assert len(complaints) == len(bad)
    for name, complaint, line in zip(bad, complaints, lines[1:-1], strict=True):
        assert complaint == f"bonedge: {line['error']['message']}"
        assert complaint.startswith(f"bonedge: {name}: ")
        assert "Traceback" not in complaint
        assert "Zzyzx" not in complaint
    kinds = {line["error"]["input"]: line["error"]["kind"] for line in lines[1:-1]}
    assert {name for name, kind in kinds.items() if kind == "NotARadiograph"} >= {"report.dcm", "frames.dcm"}


def test_a_file_without_permission_is_said(
    tiny_bundle: Path, png: Callable[..., Path], tmp_path: Path, mortal: tuple[str, ...]
) -> None:
    """If it failed, a file with wrong permissions would stop the run or be called damaged."""
    closed, fine = png("closed.png"), png("fine.png")
    closed.chmod(0)
    done = subprocess.run(
        [
            *mortal,
            sys.executable,
            "-c",
            _RUN,
            "predict",
            "--bundle",
            str(tiny_bundle),
            str(closed),
            str(fine),
            "--json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    failed, examined = documents(done)
    assert "may not be read" in failed["error"]["message"]
    assert examined["verdict"]["label"] == "normal"


@pytest.mark.parametrize("spacing", ["1e-300", "5e-324", "1e30", "1e300", "1e-30"])
def test_a_size_that_cannot_be_is_no_size(
    bonedge: Callable[..., Any], dicom: Callable[..., Path], png: Callable[..., Path], spacing: str
) -> None:
    """If it failed, one header with a slip in it would end the call, or write what no program reads."""
    done = bonedge(dicom("odd.dcm", PixelSpacing=[spacing, spacing]), png("fine.png"), "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    odd, _ = documents(done)
    assert odd["source"]["pixel_spacing_mm"] is None
    assert [lesion["longest_diameter_mm"] for lesion in odd["lesions"]] == [None]


def test_a_closed_standard_output_stops_nothing(
    bonedge: Callable[..., Any], png: Callable[..., Path], tmp_path: Path
) -> None:
    """If it failed, a scheduler that gives its jobs no standard output would get no results."""
    done = bonedge(png("fine.png"), before="import sys; sys.stdout = None")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "bonedge-results").glob("*.json"))) == 1


def test_rows_line_up_in_a_pipe(bonedge: Callable[..., Any], png: Callable[..., Path], tmp_path: Path) -> None:
    """If it failed, the output would be no readable table, or would mix with what other programs read from stdout."""
    names = [png("a.png", lesion="malignant").name, png("a longer name.png").name, png("none.png", bone=False).name]
    done = bonedge(*names)
    assert done.returncode == 0
    assert done.stdout == ""
    head, first, second, third, reason, where, notice = done.stderr.splitlines()
    assert head.split() == ["file", "verdict", "p(tumour)", "lesion", "mm", "ms", "result"]
    assert first.index("malignant") == second.index("normal") == third.index("abstain") == head.index("verdict")
    assert "Long bone covers 0." in reason
    assert "bonedge-results" in where
    assert "not a medical device" in notice
    overlays = {path.name[:8] for path in (tmp_path / "bonedge-results").glob("*.overlay.png")}
    assert {row.split()[-1] for row in (first, second, third)} == overlays


def at_a_terminal(command: list[str], folder: Path, columns: int) -> tuple[int, str]:
    """(exit code, what is seen) of a command at a terminal of `columns` characters."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=child,
        stderr=child,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"},
    ) as process:
        os.close(child)
        chunks = []
        while True:
            try:
                chunk = os.read(parent, 65536)
            except OSError:  # how Linux reports that the other side of a terminal is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        code = process.wait(timeout=120)
    os.close(parent)
    return code, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(chunks).decode())


@pytest.mark.parametrize("columns", [160, 80, 60, 40])
def test_a_terminal_gets_a_table(
    tiny_bundle: Path, dicom: Callable[..., Path], png: Callable[..., Path], tmp_path: Path, columns: int
) -> None:
    """If it failed, somebody at a terminal would see no table, or one that loses a verdict or whose it is."""
    names = [dicom("knee[1].dcm").name, png("empty.png", bone=False).name, "missing.png"]
    command = [sys.executable, "-c", _RUN, "predict", "--bundle", str(tiny_bundle), *names]
    code, seen = at_a_terminal(command, tmp_path, columns)
    assert code == 3
    (row,) = (line for line in seen.splitlines() if "knee[1].dcm" in line)
    assert "malignant" in row
    assert ("24." in row) == (columns > 60)
    results = {path.name[:8] for path in (tmp_path / "bonedge-results").glob("*.overlay.png")}
    assert row.split()[-1] in results
    (reason,) = (line for line in seen.splitlines() if line.startswith("empty.png: no verdict. "))
    assert "Long bone covers 0." in reason
    assert "bonedge: missing.png: " in seen
    assert "not a medical device" in " ".join(seen.split())


def test_what_the_header_says_is_heard(bonedge: Callable[..., Any], dicom: Callable[..., Path]) -> None:
    """If it failed, a chest film would be given a bone tumour verdict."""
    done = bonedge(dicom("chest.dcm", BodyPartExamined="CHEST"), dicom("knee.dcm", BodyPartExamined="KNEE"), "--json")
    chest, knee = documents(done)
    assert done.returncode == 0
    assert chest["verdict"]["label"] == "abstain"
    assert "CHEST" in chest["verdict"]["reasons"][0]
    assert knee["verdict"]["label"] == "malignant"


def test_a_second_run_replaces_the_first(bonedge: Callable[..., Any], png: Callable[..., Path], tmp_path: Path) -> None:
    """If it failed, results would pile up, or two copies of one picture would get two results."""
    one, copy = png("one.png", lesion="benign"), png("copy.png", lesion="benign")
    first = documents(bonedge(one, copy, "--json"))
    second = documents(bonedge(one, "--json"))
    assert {document["result_id"] for document in first + second} == {first[0]["result_id"]}
    assert len(list((tmp_path / "bonedge-results").iterdir())) == 3


def test_a_refused_bundle_is_exit_4(bonedge: Callable[..., Any], png: Callable[..., Path], tmp_path: Path) -> None:
    """If it failed, a damaged bundle would look like a damaged picture."""
    (tmp_path / "empty").mkdir()
    done = bonedge(png("fine.png"), bundle=tmp_path / "empty")
    assert done.returncode == 4
    assert done.stderr.startswith("bonedge: ")
    assert done.stderr.count("\n") == 1


def test_an_engine_that_the_bundle_lacks_is_exit_4(bonedge: Callable[..., Any], png: Callable[..., Path]) -> None:
    """If it failed, another engine than the one asked for would answer."""
    done = bonedge(png("fine.png"), "--engine", "tflite")
    assert done.returncode == 4
    assert "tflite" in done.stderr


def test_options_win_over_the_configuration(
    bonedge: Callable[..., Any], png: Callable[..., Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    """If it failed, an option on the command line would silently not be used."""
    config = tmp_path / "bonedge.toml"
    config.write_text(f'[predict]\nbundle = "{tiny_bundle}"\nengine = "tflite"\noutput = "from-config"\n')
    picture = png("fine.png")
    refused = bonedge(picture, "--config", config, bundle=None)
    assert (refused.returncode, "tflite" in refused.stderr) == (4, True)
    done = bonedge(picture, "--config", config, "--engine", "openvino", bundle=None)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "from-config").iterdir())) == 3
    config.write_text("[predict]\nthreads = 0\n")
    assert bonedge(picture, "--config", config).returncode == 2


def test_an_output_that_cannot_be_a_folder_is_exit_2(
    bonedge: Callable[..., Any], png: Callable[..., Path], tmp_path: Path
) -> None:
    """If it failed, minutes of work could end before anything is found to be unwritable."""
    (tmp_path / "taken").write_text("")
    done = bonedge(png("fine.png"), "--output", "taken")
    assert done.returncode == 2
    assert "taken" in done.stderr
    assert done.stderr.count("\n") == 1


def test_names_with_control_letters_stay_on_one_line(
    bonedge: Callable[..., Any], png: Callable[..., Path], tmp_path: Path
) -> None:
    """If it failed, a hostile file name could write to the terminal or fake further rows."""
    png("a\nb\x1b[31m.png")
    (tmp_path / "bad\nname.dcm").write_bytes(b"")
    done = bonedge("a\nb\x1b[31m.png", "bad\nname.dcm")
    assert done.returncode == 3
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 5


def test_no_socket_is_opened(bonedge: Callable[..., Any], png: Callable[..., Path]) -> None:
    """If it failed, something in the runtime would phone home from a hospital."""
    guard = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.bind"):
        os.write(2, f"SOCKET {event}\\n".encode())
        os._exit(99)
sys.addaudithook(refuse)
"""
    done = bonedge(png("fine.png"), "--json", before=guard)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
