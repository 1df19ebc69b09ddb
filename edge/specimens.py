"""Pictures to measure with when none are given: the bundle's golden ones, as large as a plain film."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .bundle import Bundle
from .errors import InvalidConfiguration
from .geometry import resize
from .golden import golden_radiographs
from .records import Pixels

LONG_SIDE_PX = 3000
"""Of a 35 x 43 cm plate at 0.14 mm."""
_BITS = 12


def write_specimens(bundle: Bundle, folder: Path, count: int = 3) -> tuple[Path, ...]:
    """Up to `count` golden pictures of the bundle, enlarged, as uncompressed DICOM files in `folder`.

    Raises:
        InvalidConfiguration: the bundle brings none.
    """
    pictures = golden_radiographs(bundle)
    if not pictures:
        raise InvalidConfiguration("this bundle brings no golden pictures; name some with --image FILE")
    # One of each class comes first: they are in order, two of a class.
    chosen = [*list(pictures)[::2], *list(pictures)[1::2]][:count]
    paths = []
    for number, name in enumerate(chosen, 1):
        pixels = pictures[name].pixels
        scale = LONG_SIDE_PX / max(pixels.shape)
        path = folder / f"specimen-{number}.dcm"
        _write_dicom(path, resize(pixels, round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)), number)
        paths.append(path)
    return tuple(paths)


def _write_dicom(path: Path, pixels: Pixels, number: int) -> None:
    """PS3.3 A.2, Computed Radiography, as far as bonedge reads it; explicit VR little endian."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["bonedge specimen", str(number)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["bonedge specimens"])
    dataset.Modality, dataset.PatientName, dataset.BodyPartExamined = "CR", "PHANTOM^SPECIMEN", "LEG"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, _BITS, _BITS - 1, 0
    # The whole range as it is; without a window, a reader stretches the greys as it sees fit.
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (_BITS - 1), 2**_BITS
    dataset.PixelData = np.rint(pixels * (2**_BITS - 1)).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
