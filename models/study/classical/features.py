"""What a picture and its suspected lesion are like, in numbers that were made by hand."""

from __future__ import annotations

import numpy as np
import pywt
from numpy.typing import NDArray
from skimage import feature, filters, measure

from bonedge.edge.records import Mask, Pixels

from .segmentations import Scene, see, solidity, surroundings

Features = NDArray[np.float64]

_PARTS = ("spot", "ring", "bone")
"""The suspected lesion, what is around it, and the bone: grey, texture, edges and wavelets of each."""
_RING = 6
"""Width, 256ths of the side."""
_GREYS = 16
"""Grey levels of the co-occurrence matrix."""
_DISTANCES = (1, 3)
"""Between the pixels of a pair, 256ths of the side, at least one pixel."""
_HARALICK = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
_LEVELS = 3
_INTENSITY = ("mean", "deviation", "skewness", "kurtosis", "tenth percentile", "ninetieth percentile", "entropy")
_SHAPE = ("area", "components", "solidity", "eccentricity", "extent", "circularity", "length", "bony share")
_OF_A_PART = (
    *(f"grey {name}" for name in _INTENSITY),
    *(f"texture {name} at {distance}" for distance in _DISTANCES for name in _HARALICK),
    "edge density",
    "edge strength",
    *(f"wavelet energy {level}" for level in range(1, _LEVELS + 1)),
)
_OF_ALL = ("spot brighter than ring", "spot rougher than ring", "field grey mean", "field grey deviation", "field area")

FEATURES: tuple[str, ...] = (
    *(f"{part} {name}" for part in _PARTS for name in _OF_A_PART),
    *(f"shape {name}" for name in _SHAPE),
    *_OF_ALL,
)
"""Names of the features, in their order."""


def measured(picture: Pixels, mask: Mask) -> Features:
    """The features of one picture.

    Texture: properties of the grey-level co-occurrence matrix, four directions together (Haralick, Shanmugam and
    Dinstein, Textural features for image classification, IEEE Trans. SMC 3:610, 1973). Wavelet energies: the logarithm
    of the mean square of the detail coefficients of the Haar transform at each level (Mallat, IEEE Trans. PAMI 11:674,
    1989).

    Args:
        picture: float32 "side side", grey 0..1.
        mask: bool "side side", the suspected lesion; may be empty.

    Returns:
        float64 "features", in the order of `FEATURES`, all finite; what an empty mask does not have is 0.
    """
    scene = see(picture)
    spot = _largest(mask)
    parts = {
        "spot": mask,
        "ring": surroundings(mask, max(1, _RING * scene.unit)) & scene.field,
        "bone": scene.bone,
    }
    gradient = np.asarray(filters.sobel(scene.smooth), np.float64)
    threshold = filters.threshold_otsu(gradient[scene.field]) if scene.field.any() else 0.0
    details = _details(picture)
    values: list[float] = []
    for name in _PARTS:
        part = parts[name]
        values += _intensity(np.asarray(picture[part], np.float64))
        values += _texture(picture, part, scene.unit)
        values += [_mean(gradient[part] > threshold), _mean(gradient[part])]
        values += _energies(details, part)
    values += _shape(mask, spot, scene)
    values += _of_all(picture, parts, scene)
    return np.nan_to_num(np.array(values, np.float64))


def _intensity(greys: Features) -> list[float]:
    if not len(greys):
        return [0.0] * len(_INTENSITY)
    mean, deviation = float(greys.mean()), float(greys.std())
    normal = (greys - mean) / max(deviation, 1e-6)
    share = np.bincount((np.clip(greys, 0, 1) * (_GREYS - 1)).round().astype(np.int64)) / len(greys)
    share = share[share > 0]
    tenth, ninetieth = (float(v) for v in np.percentile(greys, [10, 90]))
    entropy = float(-(share * np.log2(share)).sum())
    return [mean, deviation, float((normal**3).mean()), float((normal**4).mean()), tenth, ninetieth, entropy]


def _texture(picture: Pixels, part: Mask, unit: float) -> list[float]:
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    if not len(rows):
        return [0.0] * (len(_DISTANCES) * len(_HARALICK))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    # Level 0 is what does not belong to the part; its pairs are thrown away.
    level = np.where(part[window], 1 + np.rint(np.clip(picture[window], 0, 1) * (_GREYS - 1)), 0).astype(np.uint8)
    distances = [max(1, round(distance * unit)) for distance in _DISTANCES]
    directions = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    pairs = feature.graycomatrix(level, distances, directions, levels=_GREYS + 1, symmetric=True)[1:, 1:]
    # All directions together: a part may be too narrow to have a pair in one of them.
    pairs = pairs.sum(axis=3, keepdims=True).astype(np.float64)
    properties = np.stack([feature.graycoprops(pairs, name)[:, 0] for name in _HARALICK], axis=1)
    return [float(v) for v in properties.ravel()]


def _details(picture: Pixels) -> list[Features]:
    """Sum of the squares of the three details at each level, "rows columns" halved (rounded up) from level to level."""
    energies, rest = [], np.asarray(picture, np.float64)
    for _ in range(_LEVELS):
        rest, details = pywt.dwt2(rest, "haar", mode="periodization")
        energies.append(np.asarray(sum(detail**2 for detail in details), np.float64))
    return energies


def _energies(details: list[Features], part: Mask) -> list[float]:
    """0 for nothing at all and for an empty part."""
    return [
        float(np.log1p(1e4 * _mean(energy[part[:: 2**level, :: 2**level]]))) for level, energy in enumerate(details, 1)
    ]


def _shape(mask: Mask, spot: Mask, scene: Scene) -> list[float]:
    """Of the largest component. Lengths and areas as shares of the square's."""
    if not spot.any():
        return [0.0] * len(_SHAPE)
    (region,) = measure.regionprops(spot.astype(np.uint8))
    perimeter = max(float(region.perimeter), 1.0)
    return [
        float(region.area) / spot.size,
        float(measure.label(mask).max()),
        solidity(spot),
        float(region.eccentricity),
        float(region.extent),
        min(float(4 * np.pi * region.area / perimeter**2), 2.0),
        float(region.axis_major_length) / max(spot.shape),
        _mean(scene.bone[spot]),
    ]


def _of_all(picture: Pixels, parts: dict[str, Mask], scene: Scene) -> list[float]:
    spot, ring, field = (np.asarray(picture[part], np.float64) for part in (parts["spot"], parts["ring"], scene.field))
    both = len(spot) > 0 and len(ring) > 0
    return [
        float(spot.mean() - ring.mean()) if both else 0.0,
        float(spot.std() - ring.std()) if both else 0.0,
        _mean(field),
        float(field.std()) if len(field) else 0.0,
        _mean(scene.field),
    ]


def _largest(mask: Mask) -> Mask:
    components = measure.label(mask)
    if not components.any():
        return mask
    return np.asarray(components == np.bincount(components[components > 0]).argmax(), np.bool_)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0
