"""The two engines, on real models."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from bonedge.edge.bundle import Bundle
from bonedge.edge.engines import load, openvino, tflite
from bonedge.edge.engines.networks import LoadedNetwork
from bonedge.edge.errors import BundleRefused, EngineUnavailable, InvalidConfiguration
from bonedge.edge.machine import describe_machine
from bonedge.edge.manifest import Manifest, Preprocessing
from bonedge.edge.records import EngineDescription

Expected = dict[str, Callable[[Any], Any]]
Picture = Callable[[int], Any]
MakeManifest = Callable[[dict[str, bytes]], Manifest]
engines = pytest.mark.parametrize("engine", ["tflite", "openvino"])


@engines
def test_computes_what_the_model_says(both: Bundle, engine: Any, picture: Picture, expected: Expected) -> None:
    """Maps, features or logits would be mixed up (both formats order them differently) or computed wrongly."""
    networks = load(both, engine)
    pixels, crop = picture(1), picture(3)
    maps, features = networks.segment(pixels)
    assert (maps.dtype, features.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(maps, expected["maps"](pixels), atol=1e-5)
    np.testing.assert_allclose(features, expected["features"](pixels), atol=1e-5)
    np.testing.assert_allclose(networks.classify(crop), expected["logits"](crop), atol=1e-5)
    assert networks.description == EngineDescription(engine, "CPU", "fp32")


@engines
def test_looks_a_second_time_where_the_bundle_says_so(
    both: Bundle, engine: Any, picture: Picture, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thresholds of such a bundle were fitted to the average: one look alone would move verdicts."""
    runtime = {"tflite": tflite, "openvino": openvino}[engine]
    height = np.linspace(0, 1, 64, dtype=np.float32)[None, :, None, None]

    def load_tilted(*given: Any, real: Any = runtime.load) -> LoadedNetwork:
        network = real(*given)
        return replace(network, run=lambda pixels: network.run(pixels * height))

    monkeypatch.setattr(runtime, "load", load_tilted)
    preprocessing = both.manifest.preprocessing.model_copy(update={"segmenter_turned": True})
    twice = replace(both, manifest=both.manifest.model_copy(update={"preprocessing": preprocessing}))
    pixels = picture(1)
    maps, features = load(twice, engine).segment(pixels)
    shown = pixels * height, pixels * height[:, ::-1]
    assert np.abs(expected["maps"](shown[0]) - expected["maps"](shown[1])).max() > 0.1, "nothing would be proven"
    np.testing.assert_allclose(maps, sum(map(expected["maps"], shown)) / 2, atol=1e-5)
    np.testing.assert_allclose(features, sum(map(expected["features"], shown)) / 2, atol=1e-5)


@engines
def test_answers_are_not_overwritten(both: Bundle, engine: Any, picture: Picture) -> None:
    """The first picture's lesion map would silently turn into the second's."""
    networks = load(both, engine)
    maps, features = networks.segment(picture(1))
    before = maps.copy(), features.copy()
    networks.segment(np.zeros_like(picture(1)))
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(features, before[1])


@engines
def test_may_be_called_from_several_threads(both: Bundle, engine: Any, expected: Expected) -> None:
    """Two pictures examined at once would get each other's verdicts, or end the process."""
    networks = load(both, engine, threads=1)
    pictures = [np.full((1, 64, 64, 3), number / 10, np.float32) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(networks.classify, pictures))
    for pixels, answer in zip(pictures, answers, strict=True):
        np.testing.assert_allclose(answer, expected["logits"](pixels), atol=1e-4)


def test_what_was_compiled_is_kept_and_answers_the_same(
    both: Bundle, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start would compile for seconds, or a start after the first would give other verdicts."""
    folder = tmp_path / "compiled"
    first = load(both, "openvino", threads=1, compiled=folder)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(openvino, "_compile", lambda *_: pytest.fail("compiled again"))
    again = load(both, "openvino", threads=1, compiled=folder)
    for one, other in zip(first.segment(picture(1)), again.segment(picture(1)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first.classify(picture(3)), again.classify(picture(3)))


@pytest.mark.parametrize("change", ["a flipped byte", "cut short", "of another runtime"])
def test_what_was_kept_and_is_damaged_is_compiled_again(
    both: Bundle, expected: Expected, picture: Picture, tmp_path: Path, change: str
) -> None:
    """Half a file after a power cut, or an update of OpenVINO, would stop the service or change its verdicts."""
    load(both, "openvino", threads=1, compiled=tmp_path / "compiled")
    sound = {path: path.read_bytes() for path in (tmp_path / "compiled").iterdir()}
    for path, content in sound.items():
        if change == "a flipped byte":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif change == "cut short":
            path.write_bytes(content[: len(content) // 2])
        else:
            foreign = b"another format"
            path.write_bytes(hashlib.sha256(foreign).digest() + foreign)
    networks = load(both, "openvino", threads=1, compiled=tmp_path / "compiled")
    np.testing.assert_allclose(networks.classify(picture(3)), expected["logits"](picture(3)), atol=1e-5)
    assert {
        path for path in sound if path.read_bytes()[:32] != hashlib.sha256(path.read_bytes()[32:]).digest()
    } == set()
    assert all(b"another format" not in path.read_bytes() for path in sound)


def test_another_model_number_of_threads_or_machine_is_compiled_for_itself(
    both: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks of an older bundle would go on giving the verdicts, or code of another processor would run."""
    folder = tmp_path / "compiled"
    load(both, "openvino", threads=1, compiled=folder)
    load(both, "openvino", threads=2, compiled=folder)
    assert len(list(folder.iterdir())) == 4
    machine = replace(describe_machine(), flags=("none",))
    monkeypatch.setattr(openvino, "describe_machine", lambda: machine)
    load(both, "openvino", threads=1, compiled=folder)
    assert len(list(folder.iterdir())) == 6
    files = next(one for one in both.manifest.networks if one.engine == "openvino")
    name = files.classifier[0]
    changed = replace(both, contents=MappingProxyType({**both.contents, name: both.contents[name] + b"\n"}))
    load(changed, "openvino", threads=1, compiled=folder)
    assert len(list(folder.iterdir())) == 7


def test_kept_models_are_few(both: Bundle, tmp_path: Path) -> None:
    """Years of updates would fill the disk."""
    for threads in range(1, 8):
        load(both, "openvino", threads=threads, compiled=tmp_path / "compiled")
    assert len(list((tmp_path / "compiled").iterdir())) == 8


def test_a_folder_that_others_may_write_to_is_not_trusted(
    both: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody on the workstation could have the runtime parse bytes of theirs, or give it another network."""
    folder = tmp_path / "compiled"
    load(both, "openvino", threads=1, compiled=folder)
    folder.chmod(0o777)
    compiled = []
    compile_ = openvino._compile
    monkeypatch.setattr(openvino, "_compile", lambda *given: compiled.append(given) or compile_(*given))
    load(both, "openvino", threads=1, compiled=folder)
    assert len(compiled) == 2
    folder.chmod(0o700)
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    load(both, "openvino", threads=1, compiled=folder)
    assert len(compiled) == 4


def test_where_nothing_can_be_kept_it_is_compiled_each_time(both: Bundle, tmp_path: Path) -> None:
    """A full or read-only disk would keep pictures from being read."""
    (tmp_path / "file").write_bytes(b"")
    assert load(both, "openvino", threads=1, compiled=tmp_path / "file" / "compiled").description.name == "openvino"


@engines
@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 64, 64), np.float32), np.zeros((1, 64, 64, 1), np.float64)], ids=["shape", "dtype"]
)
def test_refuses_another_input(both: Bundle, engine: Any, pixels: Any) -> None:
    """A picture prepared for another bundle would be read as noise."""
    with pytest.raises(ValueError, match="the segmenter takes float32 1x64x64x1"):
        load(both, engine).segment(pixels)


@engines
def test_refuses_numbers_that_are_not_finite(both: Bundle, engine: Any) -> None:
    """A verdict would rest on NaN, which every threshold reads as 'no tumour'."""
    with pytest.raises(BundleRefused, match="classifier gave numbers that are not finite"):
        load(both, engine).classify(np.full((1, 64, 64, 3), np.inf, np.float32))


def test_auto_takes_tflite_and_else_openvino(
    both: Bundle, openvino_models: dict[str, bytes], make_manifest: MakeManifest
) -> None:
    """A bundle with one format only, or another device, would not run although an engine for it is installed."""
    assert load(both).description.name == "tflite"
    only_openvino = replace(both, manifest=make_manifest(openvino_models), contents=openvino_models)
    assert load(only_openvino).description.name == "openvino"
    assert load(both, device="AUTO").description == EngineDescription("openvino", "AUTO", "fp32")


def test_says_why_no_engine_serves(
    both: Bundle, openvino_models: dict[str, bytes], make_manifest: MakeManifest
) -> None:
    """The user would learn that nothing runs, but not which engine failed for which reason."""
    only_openvino = replace(both, manifest=make_manifest(openvino_models), contents=openvino_models)
    with pytest.raises(EngineUnavailable, match="the bundle holds no tflite networks"):
        load(only_openvino, "tflite")
    with pytest.raises(EngineUnavailable, match="tflite does not run on GPU; use --device CPU"):
        load(both, "tflite", device="GPU")


@pytest.mark.parametrize("wrong", [{"engine": "onnx"}, {"device": "TPU"}, {"threads": 0}], ids=str)
def test_refuses_unknown_choices(both: Bundle, wrong: Any) -> None:
    """A misspelt option would end in a runtime's own error text."""
    with pytest.raises(InvalidConfiguration, match=r"use "):
        load(both, **wrong)


@engines
def test_refuses_other_shapes_than_the_manifest_implies(both: Bundle, engine: Any) -> None:
    """A bundle assembled from a model of another input size would fail on the first patient instead of at the start."""
    manifest = both.manifest.model_copy(
        update={"preprocessing": Preprocessing(segmenter_side_px=128, classifier_side_px=64)}
    )
    with pytest.raises(BundleRefused, match=r"segmenter takes 1x64x64x1 .* where its manifest implies 1x128x128x1"):
        load(replace(both, manifest=manifest), engine)


@pytest.mark.parametrize(
    ("engine", "name", "damage"),
    [
        ("tflite", "segmenter.tflite", lambda _: b"not a model"),
        ("tflite", "segmenter.tflite", lambda model: model[: len(model) // 2]),
        ("openvino", "segmenter.xml", lambda _: b"not a model"),
        ("openvino", "segmenter.xml", lambda model: model[: len(model) // 2]),
        ("openvino", "segmenter.bin", lambda _: b""),
    ],
)
def test_a_damaged_model_is_refused(both: Bundle, engine: Any, name: str, damage: Callable[[bytes], bytes]) -> None:
    """A model damaged before its digest was taken would end in a traceback from deep inside a runtime."""
    contents = MappingProxyType({**both.contents, name: damage(both.contents[name])})
    with pytest.raises(BundleRefused, match="segmenter"):
        load(replace(both, contents=contents), engine)


def test_openvino_computes_in_f32(openvino_models: dict[str, bytes]) -> None:
    """Recent processors would silently compute in bf16, and verdicts would differ from one machine to the next."""
    import openvino as runtime

    core = runtime.Core()
    model = core.read_model(openvino_models["segmenter.xml"], openvino_models["segmenter.bin"])
    compiled = core.compile_model(model, "CPU", openvino.settings("CPU", 1))
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == runtime.Type.f32
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_quantized_inputs_and_outputs_are_translated(
    tflite_models: dict[str, bytes], picture: Picture, expected: Expected
) -> None:
    """A model whose input and output are stored as int8 would be fed and read as if they were real numbers."""
    network = tflite.load("int8", tflite_models["segmenter-int8-io.tflite"], 1)
    pixels = picture(1)
    maps = network.run(pixels)[network.output_shapes.index((1, 64, 64, 2))]
    # Half an input step of 1/32 through a slope of at most 2 * 1/4, and half an output step of 1/256.
    assert np.abs(maps - expected["maps"](pixels)).max() <= 1 / 128 + 1 / 512 + 1e-6
    saturated = network.run(np.full_like(pixels, 1e6))[network.output_shapes.index((1, 64, 64, 2))]
    highest = np.full_like(pixels, (127 + 3) / 32)
    assert np.abs(saturated - expected["maps"](highest)).max() <= 1 / 256


@engines
def test_loading_is_silent(both: Bundle, engine: str) -> None:
    """Runtimes' greetings would stand between a user's progress lines."""
    # In a process of its own: TensorFlow Lite greets once per process.
    script = (
        "import sys; from pathlib import Path; from bonedge.edge.bundle import Bundle; "
        "from bonedge.edge.engines import load; load(Bundle.open(Path(sys.argv[1])), sys.argv[2])"
    )
    done = subprocess.run([sys.executable, "-c", script, both.folder, engine], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_other_words_on_standard_error_survive(capfd: pytest.CaptureFixture[str]) -> None:
    """Silencing one greeting would swallow the message that explains a crash."""
    with tflite._quiet_about_delegates():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nsomething else\n")
    assert capfd.readouterr().err == "something else\n"
