"""Lenient field reader: accepts numbers as text, "null" as null, several spellings of yes and no."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from families.limits import Range, plain
from gateway.dialects.common.declared import Field, NoEffect, Table, Type, Undeclared
from gateway.dialects.common.reader import Phrases, Reader
from gateway.generation import numbers

SAYS_NO = frozenset({"", "none", "no", "false"})
"""What clients send for "no" or "none"."""
_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})
_FINITE = Range(-sys.float_info.max, sys.float_info.max)
_NOTHING = frozenset({"", "null"})
# What clients send for "no picture".
_NO_PICTURE = _NOTHING | SAYS_NO
# Fields that take several values as a list, or any JSON.
_LISTS = frozenset({Type.WORDS, Type.NUMBERS, Type.PICTURE, Type.PICTURES, Type.ANY})
# A comma separates two pictures only if another one begins behind it: URLs and data URLs contain commas themselves.
_BETWEEN = re.compile(r",\s*(?=https?://|data:)|(?<!base64),\s*(?=iVBORw0KGgo|/9j/|UklGR)", re.IGNORECASE)
# Blanks within a data URL's head, which is no place between two pictures.
_BEFORE_COMMA = re.compile(r"(?<=base64)[ \t]+(?=,)", re.IGNORECASE)
_LONGEST_NUMBER = 40
_ENDS_EMPTY = "{} ends with an empty place, which does not count."
_ADDRESS = re.compile(r"https?://|data:", re.IGNORECASE)


class Lenient(Reader):
    """A request's fields. Missing, null, "" and "null" mean the default; numbers are clamped, with a remark.

    Attributes:
        outside: field -> its number as sent, of those that were clamped.
    """

    def __init__(
        self, sent: Mapping[str, Any], table: Table, phrases: Phrases, others: Mapping[str, Table] | None = None
    ) -> None:
        super().__init__(sent, table, phrases, others)
        self.outside: dict[str, str] = {}

    def raw(self, *names: str) -> Any:
        """The first of `names` that is set, as sent; of a list its first element, with a remark if others say something
        and the field takes one; None if none is set."""
        for name in names:
            field = self.declared(name)
            for spelling in field.names:
                listed = self._listed(spelling)
                if field.type not in _LISTS and not isinstance(field.effect, NoEffect):
                    self._say_unread(spelling, listed)
                if listed and not _nothing(listed[0]):
                    return listed[0]
        return None

    def text(self, name: str, default: str | None = None) -> str:
        """Text as sent, numbers and flags as in JSON; `default` if not set, else the declared default.

        Raises:
            InvalidInput: an object.
        """
        field, value = self.declared(name), self.raw(name)
        if value is None:
            return (field.default or "") if default is None else default
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str | int | float):
            return str(value)
        raise self._phrases.wrong(name, "a string", value)

    def required(self, name: str) -> str:
        """Text without surrounding blanks, which must be set.

        Raises:
            InvalidInput: it is not set, or it is an object.
        """
        text = self.text(name).strip()
        if not text:
            raise self._phrases.missing(name)
        return text

    def words(self, *names: str) -> list[str]:
        """The items of a comma-separated or JSON list, without surrounding blanks and without empty places."""
        return [word for word in self.places(*names) if word is not None]

    def places(self, *names: str) -> list[str | None]:
        """As `words`, with None for an empty place that others follow; of the first of `names` that has any word. Empty
        places at the end are left out, with a remark."""
        for name in self._spellings(names):
            value = self._sent.get(name)
            if isinstance(value, list):
                value = ",".join("" if part is None else str(part) for part in value)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                parts = [part.strip() for part in str(value).split(",")]
                places = [None if part.lower() in _NOTHING else part for part in parts]
                if kept := _trimmed(places):
                    if len(kept) < len(places):
                        self._say(_ENDS_EMPTY.format(name))
                    return kept
        return []

    def ends_empty(self, name: str) -> bool:
        """Whether the list that `places` or `numbers` has read ends with an empty place."""
        return any(_ENDS_EMPTY.format(one) in self.remarks for one in self.declared(name).names)

    def pictures(self, name: str) -> list[Any]:
        """The pictures of a comma-separated or JSON list, as sent, without placeholders for none."""
        return [one for one in self.picture_places(name) if one is not None]

    def picture_places(self, name: str) -> list[Any]:
        """As `pictures`, with None for every place that is empty or has a placeholder."""
        value = self._sent.get(self.declared(name, Type.PICTURE, Type.PICTURES).name)
        if isinstance(value, str):
            joined = _BEFORE_COMMA.sub("", value.strip())
            value = [one for part in _BETWEEN.split(joined) for one in _parts(part.strip())]
        listed = value if isinstance(value, list) else [value]
        return [None if _no_picture(one) else one for one in listed]

    def picture(self, name: str) -> Any:
        """The first of its `pictures`, with a remark if there are more; None if there is none."""
        listed = self.pictures(name)
        if len(listed) > 1:
            self.remarks.append(f"{name} has {len(listed)} pictures; the first one was used.")
        return next(iter(listed), None)

    def flag(self, name: str) -> bool:
        """Yes or no; the declared default, else no.

        Raises:
            InvalidInput: neither.
        """
        field, value = self.declared(name, Type.FLAG), self.raw(name)
        word = str(value).strip().lower()
        if value is None:
            return bool(field.default)
        if word in _YES | _NO:
            return word in _YES
        raise self._phrases.wrong(name, "yes or no", value)

    def number(self, name: str, default: float | None = None, limits: Range | None = None) -> float:
        """A number, clamped to `limits`, else the declared ones; `default` if not set, else the declared default.

        Raises:
            InvalidInput: not a number.
        """
        field, value = self.declared(name, Type.NUMBER, Type.WHOLE), self.raw(name)
        if value is not None:
            return self.clamped(name, value, limits)
        if default is None and field.default is None:
            raise Undeclared(f"{name} has no default")
        return float(field.default if default is None else default)

    def whole(self, name: str, default: int | None = None, limits: Range | None = None) -> int:
        """A whole number, rounded down and clamped as `number`, with a remark if it was changed.

        Raises:
            InvalidInput: not a number.
        """
        self.declared(name, Type.WHOLE)
        number = self.number(name, default, limits)
        if number % 1:
            self.remarks.append(f"{name} was set to {int(number)}; it must be a whole number.")
        return int(number)

    def numbers(self, name: str) -> list[float | None]:
        """A list of numbers, each clamped to the declared limits; None for an empty place that others follow.

        Raises:
            InvalidInput: one is not a number.
        """
        self.declared(name, Type.NUMBERS)
        return [None if word is None else self.clamped(name, word) for word in self.places(name)]

    def clamped(self, name: str, value: Any, limits: Range | None = None) -> float:
        """`value` as a number within `limits`, else the field's own, with a remark if it was clamped."""
        limits = limits or self.declared(name).limits
        if limits is None:
            raise Undeclared(f"{name} has no limits")
        number = _number(value)
        if number is None:
            raise self._phrases.wrong(name, f"a number from {limits}", value)
        kept = limits.clamp(number)
        if kept != number:
            self.outside[name] = plain(number)[:_LONGEST_NUMBER]
            self.remarks.append(f"{name} was set to {plain(kept)}; it may be {limits}.")
        return float(kept)

    def says_something(self, name: str) -> bool:
        """Whether the field is set to anything but no."""
        return str(self.raw(name) or "none").strip().lower() not in SAYS_NO

    def unheard(self, fields: Iterable[Field]) -> Iterator[str]:
        """The remarks for those of `fields`, which have no effect, that request something.

        Raises:
            InvalidInput: a field of the wrong type.
        """
        for field in fields:
            assert isinstance(field.effect, NoEffect)
            # Whichever of several values asks: nothing is lost, as none of them has an effect.
            each = (Lenient({field.name: one}, self._table, self._phrases) for one in self._listed(field.name))
            if any(one._asks(field, field.effect) for one in each):
                yield field.effect.remark

    def _listed(self, spelling: str) -> list[Any]:
        """The elements of what was sent, which is one of its own if it is no list."""
        value = self._sent.get(spelling)
        return value if isinstance(value, list) else [value]

    def _say_unread(self, name: str, listed: list[Any]) -> None:
        """Say of a field that takes one value that the others of `listed` were left out, if they say something."""
        said = sum(not _nothing(one) for one in listed)
        if _nothing(next(iter(listed), None)) and said:
            self._say(f"{name} is empty in the first of its {len(listed)} places; the others were not used.")
        elif said > 1:
            self._say(f"{name} has {said} values; the first one was used.")

    def _asks(self, field: Field, effect: NoEffect) -> bool:
        if field.type == Type.FLAG:
            return self.raw(field.name) is not None and self.flag(field.name)
        if not self.says_something(field.name):
            return False
        return not effect.unless or self.text(field.name) not in effect.unless

    def _say(self, remark: str) -> None:
        """Add a remark on a field that is read more than once."""
        if remark not in self.remarks:
            self.remarks.append(remark)

    def _spellings(self, names: Iterable[str]) -> Iterator[str]:
        return (spelling for name in names for spelling in self.declared(name).names)


def _number(value: Any) -> int | float | None:
    """A finite number, also as text; an integer keeps every digit."""
    if isinstance(value, str):
        value = numbers.written(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _FINITE.holds(value):
        return None
    return value


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _trimmed(places: list[str | None]) -> list[str | None]:
    """`places` without the empty ones at the end."""
    filled = [index for index, place in enumerate(places) if place is not None]
    return places[: filled[-1] + 1] if filled else []


def _parts(text: str) -> list[str]:
    """The pictures in a part of a list in which one URL at most begins."""
    parts = text.split(",")
    if not _ADDRESS.match(text):
        return [part.strip() for part in parts]
    # A comma at a URL's end is no part of it: the place behind it is empty. The first of a data URL is its own.
    least, empty = 2 if text[:5].lower() == "data:" else 1, 0
    while len(parts) > least and _no_picture(parts[-1]):
        parts.pop()
        empty += 1
    return [",".join(parts).rstrip(), *[""] * empty]


def _no_picture(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str) and value.strip().lower() in _NO_PICTURE)
