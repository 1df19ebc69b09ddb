"""`--engine auto`: the quickest engine that answers rightly, and never one that does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bonedge.edge import choice as choices
from bonedge.edge.bundle import Bundle
from bonedge.edge.choice import choose, choose_apart, load_chosen, remember, remembered
from bonedge.edge.engines import Networks, load
from bonedge.edge.errors import BundleRefused, EngineUnavailable
from bonedge.edge.machine import describe_machine
from bonedge.edge.manifest import EngineName
from bonedge.edge.records import EngineDescription, Pixels

BOTH: tuple[tuple[EngineName, str], ...] = (("openvino", "CPU"), ("openvino", "GPU"))


@pytest.fixture(scope="module")
def bundle(golden_bundle: Path) -> Bundle:
    return Bundle.open(golden_bundle)


def plugin(change: Callable[[Networks, str], Networks]) -> choices.Loader:
    """The real engine on the CPU, changed as another device might be."""

    def loader(bundle: Bundle, engine: EngineName, device: str, threads: int | None) -> Networks:
        networks = load(bundle, engine, "CPU", threads)
        return change(replace(networks, description=EngineDescription(engine, device, "fp32")), device)

    return loader


def slow(networks: Networks, milliseconds: float) -> Networks:
    def classify(pixels: Pixels) -> Pixels:
        time.sleep(milliseconds / 1000)
        return networks.classify(pixels)

    return replace(networks, classify=classify)


@pytest.mark.parametrize("slow_device", ["CPU", "GPU"])
def test_the_quickest_wins(bundle: Bundle, slow_device: str) -> None:
    """If it failed, a workstation would be slower than it has to be."""
    loader = plugin(lambda networks, device: slow(networks, 50) if device == slow_device else networks)
    networks, made = choose(bundle, 1, BOTH, loader)
    assert made.device == networks.description.device == ({"CPU", "GPU"} - {slow_device}).pop()
    assert {(trial.device, trial.refused) for trial in made.trials} == {("CPU", ""), ("GPU", "")}


def test_a_quick_device_that_answers_otherwise_is_refused_and_named(bundle: Bundle) -> None:
    """If it failed, a broken graphics driver would give the verdicts."""

    def change(networks: Networks, device: str) -> Networks:
        if device == "CPU":
            return slow(networks, 50)
        return replace(networks, classify=lambda pixels: networks.classify(pixels) * 0.2)

    _, made = choose(bundle, 1, BOTH, plugin(change))
    assert made.device == "CPU"
    refused = next(trial for trial in made.trials if trial.device == "GPU")
    assert refused.milliseconds is None
    assert "openvino on GPU" in refused.refused


def test_a_device_that_does_not_load_is_passed_over_and_named(bundle: Bundle) -> None:
    """If it failed, a machine without its driver would not work at all."""

    def change(networks: Networks, device: str) -> Networks:
        if device == "GPU":
            raise EngineUnavailable("no driver")
        return networks

    _, made = choose(bundle, 1, BOTH, plugin(change))
    assert made.device == "CPU"
    assert made.trials[1].refused == "no driver"


def test_where_none_answers_rightly_nothing_is_loaded(bundle: Bundle) -> None:
    """If it failed, the least wrong engine would be used."""
    loader = plugin(lambda networks, _: replace(networks, classify=lambda pixels: networks.classify(pixels) * 0.2))
    with pytest.raises(BundleRefused, match="no engine here answers"):
        choose(bundle, 1, BOTH, loader)


def test_a_choice_is_made_once_and_again_when_something_changed(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, each start would measure, or a new driver would never be."""
    made = []

    def counted(bundle: Bundle, threads: int | None, folder: Path) -> choices.Choice | None:
        made.append(1)
        return choose_apart(bundle, threads, folder)

    monkeypatch.setattr(choices, "choose_apart", counted)
    for _ in range(2):
        networks = load_chosen(bundle, "auto", "CPU", 1, folder=tmp_path, make=True)
        assert networks.description.name == "openvino"
    assert len(made) == 1
    load_chosen(bundle, "auto", "CPU", 2, folder=tmp_path, make=True)
    machine = replace(describe_machine(), kernel="another")
    monkeypatch.setattr(choices, "describe_machine", lambda: machine)
    load_chosen(bundle, "auto", "CPU", 1, folder=tmp_path, make=True)
    assert len(made) == 3


def test_predict_measures_nothing_but_heeds_what_was_measured(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, one picture would take as long as fifty."""
    _, made = choose(bundle, 1, BOTH[:1])
    monkeypatch.setattr(choices, "choose_apart", lambda *_: pytest.fail("measured"))
    load_chosen(bundle, "auto", "CPU", 1, folder=tmp_path, make=False)
    assert not list(tmp_path.glob("engine-*"))
    remember(made, bundle, 1, tmp_path)
    assert remembered(bundle, 1, tmp_path) == made
    assert load_chosen(bundle, "auto", "CPU", 1, folder=tmp_path, make=False).description.name == made.engine


def test_an_engine_that_ends_its_process_does_not_end_the_service(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it failed, a driver that crashes would restart the service for ever."""
    monkeypatch.setattr(choices, "_PROGRAM", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    networks = load_chosen(bundle, "auto", "CPU", 1, folder=tmp_path, make=True)
    assert networks.description.name == "openvino"
    assert not list(tmp_path.glob("engine-*")), "it is tried again at the next start"


def test_what_the_other_process_says_is_heard(bundle: Bundle, tmp_path: Path) -> None:
    """If it failed, a bundle that no engine reads rightly would be used."""
    with pytest.raises(BundleRefused, match="was exchanged while it was opened"):
        choose_apart(replace(bundle, digest="0" * 64), 1, tmp_path)


def test_a_damaged_memory_is_no_memory(bundle: Bundle, tmp_path: Path) -> None:
    """If it failed, half a file would stop the service."""
    _, made = choose(bundle, 1, BOTH[:1])
    remember(made, bundle, 1, tmp_path)
    (file,) = tmp_path.glob("engine-*")
    file.write_text("{")
    assert remembered(bundle, 1, tmp_path) is None


def test_a_bundle_without_golden_pictures_is_loaded_as_before(tiny_bundle: Path, tmp_path: Path) -> None:
    """If it failed, older bundles could not be used with auto."""
    networks = load_chosen(Bundle.open(tiny_bundle), "auto", "CPU", 1, folder=tmp_path, make=True)
    assert networks.description.name == "openvino"
    assert not list(tmp_path.glob("engine-*"))
