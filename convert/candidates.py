"""int8 candidates, and the one place where they are judged.

A candidate's name is `<engine>-int8[-<how ranges were found>]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bonedge.edge.manifest import EngineName, Networks

from .agreement import Agreement


@dataclass(frozen=True)
class Candidate:
    """Both networks for one engine, ready to go into a bundle."""

    name: str
    networks: Networks
    contents: Mapping[str, bytes]
    """The files that `networks` names."""

    @property
    def engine(self) -> EngineName:
        return self.networks.engine


@dataclass(frozen=True)
class Judged:
    """A candidate and what it changed."""

    candidate: Candidate
    agreement: Agreement


def choose(judged: Sequence[Judged]) -> Judged:
    """The candidate that a bundle gets for one engine.

    Most verdicts kept, then the best outlines, then the closest probabilities: all candidates run at the same speed,
    so the most faithful one wins. Accuracy gates belong here: this is the only decision that the conversion takes.

    Args:
        judged: candidates for one engine, at least one, measured on the same held-out pictures.
    """
    return max(
        judged,
        key=lambda one: (
            one.agreement.verdicts,
            one.agreement.dice_median,
            -one.agreement.mean_probability_difference,
        ),
    )
