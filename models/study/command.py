"""`bonedge study`: networks and classical systems under one protocol, on pictures that none of them has seen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import click
import numpy as np

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.machine import describe_machine
from bonedge.edge.options import FOLDER, PLACE
from bonedge.edge.page import check_pages_can_be_made
from bonedge.edge.records import CLASSES
from bonedge.models.cache import PictureCache, open_cache
from bonedge.models.datasets import SampleSet, trained_on
from bonedge.models.duplicates import check_sets_apart
from bonedge.models.kernels import convolve_in_bfloat16
from bonedge.models.layouts import Part, open_samples
from bonedge.models.lineage import lineage_of_weights
from bonedge.models.networks import PREPROCESSING, load_for, load_keras, typed
from bonedge.models.progress import progress_bar, say
from bonedge.models.regions import open_regions

from .examples import Examples
from .protocol import FULL, REDUCED
from .results import Store, entries, finish
from .rivals import ARCHITECTURES

_PROTOCOLS = {"reduced": REDUCED, "full": FULL}


@click.command("study", context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--data", required=True, type=FOLDER, help="Folder of pictures to train on, as `bonedge train` reads.")
@click.option("--test", required=True, type=FOLDER, help="Folder of pictures to test on, of other seeds.")
@click.option("--segmenter", required=True, type=PLACE, help="Trained U-Net: a segmenter.keras.")
@click.option("--output", "folder", required=True, type=FOLDER, help="Study folder; an interrupted study goes on.")
@click.option("--protocol", "name", type=click.Choice(list(_PROTOCOLS)), default="reduced", help="How much of it.")
@click.option("--side", type=click.IntRange(64, 1024), help="Pixels of what networks see.  [default: the protocol's]")
@click.option("--epochs", type=click.IntRange(1), help="Of training.  [default: the protocol's]")
@click.option("--pictures", type=click.IntRange(16), help="To train on, at most.  [default: the protocol's]")
@click.option(
    "--seed", "seeds", type=click.IntRange(0), multiple=True, help="Repeat with each.  [default: the protocol's]"
)
@click.option(
    "--network", "networks", type=click.Choice(list(ARCHITECTURES)), multiple=True, help="Only these.  [default: all]"
)
@click.option("--bfloat16", is_flag=True, help="Convolve in it: quicker with AMX or AVX-512 BF16. TensorFlow only.")
@click.option("--imagenet", type=FOLDER, help="Folder of keras.applications' ImageNet weights, if you have them.")
def command(
    data: Path,
    test: Path,
    segmenter: Path,
    folder: Path,
    name: str,
    side: int | None,
    epochs: int | None,
    pictures: int | None,
    seeds: tuple[int, ...],
    networks: tuple[str, ...],
    bfloat16: bool,
    imagenet: Path | None,
) -> None:
    """Compare EfficientNetB0 with ResNet-50, VGG16, a 10-layer CNN and classical systems.

    Each network sees the whole picture, what the U-Net found, or what is truly there; begins from scratch or from
    another task; with and without augmentation. Writes study.html, study.csv, study.md and study.json.

    The same command in a second terminal takes half of the work: each leaves to the other what that has begun.
    """
    from .arms import Networks
    from .classical.systems import SYSTEMS
    from .classical_arms import classical_costs, classical_tasks
    from .document import document
    from .outlines import outlines
    from .report import write_study

    check_pages_can_be_made()
    sets = _disjoint(open_samples(data), open_samples(test, Part.TEST))
    _check_there(segmenter)
    load_keras()
    if bfloat16:
        convolve_in_bfloat16()
    given: dict[str, Any] = {
        "side": side,
        "epochs": epochs,
        "training_pictures": pictures,
        "seeds": seeds,
        "architectures": networks,
        "bfloat16": bfloat16,
    }
    protocol = replace(_PROTOCOLS[name], **{key: value for key, value in given.items() if value})
    unet = load_for(segmenter, PREPROCESSING.segmenter_side_px)
    store = Store(folder)
    training, held_back = (
        _examples(one, folder / part, store, segmenter, unet, bfloat16) for part, one in sets.items()
    )
    _unseen(segmenter, held_back.cache)
    if not sets["test"].phantom_seeds:
        check_sets_apart((sets["training"].samples, training.cache), (sets["test"].samples, held_back.cache))
    trained = Networks(
        protocol, training, held_back, PREPROCESSING, folder, _identity(segmenter, *sets.values()), imagenet
    )
    told = _say_what_begins((len(trained.arms()) + len(SYSTEMS)) * len(protocol.seeds))
    processes = len(os.sched_getaffinity(0))
    tasks = [
        *trained.tasks(told),
        *classical_tasks(protocol, training, trained.chosen, held_back, trained.data, told, processes),
    ]
    results = finish(tasks, store)
    # At the end, when no other process of the study trains.
    with store.claim("costs", wait=True):
        costs = trained.costs() | classical_costs(held_back)
    truths = held_back.truths(held_back.limbs)
    write_study(
        folder,
        document(
            entries(results),
            truths,
            costs,
            outlines(held_back),
            protocol=protocol,
            training=f"{sets['training'].description} Regions by the U-Net of SHA-256 {_digest(segmenter)[:16]}.",
            test=sets["test"].description,
            test_pictures={label.value: int((truths == number).sum()) for number, label in enumerate(CLASSES)},
            command=typed(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=describe_machine().named,
        ),
    )
    say(f"The study is in {folder / 'study.html'}; the same as a table: study.csv, study.md, study.json.")


def _disjoint(training: SampleSet, test: SampleSet) -> dict[str, SampleSet]:
    same = set(training.phantom_seeds) & set(test.phantom_seeds)
    if same:
        raise InvalidConfiguration(
            f"--test holds phantoms of seed {min(same)}, and so does --data; make others with another --seed"
        )
    return {"training": training, "test": test}


def _check_there(segmenter: Path) -> None:
    if not segmenter.is_file():
        raise InvalidConfiguration(
            f"--segmenter {segmenter}: there is no such file; `bonedge train segmenter` makes one"
        )


def _examples(data: SampleSet, folder: Path, store: Store, segmenter: Path, unet: Any, bfloat16: bool) -> Examples:
    with store.claim(folder.name, wait=True):
        with progress_bar("preparing pictures") as advance:
            cache = open_cache(data, folder, PREPROCESSING, advance)
        with progress_bar("segmenting pictures") as advance:
            found = open_regions(
                folder, segmenter, unet.predict_on_batch, cache, PREPROCESSING, advance, bfloat16=bfloat16
            )
    regions = tuple(sorted({sample.region for sample in data.samples}))
    return Examples(cache, found, np.array([regions.index(s.region) for s in data.samples], np.int64), regions)


def _unseen(segmenter: Path, cache: PictureCache) -> None:
    """The U-Net must not have been trained on the test pictures; what it was trained on stands beside it."""
    if trained_on(cache.fingerprints(), lineage_of_weights(segmenter).pictures):
        raise InvalidConfiguration(f"--segmenter {segmenter} was trained on pictures of --test; give others")


def _say_what_begins(of: int) -> Callable[[str], None]:
    numbers = count(1)
    return lambda title: say(f"study, {next(numbers)} of at most {of}: {title}")


def _identity(segmenter: Path, *sets: SampleSet) -> str:
    parts = [one.fingerprint for one in sets] + [_digest(segmenter)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _digest(segmenter: Path) -> str:
    return hashlib.sha256(segmenter.read_bytes()).hexdigest()
