"""What can go wrong in an export, each with the exit status of `python -m export`."""

from __future__ import annotations


class ExportError(Exception):
    """Base class; the message says what to change, and is all that the caller needs to see."""

    exit_code = 1


class SourceRefused(ExportError):
    """The source is not a model this exporter takes: wrong family, pickle weights, unknown classes, missing parts."""

    exit_code = 3


class HubUnreachable(ExportError):
    """The source is a hub id and the hub could not be asked."""

    exit_code = 4


class Mismatch(ExportError):
    """A graph or the tokenizer does not compute what torch or transformers computes; nothing was written."""

    exit_code = 5


class StaleConfigs(ExportError):
    """`--check` found configurations that differ from what would be written."""

    exit_code = 6


class Misfit(ExportError):
    """A ControlNet belongs to another family of models than the one that it is to steer."""

    exit_code = 8


class Busy(ExportError):
    """Another export of the same model is running."""

    exit_code = 7
