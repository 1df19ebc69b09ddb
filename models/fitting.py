"""The training loop: epochs that can be repeated exactly, a checkpoint after each, and the size of the picture growing.

`keras.Model.fit` runs the steps; this module decides what is in an epoch and what is kept of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from .batches import Batches, for_keras
from .checkpoint import Checkpoint, History, capture, restart, restore
from .kernels import on_quick_kernels
from .progress import Advance, progress_bar, say, write_log

Loss = Callable[[Any, Any], Any]
"""(targets, what the network said) -> a number."""


@dataclass(frozen=True)
class Schedule:
    """How long, how large and how fast."""

    sides: tuple[int, ...]
    """Side of the square input, pixels, for each epoch."""
    learning_rate: float
    """Highest, after the warm-up; from there it falls to 0 along a cosine."""
    weight_decay: float = 1e-4
    """Of convolution and dense kernels only (AdamW: Loshchilov and Hutter, 2019)."""
    warmup_epochs: float = 0.5


@dataclass(frozen=True)
class Task:
    """One network to train."""

    name: str
    """Its files in the run folder begin with this."""
    build: Callable[[int], Any]
    """A trainable model whose outputs the loss is computed on, for a side. The same weights for every side."""
    loss: dict[str, Loss]
    """By output; the sum counts."""
    batches: Callable[[int, int], Batches]
    """Of an epoch (from 0) at a side."""
    validate: Callable[[Any, int], dict[str, float]]
    """Figures of a model at a side, for the log."""
    schedule: Schedule
    seed: int
    data: str
    """Identifies the data: a checkpoint of other data is refused."""
    options: dict[str, Any] = field(default_factory=dict)
    """Whatever else must be the same when training is taken up again."""
    compiled: dict[Any, Any] | None = None
    """Shared by tasks of the same layers and losses: what one compiled is kept here for the others. TensorFlow takes
    half a minute to trace a training step of EfficientNetB0, which is long where training is short."""

    @property
    def plan(self) -> str:
        """Names everything that decides the outcome."""
        return f"{self.name}, seed {self.seed}, data {self.data[:12]}, {self.schedule}, {self.options}"


def fit(task: Task, run: Path, *, resume: bool, stop_after: int | None = None) -> Any:
    """Train, or go on training, and return the model at its last size, uncompiled.

    Args:
        task: what.
        run: folder of the checkpoint, log and curves.
        resume: go on from the checkpoint in `run` when there is one.
        stop_after: leave after so many epochs in all, as an interruption would.

    Raises:
        InvalidConfiguration: the checkpoint belongs to another plan.
    """
    import keras

    file = run / f"{task.name}.checkpoint.npz"
    checkpoint = Checkpoint.load(file, task.plan) if resume and file.is_file() else None
    history: History = list(checkpoint.history) if checkpoint else []
    if history:
        say(f"{task.name}: going on after epoch {len(history)} of {len(task.schedule.sides)}")
    keras.utils.set_random_seed(task.seed)
    sides = task.schedule.sides
    model, built = None, 0
    for epoch in range(len(history), len(sides) if stop_after is None else stop_after):
        batches = task.batches(epoch, sides[epoch])
        if model is None or built != sides[epoch]:
            model, built = _ready(task, sides[epoch], len(batches)), sides[epoch]
            if checkpoint is not None:
                restore(model, checkpoint)
        dataset = for_keras(batches)
        begun = monotonic()
        loss = _one_epoch(model, dataset, epoch, task)
        seconds = monotonic() - begun
        pace: dict[str, float] = {
            "seconds": round(seconds, 1),
            "pictures_per_second": round(len(batches) * batches.size / seconds, 1),
            "workers_busy": round(dataset.busy(seconds), 2),
        }
        figures = {"loss": loss} | task.validate(model, built) | pace
        history.append({"epoch": epoch + 1, "side": built} | figures)
        checkpoint = capture(model, history)
        checkpoint.save(file, task.plan)
        write_log(history, run, task.name)
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        say(f"{task.name} {epoch + 1}/{len(sides)} at {built}: {text}")
    assert checkpoint is not None
    # On Keras's own layers: what is saved must load where there are no others.
    plain = task.build(sides[-1])
    restore(plain, checkpoint, optimizer=False)
    return plain


def _ready(task: Task, side: int, steps: int) -> Any:
    """A compiled model before its first step."""
    if task.compiled is None:
        return _compiled(task, side, steps)
    key = (side, steps, task.schedule)
    if key in task.compiled:
        restart(task.compiled[key], task.build(side))
    else:
        task.compiled[key] = _compiled(task, side, steps)
    return task.compiled[key]


def _compiled(task: Task, side: int, steps: int) -> Any:
    import keras

    schedule = task.schedule
    warmup = max(1, round(schedule.warmup_epochs * steps))
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=schedule.learning_rate / 100,
        decay_steps=max(1, len(schedule.sides) * steps - warmup),
        alpha=0.002,
        warmup_target=schedule.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=schedule.weight_decay, clipnorm=5.0)
    model = on_quick_kernels(task.build(side))
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model.compile(optimizer=optimizer, loss=task.loss, jit_compile=False)
    return model


def _one_epoch(model: Any, dataset: Any, epoch: int, task: Task) -> float:
    """Run the steps; returns the mean loss."""
    _seed_layers(model, task.seed, epoch)
    # `epochs` counts from the start, so that a resumed run shows the same numbers.
    with progress_bar(f"{task.name} {epoch + 1}/{len(task.schedule.sides)}") as advance:
        record = model.fit(
            dataset,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=[_steps(advance, len(dataset))],
        )
    loss = float(record.history["loss"][-1])
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{task.name}: the loss is not a number after epoch {epoch + 1}; lower --learning-rate"
        )
    return loss


def _seed_layers(model: Any, seed: int, epoch: int) -> None:
    """Dropout draws the same numbers in a resumed epoch as in one that was not interrupted."""
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign([(seed * 1000 + epoch) % 2**31, number])


def _steps(advance: Advance, steps: int) -> Any:
    import keras

    class _Steps(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            advance(batch + 1, steps)

    return _Steps()
