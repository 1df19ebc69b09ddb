"""Where the lesion is, by rules that know nothing of lesions: k-means, edges, region growing, wavelets.

The rules were published for pictures in which the tumour is the brightest thing. On radiographs that is the cortex,
and bone that a tumour destroyed is darker than what is around it. So a rule proposes spots of any grey, and of these
the largest compact one within the bone that differs from its surroundings is taken, whichever the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature, filters, measure, restoration, segmentation
from sklearn.cluster import KMeans

from bonedge.edge.records import Mask, Pixels

Segmentation = Callable[[Pixels], Mask]
"""A letterboxed radiograph, float32 "side side", grey 0..1, black borders -> bool "side side": the suspected lesion,
one region or nothing. The same picture always gives the same mask."""
Spots = NDArray[np.int64]
"""int64 "side side": the number of the spot that a pixel belongs to, 0 for none."""

_BLACK = 0.03
"""Grey at and below which nothing was exposed."""
_SMALLEST, _LARGEST = 0.0008, 0.12
"""Area of a lesion as a share of the square: 52 and 7864 of 65,536 pixels."""
_DEPARTURE = 0.04
"""Mean grey by which a spot differs at least from the bone around it: the threshold of the mean-intensity rule."""
_CLUSTERS = 5
_OPENING = 3
"""Half the width that a patch has at least, which most of the cortex has not."""
_STEEPNESS = (0.35, 0.6, 1.0)
"""Shares of Otsu's threshold of the gradient. It finds the outline of bones; that of a lesion within is fainter."""
_CANNY_SIGMA_PX = 1.5
_TOLERANCES = np.linspace(0.02, 0.3, 15)
"""Of region growing: how far greys may be from the seed's."""


@dataclass(frozen=True)
class Scene:
    """What every rule begins with."""

    smooth: Pixels
    """float32 "side side": the picture after a Gaussian of one unit."""
    field: Mask
    """bool "side side": what was exposed, without its edge and without markers beside it."""
    bone: Mask
    """bool "side side": the brighter part of the field, and holes in it."""
    unit: float
    """Pixels in one 256th of the side: lengths in this module are given in these."""


def see(picture: Pixels) -> Scene:
    """The exposed field of a picture and its bone, by Otsu's threshold (IEEE Trans. SMC 9:62, 1979)."""
    unit = max(picture.shape) / 256
    smooth = np.asarray(filters.gaussian(np.asarray(picture, np.float32), unit), np.float32)
    shown = measure.label(smooth > _BLACK)
    field = shown > 0
    if field.any():
        field = _eroded(shown == np.bincount(shown[field]).argmax(), 4 * unit)
    if not field.any():
        return Scene(smooth, field, field, unit)
    bone = field & _closed(field & (smooth > filters.threshold_otsu(smooth[field])), 2 * unit)
    # What bone surrounds is bone that was destroyed.
    others = measure.label(~bone, connectivity=1)
    bone |= (np.bincount(others.ravel()) <= _LARGEST * bone.size)[others]
    return Scene(smooth, field, field & bone, unit)


def surroundings(spot: Mask, width: float) -> Mask:
    """The ring of `width` pixels around a spot, bool, on the same grid."""
    return _dilated(spot, width) & ~spot


def kmeans_threshold(picture: Pixels) -> Mask:
    """k-means of the greys, then the mean-intensity threshold.

    Avula, Lakkakula and Raja, Bone cancer detection from MRI scan imagery using mean pixel intensity, Asia Modelling
    Symposium, 2014: the patch of a cluster is a tumour when its mean intensity passes a threshold. Here the threshold
    is on the difference from the bone around the patch, since the exposure of a radiograph is not fixed.
    """
    scene = see(picture)
    return _most_suspect(_patches(scene, scene.smooth), scene)


def sobel(picture: Pixels) -> Mask:
    """What is enclosed by edges, by Sobel's operator.

    Sobel and Feldman, A 3x3 isotropic gradient operator for image processing, Stanford AI project, 1968.
    """
    return _by_gradient(picture, filters.sobel)


def prewitt(picture: Pixels) -> Mask:
    """The same with Prewitt's operator.

    Prewitt, Object enhancement and extraction, in: Picture processing and psychopictorics, 1970.
    """
    return _by_gradient(picture, filters.prewitt)


def canny(picture: Pixels) -> Mask:
    """What is enclosed by edges, by Canny's detector: thin lines, followed with hysteresis.

    Canny, A computational approach to edge detection, IEEE Trans. PAMI 8:679, 1986.
    """
    scene = see(picture)
    if not scene.field.any():
        return scene.field
    # The detector does not normalise its gradient as filters.sobel does.
    gradient = 4 * np.sqrt(2) * filters.sobel(filters.gaussian(picture, _CANNY_SIGMA_PX * scene.unit))
    inside = gradient[scene.field]
    if inside.min() == inside.max():
        return np.zeros_like(scene.field)
    grey, sigma = np.asarray(picture, np.float32), _CANNY_SIGMA_PX * scene.unit
    steep = (share * float(filters.threshold_otsu(inside)) for share in _STEEPNESS)
    # Twice as steep to begin a line as to go on with it: Canny advises two to three times.
    lines = (scene.field & feature.canny(grey, sigma, low_threshold=high / 2, high_threshold=high) for high in steep)
    return _most_suspect(chain.from_iterable(_enclosed(edges, scene) for edges in lines), scene)


def region_growing(picture: Pixels) -> Mask:
    """Grown from the point of the bone that is least like what is around it, soft tissue included.

    Compared with bone alone, seeds would be less often in a lesion, on phantoms. The price is that a dark lesion in
    wide bone is passed over.

    Adams and Bischof, Seeded region growing, IEEE Trans. PAMI 16:641, 1994. How far greys may differ from the seed is
    chosen as in Hojjatoleslami and Kittler, Region growing: a new approach, IEEE Trans. IP 7:1079, 1998: where the
    region's border is steepest.
    """
    scene = see(picture)
    inside = _eroded(scene.bone, 6 * scene.unit)
    if not inside.any():
        return inside
    near, broad = (_blurred(scene.smooth, sigma * scene.unit, scene.field) for sigma in (2.5, 10))
    seed = np.unravel_index(int(np.where(inside, np.abs(near - broad), -1).argmax()), inside.shape)
    gradient = filters.sobel(scene.smooth)
    even = filters.gaussian(scene.smooth, 1.5 * scene.unit)
    best, steepest = np.zeros_like(inside), 0.0
    for tolerance in _TOLERANCES:
        grown = segmentation.flood(even, seed, tolerance=float(tolerance)) & scene.field
        if grown.mean() > _LARGEST:
            break
        steepness = float(gradient[grown & ~_eroded(grown, 1)].mean())
        if grown.mean() >= _SMALLEST and steepness > steepest:
            best, steepest = grown, steepness
    return _solid(best, scene)


def wavelet_kmeans_edges(picture: Pixels) -> Mask:
    """k-means of the picture without its noise, the patches cut apart at edges.

    k-means and edges: Sinthia and Sujatha, A novel approach to detect bone cancer using k-means clustering algorithm
    and edge detection method, ARPN J. Eng. Appl. Sci. 11, 2016. Wavelet denoising: BayesShrink, Chang, Yu and
    Vetterli, Adaptive wavelet thresholding for image denoising and compression, IEEE Trans. IP 9:1532, 2000.
    """
    scene = see(picture)
    if not scene.field.any():
        return scene.field
    clean = _denoised(picture)
    gradient = filters.sobel(clean)
    inside = gradient[scene.field]
    edges = gradient > (filters.threshold_otsu(inside) if inside.min() < inside.max() else inside.max())
    patches = _patches(scene, clean, edges)
    # What was cut away at the edges belongs to the patches on both sides.
    return _most_suspect((segmentation.expand_labels(spots, 2 * scene.unit) for spots in patches), scene)


SEGMENTATIONS: dict[str, Segmentation] = {
    "k-means": kmeans_threshold,
    "Sobel": sobel,
    "Prewitt": prewitt,
    "Canny": canny,
    "region growing": region_growing,
    "wavelet k-means": wavelet_kmeans_edges,
}


def _patches(scene: Scene, grey: Pixels, cut: Mask | None = None) -> Iterator[Spots]:
    """Connected patches of each cluster of grey, thin ones opened away."""
    if not scene.field.any():
        return
    cluster = _clusters(grey, scene.field)
    allowed = scene.field if cut is None else scene.field & ~cut
    for low in range(_CLUSTERS):
        # Two neighbours in brightness together, too: a lesion is seldom of one grey.
        for high in range(low, min(low + 2, _CLUSTERS)):
            yield measure.label(_opened(allowed & (cluster >= low) & (cluster <= high), _OPENING * scene.unit))


def _clusters(grey: Pixels, field: Mask) -> NDArray[np.int64]:
    """Number of each pixel's cluster, darkest first, by k-means over the field's histogram.

    Lloyd, Least squares quantization in PCM, IEEE Trans. IT 28:129, 1982. Starts at quantiles, so no seed is needed.
    """
    level = np.rint(np.clip(grey, 0, 1) * 255).astype(np.int64)
    values, counts = np.unique(level[field], return_counts=True)
    starts = np.unique(np.quantile(level[field], (np.arange(_CLUSTERS) + 0.5) / _CLUSTERS, method="nearest"))
    fitted = KMeans(len(starts), init=starts[:, None].astype(np.float64), n_init=1).fit(
        values[:, None].astype(np.float64), sample_weight=counts
    )
    centres = np.sort(fitted.cluster_centers_[:, 0])
    return np.digitize(level, (centres[1:] + centres[:-1]) / 2)


def _by_gradient(picture: Pixels, gradient_of: Callable[[Pixels], Pixels]) -> Mask:
    scene = see(picture)
    gradient = gradient_of(scene.smooth)
    inside = gradient[scene.field]
    if not len(inside) or inside.min() == inside.max():
        return np.zeros_like(scene.field)
    threshold = filters.threshold_otsu(inside)
    edges = (scene.field & (gradient > share * threshold) for share in _STEEPNESS)
    return _most_suspect(chain.from_iterable(_enclosed(steep, scene) for steep in edges), scene)


def _enclosed(edges: Mask, scene: Scene) -> Iterator[Spots]:
    """The regions that edges enclose as they are, and once gaps are closed; with their half of the edge."""
    end = scene.field & ~_eroded(scene.field, 1)
    for gap in (0, 3):
        regions = measure.label(scene.field & ~_closed(edges, gap * scene.unit), connectivity=1)
        regions[np.isin(regions, np.unique(regions[end]))] = 0
        yield segmentation.expand_labels(regions, 2 * scene.unit)


def _most_suspect(proposals: Iterable[Spots], scene: Scene) -> Mask:
    """The largest compact spot within the bone that differs from the bone around it; nothing where there is none."""
    best, most = np.zeros(scene.field.shape, np.bool_), 0.0
    margin = max(2, round(5 * scene.unit))
    for spots in proposals:
        areas = np.bincount(spots.ravel()) / spots.size
        for number, box in enumerate(ndimage.find_objects(spots), 1):
            if box is None or not _SMALLEST <= areas[number] <= _LARGEST:
                continue
            window = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
            spot = spots[window] == number
            suspicion = _suspicion(spot, window, scene, margin)
            if suspicion > most:
                most, best = suspicion, np.zeros_like(best)
                best[window] = spot
    return _solid(best, scene)


def _suspicion(spot: Mask, window: tuple[slice, ...], scene: Scene, margin: int) -> float:
    """Square root of the spot's area, times how compact it is, times how much of it and of its surroundings is bone."""
    ring = surroundings(spot, margin) & scene.field[window]
    bony = ring & scene.bone[window]
    if not bony.any():
        return 0.0
    grey = scene.smooth[window]
    if abs(float(grey[spot].mean() - grey[bony].mean())) < _DEPARTURE:
        return 0.0
    within = float(scene.bone[window][spot].mean()) * float(bony.sum() / ring.sum())
    return float(np.sqrt(spot.sum())) * solidity(spot) * within


def solidity(spot: Mask) -> float:
    """Area of one region as a share of its convex hull's, 0..1; 0 for nothing."""
    points = np.argwhere(spot)
    if not len(points):
        return 0.0
    hull = cv2.convexHull(points.astype(np.float32))
    # The hull goes through the centres of the outermost pixels, half a pixel short of their edges.
    area = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return min(1.0, len(points) / area)


def _solid(mask: Mask, scene: Scene) -> Mask:
    """A mask with its gaps closed and its holes filled."""
    closed = _closed(mask, 2 * scene.unit) & scene.field
    for window in ndimage.find_objects(closed.astype(np.uint8)):
        closed[window] = ndimage.binary_fill_holes(closed[window])
    return closed


def _denoised(picture: Pixels) -> Pixels:
    grey = np.asarray(picture, np.float32)
    # There is no noise to estimate in an even picture, and no room for a wavelet in a tiny one.
    if min(grey.shape) < 16 or grey.min() == grey.max():
        return grey
    return np.asarray(restoration.denoise_wavelet(grey, wavelet="db2", method="BayesShrink"), np.float32)


def _blurred(grey: Pixels, sigma: float, part: Mask) -> Pixels:
    """A Gaussian in which only `part` of the picture takes part."""
    weight = filters.gaussian(part.astype(np.float32), sigma)
    return np.asarray(filters.gaussian(np.where(part, grey, 0), sigma) / np.maximum(weight, 1e-6), np.float32)


def _eroded(mask: Mask, radius: float) -> Mask:
    return _morphology(cv2.MORPH_ERODE, mask, radius)


def _dilated(mask: Mask, radius: float) -> Mask:
    return _morphology(cv2.MORPH_DILATE, mask, radius)


def _closed(mask: Mask, radius: float) -> Mask:
    return _morphology(cv2.MORPH_CLOSE, mask, radius)


def _opened(mask: Mask, radius: float) -> Mask:
    return _morphology(cv2.MORPH_OPEN, mask, radius)


def _morphology(operation: int, mask: Mask, radius: float) -> Mask:
    """With a disc; beyond the picture there is nothing. OpenCV's, for there are dozens of them in a picture."""
    whole = round(radius)
    if whole == 0:
        return mask
    disc: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * whole + 1, 2 * whole + 1))
    padded = np.pad(mask.astype(np.uint8), whole)
    done = cv2.morphologyEx(padded, operation, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(done[whole:-whole, whole:-whole], np.bool_)
