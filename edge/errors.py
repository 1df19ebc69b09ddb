"""Everything bonedge raises on purpose.

Each message says what happened, to which input (a short hash or the path as the caller wrote it, never a
patient's name) and what to do next. The command line turns an exception into one line and an exit code.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every bonedge command."""

    FINE = 0
    USAGE = 2
    """The command line or the configuration is wrong."""
    UNREADABLE = 3
    """At least one input could not be read; the others were still processed."""
    BUNDLE_REFUSED = 4
    """The model bundle is incomplete, altered, or not loadable here."""
    GATE_FAILED = 5
    """A converted model lost too much and was not written."""


class BonedgeError(Exception):
    """Base of all errors that bonedge raises on purpose."""

    exit_code = ExitCode.USAGE


class UnreadableImage(BonedgeError):
    """The bytes could not be decoded into pixels."""

    exit_code = ExitCode.UNREADABLE


class NotARadiograph(UnreadableImage):
    """A well-formed file that is something else: CT, MR, US, SR, PDF, colour or multi-frame."""


class DecodingKilled(UnreadableImage):
    """Decoding ended the expendable process, or had to be ended at its limit of time: perhaps not the file's fault."""


class BundleRefused(BonedgeError):
    """The bundle's files, digests, schema or models are not what the manifest promises."""

    exit_code = ExitCode.BUNDLE_REFUSED


class EngineUnavailable(BundleRefused):
    """No inference engine on this machine can load the bundle (or not the one that was asked for)."""


class GateFailed(BonedgeError):
    """A converted model lost more than the gates allow."""

    exit_code = ExitCode.GATE_FAILED


class InvalidConfiguration(BonedgeError):
    """An option, a configuration value or a data folder is not usable."""


class OutputUnavailable(InvalidConfiguration):
    """Results cannot be written: the disk is full or fails, or the folder is gone. It may come back by itself."""


class LedgerUnavailable(BonedgeError):
    """The daemon's record cannot be read or written: the disk is full or fails. It may come back by itself."""
