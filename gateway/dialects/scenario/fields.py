"""The Scenario dialect's errors about fields: they begin with the field's name in quotes.

Source: the vendor's reference and its SDKs.
"""

from gateway.dialects.common.reader import Phrases
from gateway.generation.checks import shown
from mesh.errors import InvalidInput


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error for an invalid value: what `name` must be, and what was sent."""
    return InvalidInput(f'"{name}" must be {expected}, not {shown(value)}', field=name)


def missing(name: str) -> InvalidInput:
    """The error for missing required text."""
    return InvalidInput(f'"{name}" must be a string', field=name)


def empty(name: str) -> InvalidInput:
    """The error for empty required text."""
    return InvalidInput(f'"{name}" is not allowed to be empty', field=name)


PHRASES = Phrases(wrong=wrong, missing=missing, empty=empty)
