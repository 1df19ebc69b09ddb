"""What is tried: one network, for one engine, made by one recipe.

A candidate's name is `<network>.<engine>.<recipe>`; a recipe is `<precision>[-<change>...]`:

    int8            the library's own post-training quantization, extremes of the calibration set as ranges
    int8-mse        activation ranges with the least squared rounding error
    int8-quantile   activation ranges without the outermost values
    int8-equal...   after cross-layer equalization (bonedge.convert.equalize)
    int8-tuned...   after quantization-aware fine-tuning (bonedge.convert.tuning)
    mixed-ends-N    int8 but for the first N layers and the last one, which stay in float with whatever lies between
    mixed-tuned-... the same after quantization-aware fine-tuning
    mixed-N         int8 but for the N most sensitive layers, which stay in float
    fp16            weights of 16 bits, computed in fp32
    fp32            as trained
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from bonedge.edge.engines import networks, openvino, tflite
from bonedge.edge.manifest import EngineName, Precision

NetworkName = Literal["segmenter", "classifier"]
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)
_LOADED = 12
"""Candidates that stay loaded, for each is timed, compared and judged in turn: about as many as race each other."""
SUFFIXES: Mapping[EngineName, tuple[str, ...]] = {"tflite": (".tflite",), "openvino": (".xml", ".bin")}


@dataclass(frozen=True)
class Candidate:
    """One network, ready to go into a bundle."""

    network: NetworkName
    engine: EngineName
    recipe: str
    files: tuple[bytes, ...]
    """In the order of `SUFFIXES`."""

    @property
    def name(self) -> str:
        return f"{self.network}.{self.engine}.{self.recipe}"

    @property
    def precision(self) -> Precision:
        """The recipe's first word."""
        word = self.recipe.partition("-")[0]
        return next(precision for precision in get_args(Precision) if precision == word)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(map(len, self.files))

    def load(self, threads: int) -> networks.LoadedNetwork:
        """In its runtime, on the CPU; the same one again if it was loaded a short while ago.

        Raises:
            BundleRefused: the runtime cannot read or run it.
        """
        return _loaded(self, threads)


@lru_cache(_LOADED)
def _loaded(candidate: Candidate, threads: int) -> networks.LoadedNetwork:
    if candidate.engine == "tflite":
        return tflite.load(f"{candidate.network}.tflite", candidate.files[0], threads)
    return openvino.load(f"{candidate.network}.xml", candidate.files[0], candidate.files[1], "CPU", threads)
