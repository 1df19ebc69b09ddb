"""Small sets in the exact on-disk formats, written by the libraries that people write them with."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bonedge.edge.records import CLASSES, Label

ROWS, COLUMNS = 120, 90
COUNT = 42
BOX = (30, 40, 62, 71)
"""left, top, right, bottom of every lesion; the last pixels are inside."""


def label_of(number: int) -> Label:
    return CLASSES[number % 3]


def painted(number: int) -> Any:
    """uint8 "rows columns": something that only this picture shows."""
    rng = np.random.default_rng(number)
    coarse = cv2.resize(rng.uniform(0, 255, (9, 7)).astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse, 0, 255).astype(np.uint8)


def true_lesion() -> Any:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    left, top, right, bottom = BOX
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def corners() -> list[list[float]]:
    left, top, right, bottom = BOX
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


@dataclass
class Btxrd:
    """`dataset.xlsx` by openpyxl, outlines as LabelMe writes them, with BTXRD's boxes beside the polygons."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def write(self) -> Path:
        for number in range(COUNT):
            name = f"IMG{number:06d}.jpeg"
            label = label_of(number)
            benign, malignant = int(label == "benign"), int(label == "malignant")
            self.rows.append(
                {"image_id": name, "center": (1, 1, 2, 3)[number % 4], "age": 12, "gender": "M",
                 "tumor": benign + malignant, "benign": benign, "malignant": malignant, "osteochondroma": benign,
                 "osteosarcoma": malignant, "femur": 1, "knee-joint": number % 2}
            )  # fmt: skip
            self.picture(name, painted(number))
            if label != "normal":
                left, top, right, bottom = BOX
                self.outline(name, [("polygon", corners()), ("rectangle", [[left, top], [right, bottom]])])
        self.table()
        return self.folder

    def picture(self, name: str, pixels: Any) -> None:
        (self.folder / "images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(self.folder / "images" / name), pixels)

    def outline(self, name: str, shapes: list[tuple[str, Any]]) -> None:
        (self.folder / "Annotations").mkdir(exist_ok=True)
        document = {
            "version": "5.4.1", "flags": {}, "imagePath": name, "imageData": None, "imageHeight": ROWS,
            "imageWidth": COLUMNS,
            "shapes": [{"label": "lesion", "points": points, "group_id": None, "shape_type": kind, "flags": {}}
                       for kind, points in shapes],
        }  # fmt: skip
        (self.folder / "Annotations" / f"{Path(name).stem}.json").write_text(json.dumps(document))

    def table(self) -> None:
        import openpyxl

        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet is not None
        headings = list(self.rows[0])
        sheet.append(headings)
        for row in self.rows:
            sheet.append([row[heading] for heading in headings])
        book.save(self.folder / "dataset.xlsx")


@dataclass
class Coco:
    """One JSON per split; masks as polygons and as both kinds of run lengths, those by pycocotools."""

    folder: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self) -> Path:
        from pycocotools import mask as coco

        (self.folder / "images").mkdir(parents=True)
        categories = [
            {"id": 1, "name": "benign"},
            {"id": 7, "name": "osteosarcoma", "supercategory": "malignant"},
            {"id": 9, "name": "bone"},
        ]
        for split, numbers in {"train": range(24), "val": range(24, 33), "test": range(33, COUNT)}.items():
            images, annotations = [], []
            for number in numbers:
                name = f"{number:04d}.png"
                cv2.imwrite(str(self.folder / "images" / name), painted(number))
                images.append({"id": number, "file_name": name, "height": ROWS, "width": COLUMNS})
                packed = coco.encode(np.asfortranarray(true_lesion().astype(np.uint8)))
                flat = true_lesion().ravel(order="F").astype(int)
                changes = np.flatnonzero(np.diff(np.concatenate(([0], flat, [1 - flat[-1]]))))
                plain = {"size": [ROWS, COLUMNS], "counts": np.diff(np.concatenate(([0], changes))).tolist()}
                forms = [
                    [[value for corner in corners() for value in corner]],
                    {"size": packed["size"], "counts": packed["counts"].decode()},
                    plain,
                ]
                category = {"normal": None, "benign": 1, "malignant": 7}[label_of(number)]
                if category:
                    annotations.append(
                        {"id": number, "image_id": number, "category_id": category, "iscrowd": 0, "area": 1,
                         "bbox": [0, 0, 1, 1], "segmentation": forms[number // 3 % 3]}
                    )  # fmt: skip
            self.documents[split] = {"images": images, "annotations": annotations, "categories": categories}
        self.save()
        return self.folder

    def save(self) -> None:
        (self.folder / "annotations").mkdir(exist_ok=True)
        for split, document in self.documents.items():
            (self.folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))


@dataclass
class Plain:
    """images, masks, bones, labels.csv."""

    folder: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def write(self) -> Path:
        for name in ("images", "masks", "bones"):
            (self.folder / name).mkdir(parents=True)
        for number in range(COUNT):
            name, label = f"{number:03d}.png", label_of(number)
            cv2.imwrite(str(self.folder / "images" / name), painted(number))
            if label != "normal":
                cv2.imwrite(str(self.folder / "masks" / name), true_lesion().astype(np.uint8) * 255)
            if number % 2:
                cv2.imwrite(str(self.folder / "bones" / name), np.full((ROWS, COLUMNS), 255, np.uint8))
            self.rows.append({"file": name, "label": label, "patient": f"p{number // 2}", "family": "cyst"})
        self.save()
        return self.folder

    def save(self) -> None:
        with (self.folder / "labels.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in self.rows for key in row)))
            writer.writeheader()
            writer.writerows(self.rows)


@dataclass
class Dicom:
    """Radiographs as a modality writes them, and segmentations by highdicom, below folders of patients."""

    folder: Path

    def write(self) -> Path:
        for number in range(24):
            dataset = self.picture(number, f"p{number // 2}")
            label = label_of(number)
            if label == "normal":
                self.segment(dataset, number, {"bone": np.ones((ROWS, COLUMNS), np.bool_)})
            else:
                self.segment(dataset, number, {label.value: true_lesion(), "bone": np.ones((ROWS, COLUMNS), np.bool_)})
        return self.folder

    def picture(self, number: int, patient: str) -> Any:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.Modality = ComputedRadiographyImageStorage, "CR"
        dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = (
            patient,
            "Phantom^A",
            "",
            "",
        )
        dataset.StudyID, dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "", "", "", ""
        dataset.ReferringPhysicianName, dataset.InstanceNumber = "", 1
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
        dataset.Rows, dataset.Columns, dataset.PixelRepresentation = ROWS, COLUMNS, 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 10, 9
        dataset.PixelData = (painted(number).astype("<u2") << 2).tobytes()
        dataset["PixelData"].VR = "OW"
        path = self.folder / patient / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return dataset

    def segment(self, dataset: Any, number: int, structures: dict[str, Any]) -> Path:
        import highdicom
        from highdicom.sr import CodedConcept
        from pydicom.sr.codedict import codes

        types = {
            "benign": CodedConcept("3898006", "SCT", "Neoplasm, benign"),
            "malignant": CodedConcept("86049000", "SCT", "Neoplasm, malignant"),
            "bone": codes.SCT.Bone,
            "something": codes.SCT.Edema,
        }
        described = [
            highdicom.seg.SegmentDescription(
                segment_number=place,
                segment_label=f"segment {place}",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=types[kind],
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for place, kind in enumerate(structures, 1)
        ]
        made = highdicom.seg.Segmentation(
            source_images=[dataset],
            pixel_array=np.stack(list(structures.values()), axis=-1)[None].astype(np.uint8),
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=highdicom.UID(), series_number=2, sop_instance_uid=highdicom.UID(), instance_number=1,
            manufacturer="x", manufacturer_model_name="x", software_versions="1", device_serial_number="1",
        )  # fmt: skip
        path = self.folder / str(dataset.PatientID) / f"{number}-seg.dcm"
        made.save_as(path)
        return path


@pytest.fixture
def btxrd(tmp_path: Path) -> Btxrd:
    return Btxrd(tmp_path / "BTXRD")


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    return Coco(tmp_path / "coco")


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    return Plain(tmp_path / "plain")


@pytest.fixture
def dicom(tmp_path: Path) -> Dicom:
    return Dicom(tmp_path / "dicom")


@pytest.fixture(params=[Btxrd, Coco, Plain, Dicom])
def any_set(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path]:
    """Writes a set of each layout in turn."""
    write: Callable[[], Path] = request.param(tmp_path / "data").write
    return write
