"""A radiograph in, three probabilities out: a segmentation by rule, features, a support vector machine and a tree.

After Bandyopadhyay, Biswas and Bhattacharya, Bone-cancer assessment and destruction pattern analysis in long-bone
X-ray image, Journal of Digital Imaging 32, 2019: a support vector machine tells bone with a tumour from bone without,
and a decision tree grades what has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from bonedge.calibration.production import begin_worker
from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.records import CLASSES, Mask, Pixels

from .features import FEATURES, Features, measured
from .segmentations import SEGMENTATIONS
from .selection import select

Pictures = NDArray[np.uint8] | Pixels
"""uint8 0..255 or float32 0..1, "n side side": letterboxed radiographs."""

_NORMAL, _BENIGN, _MALIGNANT = range(3)
_FOLDS = 5
_FEWEST = 5
"""Pictures of a class that a system learns from, at least: one in each fold."""
_CHUNK = 16
_WORTH = 4
"""Chunks for a process, at least: it takes seconds to start."""


@dataclass
class ClassicalSystem:
    """One of the systems that there were before networks; `fit` it, then `predict`."""

    segmentation: str
    """One of `SEGMENTATIONS`."""
    selected: bool = False
    """Whether a genetic algorithm chooses among the features."""
    processes: int = 1
    """How many measure pictures at once."""
    kept: tuple[str, ...] = field(init=False, default=())
    """Names of the features that are used, once fitted."""
    _columns: Mask = field(init=False, repr=False, default_factory=lambda: np.ones(len(FEATURES), np.bool_))
    _tumour: Any = field(init=False, repr=False, default=None)
    _grade: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if self.segmentation not in SEGMENTATIONS:
            raise InvalidConfiguration(
                f"there is no segmentation {self.segmentation!r}; choose from {', '.join(SEGMENTATIONS)}"
            )

    def segment(self, picture: Pictures) -> Mask:
        """The suspected lesion of one picture "side side", bool "side side"."""
        return SEGMENTATIONS[self.segmentation](_grey(picture))

    def fit(self, pictures: Pictures, labels: NDArray[np.integer[Any]], seed: int) -> None:
        """Learn from labelled pictures.

        Args:
            pictures: to learn from.
            labels: integers "n", indices into CLASSES: 0 normal, 1 benign, 2 malignant.
            seed: of folds, of the tree and of the selection; the same seed gives the same system.

        Raises:
            InvalidConfiguration: labels that are none, or too few pictures of a class.
        """
        truths = _checked(labels, len(pictures))
        self.learn(self.measure(pictures), truths, seed)

    def predict(self, pictures: Pictures) -> NDArray[np.float64]:
        """Probabilities float64 "n 3" of normal, benign, malignant; each row adds up to 1.

        The tree divides what the support vector machine gives to tumours, so the verdict is
        `bonedge.models.study.figures.verdicts`, not the largest of the three.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
        """
        return self.judge(self.measure(pictures))

    def measure(self, pictures: Pictures) -> Features:
        """All features of the pictures, float64 "n features" in the order of `FEATURES`; needs no fitting."""
        if pictures.ndim != 3:
            raise InvalidConfiguration(f"pictures have {pictures.ndim} axes instead of 3: number, row, column")
        chunks = [pictures[start : start + _CHUNK] for start in range(0, len(pictures), _CHUNK)]
        rows = list(_measured(self.segmentation, chunks, self.processes))
        return np.concatenate(rows) if rows else np.zeros((0, len(FEATURES)))

    def learn(self, features: Features, labels: NDArray[np.integer[Any]], seed: int) -> None:
        """`fit` from what `measure` gave: systems with the same segmentation need to measure only once."""
        truths = _checked(labels, len(features))
        tumour = (truths != _NORMAL).astype(np.int64)
        if self.selected:
            self._columns = select(features, tumour, partial(_machine, 1.0), seed)
        chosen = features[:, self._columns]
        self._tumour = _fit_tumour(chosen, tumour, seed)
        self._grade = _fit_grade(chosen[tumour == 1], truths[tumour == 1] == _MALIGNANT, seed)
        self.kept = tuple(name for name, kept in zip(FEATURES, self._columns, strict=True) if kept)

    def judge(self, features: Features) -> NDArray[np.float64]:
        """`predict` from what `measure` gave."""
        if self._tumour is None:
            raise NotFittedError("this ClassicalSystem has not learnt yet: call fit first")
        if not len(features):
            return np.zeros((0, len(CLASSES)))
        chosen = features[:, self._columns]
        tumour, malignant = self._tumour.predict_proba(chosen)[:, 1], self._grade.predict_proba(chosen)[:, 1]
        return np.stack([1 - tumour, tumour * (1 - malignant), tumour * malignant], axis=1)


@dataclass(frozen=True)
class Recipe:
    """A system of the study's table."""

    name: str
    """For people."""
    segmentation: str
    selected: bool = False

    def system(self, processes: int = 1) -> ClassicalSystem:
        """A new one, not fitted."""
        return ClassicalSystem(self.segmentation, self.selected, processes)


SYSTEMS: tuple[Recipe, ...] = (
    Recipe("k-means + mean intensity, SVM and tree", "k-means"),
    Recipe("Sobel, SVM and tree", "Sobel"),
    Recipe("Prewitt, SVM and tree", "Prewitt"),
    Recipe("Canny, SVM and tree", "Canny"),
    Recipe("region growing, SVM and tree", "region growing"),
    Recipe("wavelet k-means + edges, genetic selection, SVM and tree", "wavelet k-means", selected=True),
)


def _machine(cost: float, width: float | str = "scale") -> Pipeline:
    return make_pipeline(StandardScaler(), SVC(C=cost, gamma=width, class_weight="balanced"))


def _fit_tumour(features: Features, tumour: NDArray[np.int64], seed: int) -> Any:
    """A support vector machine (Cortes and Vapnik, Machine Learning 20:273, 1995), its cost and width searched.

    Its distances become probabilities by a sigmoid (Platt, 1999) fitted on folds that it has not learnt from.
    """
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    # The first of equals is taken: a wide and cheap machine that is as good gives distances too small to calibrate.
    grid = {"svc__C": [1.0, 3.0, 10.0, 0.3], "svc__gamma": ["scale", 0.01, 0.003]}
    search = GridSearchCV(_machine(1.0), grid, scoring="roc_auc", cv=folds, refit=False).fit(features, tumour)
    best = _machine(1.0).set_params(**search.best_params_)
    return CalibratedClassifierCV(best, method="sigmoid", cv=folds, ensemble=False).fit(features, tumour)


def _fit_grade(features: Features, malignant: Mask, seed: int) -> Any:
    """A decision tree (Breiman, Friedman, Olshen and Stone, 1984), its depth and leaves searched."""
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    grid = {"max_depth": [2, 3, 4, 6], "min_samples_leaf": [1, 5, 20]}
    tree = DecisionTreeClassifier(class_weight="balanced", random_state=seed)
    search = GridSearchCV(tree, grid, scoring="roc_auc", cv=folds).fit(features, malignant)
    return search.best_estimator_


def _checked(labels: NDArray[np.integer[Any]], count: int) -> NDArray[np.int64]:
    truths = np.asarray(labels)
    if truths.shape != (count,):
        raise InvalidConfiguration(f"there are {count} pictures, but labels of shape {truths.shape}")
    strange = sorted({int(truth) for truth in truths} - set(range(len(CLASSES))))
    if strange:
        raise InvalidConfiguration(f"labels are 0 normal, 1 benign or 2 malignant, not {strange[0]}")
    for number, label in enumerate(CLASSES):
        found = int((truths == number).sum())
        if found < _FEWEST:
            raise InvalidConfiguration(
                f"{found or 'no'} {_pictures(found)} of class {label.value!r}; a classical system needs at least "
                f"{_FEWEST} of each of {', '.join(CLASSES)}"
            )
    return truths.astype(np.int64)


def _pictures(count: int) -> str:
    return "picture" if count == 1 else "pictures"


def _grey(picture: Pictures) -> Pixels:
    return picture.astype(np.float32) / np.float32(255 if picture.dtype == np.uint8 else 1)


def _measured(segmentation: str, chunks: Sequence[Pictures], processes: int) -> Iterator[Features]:
    work = partial(_measure, segmentation)
    processes = min(processes, len(chunks) // _WORTH)
    if processes <= 1:
        yield from map(work, chunks)
        return
    # Fresh interpreters: a fork of a process that already runs TensorFlow's threads may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=begin_worker) as pool:
        yield from pool.map(work, chunks)


def _measure(segmentation: str, pictures: Pictures) -> Features:
    """Features of a few pictures (perhaps in a worker process)."""
    greys = [_grey(np.asarray(picture)) for picture in pictures]
    return np.stack([measured(grey, SEGMENTATIONS[segmentation](grey)) for grey in greys])
