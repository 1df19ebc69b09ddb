"""What is trained on and what is held out, as the index of a phantom folder says."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonedge.calibration.phantom.generate import LABEL_MIX, STRIDE
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import Label
from bonedge.models.datasets import PhantomSet, held_out, join
from bonedge.models.outlines import MaskFile

ROUND = 7 * len(LABEL_MIX)
"""So many pictures until the sides and the label mix meet again as they began."""


def row(index: int, label: Label | None = None, **changed: Any) -> dict[str, Any]:
    label = label or LABEL_MIX[index * STRIDE % len(LABEL_MIX)]
    named = {"file": f"{index}.png", "lesion_mask": f"masks/{index}.lesion.png", "bone_mask": f"masks/{index}.bone.png"}
    return named | {"label": label.value, "seed": 3, "index": index} | changed


def write(folder: Path, rows: list[Any]) -> Path:
    (folder / "index.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def test_every_label_is_on_both_sides(tmp_path: Path) -> None:
    """If it failed, a class would be trained without ever being checked, or checked without being trained."""
    samples = PhantomSet(write(tmp_path, [row(index) for index in range(ROUND)])).samples
    for validation, share in ((True, 1 / 7), (False, 6 / 7)):
        counts = Counter(sample.label for sample in samples if sample.validation is validation)
        assert counts == {label: round(share * 7 * LABEL_MIX.count(label)) for label in Label}


@given(count=st.integers(8, 40), more=st.integers(1, 100))
@settings(max_examples=20, deadline=None)
def test_a_larger_set_moves_no_picture_to_the_other_side(count: int, more: int) -> None:
    """If it failed, adding pictures would let the model be judged by what it was trained on before."""
    with tempfile.TemporaryDirectory() as folder:
        small = PhantomSet(write(Path(folder), [row(index) for index in range(count)])).samples
        large = PhantomSet(write(Path(folder), [row(index) for index in range(count + more)])).samples
    assert large[:count] == small
    assert [sample.validation for sample in small] == [held_out(index) for index in range(count)]


def test_says_which_simulator_the_phantoms_came_from(tmp_path: Path) -> None:
    """A model card would claim that a pair had learned what only a later simulator shows."""
    rows = [row(index) | ({"generation": 3} if index > 5 else {}) for index in range(9)]
    assert "generation 2, 3, seed 3" in PhantomSet(write(tmp_path, rows)).description


def test_masks_belong_to_what_they_show(tmp_path: Path) -> None:
    """If it failed, the segmenter would learn lesions in normal bones or long bones in skulls."""
    rows = [row(index, label) for index, label in enumerate(Label)]
    # A data set without bone masks is usable too.
    rows.append(row(4, Label.BENIGN, bone_mask=None))
    normal, benign, malignant, other, without = PhantomSet(write(tmp_path, rows)).samples
    assert [sample.lesion_mask for sample in (normal, other)] == [None, None]
    outlines = [MaskFile(tmp_path / f"masks/{number}.lesion.png") for number in (1, 2)]
    assert [benign.lesion_mask, malignant.lesion_mask] == outlines
    bone = MaskFile(tmp_path / "masks/0.bone.png")
    assert [sample.bone_mask for sample in (normal, other, without)] == [bone, None, None]
    assert normal.picture == tmp_path / "0.png"
    assert [sample.label for sample in (normal, benign, malignant, other)] == list(Label)


def test_says_what_the_data_are(tmp_path: Path) -> None:
    """If it failed, `evaluate` could not refuse to test on the training's phantoms, nor a reader know that they are."""
    phantoms = PhantomSet(write(tmp_path, [row(index, seed=9 if index % 2 else 4) for index in range(8)]))
    assert phantoms.phantom_seeds == (4, 9)
    assert phantoms.description.startswith("8 simulated radiographs")
    assert "no real patients" in phantoms.description
    assert "4, 9" in phantoms.description


def test_says_what_a_set_was_narrowed_to(tmp_path: Path) -> None:
    """If it failed, a model card would name parts of the body that nothing was trained on."""
    shown = [("hand", "bone island"), ("hip", "nutrient canal")]
    rows = [row(index, region=shown[index % 2][0], family=shown[index % 2][1]) for index in range(8)]
    description = PhantomSet(write(tmp_path, rows)).description
    assert "radiographs of hand, hip, all with bone island or nutrient canal (" in description
    families = ["plain", "enchondroma", "osteosarcoma", "metastasis", "myeloma"]
    mixed = PhantomSet(write(tmp_path, [row(index, family=families[index % 5]) for index in range(10)]))
    assert "all with" not in mixed.description


def test_sets_are_joined_without_moving_a_picture_to_the_other_side(tmp_path: Path) -> None:
    """If it failed, pictures that one set holds out would be learned from as soon as another is given beside it."""
    sets = []
    for seed, count in ((3, 16), (4, 23)):
        (tmp_path / str(seed)).mkdir()
        sets.append(PhantomSet(write(tmp_path / str(seed), [row(index, seed=seed) for index in range(count)])))
    joined = join(sets)
    assert [(one.picture, one.validation) for one in joined.samples] == [
        (one.picture, one.validation) for part in sets for one in part.samples
    ]
    assert joined.description == f"{sets[0].description} {sets[1].description}"
    assert joined.phantom_seeds == (3, 4)
    assert len({joined.fingerprint, join(sets[::-1]).fingerprint, *(one.fingerprint for one in sets)}) == 4
    assert join(sets[:1]) is sets[0]


def test_another_index_has_another_fingerprint(tmp_path: Path) -> None:
    """If it failed, training would go on from the prepared pictures and the checkpoint of other data."""
    rows = [row(index) for index in range(8)]
    before = PhantomSet(write(tmp_path, rows)).fingerprint
    assert PhantomSet(write(tmp_path, rows)).fingerprint == before
    assert PhantomSet(write(tmp_path, [*rows[:-1], row(7, Label.MALIGNANT)])).fingerprint != before


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "",
        "null",
        "[1, 2]",
        '"text"',
        "7",
        json.dumps({"file": "a.png"}),
        json.dumps(row(2, label=Label.BENIGN) | {"label": "unsure"}),
        json.dumps(row(2, label=Label.BENIGN) | {"label": ["benign"]}),
        json.dumps(row(2) | {"file": None}),
        json.dumps(row(2) | {"index": "second"}),
        json.dumps(row(2) | {"index": float("inf")}),
        json.dumps(row(2) | {"seed": None}),
        json.dumps(row(2, label=Label.BENIGN) | {"lesion_mask": 5}),
        "\udcff\udcfe",
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    """If it failed, a damaged index would end in a Python error, or train on what is left of it."""
    lines = [json.dumps(row(0)), json.dumps(row(1)), line, json.dumps(row(3))]
    (tmp_path / "index.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidConfiguration, match=r"index\.jsonl, line 3: .*write it again"):
        PhantomSet(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(
    content=st.binary(max_size=200)
    | st.lists(
        st.dictionaries(st.sampled_from(sorted(row(0))), JSON, max_size=3).map(lambda wild: row(0) | wild), max_size=4
    ).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
)
@settings(max_examples=200, deadline=None)
def test_no_index_is_beyond_an_explanation(content: bytes) -> None:
    """If it failed, some damaged index would end in a traceback instead of advice."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.jsonl").write_bytes(content)
        with contextlib.suppress(InvalidConfiguration):
            assert PhantomSet(Path(folder)).samples


def test_a_folder_without_an_index_gets_the_command_that_makes_one(tmp_path: Path) -> None:
    """If it failed, a first-time user would not know where training pictures come from."""
    with pytest.raises(InvalidConfiguration, match=r"bonedge phantom .*--output .*nowhere"):
        PhantomSet(tmp_path / "nowhere")


@pytest.mark.parametrize("indices", [[], [0], [1, 2, 3], [0, 7, 14]], ids=str)
def test_one_side_alone_is_not_enough(tmp_path: Path, indices: list[int]) -> None:
    """If it failed, training would run without pictures to learn from or to check with."""
    with pytest.raises(InvalidConfiguration, match="too few"):
        PhantomSet(write(tmp_path, [row(index) for index in indices]))
