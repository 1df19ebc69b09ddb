"""`bonedge train average`: several trainings of one beginning as one network (Wortsman et al., Model soups, ICML 2022).

Networks that were trained on from the same weights lie in one basin of the loss, and the mean of their weights lies
nearer to its bottom than any of them. It costs nothing at run time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bonedge.edge.errors import InvalidConfiguration
from bonedge.edge.options import FOLDER

from .lineage import read_lineage, together
from .networks import load_keras, load_network, made_by, save_network


@click.command()
@click.option(
    "--run",
    "runs",
    required=True,
    multiple=True,
    type=FOLDER,
    help="Run folder with a trained pair; at least two, all trained on from one.",
)
@click.option("--output", required=True, type=FOLDER, help="Run folder of the mean; `operation` comes next.")
def average(runs: tuple[Path, ...], output: Path) -> None:
    """Average trained pairs weight by weight; writes OUTPUT/segmenter.keras and classifier.keras."""
    if len({run.resolve() for run in runs}) < 2:
        raise InvalidConfiguration("--run: a mean takes at least two different run folders")
    load_keras()
    output.mkdir(parents=True, exist_ok=True)
    for name in ("segmenter", "classifier"):
        mean = averaged([load_network(run, name) for run in runs])
        together(read_lineage(run, name) for run in runs).save(output, name)
        save_network(mean, output, name, before=[made_by(run, name) for run in runs])


def averaged(networks: list[Any]) -> Any:
    """The first `keras.Model`, with the mean of all weights; statistics of batch normalisation are averaged, too.

    Raises:
        InvalidConfiguration: they are not of one architecture.
    """
    weights = [network.get_weights() for network in networks]
    shapes = [[one.shape for one in each] for each in weights]
    if any(other != shapes[0] for other in shapes):
        raise InvalidConfiguration(
            "--run: these networks have different layers, and no mean; average those of one kind"
        )
    networks[0].set_weights([sum(parts) / len(parts) for parts in zip(*weights, strict=True)])
    return networks[0]
