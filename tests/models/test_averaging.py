"""Several trainings as one network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.lineage import Lineage, read_lineage
from bonedge.models.networks import PREPROCESSING
from bonedge.models.train import command

pytestmark = [
    pytest.mark.full,
    # Keras saves and reads weights through numpy 1's protocol for arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Run folders of two pairs with random weights."""
    keras = pytest.importorskip("keras")
    from bonedge.models.classifier import build_classifier
    from bonedge.models.segmenter import build_segmenter

    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    for seed, folder in enumerate(folders):
        keras.utils.set_random_seed(seed)
        networks = {
            "segmenter": build_segmenter(PREPROCESSING.segmenter_side_px),
            "classifier": build_classifier(PREPROCESSING.classifier_side_px),
        }
        for name, network in networks.items():
            network.save(folder / f"{name}.keras")
            commands = f"bonedge train {name} --beginning; bonedge train {name} --seed {seed}\n"
            (folder / f"{name}.command.txt").write_text(commands)
            Lineage(phantom_seeds={9, seed}, learned={"both", f"of {seed}"}, seen={"of 0"}).save(folder, name)
    return folders


def average(*arguments: object) -> Any:
    return CliRunner().invoke(command, ["average", *map(str, arguments)])


def test_the_mean_of_both_networks_is_written(runs: list[Path], tmp_path: Path) -> None:
    """If it failed, what is released would be another network than the one that was said to be averaged."""
    import keras

    done = average("--run", runs[0], "--run", runs[1], "--output", tmp_path / "mean")
    assert done.exit_code == 0, done.output
    for name in ("segmenter", "classifier"):
        first, second, mean = (
            keras.models.load_model(folder / f"{name}.keras", compile=False).get_weights()
            for folder in (*runs, tmp_path / "mean")
        )
        assert all(np.allclose((a + b) / 2, c, atol=1e-6) for a, b, c in zip(first, second, mean, strict=True))
        assert any(not np.allclose(a, c, atol=1e-3) for a, c in zip(first, mean, strict=True))
        said = (tmp_path / "mean" / f"{name}.command.txt").read_text()
        both = f"bonedge train {name} --seed 0; bonedge train {name} --seed 1; "
        lineage = read_lineage(tmp_path / "mean", name)
        assert lineage == Lineage(phantom_seeds={0, 1, 9}, learned={"both", "of 0", "of 1"})
        assert said.startswith(f"bonedge train {name} --beginning; {both}"), "what they share is said once"


def test_networks_of_different_kinds_have_no_mean() -> None:
    """If it failed, weights of one layer would end in another."""
    from bonedge.models.averaging import averaged
    from bonedge.models.classifier import build_classifier
    from bonedge.models.segmenter import build_segmenter

    with pytest.raises(InvalidConfiguration, match="different layers"):
        averaged([build_segmenter(64), build_classifier(64)])


def test_nobody_knows_how_a_network_was_trained(runs: list[Path], tmp_path: Path) -> None:
    """If it failed, a bundle would carry half of its history, or a user be shown a Python error."""
    unknown = shutil.copytree(runs[1], tmp_path / "unknown")
    (unknown / "segmenter.command.txt").unlink()
    done = average("--run", runs[0], "--run", unknown, "--output", tmp_path / "mean")
    assert isinstance(done.exception, InvalidConfiguration)
    assert "segmenter.command.txt: cannot be read" in str(done.exception)


@pytest.mark.parametrize("times", [1, 2])
def test_a_mean_takes_two(runs: list[Path], tmp_path: Path, times: int) -> None:
    """If it failed, a slip of the pen would be taken for an average."""
    done = average(*("--run", runs[0]) * times, "--output", tmp_path / "mean")
    assert isinstance(done.exception, InvalidConfiguration)
    assert not (tmp_path / "mean").exists()
