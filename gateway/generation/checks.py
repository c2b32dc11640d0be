"""Checks of one field each. An error names the field, what it must be and what was sent."""

import re
import sys
from collections.abc import Callable, Container

from families.limits import PROMPT_CHARACTERS, Range
from mesh.errors import InvalidInput

Check = Callable[[str, object], None]
"""Takes a field's name and value.

Raises:
    InvalidInput: the value can't be taken.
"""

FINITE = Range(-sys.float_info.max, sys.float_info.max)
MOST_PARAMETERS = 16
_LABEL_CHARACTERS = 128

# Names of models, schedulers and kinds reach registries and file names further on; no separator may be in them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error that says what `name` must be and what was sent."""
    sent = repr(value)
    return InvalidInput(f"{name} must be {expected}, not {sent if len(sent) <= 80 else sent[:77] + '...'}", field=name)


def text(name: str, value: object) -> None:
    """Text of at most PROMPT_CHARACTERS."""
    if not isinstance(value, str):
        raise wrong(name, "text", value)
    if len(value) > PROMPT_CHARACTERS:
        raise InvalidInput(f"{name} has {len(value)} characters; at most {PROMPT_CHARACTERS} are taken", field=name)


def words(limit: int) -> Check:
    """Text of 1 to `limit` characters."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, str) or not value:
            raise wrong(name, "text", value)
        if len(value) > limit:
            raise InvalidInput(f"{name} has {len(value)} characters; at most {limit} are taken", field=name)

    return check


def identifier(name: str, value: object) -> None:
    """The name of a model, scheduler, kind or parameter."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or ".." in value:
        raise wrong(name, "a name of letters, digits, '.', '_' and '-', at most 128 characters", value)


def label(name: str, value: object) -> None:
    """A name that is only ever compared: a style, a variant of a solver."""
    if not isinstance(value, str) or not 0 < len(value) <= _LABEL_CHARACTERS or not value.isprintable():
        raise wrong(name, f"a name of 1 to {_LABEL_CHARACTERS} printable characters", value)


def flag(name: str, value: object) -> None:
    """True or false, and no number that stands for one."""
    if not isinstance(value, bool):
        raise wrong(name, "true or false", value)


def whole(limits: Range) -> Check:
    """Whole numbers within `limits`."""
    words = f"a whole number from {limits.minimum:.0f} to {limits.maximum:.0f}"
    if limits.multiple > 1:
        words += f", a multiple of {limits.multiple}"

    def check(name: str, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not limits.holds(value):
            raise wrong(name, words, value)

    return check


def number(limits: Range) -> Check:
    """Finite numbers within `limits`."""
    words = "a number" if limits is FINITE else f"a number from {limits.minimum:g} to {limits.maximum:g}"

    def check(name: str, value: object) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not limits.holds(value):
            raise wrong(name, words, value)

    return check


def parameters(name: str, value: object) -> None:
    """Numbers by name, as an extractor takes them."""
    if not isinstance(value, dict) or len(value) > MOST_PARAMETERS:
        raise wrong(name, f"an object of at most {MOST_PARAMETERS} numbers by name", value)
    check = number(FINITE)
    for parameter, setting in value.items():
        identifier(name, parameter)
        check(f"{name}.{parameter}", setting)


def one_of(known: Container[str], words: str) -> Check:
    """One of a few words, listed in `words`."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, str) or value not in known:
            raise wrong(name, f"one of {words}", value)

    return check


def optional(check: Check) -> Check:
    """None, or what `check` takes."""

    def checked(name: str, value: object) -> None:
        if value is not None:
            check(name, value)

    return checked
