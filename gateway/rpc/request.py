"""Reads requests of GenerationService: fields of the canonical request and of the message match by name."""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from controlmesh.v1 import generation_pb2
from gateway.generation.declared import Declared, default_of, fields_of
from gateway.generation.generation import FORMATS, Generation, without_prompt
from mesh.containers import accepted
from mesh.errors import InvalidInput
from mesh.prompt_tags import is_empty

_FORMAT_NAMES = {number: name for name, number in FORMATS.items()}

_MOST_TOLD = 5

Request = TypeVar("Request")


def generation_of(request: generation_pb2.GenerateRequest) -> Generation:
    """The canonical request for `request`.

    Raises:
        InvalidInput: naming the field.
    """
    if is_empty(request.prompt) and not request.guess_mode:
        raise without_prompt(request.prompt)
    return _read(request, Generation)


def unknown_fields(message: Message) -> list[str]:
    """The remark for what `message` has and this server's protocol does not; empty without any."""
    found = list(_unknown(message, ""))
    if not found:
        return []
    shown = ", ".join(found[:_MOST_TOLD])
    more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
    return [f"fields with the numbers {shown}{more} are not known to this server and were not used"]


def _unknown(message: Message, at: str) -> Iterator[str]:
    unknown = UnknownFieldSet(message)
    yield from (f"{at}{unknown[index].field_number}" for index in range(len(unknown)))
    for known, value in message.ListFields():
        if known.message_type is None or known.message_type.GetOptions().map_entry:
            continue
        listed = list(value) if isinstance(value, Sequence) else [value]
        for index, one in enumerate(listed):
            place = f"{known.name}[{index}]" if isinstance(value, Sequence) else known.name
            yield from _unknown(one, f"{at}{place}.")


def _read(message: Message, cls: type[Request], at: str = "") -> Request:
    """Read `message` as a `cls`; `at` is the prefix of field names in errors."""
    return cls(**dict(_given(message, cls, at)))


def _given(message: Message, cls: type, at: str) -> Iterator[tuple[str, Any]]:
    """The fields that are set. Where the protocol can't tell zero from absent, zero means the default."""
    for field, declared in fields_of(cls):
        known = message.DESCRIPTOR.fields_by_name.get(field.name)
        if known is None:
            continue
        value = getattr(message, field.name)
        is_there = message.HasField(field.name) if known.has_presence else bool(value)
        if is_there or default_of(field) is MISSING:
            yield field.name, _value(known, declared, value, f"{at}{field.name}")


def _value(known: Any, declared: Declared, value: Any, at: str) -> Any:
    if declared.is_picture:
        return accepted(value.content, field=at)
    if declared.nested is not None:
        return tuple(_read(one, declared.nested, f"{at}[{index}].") for index, one in enumerate(value))
    if known.message_type is not None:
        return dict(value)
    if known.enum_type is not None:
        return _format(value)
    return value


def _format(number: int) -> str:
    if number not in _FORMAT_NAMES:
        raise InvalidInput(f"format must be one of {', '.join(FORMATS)}, not {number}", field="format")
    return _FORMAT_NAMES[number]  # type: ignore[index]
