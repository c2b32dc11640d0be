"""How the Scenario dialect words its errors about fields: they begin with the field's name in quotes.

Source: the vendor's reference and its SDKs.
"""

from gateway.dialects.common.reader import Phrases
from mesh.errors import InvalidInput

_LONGEST_SHOWN = 80


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error that says what `name` must be and what was sent."""
    sent = repr(value)
    shown = sent if len(sent) <= _LONGEST_SHOWN else sent[: _LONGEST_SHOWN - 3] + "..."
    return InvalidInput(f'"{name}" must be {expected}, not {shown}', field=name)


def missing(name: str) -> InvalidInput:
    """The error for text that must be there and was not sent."""
    return InvalidInput(f'"{name}" must be a string', field=name)


def empty(name: str) -> InvalidInput:
    """The error for text that must be there and says nothing."""
    return InvalidInput(f'"{name}" is not allowed to be empty', field=name)


PHRASES = Phrases(wrong=wrong, missing=missing, empty=empty)
