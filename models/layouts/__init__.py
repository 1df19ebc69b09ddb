"""Data sets as people have them: which layout a folder has, and its pictures as samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bonedge.calibration.phantom.command import INDEX
from bonedge.edge.errors import InvalidConfiguration
from bonedge.models.datasets import PhantomSet, SampleSet

from . import btxrd, coco, dicom, plain
from .labelled import Part

__all__ = ["Part", "layout_of", "open_samples"]

_HINT = "give another, or make phantoms with `bonedge phantom --count 4000 --seed 1 --format png --output FOLDER`"
_LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Part], SampleSet]], ...] = tuple(
    (layout.recognise, layout.read) for layout in (btxrd, coco, plain, dicom)
)
"""The most particular first: a BTXRD folder holds a folder of pictures, too."""


def open_samples(folder: Path, part: Part = Part.TRAINING) -> SampleSet:
    """The samples of a data folder, whichever of the known layouts it has.

    Phantoms (`index.jsonl`), BTXRD (`dataset.xlsx`), COCO (JSON with images and annotations), plain folders
    (`images/`), and DICOM pictures with DICOM Segmentation objects.

    Args:
        folder: of the data.
        part: TRAINING leaves out what the set holds back for testing; TEST gives that alone, or everything when it
            holds nothing back.

    Raises:
        InvalidConfiguration: there is no such folder, it has no known layout, or something in it is wrong.
    """
    return layout_of(folder)(folder, part)


def layout_of(folder: Path) -> Callable[[Path, Part], SampleSet]:
    """What reads the folder, by what tells the layouts apart.

    Raises:
        InvalidConfiguration: there is no such folder, or it has no known layout.
    """
    if not folder.is_dir():
        raise InvalidConfiguration(f"{folder}: cannot be read, there is no such folder; {_HINT}")
    if (folder / INDEX).is_file():
        return lambda phantoms, _: PhantomSet(phantoms)
    for recognise, read in _LAYOUTS:
        if recognise(folder):
            return partial(_resolved, read)
    raise InvalidConfiguration(
        f"{folder}: holds none of the known layouts: index.jsonl of `bonedge phantom`, BTXRD's dataset.xlsx, a COCO "
        f"annotation file, a folder named images, or DICOM files; {_HINT}"
    )


def _resolved(read: Callable[[Path, Part], SampleSet], folder: Path, part: Part) -> SampleSet:
    """A fingerprint must not depend on where one stands."""
    return read(folder.resolve(), part)
