"""Types of options that every command shares, and what is asked of a folder before the work begins."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from .errors import InvalidConfiguration


class _Place(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # Path("") is the current folder, which nobody means whose shell variable was empty.
        if value == "":
            self.fail("it is empty; leave the option out, or name a place", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A range of numbers, among which NaN is not: it is neither below nor above a limit, so click lets it through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that can be worked with", param, ctx)
        return number


def make_writable(folder: Path, remedy: str) -> None:
    """Make `folder`, before the minutes or hours that lie between the start and what is written there.

    Raises:
        InvalidConfiguration: it cannot be made, or nothing can be written there; ends with `remedy`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidConfiguration(f"{folder}: cannot be made ({error.strerror}); {remedy}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidConfiguration(f"{folder}: nothing can be written there; {remedy}")


PLACE = _Place(path_type=Path)
"""A file, or a folder, as a Path."""
FOLDER = _Place(path_type=Path, file_okay=False)
"""A folder, which need not be there yet."""
