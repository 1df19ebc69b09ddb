"""The `bonedge` command: names its subcommands without importing them, and turns errors into one line each."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from .errors import BonedgeError

_COMMANDS = {
    "benchmark": ("bonedge.edge.benchmark:command", "Measure how long a verdict takes on this machine."),
    "bundle": ("bonedge.edge.bundle_command:command", "Show, verify and sign a model bundle; make signing keys."),
    "card": ("bonedge.models.card:command", "Write a bundle's model card from its evaluation."),
    "convert": ("bonedge.convert.command:command", "Make an int8 bundle from a trained pair of models."),
    "evaluate": ("bonedge.models.evaluate:command", "Measure a bundle on pictures with known truth."),
    "ledger": ("bonedge.edge.ledger_command:command", "Look into the daemon's ledger; have files examined again."),
    "phantom": (
        "bonedge.calibration.phantom.command:command",
        "Simulate radiographs of bones with and without tumours.",
    ),
    "predict": ("bonedge.edge.predict:command", "Give a verdict on radiographs, with an overlay and a mask."),
    "study": ("bonedge.models.study.command:command", "Compare networks and classical systems under one protocol."),
    "train": ("bonedge.models.train:command", "Train the segmenter or the classifier."),
    "watch": ("bonedge.edge.watch:command", "Examine what lands in a folder, as a service that loses nothing."),
}
_EXTRAS = {
    "convert": frozenset({"keras", "matplotlib", "nncf", "scipy", "sklearn", "tensorflow"}),
    "data": frozenset({"imagehash", "openpyxl", "pycocotools"}),
    "study": frozenset({"deap", "pywt", "skimage"}),
}
"""What has to be installed for the commands that a workstation does not need, by the name of the package's extra."""
_DEFECT = 70
"""EX_SOFTWARE of sysexits.h: an error that bonedge did not foresee."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


class _Lazy(click.Group):
    """Imports a subcommand's module when it is run or asked for help, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, sorted."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command behind `cmd_name`; None when there is no such name."""
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `bonedge --help`, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bonedge", message="%(prog)s %(version)s")
def cli() -> None:
    """Segment and classify bone radiographs, offline. Research use only, not a medical device.

    Exit codes: 0 fine, 2 wrong usage or configuration, 3 some input unreadable, 4 bundle refused, 5 gate failed.
    """


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        code = cli.main(prog_name="bonedge", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = _fail("Interrupted; what was finished is kept.", _INTERRUPTED)
    except BonedgeError as error:
        code = _fail(str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - the boundary: a user gets one line, whatever happened
        code = _unforeseen(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unforeseen(error: Exception) -> int:
    if os.environ.get("BONEDGE_DEBUG"):
        raise error
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        for extra, needed in _EXTRAS.items():
            if package in needed:
                # The study needs all that conversion does, and more.
                wanted = "study" if extra == "convert" and "study" in sys.argv[1:2] else extra
                return _fail(f'This command needs {error.name}: pip install "bonedge[{wanted}]"', 2)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = click.format_filename(error.filename) if error.filename else "standard output or a file"
        return _fail(f"{where}: cannot be written ({error.strerror}); free space", 2)
    text = " ".join(str(error).split())
    return _fail(
        f"{type(error).__name__}: {text}. This is a defect; run again with BONEDGE_DEBUG=1 to see where.", _DEFECT
    )


def _fail(message: str, code: int) -> int:
    click.echo(f"bonedge: {message}", err=True)
    return code
