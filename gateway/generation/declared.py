"""A field of a request stands once: its type, default, check and words, from which everything else about it is made.

The dataclasses of `gateway.generation.generation` declare their fields by `asked`, `picture` and `nested`. From that
come the checks, the bodies and records of the API documents (gateway.dialects.native.docs), the reader of gRPC requests
(gateway.rpc.request) and the messages to the services (gateway.generation.messages), which go by equal names.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.generation.checks import Check

_KEY = "declared"


@dataclass(frozen=True)
class Declared:
    """What is declared of one field.

    Attributes:
        words: what it is for, for readers of the API documents.
        check: of its value; None for pictures and nested fields, which are checked otherwise.
        examples: values to show.
        is_picture: whether it holds an encoded picture, b"" for one that is not at hand.
        nested: dataclass of its entries; None for a plain value.
        most: how many entries it may have; None for any number.
    """

    words: str
    check: Check | None = None
    examples: tuple[Any, ...] = ()
    is_picture: bool = False
    nested: type | None = None
    most: int | None = None

    @property
    def limits(self) -> Mapping[str, Any]:
        """What the value may be, in JSON Schema's keywords beside the type."""
        if self.check is not None:
            return self.check.limits
        return {} if self.most is None else {"maxItems": self.most}


def asked(check: Check, words: str, default: Any = dataclasses.MISSING, *, examples: tuple[Any, ...] = ()) -> Any:
    """Declare a field that holds a plain value.

    Args:
        check: what it may be.
        words: what it is for; names units and what leaving it out means.
        default: its value where nobody sets it, a function for one that is made anew; left out: it is required.
        examples: values to show.
    """
    return _field(Declared(words, check, examples), default)


def picture(words: str) -> Any:
    """Declare a field that may hold an encoded picture. It is never shown."""
    return dataclasses.field(default=None, repr=False, metadata={_KEY: Declared(words, is_picture=True)})


def nested(cls: type, most: int, words: str) -> Any:
    """Declare a tuple of at most `most` of `cls`, a dataclass of declared fields."""
    return _field(Declared(words, nested=cls, most=most), ())


def _field(declared: Declared, default: Any) -> Any:
    made = {"default_factory": default} if callable(default) else {"default": default}
    return dataclasses.field(metadata={_KEY: declared}, **made)


def fields_of(cls: Any) -> Iterator[tuple["dataclasses.Field[Any]", Declared]]:
    """The declared fields of a dataclass, or of one of its values, in their order."""
    return ((field, field.metadata[_KEY]) for field in dataclasses.fields(cls) if _KEY in field.metadata)


def words_of(cls: type, name: str) -> str:
    """The words of the field called `name`."""
    return next(declared.words for field, declared in fields_of(cls) if field.name == name)


def pictures_of(cls: Any) -> tuple[str, ...]:
    """Names of the fields that hold pictures."""
    return tuple(field.name for field, declared in fields_of(cls) if declared.is_picture)


def default_of(field: "dataclasses.Field[Any]") -> Any:
    """A field's value where nobody sets it; dataclasses.MISSING for a required one."""
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def check_fields(value: Any, at: str = "") -> None:
    """Check every plain field of `value`.

    Args:
        value: of a dataclass with declared fields.
        at: what its fields' names begin with in errors, such as `controls[0].`.

    Raises:
        InvalidInput: the first field that can't be taken.
    """
    for field, declared in fields_of(value):
        if declared.check is not None:
            declared.check(f"{at}{field.name}", getattr(value, field.name))
