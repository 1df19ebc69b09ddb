"""What options of the command line name on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class _Place(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # Path("") is the current folder, which nobody means whose shell variable was empty.
        if value == "":
            self.fail("it is empty; leave the option out, or name a place", param, ctx)
        return super().convert(value, param, ctx)


PLACE = _Place(path_type=Path)
"""A file, or a folder, as a Path."""
FOLDER = _Place(path_type=Path, file_okay=False)
"""A folder, which need not be there yet."""
