"""Real data sets, in the formats that they have on disk, become samples; what does not fit together is named."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.manifest import Preprocessing
from bonedge.edge.records import CLASSES, Label
from bonedge.models.batches import SegmenterBatches
from bonedge.models.cache import open_cache
from bonedge.models.layouts import Part, open_samples
from bonedge.models.losses import UNKNOWN
from bonedge.models.outlines import RunLengths

from .conftest import BOX, COLUMNS, COUNT, ROWS, Btxrd, Coco, Dicom, Plain, corners, label_of, painted, true_lesion

pytestmark = [
    pytest.mark.full,
    # pycocotools hands its arrays to numpy by numpy 1's protocol.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def test_every_lesion_is_where_it_was_drawn(any_set: Callable[[], Path]) -> None:
    """A network would learn outlines that are shifted, transposed, or of another picture."""
    found = open_samples(any_set())
    assert {one.label for one in found.samples} == set(CLASSES)
    for one in found.samples:
        assert (one.lesion_mask is None) == (one.label is Label.NORMAL)
        if one.lesion_mask is not None:
            np.testing.assert_array_equal(one.lesion_mask.mask((ROWS, COLUMNS)), true_lesion())
    assert "real radiographs" in found.description
    assert found.phantom_seeds == ()
    assert 0 < sum(one.validation for one in found.samples) < len(found.samples) / 2


def test_a_set_can_be_trained_on(any_set: Callable[[], Path], tmp_path: Path) -> None:
    """The adapters would give what training cannot use; and unknown bones would be learned as no bones."""
    p = Preprocessing()
    found = open_samples(any_set())
    cache = open_cache(found, tmp_path / "cache", p, lambda done, of: None, processes=1)
    batch = SegmenterBatches(cache, np.arange(len(found.samples)), p, 64, seed=1, epoch=0, size=len(found.samples))
    pictures, targets = batch.batch(0)
    assert pictures.shape == (len(found.samples), 64, 64, 1)
    unknown = [one.bone_mask is None for one in found.samples]
    shown = Counter(bool((maps[..., 0] == UNKNOWN).all()) for maps in targets["logits"])
    assert shown[True] == sum(unknown)
    assert (targets["logits"][..., 1] >= 0).all()


def test_another_reading_gives_the_same_and_a_changed_set_another_fingerprint(any_set: Callable[[], Path]) -> None:
    """Training would be taken up again on other data, or never be."""
    folder = any_set()
    first, again = open_samples(folder), open_samples(folder)
    assert (first.fingerprint, list(first.samples)) == (again.fingerprint, list(again.samples))
    moved = folder.rename(folder.with_name("moved"))
    assert open_samples(moved).fingerprint == first.fingerprint
    victim = open_samples(moved).samples[0].picture
    victim.write_bytes(victim.read_bytes() + b"\0\0")
    assert open_samples(moved).fingerprint != first.fingerprint


def test_a_missing_picture_is_named(any_set: Callable[[], Path]) -> None:
    """Training would stop an hour later, or go on with a set that nobody knows."""
    folder = any_set()
    victim = open_samples(folder).samples[3].picture
    victim.unlink()
    with pytest.raises(InvalidConfiguration) as refused:
        open_samples(folder)
    assert victim.stem in str(refused.value) or "is of a picture that is not in" in str(refused.value)


def test_btxrd_keeps_the_other_centres_for_the_test(btxrd: Btxrd) -> None:
    """The external test would be on the centre that was trained on."""
    folder = btxrd.write()
    training, test = open_samples(folder), open_samples(folder, Part.TEST)
    centres = {row["image_id"]: row["center"] for row in btxrd.rows}
    assert {centres[one.picture.name] for one in training.samples} == {1}
    assert {centres[one.picture.name] for one in test.samples} == {2, 3}
    assert len(training.samples) + len(test.samples) == COUNT
    assert {one.family for one in training.samples} == {"", "osteochondroma", "osteosarcoma"}
    assert {one.region for one in training.samples} == {"femur", "femur, knee-joint"}


def test_coco_keeps_its_splits(coco: Coco) -> None:
    """A published split would be shuffled, and results could not be compared with anybody's."""
    folder = coco.write()
    training, test = open_samples(folder), open_samples(folder, Part.TEST)
    assert {int(one.picture.stem) for one in training.samples if not one.validation} == set(range(24))
    assert {int(one.picture.stem) for one in training.samples if one.validation} == set(range(24, 33))
    assert {int(one.picture.stem) for one in test.samples} == set(range(33, COUNT))
    assert {one.family for one in training.samples} == {"", "osteosarcoma"}


@pytest.mark.parametrize("split", ["test", "training"])
def test_what_is_said_of_one_picture_of_a_patient_is_said_of_all(plain: Plain, split: str) -> None:
    """A patient with a blank in the table would be trained on and tested on."""
    plain.write()
    for row in plain.rows:
        row["split"] = ""
    for row in plain.rows[:24:2]:
        row["split"] = split
    plain.rows[-1]["split"] = "validation"
    plain.save()
    sides: dict[int, set[str]] = {}
    for part in Part:
        if part is Part.TEST and split == "training":
            continue
        for one in open_samples(plain.folder, part).samples:
            sides.setdefault(int(one.picture.stem) // 2, set()).add(f"{part} {one.validation}")
    assert all(len(side) == 1 for side in sides.values())


@pytest.mark.parametrize("kind", [Plain, Dicom])
def test_pictures_of_a_patient_are_never_parted(kind: type[Plain] | type[Dicom], tmp_path: Path) -> None:
    """A network that knows a patient by heart would look better than it is."""
    found = open_samples(kind(tmp_path / "data").write())
    sides: dict[int, set[bool]] = {}
    for one in found.samples:
        sides.setdefault(int(one.picture.stem) // 2, set()).add(one.validation)
    assert all(len(side) == 1 for side in sides.values())


def test_more_pictures_move_none_to_the_other_side(plain: Plain) -> None:
    """A picture that was trained on would be validated on after the set has grown."""
    folder = plain.write()
    before = {one.picture.name: one.validation for one in open_samples(folder).samples}
    for number in range(COUNT, COUNT + 20):
        cv2.imwrite(str(folder / "images" / f"{number:03d}.png"), painted(number))
        plain.rows.append({"file": f"{number:03d}.png", "label": "normal", "patient": f"p{number // 2}"})
    plain.save()
    after = {one.picture.name: one.validation for one in open_samples(folder).samples}
    assert before.items() <= after.items()


def test_folders_may_say_the_label(plain: Plain) -> None:
    """A user without a table could not train."""
    folder = plain.write()
    (folder / "labels.csv").unlink()
    for number in range(COUNT):
        for part in ("images", "masks", "bones"):
            file = folder / part / f"{number:03d}.png"
            if file.is_file():
                (folder / part / label_of(number)).mkdir(exist_ok=True)
                file.rename(folder / part / label_of(number) / file.name)
    found = open_samples(folder)
    assert Counter(one.label for one in found.samples) == dict.fromkeys(CLASSES, COUNT // 3)


def wrong_btxrd(made: Btxrd, what: str) -> None:
    row = made.rows[1]
    if what == "clash":
        row["malignant"] = 1
    elif what == "no mask":
        (made.folder / "Annotations" / f"{Path(row['image_id']).stem}.json").unlink()
    elif what == "mask of a normal":
        made.outline(made.rows[0]["image_id"], [("polygon", corners())])
    elif what == "boxes only":
        made.outline(row["image_id"], [("rectangle", [[1, 1], [5, 5]])])
    elif what == "flag":
        row["tumor"] = "yes"
    elif what == "column":
        for one in made.rows:
            del one["malignant"]
    elif what == "centre":
        row["center"] = "north"
    made.table()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("clash", r"row 3: .*\(label clash\)"),
        ("no mask", r"IMG000001.jpeg: .*\(missing mask\)"),
        ("mask of a normal", r"IMG000000.jpeg: .*\(label clash\)"),
        ("boxes only", r"IMG000001.json: .*no polygon"),
        ("flag", r"row 3: tumor is 'yes'"),
        ("column", r"there is no column malignant"),
        ("centre", r"row 3: center is 'north'"),
    ],
)
def test_what_is_wrong_with_btxrd_is_named(btxrd: Btxrd, what: str, said: str) -> None:
    """A wrong label would be learned."""
    btxrd.write()
    wrong_btxrd(btxrd, what)
    with pytest.raises(InvalidConfiguration, match=said):
        open_samples(btxrd.folder)


@pytest.mark.parametrize("damage", ["text", "cut short", "another archive", "empty"])
def test_a_damaged_table_is_refused(btxrd: Btxrd, damage: str) -> None:
    """A download that stopped half way would end in a Python error."""
    table = btxrd.write() / "dataset.xlsx"
    content = table.read_bytes()
    if damage == "another archive":
        with zipfile.ZipFile(table, "w") as archive:
            archive.writestr("letter.txt", "Dear")
    else:
        table.write_bytes({"text": b"image_id,center", "cut short": content[: len(content) // 2], "empty": b""}[damage])
    with pytest.raises(InvalidConfiguration, match=r"dataset\.xlsx: is no spreadsheet"):
        open_samples(btxrd.folder)


@pytest.mark.parametrize(("said", "tumour"), [(True, True), (1.0, True), ("1", True), (0, False), (None, False)])
def test_a_tumour_is_read_however_a_spreadsheet_says_one(btxrd: Btxrd, said: Any, tumour: bool) -> None:
    """Tumours in a table that another program saved would be learned as normal."""
    btxrd.write()
    btxrd.rows[4]["tumor"] = btxrd.rows[4]["benign"] = said
    if not tumour:
        (btxrd.folder / "Annotations" / f"{Path(btxrd.rows[4]['image_id']).stem}.json").unlink()
    btxrd.table()
    found = {one.picture.name: one.label for one in open_samples(btxrd.folder).samples}
    assert found[btxrd.rows[4]["image_id"]] == (Label.BENIGN if tumour else Label.NORMAL)


def test_a_row_that_is_there_twice_is_refused(btxrd: Btxrd) -> None:
    """One picture would be trained on and tested on."""
    btxrd.write()
    btxrd.rows.append({**btxrd.rows[0], "center": 3})
    btxrd.table()
    with pytest.raises(InvalidConfiguration, match=r"IMG000000\.jpeg: is in the labels twice"):
        open_samples(btxrd.folder)


def wrong_coco(made: Coco, what: str) -> None:
    document = made.documents["train"]
    first = document["annotations"][0]
    if what == "category":
        document["categories"][0]["name"] = "banana"
    elif what == "clash":
        document["annotations"].append({**first, "id": 99, "category_id": 7})
    elif what == "image":
        first["image_id"] = 1234
    elif what == "empty":
        first["segmentation"] = []
    elif what == "odd":
        first["segmentation"] = [[1, 2, 3, 4, 5, 6, 7]]
    elif what == "key":
        del first["category_id"]
    elif what == "outside":
        document["images"][0]["file_name"] = "../../etc/passwd"
    elif what == "twice":
        document["images"][0]["patient_id"] = made.documents["test"]["images"][0]["patient_id"] = "Q"
    elif what == "both":
        document["images"].append({**made.documents["test"]["images"][0], "id": 777})
    elif what == "nowhere":
        document["images"][0]["file_name"] = "nowhere.png"
    made.save()
    if what == "cut short":
        file = made.folder / "annotations" / "instances_test.json"
        file.write_text(file.read_text()[:-50])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("category", "category 'banana' is none of"),
        ("clash", r"0001.png is both benign and malignant \(label clash\)"),
        ("image", "annotation 1: there is no image 1234"),
        ("empty", r"annotation 1: .*\(missing mask\)"),
        ("odd", "instances_train.json: .*wrong for COCO"),
        ("key", "instances_train.json: KeyError"),
        ("outside", "would lie outside"),
        ("twice", "of one patient"),
        ("both", "0033.png: is in the labels twice"),
        ("nowhere", r"instances_train.json: there is no picture nowhere.png in .* or images/train"),
        ("cut short", "instances_test.json: is no JSON"),
    ],
)
def test_what_is_wrong_with_coco_is_named(coco: Coco, what: str, said: str) -> None:
    """A wrong label would be learned, or a patient be on both sides."""
    coco.write()
    wrong_coco(coco, what)
    with pytest.raises(InvalidConfiguration, match=said):
        open_samples(coco.folder)


def test_coco_may_lie_as_coco_itself_does(coco: Coco) -> None:
    """The layout that the format's authors publish would not be found."""
    coco.write()
    for split, document in coco.documents.items():
        (coco.folder / f"{split}2017").mkdir()
        for image in document["images"]:
            image["patient_id"] = None
            (coco.folder / "images" / image["file_name"]).rename(coco.folder / f"{split}2017" / image["file_name"])
        document["categories"].append({"id": 90, "name": "toothbrush"})
        (coco.folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(document))
        (coco.folder / "annotations" / f"instances_{split}.json").unlink()
    assert len(open_samples(coco.folder).samples) == 33
    assert len(open_samples(coco.folder, Part.TEST).samples) == COUNT - 33


@pytest.mark.parametrize("name", ["labels_latest", "evaluation", "all"])
def test_a_split_is_a_word_of_its_own(coco: Coco, name: str) -> None:
    """All pictures would be for testing, since `latest` ends so."""
    coco.write()
    document = coco.documents["train"]
    for split in coco.documents:
        (coco.folder / "annotations" / f"instances_{split}.json").unlink()
    (coco.folder / "annotations" / f"{name}.json").write_text(json.dumps(document))
    assert 0 < sum(one.validation for one in open_samples(coco.folder).samples) < 24


def test_without_pictures_for_validation_some_are_held_out(coco: Coco) -> None:
    """A set that was published as training and test could not be trained on."""
    coco.write()
    (coco.folder / "annotations" / "instances_val.json").unlink()
    found = open_samples(coco.folder).samples
    assert {int(one.picture.stem) for one in found} == set(range(24))
    assert 0 < sum(one.validation for one in found) < 12


def test_pictures_for_training_are_not_tested_on(coco: Coco) -> None:
    """A set that names none for the test would be tested on what was trained on."""
    coco.write()
    (coco.folder / "annotations" / "instances_test.json").unlink()
    with pytest.raises(InvalidConfiguration, match="names pictures for training and none for the test"):
        open_samples(coco.folder, Part.TEST)


def mask_of(coco: Coco, segmentation: Any) -> Any:
    coco.documents["train"]["annotations"][0]["segmentation"] = segmentation
    coco.save()
    outline = next(one for one in open_samples(coco.folder).samples if one.picture.stem == "0001").lesion_mask
    assert outline
    return outline.mask((ROWS, COLUMNS))


@pytest.mark.parametrize("counts", [[5, 5], [5, 5, 20000], [-5, 10805], "zz", "", []])
def test_run_lengths_of_another_size_are_refused(coco: Coco, counts: Any) -> None:
    """What the library had in its memory would be taken for the lesion."""
    coco.write()
    with pytest.raises(InvalidConfiguration, match="annotation 1: the run lengths are of"):
        mask_of(coco, {"size": [ROWS, COLUMNS], "counts": counts})


@given(runs=st.lists(st.booleans(), min_size=1, max_size=ROWS * COLUMNS))
@settings(max_examples=50, deadline=None)
def test_compressed_run_lengths_are_what_the_library_wrote(runs: list[bool]) -> None:
    """Lesions would be drawn somewhere else."""
    from pycocotools import mask as coco

    drawn = np.resize(np.array(runs), (ROWS, COLUMNS))
    packed = coco.encode(np.asfortranarray(drawn.astype(np.uint8)))
    found = RunLengths("here", ROWS, COLUMNS, packed["counts"].decode()).mask((ROWS, COLUMNS))
    np.testing.assert_array_equal(found, drawn)


@pytest.mark.parametrize("layout", ["coco", "btxrd"])
def test_an_outline_of_a_picture_of_another_size_is_refused(coco: Coco, btxrd: Btxrd, layout: str) -> None:
    """Outlines that were drawn on a reduced or turned picture would lie beside the lesion."""
    if layout == "coco":
        coco.write()
        image = next(one for one in coco.documents["train"]["images"] if one["id"] == 1)
        image["height"], image["width"] = ROWS // 2, COLUMNS // 2
        coco.save()
    else:
        btxrd.write()
        file = btxrd.folder / "Annotations" / "IMG000001.json"
        document = json.loads(file.read_text())
        file.write_text(json.dumps({**document, "imageHeight": ROWS // 2, "imageWidth": COLUMNS // 2}))
    folder = coco.folder if layout == "coco" else btxrd.folder
    outline: Any = next(one for one in open_samples(folder).samples if one.picture.stem.endswith("001")).lesion_mask
    with pytest.raises(InvalidConfiguration, match="was drawn on a picture of"):
        outline.mask((ROWS, COLUMNS))


def saved(path: Path, pixels: Any, *, palette: bool = False) -> None:
    if palette:
        image = Image.fromarray(pixels, "P")
        image.putpalette([0, 0, 0, 128, 0, 0])
        image.save(path)
    else:
        assert pixels.dtype in (np.uint8, np.uint16)
        assert cv2.imwrite(str(path), pixels)


MASKS: dict[str, Callable[[Any], Any]] = {
    "0 and 1": lambda mask: mask.astype(np.uint8),
    "16 bits, 0 and 255": lambda mask: mask.astype(np.uint16) * 255,
    "16 bits, white": lambda mask: mask.astype(np.uint16) * 65535,
    "grey saved as colours": lambda mask: np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255,
    "grey, nothing transparent": lambda mask: np.dstack(
        [mask * np.uint8(255)] * 3 + [np.full(mask.shape, 255, np.uint8)]
    ),
    "soft edges": lambda mask: np.maximum(mask * np.uint8(255), cv2.dilate(mask * np.uint8(90), np.ones((3, 3)))),
}
WRONG_MASKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "black": (lambda mask: np.zeros(mask.shape, np.uint8), r"001\.png: is labelled benign, but its outline is empty"),
    "red": (lambda mask: np.dstack([mask * 0, mask * 0, mask * 255]), "masks/001.png: the mask has colours"),
    "transparent": (lambda mask: np.dstack([mask * 255] * 4), "001.png: the mask has colours or transparent parts"),
    "classes": (lambda mask: mask + np.tri(*mask.shape, dtype=int) * mask, "001.png: the mask holds several values"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKS)
def test_masks_as_programs_save_them_are_read(plain: Plain, kind: str) -> None:
    """A tumour would be learned as nothing, since its mask holds ones."""
    saved(plain.write() / "masks" / "001.png", MASKS[kind](true_lesion()))
    sample = next(one for one in open_samples(plain.folder).samples if one.picture.stem == "001")
    np.testing.assert_array_equal(sample.lesion((ROWS, COLUMNS)), true_lesion())


@pytest.mark.parametrize("kind", WRONG_MASKS)
def test_masks_that_leave_it_open_are_refused(plain: Plain, kind: str, tmp_path: Path) -> None:
    """The networks would be taught that a tumour is nothing."""
    change, said = WRONG_MASKS[kind]
    saved(plain.write() / "masks" / "001.png", change(true_lesion().astype(int)).astype(np.uint8))
    with pytest.raises(InvalidConfiguration, match=said):
        open_cache(open_samples(plain.folder), tmp_path / "cache", Preprocessing(), lambda done, of: None, processes=1)


def test_a_mask_in_a_palettes_colours_is_refused(plain: Plain) -> None:
    """Its dark red would be taken for nothing."""
    saved(plain.write() / "masks" / "001.png", true_lesion().astype(np.uint8), palette=True)
    sample = next(one for one in open_samples(plain.folder).samples if one.picture.stem == "001")
    with pytest.raises(InvalidConfiguration, match="the mask has colours"):
        sample.lesion((ROWS, COLUMNS))


def test_a_black_mask_of_a_normal_picture_is_none(plain: Plain) -> None:
    """Sets that give every picture a mask would be refused."""
    saved(plain.write() / "masks" / "000.png", np.zeros((ROWS, COLUMNS), np.uint8))
    assert next(one for one in open_samples(plain.folder).samples if one.picture.stem == "000").lesion_mask is None


@pytest.mark.parametrize("kind", [Plain, Dicom])
def test_redrawn_masks_are_another_set(kind: type[Plain] | type[Dicom], tmp_path: Path) -> None:
    """Training would go on with the old outlines."""
    folder = kind(tmp_path / "data").write()
    before = open_samples(folder).fingerprint
    mask = next(iter(sorted([*folder.glob("masks/*.png"), *folder.rglob("*-seg.dcm")])))
    content = bytearray(mask.read_bytes())
    content[-13] ^= 1
    mask.write_bytes(content)
    assert open_samples(folder).fingerprint != before


def wrong_plain(made: Plain, what: str) -> None:
    if what == "no label":
        del made.rows[0]
    elif what == "label":
        made.rows[0]["label"] = "banana"
    elif what == "split":
        made.rows[0]["split"] = "exam"
    elif what == "file":
        made.rows[0]["file"] = "nowhere.png"
    elif what == "twice":
        made.rows.append(dict(made.rows[0]))
    elif what == "no mask":
        (made.folder / "masks" / "001.png").unlink()
    elif what == "mask of none":
        (made.folder / "masks" / "001.png").rename(made.folder / "masks" / "nobody.png")
    elif what == "parted":
        made.rows[0]["split"], made.rows[1]["split"] = "training", "test"
    elif what == "class":
        made.rows = [{**row, "label": "normal"} for row in made.rows]
        for mask in (made.folder / "masks").iterdir():
            mask.unlink()
    elif what == "two of a name":
        cv2.imwrite(str(made.folder / "images" / "001.jpg"), painted(777))
        made.rows.append({"file": "001.jpg", "label": "malignant"})
    elif what == "suffix":
        (made.folder / "masks" / "001.png").rename(made.folder / "masks" / "001.PNG")
    elif what == "bone of none":
        (made.folder / "bones" / "001.png").rename(made.folder / "bones" / "nobody.png")
    elif what == "one name":
        made.rows = [{**row, "patient": "ANONYMOUS"} for row in made.rows]
    made.save()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no label", "000.png: has no label"),
        ("label", "line 2: the label is 'banana'"),
        ("split", "line 2: the split is 'exam'"),
        ("file", "there is no picture nowhere.png"),
        ("twice", r"line 44: 000.png was named before \(label clash\)"),
        ("no mask", r"001.png: .*\(missing mask\)"),
        ("mask of none", "nobody.png: is a mask without a picture"),
        ("parted", "of one patient"),
        ("class", "none of them is benign"),
        ("two of a name", r"001.jpg and .*001.png: would share a mask"),
        ("suffix", r"001.PNG: masks are looked for as NAME.png"),
        ("bone of none", "bones/nobody.png: is a mask without a picture"),
        ("one name", "all carry the same patient's name"),
    ],
)
def test_what_is_wrong_with_plain_folders_is_named(plain: Plain, what: str, said: str) -> None:
    """A wrong label would be learned, or a patient be on both sides."""
    plain.write()
    wrong_plain(plain, what)
    with pytest.raises(InvalidConfiguration, match=said):
        open_samples(plain.folder)


def wrong_dicom(made: Dicom, what: str) -> None:
    if what == "nobody looked":
        made.picture(99, "p99")
    elif what == "another picture":
        (made.folder / "p0" / "1.dcm").unlink()
    elif what == "kind":
        dataset = made.picture(99, "p99")
        made.segment(dataset, 99, {"something": true_lesion()})
    elif what == "clash":
        dataset = made.picture(99, "p99")
        made.segment(dataset, 99, {"benign": true_lesion(), "malignant": true_lesion()})
    elif what == "table":
        (made.folder / "labels.csv").write_text("file,label\np0/1.dcm,malignant\n")
    elif what == "not DICOM":
        (made.folder / "note.dcm").write_text("Dear colleague")
    elif what == "table of another folder":
        (made.folder / "labels.csv").write_text("file,label,split\n1.dcm,benign,test\n")
    elif what == "segment without pixels":
        dataset = made.picture(99, "p99")
        empty = np.zeros((ROWS, COLUMNS), np.bool_)
        made.segment(dataset, 99, {"benign": empty, "bone": np.ones((ROWS, COLUMNS), np.bool_)})
    elif what == "no UID":
        file = made.folder / "p0" / "1.dcm"
        dataset = pydicom.dcmread(file)
        del dataset.SOPInstanceUID
        dataset.save_as(file)
    elif what == "not malignant":
        file = made.folder / "p0" / "1-seg.dcm"
        dataset = pydicom.dcmread(file)
        dataset.SegmentSequence[0].SegmentLabel = "not malignant"
        del dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
        dataset.save_as(file)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nobody looked", r"99.dcm: no segmentation says what it is.*\(missing mask\)"),
        ("another picture", "1-seg.dcm: is of a picture that is not in"),
        ("kind", "99-seg.dcm: segment 1 .*none of benign, malignant and bone"),
        ("clash", r"99.dcm: is both benign and malignant \(label clash\)"),
        ("table", r"labels.csv says malignant, its segmentation benign \(label clash\)"),
        ("not DICOM", "note.dcm: is not DICOM"),
        ("table of another folder", r"labels.csv: there is no radiograph 1.dcm"),
        ("segment without pixels", r"99-seg.dcm: its segment of a benign tumour shows nothing \(missing mask\)"),
        ("no UID", r"1.dcm: has no SOP Instance UID"),
        ("not malignant", r"segment 1 \('not malignant'\) is none of benign, malignant and bone"),
    ],
)
def test_what_is_wrong_with_dicom_is_named(dicom: Dicom, what: str, said: str) -> None:
    """A picture that nobody looked at would be learned as normal, or a wrong label be learned."""
    dicom.write()
    wrong_dicom(dicom, what)
    with pytest.raises(InvalidConfiguration, match=said):
        open_samples(dicom.folder)


def test_dicom_in_capital_letters_is_read(dicom: Dicom) -> None:
    """Half of a disc's pictures would be missing without a word."""
    folder = dicom.write()
    for path in list(folder.rglob("*.dcm"))[::2]:
        path.rename(path.with_suffix(".DCM"))
    assert len(open_samples(folder).samples) == 24


@pytest.mark.parametrize(("label", "kind"), [("Benign, lytic", "benign"), ("Malignant bone tumour", "malignant")])
def test_a_segment_says_what_it_is_in_words(dicom: Dicom, label: str, kind: str) -> None:
    """Segmentations without codes could not be used."""
    folder = dicom.write()
    file = folder / "p0" / "1-seg.dcm"
    dataset = pydicom.dcmread(file)
    dataset.SegmentSequence[0].SegmentLabel = label
    del dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    dataset.save_as(file)
    assert next(one for one in open_samples(folder).samples if one.picture.name == "1.dcm").label == kind


@pytest.mark.parametrize("content", [{}, {"notes.txt": "x"}, {"notes.json": "{}"}])
def test_a_folder_of_no_known_layout_is_refused(tmp_path: Path, content: dict[str, str]) -> None:
    """A mistyped folder would end in a Python error."""
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidConfiguration, match="none of the known layouts"):
        open_samples(tmp_path)
    with pytest.raises(InvalidConfiguration, match="no such folder"):
        open_samples(tmp_path / "nowhere")


def test_an_outline_that_leaves_its_picture_is_refused(btxrd: Btxrd) -> None:
    """Outlines of the full picture would be drawn on a reduced one, far from the lesion."""
    btxrd.write()
    btxrd.outline("IMG000001.jpeg", [("polygon", [[x * 4, y * 4] for x, y in corners()])])
    mask: Any = next(
        one for one in open_samples(btxrd.folder, Part.TRAINING).samples if one.picture.stem.endswith("1")
    ).lesion_mask
    with pytest.raises(InvalidConfiguration, match=r"IMG000001\.json: an outline leaves its picture"):
        mask.mask((ROWS, COLUMNS))
    assert BOX[2] * 4 > COLUMNS
