"""The errors of an export, each with the exit status of `python -m export`."""

from __future__ import annotations


class ExportError(Exception):
    """Base class; the message says what to change and is all that the user sees."""

    exit_code = 1


class SourceRefused(ExportError):
    """The exporter does not support the source: wrong family, pickle weights, unknown classes, missing parts."""

    exit_code = 3


class HubUnreachable(ExportError):
    """The source is a hub id and the hub could not be reached."""

    exit_code = 4


class Mismatch(ExportError):
    """A graph or the tokenizer does not compute what torch or transformers computes; nothing was written."""

    exit_code = 5


class StaleConfigs(ExportError):
    """`--check-configs` found configurations that are out of date."""

    exit_code = 6


class Misfit(ExportError):
    """A ControlNet belongs to another family than the model to which it is added."""

    exit_code = 8


class Busy(ExportError):
    """Another export of the same model is running."""

    exit_code = 7
