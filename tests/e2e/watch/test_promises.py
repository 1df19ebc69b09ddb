"""`bonedge watch` as a hospital runs it: what lands in the folder has its result, once, whatever it is called."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import PROGRAM, Watch, drop

Watching = Callable[..., Watch]
Picture = Callable[..., bytes]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_a_file_renamed_into_place_has_its_result_within_a_second(watching: Watching, radiograph: Picture) -> None:
    """The verdict would come after the patient has left."""
    watch = watching(settle_seconds=30, rescan_seconds=600).start()
    watch.wait(lambda: "events" in watch.said())
    drop(watch.input, "warm.png", radiograph(0))
    watch.wait(lambda: watch.said()["done"] == 1)
    drop(watch.input, "a.png", radiograph(1))
    watch.wait(lambda: watch.said()["done"] == 2)
    done = [event for event in watch.events if event["event"] == "done"][-1]
    assert done["label"] == "malignant"
    assert done["latency_ms"] < 2000
    assert [result["verdict"]["label"] for result in watch.results()] == ["malignant"] * 2
    assert watch.stop() == 0


def test_the_input_itself_may_be_a_link(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """Where /srv/input is a link to a disk, every file would wait for the next rescan."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    watch = watching(input=str(tmp_path / "link"), rescan_seconds=600).start()
    watch.wait(lambda: watch.said()["events"] == 1)
    drop(tmp_path / "disk", "0.png", radiograph(0))
    watch.wait(lambda: watch.said()["done"] == 1)
    drop(tmp_path / "disk", "1.png", radiograph(1))
    watch.wait(lambda: watch.said()["done"] == 2)
    assert watch.stop() == 0


def test_nested_folders_and_strange_names_are_taken(watching: Watching, radiograph: Picture) -> None:
    """A study exported into its own folder, or under a name from another system, would be missed."""
    watch = watching().start()
    names = [b"n" * 251 + b".png", b"line\nbreak.png", b"latin-\xe9.png", b"-rf.png", b"ESC\x1b[31m.png"]
    folder = watch.input / "study" / "series one"
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(radiograph(number))
    moved = watch.folder / "elsewhere"
    (moved / "deep").mkdir(parents=True)
    (moved / "deep" / "x.png").write_bytes(radiograph(99))
    moved.rename(watch.input / "moved in")
    watch.wait(lambda: watch.states()["done"] == len(names) + 1)
    watch.stop()
    assert len(watch.results()) == len(names) + 1
    text = json.dumps(watch.events)
    assert "latin" not in text
    assert "series" not in text


def test_what_is_no_file_is_left_alone(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """A pipe would block the daemon for ever, a link would lead it out of the folder."""
    watch = watching()
    secret = tmp_path / "secret.png"
    secret.write_bytes(radiograph(7))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.png").write_bytes(radiograph(8))
    os.mkfifo(watch.input / "pipe.png")
    (watch.input / "link.png").symlink_to(secret)
    (watch.input / "folder").symlink_to(outside)
    (watch.input / "loop").symlink_to(watch.input)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(watch.input / "s.png"))
    for name in (".hidden.png", "a.png.part", "b.TMP", "c.filepart"):
        (watch.input / name).write_bytes(radiograph(9))
    (watch.input / "fine.png").write_bytes(radiograph(1))
    watch.start("--once", ready=False)
    assert watch.finish() == 0
    assert watch.seen() == {"fine.png"}
    assert len(watch.results()) == 1


def test_a_slow_writer_gets_one_result_for_the_whole_file(watching: Watching, radiograph: Picture) -> None:
    """Half a picture would be judged, or the finished one never."""
    watch = watching(incomplete_seconds=600).start()
    content = radiograph(1)
    path = watch.input / "slow.png"
    with path.open("wb", buffering=0) as file:
        for begin in range(0, len(content), len(content) // 3):
            said = watch.said()["later"]
            file.write(content[begin : begin + len(content) // 3])
            if file.tell() < len(content):
                watch.wait(lambda said=said: watch.said()["later"] > said)  # it was looked at and not believed
    watch.wait(lambda: watch.states()["done"] == 1)
    # In-place rewrite of another picture, with the old times put back.
    status = path.stat()
    with path.open("r+b") as file:
        file.write(radiograph(2))
        file.truncate()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    watch.wait(lambda: watch.states()["done"] == 2)
    with path.open("wb") as file:  # truncate and regrow
        file.flush()
        file.write(radiograph(3))
    watch.wait(lambda: watch.states()["done"] == 3)
    watch.stop()
    assert len(watch.results()) == 3


def test_space_given_in_advance_is_not_content(watching: Watching, paint: Callable[..., Any]) -> None:
    """A copy over SMB that has its size from the start would be judged while it is all black."""
    import cv2
    import numpy as np

    watch = watching(zero_tail_seconds=600, incomplete_seconds=600).start()
    content = cv2.imencode(".tiff", (paint(300, 200, lesion="benign") * 255).astype(np.uint8), (259, 1))[1].tobytes()
    with (watch.input / "smb.tif").open("wb", buffering=0) as file:
        file.truncate(len(content) + 8192)
        file.write(content[: len(content) // 2])
        os.fsync(file.fileno())
        watch.wait(lambda: watch.said()["later"] >= 1)
        assert not watch.results()
        file.write(content[len(content) // 2 :])
        file.truncate(len(content))
    watch.wait(lambda: watch.states()["done"] == 1)
    watch.stop()


def test_the_same_picture_twice_has_one_result(watching: Watching, radiograph: Picture) -> None:
    """Each re-export would be examined again, and a folder of copies would take a day."""
    watch = watching()
    for name in "abcdef":
        (watch.input / f"{name}.png").write_bytes(radiograph(1))
    watch.start()
    watch.wait(lambda: len(watch.seen()) == 6)
    watch.stop()
    assert watch.said()["done"] == 1
    assert watch.said()["known"] == 5
    assert len(watch.results()) == 1


def test_a_restart_examines_nothing_again(watching: Watching, radiograph: Picture) -> None:
    """After each reboot the workstation would be busy with a year of old pictures."""
    watch = watching()
    for number in range(5):
        (watch.input / f"{number}.png").write_bytes(radiograph(number))
    (watch.input / "bad.png").write_bytes(radiograph(1)[:-30])
    watch.start()
    watch.wait(lambda: len(watch.seen()) == 6)
    watch.stop()
    before = len(watch.events)
    watch.start()
    drop(watch.input, "new.png", radiograph(77))
    watch.wait(lambda: len(watch.seen()) == 7)
    watch.stop()
    said = watch.said(before)
    assert (said["done"], said["known"], said["quarantined"], said["later"]) == (1, 0, 0, 0)


def test_people_can_look_and_have_a_file_examined_again(watching: Watching, radiograph: Picture) -> None:
    """A file quarantined by mistake could not be got back, or only by stopping the daemon."""
    watch = watching().start()
    bad = watch.input / "bad.png"
    bad.write_bytes(radiograph(1)[:-30])
    (watch.input / "good.png").write_bytes(radiograph(2))
    watch.wait(lambda: watch.states() == {"done": 1, "quarantined": 1})
    listed = command("ledger", "--state", watch.state, "list", "--json")
    entries = {entry["path"]: entry for entry in map(json.loads, listed.stdout.splitlines())}
    assert entries["bad.png"]["state"] == "quarantined"
    assert "damaged or cut short" in entries["bad.png"]["reason"]
    assert entries["good.png"]["label"] == "malignant"
    assert "good.png" in command("ledger", "--config", watch.config, "list", "--state", "done").stdout
    assert "latency_ms" in command("ledger", "--state", watch.state, "show", "good.png").stdout
    (watch.input / "copy.png").write_bytes(radiograph(2))
    watch.wait(lambda: watch.said()["known"] == 1)
    assert "good.png" in command("ledger", "--state", watch.state, "show", "copy.png").stdout
    exported = command("ledger", "--state", watch.state, "export").stdout.splitlines()
    assert len(exported) == 3
    assert command("ledger", "--state", watch.state, "show", "nothing").returncode == 2
    assert command("ledger", "--state", watch.folder / "no", "list").returncode == 2
    before = len(watch.events)
    assert command("ledger", "--state", watch.state, "retry", "good.png").returncode == 0
    watch.wait(lambda: watch.said(before)["done"] == 1)
    assert command("ledger", "--state", watch.state, "retry", "--quarantined").returncode == 0
    watch.wait(lambda: watch.said(before)["quarantined"] == 1)
    watch.stop()


def test_a_new_bundle_reads_again_only_on_request(
    watching: Watching, radiograph: Picture, tiny_bundle: Path, tmp_path: Path
) -> None:
    """A new bundle would re-read the archive unasked, or could not be made to."""
    from bonedge.edge.bundle import Bundle, write_bundle

    watch = watching()
    (watch.input / "a.png").write_bytes(radiograph(1))
    watch.start()
    watch.wait(lambda: watch.states()["done"] == 1)
    old = Bundle.open(tiny_bundle)
    later = write_bundle(tmp_path / "later", old.manifest.model_copy(update={"version": "2"}), old.contents)
    watch.configure(bundle=str(later.folder))
    watch.signal(signal.SIGHUP)
    watch.wait(lambda: "reloaded" in watch.said())
    (watch.input / "b.png").write_bytes(radiograph(2))
    watch.wait(lambda: watch.states()["done"] == 2)
    watch.stop()
    assert {row[0] for row in watch.rows("SELECT bundle FROM outcome")} == {old.digest, later.digest}
    watch.start("--reprocess")
    watch.wait(lambda: watch.states()["done"] == 3)
    watch.stop()
    assert len(watch.results()) == 3


def test_a_reload_that_does_not_work_changes_nothing(watching: Watching, radiograph: Picture) -> None:
    """A typing error in the configuration would stop the service at night."""
    watch = watching().start()
    pid = watch.pid
    watch.config.write_text("[watch]\nworkers = 0\n")
    watch.signal(signal.SIGHUP)
    watch.wait(lambda: "reload refused" in watch.said())
    watch.configure(bundle=str(watch.folder / "no such bundle"))
    watch.signal(signal.SIGHUP)
    watch.wait(lambda: watch.said()["reload refused"] == 2)
    assert any("watch.workers" in event.get("reason", "") for event in watch.events)
    drop(watch.input, "a.png", radiograph(1))
    watch.wait(lambda: watch.states()["done"] == 1)
    assert watch.pid == pid
    assert watch.stop() == 0


def test_a_reload_makes_no_output_where_a_share_was(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """Results would go under the mount point, be acknowledged, and vanish when the share comes back."""
    share = tmp_path / "share"
    watch = watching(output=str(share / "out")).start()
    shutil.rmtree(share)
    watch.signal(signal.SIGHUP)
    watch.wait(lambda: "reloaded" in watch.said())
    drop(watch.input, "a.png", radiograph(1))
    watch.wait(lambda: "stopped" in watch.said())
    assert not share.exists()
    (share / "out").mkdir(parents=True)
    watch.wait(lambda: watch.states()["done"] == 1)
    assert watch.stop() == 0


def test_a_ledger_that_does_not_work_at_the_start_is_an_alarm(
    watching: Watching, radiograph: Picture, tmp_path: Path
) -> None:
    """The alarm that the documentation asks for would stay silent, and the one for the input would ring."""
    metrics = tmp_path / "textfile" / "bonedge.prom"
    metrics.parent.mkdir()
    watch = watching(metrics_file=str(metrics))
    (watch.state / "ledger.sqlite").mkdir()
    watch.start(ready=False, wrapper=("sh", "-c", 'umask 0077; exec "$@"', "sh"))
    watch.wait(lambda: metrics.exists() and "bonedge_blocked 1.0" in metrics.read_text())
    assert "bonedge_input_available 1.0" in metrics.read_text()
    watch.wait(lambda: metrics.stat().st_mode & 0o777 == 0o644)
    (watch.state / "ledger.sqlite").rmdir()
    drop(watch.input, "a.png", radiograph(1))
    watch.wait(lambda: watch.said()["done"] == 1)
    assert watch.stop() == 0
    assert "bonedge_blocked 0.0" in metrics.read_text()


def test_what_the_service_makes_others_may_read(watching: Watching, tmp_path: Path) -> None:
    """Under the unit's umask of 0077 nobody but the service would see its results."""
    watch = watching(output=str(tmp_path / "new" / "out"), quarantine=str(tmp_path / "kept"))
    watch.output.rmdir()
    watch.start(wrapper=("sh", "-c", 'umask 0077; exec "$@"', "sh"))
    watch.stop()
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("new/out", "kept")]
    assert modes == [0o755, 0o700]


def test_sigterm_finishes_the_image_in_hand(watching: Watching, radiograph: Picture) -> None:
    """Each stop would cost the work of a picture, or leave half of a result."""
    watch = watching(workers=1)
    for number in range(40):
        (watch.input / f"{number}.png").write_bytes(radiograph(number))
    watch.start()
    watch.wait(lambda: watch.said()["done"] >= 2)
    assert watch.stop() == 0
    assert watch.events[-1]["event"] == "ended"
    done = watch.said()["done"]
    assert 2 <= done < 40
    assert len(watch.results()) == watch.states()["done"] == done
    assert not watch.rows("SELECT * FROM outcome WHERE in_hand = 1 OR deaths > 0")
    assert not list(watch.output.glob(".*"))


def test_two_daemons_cannot_share_a_state_folder(watching: Watching) -> None:
    """Two services would examine each file twice and fight over the ledger."""
    watch = watching().start()
    second = command("watch", "--config", watch.config)
    assert second.returncode == 2
    assert f"process {watch.pid}" in second.stderr
    assert watch.alive
    watch.kill()
    watch.start()  # a killed daemon leaves no lock behind
    assert watch.stop() == 0


def test_systemd_hears_how_it_is(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """systemd would think that the service never started, or restart it while it works."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(30)
        watch = watching().start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
        (watch.input / "a.png").write_bytes(radiograph(1))
        messages: list[str] = []

        def listen_for(text: str) -> None:
            while not any(text in message for message in messages):
                messages.append(heard.recv(4096).decode())

        listen_for("READY=1")
        listen_for("WATCHDOG=1")
        listen_for("STATUS=1 done")
        watch.signal(signal.SIGHUP)
        listen_for("RELOADING=1\nMONOTONIC_USEC=")
        messages.clear()
        listen_for("READY=1")
        watch.signal(signal.SIGTERM)
        listen_for("STOPPING=1")
        assert watch.finish() == 0


def test_a_hung_worker_stops_the_watchdog(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """A daemon that hangs would look alive, and nobody would restart it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(30)
        watch = watching(decode_seconds=0.5, hang_seconds=0.5, workers=1).start(
            failpoints="examined=hang", NOTIFY_SOCKET=str(tmp_path / "notify")
        )
        (watch.input / "a.png").write_bytes(radiograph(1))
        silent_since = time.monotonic()
        while time.monotonic() - silent_since < 3.0:
            if "WATCHDOG=1" in heard.recv(4096).decode():
                silent_since = time.monotonic()
        watch.kill()


def test_metrics_say_what_was_done(watching: Watching, radiograph: Picture) -> None:
    """Nobody could tell from the outside whether the service keeps up."""
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    watch = watching(metrics_port=port).start()
    (watch.input / "a.png").write_bytes(radiograph(1))
    (watch.input / "bad.png").write_bytes(b"text\n")
    watch.wait(lambda: watch.states() == {"done": 1, "quarantined": 1})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        served = answer.read().decode()
    elsewhere = socket.socket()
    with elsewhere, pytest.raises(ConnectionRefusedError):
        elsewhere.connect(("127.0.0.2", port))
    watch.stop()
    written = (watch.state / "bonedge.prom").read_text()
    for text in (served, written):
        assert 'bonedge_files_total{outcome="done"} 1.0' in text
        assert 'bonedge_verdicts_total{label="malignant"} 1.0' in text
        assert "bonedge_latency_seconds_bucket" in text
        assert "bonedge_process_resident_memory_bytes" in text
        assert ".png" not in text
    assert "bonedge_oldest_pending_seconds 0.0" in written
    assert 'bonedge_queue_files{queue="backlog"} 0.0' in written


def test_nothing_names_the_patient(watching: Watching, radiograph: Picture) -> None:
    """Logs sent to a service company would carry names of patients."""
    watch = watching(incomplete_seconds=0.1)
    (watch.input / "Zzyzx^Quentin").mkdir()
    (watch.input / "Zzyzx^Quentin" / "ID-87654321.png").write_bytes(radiograph(1))
    (watch.input / "Zzyzx^Quentin" / 'x","event":"forged\n{"event":"forged"}.png').write_bytes(b"Zzyzx is text\n")
    watch.start()
    watch.wait(lambda: len(watch.seen()) == 2)
    watch.stop()
    left = json.dumps(watch.events).lower()
    left += "".join(path.name + path.read_bytes().decode("latin-1") for path in watch.output.iterdir()).lower()
    left += (watch.state / "bonedge.prom").read_text().lower()
    for secret in ("zzyzx", "quentin", "87654321", "forged"):
        assert secret not in left
    assert watch.state.stat().st_mode & 0o077 == 0 or watch.folder.stat().st_mode & 0o077 == 0


def test_quarantined_files_are_copied_when_configured(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """What went wrong could not be shown to the vendor after the PACS has cleaned up."""
    watch = watching(quarantine=str(tmp_path / "kept"))
    content = radiograph(1)[:-40]
    (watch.input / "bad.png").write_bytes(content)
    watch.start()
    watch.wait(lambda: watch.states()["quarantined"] == 1)
    watch.stop()
    (copy,) = (tmp_path / "kept").iterdir()
    assert copy.read_bytes() == content
    assert "bad" not in copy.name
    assert (watch.input / "bad.png").read_bytes() == content


def test_once_settles_what_is_there(watching: Watching, radiograph: Picture) -> None:
    """A nightly job would not end, or would not say that a file was unreadable."""
    watch = watching(incomplete_seconds=600)
    (watch.input / "a.png").write_bytes(radiograph(1))
    watch.start("--once", ready=False)
    assert watch.finish() == 0
    (watch.input / "bad.png").write_bytes(b"text")
    watch.start("--once", ready=False)
    assert watch.finish() == 3
    assert len(watch.results()) == 1


def test_once_does_not_wait_for_ever_for_a_disk(watching: Watching, radiograph: Picture) -> None:
    """A nightly job would hang until somebody looks."""
    watch = watching()
    (watch.input / "a.png").write_bytes(radiograph(1))
    watch.output.rmdir()
    watch.output.write_text("a file, not a folder")
    watch.start("--once", ready=False)
    assert watch.finish() == 2
    assert "output" in watch.complaint()


def test_a_person_sees_a_table(watching: Watching, radiograph: Picture) -> None:
    """Somebody at a terminal would see raw JSON, or nothing; and would have to repeat what the configuration says."""
    watch = watching()
    (watch.input / "a.png").write_bytes(radiograph(1))
    (watch.input / "bad[1].png").write_bytes(b"text")
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "watch"],
        cwd=watch.folder,  # where its bonedge.toml is
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    ) as process:
        os.close(child)
        shown = b""
        try:
            while not (b"malignant" in shown and b"1 done   1 quarantined" in shown):
                shown += os.read(parent, 65536)
            process.send_signal(signal.SIGINT)
            while os.read(parent, 65536):
                pass
        except OSError:
            pass  # how Linux reports that the other side of a terminal is closed
        os.close(parent)
        assert process.wait(30) == 0, shown.decode()
    assert b"not a medical device" in shown
    assert b"a.png" not in shown


def test_the_configuration_is_checked(watching: Watching, radiograph: Picture, tmp_path: Path) -> None:
    """A mistake would only be found when the first picture of the day is not examined."""
    watch = watching()
    assert command("watch", "--config", watch.config, "--check-config").returncode == 0
    inside = command("watch", "--config", watch.config, "--check-config", "--output", watch.input / "results")
    assert inside.returncode == 2
    assert "inside the input folder" in inside.stderr
    assert command("watch", "--config", watch.config, "--check-config", "--input", tmp_path / "no").returncode == 2
    assert command("watch", "--config", watch.config, "--check-config", "--bundle", tmp_path / "no").returncode == 4
    watch.configure(settle_seconds=-1)
    wrong = command("watch", "--config", watch.config, "--check-config")
    assert wrong.returncode == 2
    assert "watch.settle_seconds" in wrong.stderr
    assert command("watch", "--state", tmp_path / "s").returncode == 2
