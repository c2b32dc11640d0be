"""The enterprise dialect's errors about fields."""

from gateway.dialects.common.reader import Phrases
from mesh.errors import InvalidInput


def missing(name: str) -> InvalidInput:
    """The error for a required field that is missing or empty."""
    return InvalidInput(f"The {_in_words(name)} field is required.", field=name)


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error for an invalid field."""
    return InvalidInput(f"The {_in_words(name)} must be {expected}.", field=name)


def _in_words(name: str) -> str:
    return name.replace("_", " ")


PHRASES = Phrases(wrong=wrong, missing=missing, empty=missing)
