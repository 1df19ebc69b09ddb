"""`bonedge train`: from a folder of labelled pictures to a trained pair, in three commands.

bonedge train segmenter  --data DATA --output RUN --seed 1
bonedge train classifier --data DATA --output RUN --seed 1
bonedge train operation  --data DATA --run RUN

`bonedge train average` makes one pair of several that were trained on from one.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.files import write_whole
from bonedge.edge.manifest import Preprocessing, Training
from bonedge.edge.options import FOLDER, PLACE, Number

from .augmentation import GENTLE_CROP, WHOLE_PICTURE, Augmentation
from .averaging import average
from .batches import ClassifierBatches, SegmenterBatches, lesion_kinds
from .cache import OUT_OF_SCOPE, PictureCache, open_cache
from .classifier import EVIDENCE, build_classifier, with_evidence
from .datasets import REAL, TRAINING_PICTURES, SampleSet, all_held_out, join, listed, shortened, training_pictures
from .duplicates import check_apart, check_test_apart
from .fit_operation import fit_operation
from .fitting import Loss, Schedule, Task, fit
from .kernels import convolve_in_bfloat16
from .layouts import open_samples
from .lineage import lineage_of_weights, read_lineage, together
from .losses import classification_loss, evidence_loss, family_loss, segmentation_loss
from .networks import PREPROCESSING, joined, load_keras, load_network, made_by, save_network, typed
from .progress import progress_bar, say
from .regions import Regions, open_regions
from .segmenter import CHANNELS, FAMILY, build_segmenter, trainable_view
from .watching import classifier_figures, segmenter_figures

_RANGE_PENALTY = 1e-5
_GENTLE = 0.25
"""How much is left of the augmentation in the last epochs of those who ask for it.

A pair that had seen nothing but pictures much changed did no better on what it was trained on than on what it was not
(area under the curve 0.950 and 0.954). Five gentle epochs of its segmenter took that of its suspicion from 0.966 to
0.974, and from 0.949 to 0.958 on phantoms of another seed; five ordinary ones left both (He et al., Data Augmentation
Revisited, 2019).
"""
_CACHE = "cache"
"""Of prepared pictures, in the run folder."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def command() -> None:
    """Train a pair of models: segmenter, then classifier, then operation."""


command.add_command(average)


def _shared(function: Callable[..., None]) -> Callable[..., None]:
    """The options that both networks have."""
    options = (
        click.option(
            "--data",
            required=True,
            multiple=True,
            type=FOLDER,
            help="Folder of phantoms, BTXRD, COCO, plain images and masks, or DICOM with SEG; may be repeated.",
        ),
        click.option("--output", "run", required=True, type=FOLDER, help="Run folder, the same for all commands."),
        click.option("--seed", type=click.IntRange(min=0), default=1, help="Of weights, order and augmentation."),
        click.option(
            "--gentle",
            type=click.IntRange(min=0),
            default=0,
            help="So many of the last epochs show pictures changed a quarter as much, more like those to come.",
        ),
        click.option("--weights", type=PLACE, help="Begin from the weights in this file instead of random ones."),
        click.option("--batch", type=click.IntRange(min=1), default=16, help="Pictures per step."),
        click.option(
            "--stop-after", type=click.IntRange(min=1), help="Leave after so many epochs; go on another time."
        ),
        click.option("--resume/--restart", default=True, help="Go on from the run folder's checkpoint, if any."),
    )
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), function)


class _Stage(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.3 on
    """SIDE:EPOCHS, such as 128:10."""

    name = "side:epochs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            side, epochs = (int(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not SIDE:EPOCHS, such as 128:10", param, ctx)
        if not (64 <= side <= 1024 and epochs >= 1):
            self.fail(f"{value!r}: the side must be 64 to 1024 and there must be an epoch", param, ctx)
        return side, epochs


@command.command()
@_shared
@click.option(
    "--stage",
    "stages",
    type=_Stage(),
    multiple=True,
    default=("128:16", "192:10", "320:5", "448:4"),
    help="Pixels and epochs; the last stage must have the size that is used at run time.",
)
@click.option("--learning-rate", type=Number(min=0, min_open=True), default=2e-3)
@click.option(
    "--alarm",
    type=Number(min=0),
    default=0.5,
    help="Weight of the question whether there is a lesion at all; more means fewer false ones.",
)
@click.option(
    "--bfloat16/--float32",
    default=False,
    help="Convolve in bfloat16, which is quicker on processors with AMX or AVX-512 BF16.",
)
def segmenter(
    data: tuple[Path, ...],
    run: Path,
    seed: int,
    batch: int,
    stop_after: int | None,
    resume: bool,
    gentle: int,
    weights: Path | None,
    stages: tuple[tuple[int, int], ...],
    learning_rate: float,
    alarm: float,
    bfloat16: bool,
) -> None:
    """Train the U-Net; writes RUN/segmenter.keras, its log and its curves."""
    load_keras()
    if bfloat16:
        convolve_in_bfloat16()
    p = PREPROCESSING
    sides = _sides(stages, p.segmenter_side_px, 2 ** len(CHANNELS))
    build_segmenter(64, weights=weights)  # a wrong file should fail now, not after the pictures are prepared
    samples, cache = _open(data, run, p)
    training, validation = np.flatnonzero(~cache.validation), np.flatnonzero(cache.validation)
    task = Task(
        name="segmenter",
        build=lambda side: trainable_view(
            build_segmenter(side, weights=weights, range_penalty=_RANGE_PENALTY), len(cache.families)
        ),
        loss={"logits": functools.partial(segmentation_loss, alarm=alarm), **naming(cache)},
        batches=lambda epoch, side: SegmenterBatches(
            cache, training, p, side, seed, epoch, batch, _calmed(WHOLE_PICTURE, epoch >= len(sides) - gentle)
        ),
        validate=lambda model, side: segmenter_figures(model, cache, validation, p, side),
        schedule=Schedule(sides, learning_rate),
        seed=seed,
        data=samples.fingerprint,
        options={
            "batch": batch,
            "range_penalty": _RANGE_PENALTY,
            "weights": str(weights),
            "alarm": alarm,
            "bfloat16": bfloat16,
            "gentle": gentle,
        },
    )
    trained = fit(task, run, resume=resume, stop_after=_within(stop_after, len(sides)))
    if stop_after is None or stop_after >= len(sides):
        final = build_segmenter(p.segmenter_side_px)
        _copy_weights(trained, final, leave=(FAMILY,))
        lineage_of_weights(weights).learned_from(samples, cache).save(run, "segmenter")
        save_network(final, run, "segmenter")


@command.command()
@_shared
@click.option(
    "--stage",
    "stages",
    type=_Stage(),
    multiple=True,
    default=("96:12", "128:12", "192:4", "299:2"),
    help="Pixels and epochs; the last stage must have the size that is used at run time.",
)
@click.option("--learning-rate", type=Number(min=0, min_open=True), default=1e-3)
def classifier(
    data: tuple[Path, ...],
    run: Path,
    seed: int,
    batch: int,
    stop_after: int | None,
    resume: bool,
    gentle: int,
    stages: tuple[tuple[int, int], ...],
    learning_rate: float,
    weights: Path | None,
) -> None:
    """Train EfficientNetB0 on what the trained segmenter finds; writes RUN/classifier.keras."""
    load_keras()
    p = PREPROCESSING
    sides = _sides(stages, p.classifier_side_px, 1)
    build_classifier(64, weights=weights)  # as above
    samples, cache = _open(data, run, p)
    regions = _regions(run, cache, p)
    limb = cache.label != OUT_OF_SCOPE
    training, validation = np.flatnonzero(limb & ~cache.validation), np.flatnonzero(limb & cache.validation)
    task = Task(
        name="classifier",
        build=lambda side: with_evidence(
            build_classifier(side, weights=weights, range_penalty=_RANGE_PENALTY),
            len(lesion_kinds(cache)) + 1,
            len(cache.families),
        ),
        loss={"logits": classification_loss, **dict.fromkeys(EVIDENCE, evidence_loss), **naming(cache)},
        batches=lambda epoch, side: ClassifierBatches(
            cache,
            regions,
            training,
            p,
            side,
            seed,
            epoch,
            batch,
            augmentation=_calmed(GENTLE_CROP, epoch >= len(sides) - gentle),
        ),
        validate=lambda model, side: classifier_figures(model, cache, regions, validation, p, side),
        schedule=Schedule(sides, learning_rate),
        seed=seed,
        data=samples.fingerprint,
        options={"batch": batch, "range_penalty": _RANGE_PENALTY, "weights": str(weights), "gentle": gentle},
    )
    trained = fit(task, run, resume=resume, stop_after=_within(stop_after, len(sides)))
    if stop_after is None or stop_after >= len(sides):
        final = build_classifier(p.classifier_side_px)
        _copy_weights(trained, final, leave=(*EVIDENCE, FAMILY))
        lineage_of_weights(weights).learned_from(samples, cache).save(run, "classifier")
        save_network(final, run, "classifier")


@command.command()
@click.option(
    "--data", required=True, multiple=True, type=FOLDER, help="What the pair was trained on; may be repeated."
)
@click.option("--run", required=True, type=FOLDER, help="Run folder with the trained pair.")
@click.option(
    "--earlier-seed",
    "earlier_seeds",
    type=click.IntRange(min=0),
    multiple=True,
    help="Seed of phantoms that the weights it began from were trained on, if nothing says so; may be repeated.",
)
@click.option(
    "--held-out",
    "others",
    multiple=True,
    type=FOLDER,
    help="More data, of which nothing was trained on: the more there are, the closer the threshold; may be repeated.",
)
@click.option(
    "--turned",
    is_flag=True,
    help="The segmenter sees each picture twice, the second time turned by half: fewer errors, in another of its runs.",
)
def operation(
    data: tuple[Path, ...], run: Path, earlier_seeds: tuple[int, ...], others: tuple[Path, ...], turned: bool
) -> None:
    """Fit thresholds, temperature and abstention on the validation pictures; writes RUN/operation.json."""
    load_keras()
    p = PREPROCESSING.model_copy(update={"segmenter_turned": turned})
    pair = [load_network(run, name) for name in ("segmenter", "classifier")]
    samples, cache = _open(data, run, p, others, earlier_seeds)
    lineage = together(read_lineage(run, name) for name in ("segmenter", "classifier"))
    fingerprints = np.array(cache.fingerprints())
    lineage.check_unknown(fingerprints[cache.validation])
    pictures = shortened(fingerprints)
    commands = [made_by(run, name) for name in ("segmenter", "classifier")]
    earlier = tuple(sorted({*earlier_seeds, *lineage.phantom_seeds} - {*samples.phantom_seeds}))
    training = Training(
        data=samples.description + _beginning(len(lineage.pictures - pictures), earlier, lineage.real),
        phantom_seeds=(*samples.phantom_seeds, *earlier),
        command=joined([*commands, typed()]),
    )
    fitted = fit_operation(pair[0], pair[1], cache, p, training)
    fitted.save(run)
    write_whole(run / TRAINING_PICTURES, training_pictures(pictures | lineage.pictures))
    decision = fitted.decision.model_dump()
    fusion = {f"fusion, {name}": value for name, value in decision.pop("fusion").items()}
    for name, value in (decision | fusion).items():
        say(f"{name:26} {value:.4g}")
    for name, value in fitted.report.items():
        say(f"validation {name:24} {value:.3f}")


def _beginning(pictures: int, seeds: Sequence[int], real: bool) -> str:
    """What the weights know beside the data at hand, in sentences."""
    among = f", {REAL} among them," if real else ""
    return "".join(
        (
            f" Began from weights trained on simulated radiographs of seed {listed(seeds)}." if seeds else "",
            f" {pictures} more pictures{among} are known to have been trained or tuned on." if pictures else "",
        )
    )


def naming(cache: PictureCache) -> dict[str, Loss]:
    """The loss of the head that names the family, where families are known."""
    return {FAMILY: family_loss} if cache.families else {}


def _calmed(settings: Augmentation, gentle: bool) -> Augmentation:
    return settings.gentler(_GENTLE) if gentle else settings


def _copy_weights(trained: Any, final: Any, leave: Collection[str] = ()) -> None:
    """What was trained is another view of the network; layers of the same name hold the same weights."""
    for layer in trained.layers:
        if layer.get_weights() and layer.name not in leave:
            final.get_layer(layer.name).set_weights(layer.get_weights())


def _sides(stages: tuple[tuple[int, int], ...], last: int, multiple: int) -> tuple[int, ...]:
    """The side of every epoch's pictures. A wrong one should fail now, not after the pictures are prepared."""
    for side, _ in stages:
        if side % multiple:
            raise InvalidConfiguration(f"--stage: pixels must be a multiple of {multiple}, not {side}")
    if stages[-1][0] != last:
        raise InvalidConfiguration(f"--stage: the last one must have {last} pixels, not {stages[-1][0]}")
    return tuple(side for side, epochs in stages for _ in range(epochs))


def _open(
    data: tuple[Path, ...],
    run: Path,
    p: Preprocessing,
    others: tuple[Path, ...] = (),
    earlier_seeds: tuple[int, ...] = (),
) -> tuple[SampleSet, PictureCache]:
    """What is trained on, and `others`, which are held out as a whole and of none of the `earlier_seeds`."""
    twice = [folder for folder, count in Counter(one.resolve() for one in (*data, *others)).items() if count > 1]
    if twice:
        raise InvalidConfiguration(f"--data: {twice[0]} is given twice; its pictures would count double")
    learned = [open_samples(folder) for folder in data]
    unseen = [all_held_out(open_samples(folder)) for folder in others]
    sets = [*learned, *unseen]
    known = {*earlier_seeds, *(seed for one in learned for seed in one.phantom_seeds)}
    trained_on = [seed for one in unseen for seed in one.phantom_seeds if seed in known]
    if trained_on:
        raise InvalidConfiguration(f"--held-out: phantoms of seed {trained_on[0]} were trained on; give other ones")
    samples = join(sets)
    run.mkdir(parents=True, exist_ok=True)
    with progress_bar("preparing pictures") as advance:
        cache = open_cache(samples, run / _CACHE, p, advance)
    if not all(one.phantom_seeds for one in sets):
        check_apart(samples.samples, cache)
        check_test_apart(samples, cache, p)
    return samples, cache


def _regions(run: Path, cache: PictureCache, p: Preprocessing) -> Regions:
    segmenter_model = load_network(run, "segmenter")
    with progress_bar("segmenting pictures") as advance:
        return open_regions(run / _CACHE, run / "segmenter.keras", segmenter_model.predict_on_batch, cache, p, advance)


def _within(stop_after: int | None, epochs: int) -> int | None:
    return None if stop_after is None else min(stop_after, epochs)
