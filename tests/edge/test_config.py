"""The configuration file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bonedge.edge.config import BundleSettings, PredictSettings, Settings, WatchSettings, read_settings
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.trust import Trust

_SHOWN_WITH_DEFAULT = (
    "engine", "device", "workers", "decode_seconds", "decode_memory_mb", "hang_seconds", "settle_seconds",
    "zero_tail_seconds", "incomplete_seconds", "poll", "poll_seconds", "rescan_seconds",
)  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "bonedge.toml"
    path.write_text(text)
    return path


def test_no_file_means_the_defaults() -> None:
    """If it failed, bonedge could not be used without a configuration."""
    assert read_settings(None) == Settings()
    assert Settings().predict.output == Path("bonedge-results")


def test_every_key_is_read_and_folders_are_beside_the_file(tmp_path: Path) -> None:
    """If it failed, a configured value would silently not be used."""
    text = '[predict]\nbundle = "b"\nengine = "openvino"\ndevice = "GPU"\nthreads = 3\noutput = "/srv/out"\n'
    assert read_settings(written(tmp_path, text)).predict == PredictSettings(
        bundle=tmp_path / "b", engine="openvino", device="GPU", threads=3, output=Path("/srv/out")
    )


def test_what_is_demanded_of_bundles_is_read_and_options_win(tmp_path: Path) -> None:
    """If it failed, a workstation would load bundles that its administrator meant to keep out."""
    text = '[bundle]\nkey = "keys/site.pub"\nminimum_version = "1.2"\n'
    bundle = read_settings(written(tmp_path, text)).bundle
    assert bundle == BundleSettings(key=tmp_path / "keys" / "site.pub", minimum_version="1.2")
    assert bundle.trust() == Trust(tmp_path / "keys" / "site.pub", "1.2")
    assert bundle.trust(Path("other.pub"), "2") == Trust(Path("other.pub"), "2")
    assert bundle.trust(minimum_version="0") == Trust(tmp_path / "keys" / "site.pub", "0")
    assert Settings().bundle.trust() == Trust()
    absolute = read_settings(written(tmp_path, '[bundle]\nkey = "/etc/bonedge/site.pub"\n')).bundle
    assert absolute.key == Path("/etc/bonedge/site.pub")


def test_the_daemons_folders_are_beside_the_file_too(tmp_path: Path) -> None:
    """If it failed, the daemon would work in whatever folder it was started from."""
    text = '[watch]\ninput = "in"\noutput = "/srv/out"\nstate = "st"\nsettle_seconds = 2\nkeep_days = 30\n'
    watch = read_settings(written(tmp_path, text)).watch
    assert (watch.input, watch.output, watch.state) == (tmp_path / "in", Path("/srv/out"), tmp_path / "st")
    assert (watch.settle_seconds, watch.keep_days, watch.quarantine) == (2, 30, None)


def test_the_shipped_example_is_right() -> None:
    """If it failed, an administrator who starts from the example would start from a mistake."""
    path = Path(__file__).parents[2] / "systemd" / "bonedge.toml"
    shipped = read_settings(path).watch
    assert shipped.input == Path("/srv/bonedge/input")
    everything = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in path.read_text().split("\n")
    )
    uncommented = tomllib.loads(everything)["watch"]
    known = set(WatchSettings.model_fields)
    assert set(uncommented) == known
    defaults = {name: value for name, value in uncommented.items() if name in _SHOWN_WITH_DEFAULT}
    assert defaults == {name: getattr(WatchSettings(), name) for name in _SHOWN_WITH_DEFAULT}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[predict]\nthreads = 0\n", "predict.threads"),
        ('[predict]\nthreads = "2"\n', "predict.threads"),
        ("[predict]\nthreads = true\n", "predict.threads"),
        ('[predict]\nengine = "onnx"\n', "predict.engine"),
        ('[predict]\ndevice = "NPU"\n', "predict.device"),
        ("[predict]\noutput = 3\n", "predict.output"),
        ("[predict]\nthread = 2\n", "predict.thread: there is no such key"),
        ("[bundle]\nkey = 3\n", "bundle.key"),
        ('[predict]\noutput = ""\n', "predict.output: is empty"),
        ('[watch]\ninput = ""\n', "watch.input: is empty"),
        ('[watch]\ninput = "in\\u0000put"\n', "watch.input: holds a NUL"),
        ('[benchmark]\nimages = [""]\n', "benchmark.images.0: is empty"),
        ("[bundle]\nminimum_version = 1.2\n", "bundle.minimum_version"),
        ('[bundle]\nminimum_version = "newest"\n', "bundle.minimum_version: is not a version"),
        ('[bundle]\nkeys = "k.pub"\n', "bundle.keys: there is no such key"),
        ("[watches]\n", "watches: there is no such key"),
        ("[watch]\nworkers = 0\n", "watch.workers"),
        ("[watch]\nsettle_seconds = true\n", "watch.settle_seconds"),
        ('[watch]\npoll = "never"\n', "watch.poll"),
        ("[watch]\nmetrics_port = 0\n", "watch.metrics_port"),
        ("[watch]\nkeep_days = -1\n", "watch.keep_days"),
        ("[watch]\nkeep_disk_share = 1.5\n", "watch.keep_disk_share"),
        ("predict = 3\n", "predict: should be a table"),
        ("[predict\n", "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    """If it failed, a typing error in the configuration would be ignored or not be found by its message."""
    path = written(tmp_path, text)
    with pytest.raises(InvalidConfiguration) as caught:
        read_settings(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_windows_notepad_saved_is_read(tmp_path: Path) -> None:
    """If it failed, the mark that editors put before UTF-8 would be called a mistake in line 1."""
    path = tmp_path / "bonedge.toml"
    path.write_bytes(b"\xef\xbb\xbf[predict]\nthreads = 2\n")
    assert read_settings(path).predict.threads == 2


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it failed, results would land in a folder called ~ beside the configuration."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert read_settings(written(tmp_path, '[predict]\noutput = "~/out"\n')).predict.output == Path(
        "/home/somebody/out"
    )


def test_nobodys_home_is_no_defect(tmp_path: Path) -> None:
    """If it failed, a slip in a path would end in a Python error."""
    with pytest.raises(InvalidConfiguration, match="~nobody-of-that-name/out: nobody of that name has a home here"):
        read_settings(written(tmp_path, '[predict]\noutput = "~nobody-of-that-name/out"\n'))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """If it failed, a missing or garbled configuration would end in a traceback."""
    with pytest.raises(InvalidConfiguration, match=r"absent\.toml"):
        read_settings(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'[predict]\noutput = "\xe9"\n')
    with pytest.raises(InvalidConfiguration, match="UTF-8"):
        read_settings(tmp_path / "latin.toml")
