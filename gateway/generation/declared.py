"""Declarations of request fields: type, default, check and description, each in one place.

The dataclasses of `gateway.generation.generation` declare their fields with `asked`, `picture` and `nested`. Derived
from them are the checks, the schemas of the API documentation (gateway.dialects.native.docs), the reader of gRPC
requests (gateway.rpc.request) and the messages to the services (gateway.generation.messages), which match by name.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.generation.checks import Check

_KEY = "declared"


@dataclass(frozen=True)
class Declared:
    """The declaration of one field.

    Attributes:
        words: its description in the API documentation.
        check: of its value; None for pictures and nested fields, which are checked elsewhere.
        examples: values for the documentation.
        is_picture: whether it holds an encoded picture; b"" stands for one that was sent but is not loaded.
        nested: dataclass of its entries; None for a plain value.
        most: maximum number of entries; None: unlimited.
    """

    words: str
    check: Check | None = None
    examples: tuple[Any, ...] = ()
    is_picture: bool = False
    nested: type | None = None
    most: int | None = None

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits of the value as JSON Schema keywords, without the type."""
        if self.check is not None:
            return self.check.limits
        return {} if self.most is None else {"maxItems": self.most}


def asked(check: Check, words: str, default: Any = dataclasses.MISSING, *, examples: tuple[Any, ...] = ()) -> Any:
    """Declare a field that holds a plain value.

    Args:
        check: of its value.
        words: its description, with units and what leaving it out means.
        default: its default, or a function that returns a new one; left out: the field is required.
        examples: values for the documentation.
    """
    return _field(Declared(words, check, examples), default)


def picture(words: str) -> Any:
    """Declare a field that may hold an encoded picture. It is left out of the repr."""
    return dataclasses.field(default=None, repr=False, metadata={_KEY: Declared(words, is_picture=True)})


def nested(cls: type, most: int, words: str) -> Any:
    """Declare a tuple of at most `most` of `cls`, a dataclass of declared fields."""
    return _field(Declared(words, nested=cls, most=most), ())


def _field(declared: Declared, default: Any) -> Any:
    made = {"default_factory": default} if callable(default) else {"default": default}
    return dataclasses.field(metadata={_KEY: declared}, **made)


def fields_of(cls: Any) -> Iterator[tuple["dataclasses.Field[Any]", Declared]]:
    """The declared fields of a dataclass or of an instance, in order."""
    return ((field, field.metadata[_KEY]) for field in dataclasses.fields(cls) if _KEY in field.metadata)


def words_of(cls: type, name: str) -> str:
    """The description of the field `name`."""
    return next(declared.words for field, declared in fields_of(cls) if field.name == name)


def pictures_of(cls: Any) -> tuple[str, ...]:
    """Names of the fields that hold pictures."""
    return tuple(field.name for field, declared in fields_of(cls) if declared.is_picture)


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """A field's default; dataclasses.MISSING for a required one."""
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def check_fields(value: Any, at: str = "") -> None:
    """Check every plain field of `value`, and give it its own type: 20 for 20.0.

    Args:
        value: an instance of a dataclass with declared fields, which is being made.
        at: prefix of the field names in errors, such as `controls[0].`.

    Raises:
        InvalidInput: for the first invalid field.
    """
    for field, declared in fields_of(value):
        if declared.check is not None:
            # The dataclasses are frozen; this is part of their making.
            object.__setattr__(value, field.name, declared.check(f"{at}{field.name}", getattr(value, field.name)))
