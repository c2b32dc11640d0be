"""Checks of single fields. An error names the field, what it must be and what was sent."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from families.limits import PROMPT_CHARACTERS, Range
from gateway.generation import numbers
from mesh.errors import InvalidInput


@dataclass(frozen=True)
class Check:
    """The check of a field's value.

    Attributes:
        take: called with the field's name and value; returns the value in its own type (20 for 20.0), and raises
            InvalidInput if it is invalid.
        limits: the same limits as JSON Schema keywords, without the type.
    """

    take: Callable[[str, object], Any]
    limits: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, name: str, value: object) -> Any:
        """The value in its own type. Raises InvalidInput, naming the field, what it must be and what was sent."""
        return self.take(name, value)


FINITE = Range(-sys.float_info.max, sys.float_info.max)
MOST_PARAMETERS = 16
_LABEL_CHARACTERS = 128
_MOST_SHOWN = 80

# Names of models, schedulers and kinds become parts of registry names and file names: no separators.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def shown(value: object) -> str:
    """`value` as errors quote it: at most 80 characters; the length of a list, an object or a file, not its content."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object of {len(value)} fields"
    if isinstance(value, bytes):
        return f"a file of {len(value)} bytes"
    sent = repr(value)
    if len(sent) <= _MOST_SHOWN:
        return sent
    return f"{sent[: _MOST_SHOWN - 3]}... ({len(value)} characters)" if isinstance(value, str) else sent[:_MOST_SHOWN]


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error for an invalid value: what `name` must be, and what was sent, as `shown`."""
    return InvalidInput(f"{name} must be {expected}, not {shown(value)}", field=name)


def _text(name: str, value: object) -> object:
    if not isinstance(value, str):
        raise wrong(name, "text", value)
    if len(value) > PROMPT_CHARACTERS:
        raise InvalidInput(f"{name} has {len(value)} characters; at most {PROMPT_CHARACTERS} are allowed", field=name)
    return value


text = Check(_text, {"maxLength": PROMPT_CHARACTERS})
"""Text of at most PROMPT_CHARACTERS characters."""


def words(limit: int) -> Check:
    """Text of 1 to `limit` characters."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or not value:
            raise wrong(name, "text", value)
        if len(value) > limit:
            raise InvalidInput(f"{name} has {len(value)} characters; at most {limit} are allowed", field=name)
        return value

    return Check(check, {"minLength": 1, "maxLength": limit})


def _identifier(name: str, value: object) -> object:
    if not isinstance(value, str) or not _NAME.fullmatch(value) or ".." in value:
        raise wrong(name, "a name of letters, digits, '.', '_' and '-', at most 128 characters", value)
    return value


identifier = Check(_identifier)
"""The name of a model, scheduler, kind or parameter."""


def _label(name: str, value: object) -> object:
    if not isinstance(value, str) or not 0 < len(value) <= _LABEL_CHARACTERS or not value.isprintable():
        raise wrong(name, f"a name of 1 to {_LABEL_CHARACTERS} printable characters", value)
    return value


label = Check(_label)
"""A name that is only compared with known ones: a style, a solver variant."""


def _flag(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise wrong(name, "true or false", value)
    return value


flag = Check(_flag)
"""True or false; 0 and 1 are not accepted."""


def whole(limits: Range) -> Check:
    """Whole numbers within `limits`; 20.0 is taken for 20."""

    def check(name: str, value: object) -> int:
        number = numbers.whole(value)
        if number is None or not limits.holds(number):
            raise wrong(name, f"a whole number from {limits}", value)
        return number

    return Check(check, _bounds(limits))


def number(limits: Range) -> Check:
    """Finite numbers within `limits`."""
    words = "a number" if limits is FINITE else f"a number from {limits}"

    def check(name: str, value: object) -> object:
        if not isinstance(value, int | float) or isinstance(value, bool) or not limits.holds(value):
            raise wrong(name, words, value)
        return value

    return Check(check, {} if limits is FINITE else _bounds(limits))


def _bounds(limits: Range) -> dict[str, Any]:
    multiple = {"multipleOf": limits.multiple} if limits.multiple > 1 else {}
    return {"minimum": limits.minimum, "maximum": limits.maximum, **multiple}


def _parameters(name: str, value: object) -> object:
    if not isinstance(value, dict) or len(value) > MOST_PARAMETERS:
        raise wrong(name, f"an object of at most {MOST_PARAMETERS} numbers by name", value)
    check = number(FINITE)
    for parameter, setting in value.items():
        identifier(name, parameter)
        check(f"{name}.{parameter}", setting)
    return value


parameters = Check(_parameters)
"""Numbers by name: the parameters of an extractor."""


def one_of(known: Sequence[str]) -> Check:
    """One of the strings `known`."""

    def check(name: str, value: object) -> object:
        if not isinstance(value, str) or value not in known:
            raise wrong(name, f"one of {', '.join(known)}", value)
        return value

    return Check(check, {"enum": list(known)})


def optional(check: Check) -> Check:
    """None, or what `check` accepts."""

    def checked(name: str, value: object) -> Any:
        return None if value is None else check(name, value)

    return Check(checked, check.limits)
