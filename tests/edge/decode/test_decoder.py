"""The expendable process: whatever a file does to it, the caller and the other files go on."""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from bonedge.edge.decode import Decoder, decode_bytes
from bonedge.edge.errors import InvalidConfiguration, NotARadiograph, UnreadableImage

RADIOGRAPHS = Path(os.environ.get("BONEDGE_RADIOGRAPHS", Path(__file__).parents[4] / "shared" / "radiographs"))


def test_same_picture_as_in_this_process(decoder, dicom, picture, saved):
    """A workstation would judge other pixels than training saw."""
    data = dicom(picture(60, 70, 0, 4095, "u2"), syntax=JPEG2000Lossless, PixelSpacing=["0.2", "0.1"])
    here, there = decode_bytes(data), decoder.decode(saved(data))
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert there.source == here.source
    assert there.pixels.flags.writeable


def test_one_child_serves_many_files(decoder, dicom, picture, saved):
    """Each file would pay for a process start."""
    path = saved(dicom(picture(20, 20, 0, 255, "u1")))
    decoder.decode(path)
    before = decoder.process_id
    with pytest.raises(UnreadableImage):
        decoder.decode(saved(b"text", "text.dcm"))
    decoder.decode(path)
    assert decoder.process_id == before


def test_refusals_name_the_path(decoder, dicom, picture, saved, tmp_path):
    """A user with a thousand files would not know which one is meant, nor what to do."""
    fifo, folder, link = tmp_path / "fifo", tmp_path / "folder", tmp_path / "dangling"
    os.mkfifo(fifo)
    folder.mkdir()
    link.symlink_to(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, says in (
            (tmp_path / "missing.dcm", "no such file"),
            (link, "no such file"),
            (folder, "folder"),
            (fifo, "pipe"),
            (tmp_path / "socket", "socket"),
            (Path(os.devnull), "device"),
            (saved(b"", "zero.dcm"), "empty"),
            (saved(b"not a picture\n", "text.dcm"), "text"),
            (Path(str(tmp_path) + "/" + "x" * 300), "cannot be opened"),
        ):
            with pytest.raises(UnreadableImage) as caught:
                decoder.decode(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert says in str(caught.value)
            assert "\n" not in str(caught.value)


def test_not_a_radiograph_keeps_its_type(decoder, dicom, picture, saved):
    """A CT would be reported as a damaged file."""
    path = saved(dicom(picture(20, 20, 0, 255, "u1"), SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"))
    with pytest.raises(NotARadiograph, match=r"picture\.dcm: not a radiograph: it is CT Image Storage"):
        decoder.decode(path)


def test_line_breaks_in_a_name_stay_on_one_line(decoder, tmp_path):
    """A hostile file name would forge lines in a log."""
    with pytest.raises(UnreadableImage) as caught:
        decoder.decode(tmp_path / "a\nERROR forged")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(decoder, dicom, picture, saved):
    """A missing permission would be called a damaged picture."""
    path = saved(dicom(picture(20, 20, 0, 255, "u1")))
    path.chmod(0)
    with pytest.raises(UnreadableImage, match="may not be read"):
        decoder.decode(path)


def test_links_are_followed(decoder, dicom, picture, saved, tmp_path):
    """Work lists made of links would not be read."""
    link = tmp_path / "link.dcm"
    link.symlink_to(saved(dicom(picture(20, 20, 0, 255, "u1"))))
    assert decoder.decode(link).source.rows == 20


def test_killed_while_working(dicom, picture, saved):
    """The out-of-memory killer would take the whole run, or the next file with it."""
    path = saved(dicom(picture(400, 400, 0, 4095, "u2"), syntax=JPEG2000Lossless))
    with Decoder() as decoder, ThreadPoolExecutor(1) as pool:
        decoder.decode(path)
        child = decoder.process_id
        assert child is not None
        os.kill(child, signal.SIGSTOP)  # so that it surely has not answered when it is killed
        killed = pool.submit(_kill_once_it_has_a_request, child)
        with pytest.raises(UnreadableImage, match=r"crashed the decoding process \(SIGKILL\)"):
            decoder.decode(path)
        killed.result()
        assert decoder.decode(path).source.rows == 400
        assert decoder.process_id != child


def _kill_once_it_has_a_request(child: int) -> None:
    request = os.open(f"/proc/{child}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    expected = 400 * 400 // 8  # well into the file
    try:
        waiting = array.array("i", [0])
        while waiting[0] < expected:
            fcntl.ioctl(request, termios.FIONREAD, waiting)
        os.kill(child, signal.SIGKILL)
    finally:
        os.close(request)


def test_killed_while_idle(dicom, picture, saved):
    """A file would be blamed for what happened before it."""
    path = saved(dicom(picture(20, 20, 0, 255, "u1")))
    with Decoder() as decoder:
        decoder.decode(path)
        child = decoder.process_id
        assert child is not None
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert decoder.decode(path).source.rows == 20


def test_time_limit(dicom, picture, saved):
    """One file that hangs a codec would stop the run for ever."""
    path = saved(dicom(picture(50, 50, 0, 4095, "u2")))
    with Decoder(timeout_seconds=2) as decoder:
        decoder.start()
        child = decoder.process_id
        assert child is not None
        decoder.decode(path)
        os.kill(child, signal.SIGSTOP)  # as if it hung
        with pytest.raises(UnreadableImage, match=r"picture\.dcm: decoding it took longer than 2 s"):
            decoder.decode(path)
        assert decoder.process_id is None


def test_memory_limit(dicom, saved):
    """One picture would push the workstation into swapping."""
    large = saved(dicom(np.zeros((6000, 6000), np.uint16)), "large.dcm")
    small = saved(dicom(np.eye(30, dtype=np.uint16)), "small.dcm")
    with Decoder(memory_mb=400) as decoder:
        decoder.decode(small)
        with pytest.raises(UnreadableImage, match=r"large\.dcm: .*memory"):
            decoder.decode(large)
        assert decoder.decode(small).source.rows == 30
    with Decoder(memory_mb=2048) as decoder:
        assert decoder.decode(large).source.rows == 6000


def test_it_is_the_first_to_go_when_memory_runs_out(dicom, picture, saved):
    """The out-of-memory killer would choose the daemon, which holds the models, and not the file's own process."""
    path = saved(dicom(picture(20, 20, 0, 255, "u1")))
    with Decoder() as decoder:
        decoder.decode(path)
        assert Path(f"/proc/{decoder.process_id}/oom_score_adj").read_text() == "900\n"


def test_too_little_memory_to_start(saved):
    """A wrong setting would be reported as thousands of damaged pictures."""
    path = saved(b"anything")
    with Decoder(memory_mb=20) as decoder, pytest.raises(InvalidConfiguration, match="20 MB"):
        decoder.decode(path)


def test_child_ends_with_its_parent():
    """Killed runs would leave processes behind, one for each."""
    program = (
        "import os, sys\n"
        "from bonedge.edge.decode import Decoder\n"
        "decoder = Decoder()\n"
        "decoder.start()\n"
        "print(decoder.process_id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        watched = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        ready, _, _ = select.select([watched], [], [], 30)
        assert ready == [watched]
    finally:
        os.close(watched)


def test_importing_is_cheap():
    """The command line would load pydicom and OpenCV twice, and start half a second later."""
    program = "import sys, bonedge.edge.decode; print({'pydicom', 'cv2', 'openjpeg'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    syntax=st.sampled_from([RLELossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_mutated_codestreams_never_reach_the_caller(decoder, dicom, picture, saved, acceptable, syntax, edits):
    """A damaged picture would take the run down inside a codec."""
    data = bytearray(dicom(picture(40, 50, 0, 255, "u1"), syntax=syntax))
    begin = data.index(b"\xe0\x7f\x10\x00OB")
    for place, byte in edits:
        data[begin + int(place * (len(data) - begin - 1))] = byte
    assert acceptable(lambda: decoder.decode(saved(bytes(data))))


def test_real_chest_radiograph(decoder):
    """A plate from a real reader (MONOCHROME1, 15 bits, lossy JPEG 2000) would be refused or shown as a negative."""
    path = RADIOGRAPHS / "RG1_J2KI.dcm"
    if not path.is_file():
        pytest.skip("RG1_J2KI.dcm is not here; set BONEDGE_RADIOGRAPHS to the folder that holds it")
    radiograph = decoder.decode(path)
    assert (radiograph.source.rows, radiograph.source.columns) == (1955, 1841)
    assert (radiograph.source.modality, radiograph.source.body_part) == ("CR", "CHEST")
    spine, lung = radiograph.pixels[800:1000, 880:960], radiograph.pixels[500:800, 500:700]
    assert np.median(spine) > np.median(lung) + 0.05
