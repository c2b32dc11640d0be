"""Assigns roles to the enterprise dialect's three pictures.

`init_image` alone is the control picture, as in all of the vendor's samples, whatever its `strength`. With a
`control_image` it is the initial picture, unless `strength` is 1; with a `mask_image` it is the picture to repaint. If
the hints of all controls are made from `qrcode_text`, the text counts as the `control_image`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.dialects.common.lenient import Lenient
from gateway.dialects.enterprise.fields import missing
from mesh.errors import InvalidInput


class Reader(Protocol):
    """Reads pictures; see gateway.generation.pictures.Pictures."""

    async def read(self, value: object, field: str) -> bytes:
        """The encoded picture that `value` holds or refers to."""


@dataclass(frozen=True)
class Roles:
    """The roles of a request's pictures.

    Attributes:
        steering: name of the field with the controls' pictures.
        hints: one for each control; None for those whose hint is made from text.
        start: the initial picture; None: noise.
        mask: white marks what to repaint of `start`, or of its control's picture if there is no start.
    """

    steering: str
    hints: tuple[Any, ...]
    start: Any = None
    mask: Any = None


def assign(fields: Lenient, masked: Sequence[bool], written: Sequence[bool], strength: float) -> Roles:
    """Assign roles to the pictures as sent. Unused pictures are added to the remarks.

    Args:
        fields: fields of the request.
        masked: for each control, whether it reads a mask.
        written: for each control, whether its hint is made from text.
        strength: strength of the change; 1 means that there is no initial picture.

    Raises:
        InvalidInput: no picture, or none in the place of a control, or no mask for a control that reads one.
    """
    listed, init, mask = fields.pictures("control_image"), fields.picture("init_image"), fields.picture("mask_image")
    count = list(written).count(False)
    if not (listed or init is not None) and count:
        raise missing("init_image")
    if mask is None and any(masked):
        raise missing("mask_image")
    if listed and not count:
        fields.remarks.append("control_image was not used: the hint is made from qrcode_text.")
    steering = _in_place(fields, written, init) if listed and count else [init]
    if mask is not None and init is None and not any(masked):
        fields.remarks.append("mask_image was not used: init_image, the picture to repaint, is missing.")
        mask = None
    starts = mask is not None or ((bool(listed) or not count) and strength < 1)
    # One picture may serve all controls: a list that ends early goes on with its last.
    pictures = iter(steering[min(index, len(steering) - 1)] for index in range(count))
    return Roles(
        steering="control_image" if listed else "init_image",
        hints=tuple(None if words else next(pictures) for words in written),
        start=init if starts else None,
        mask=mask,
    )


def _in_place(fields: Lenient, written: Sequence[bool], init: Any) -> list[Any]:
    """The pictures of `control_image` for the controls that need one, each in its place; `init` in an empty one.

    Raises:
        InvalidInput: a place is empty and there is no `init`.
    """
    places, count = fields.picture_places("control_image"), list(written).count(False)
    if len(places) == len(written) and all(one is None for one, words in zip(places, written, strict=True) if words):
        # The empty places are those of the controls whose hints are made from text.
        places = [one for one, words in zip(places, written, strict=True) if not words]
    if (sent := sum(one is not None for one in places)) and any(one is not None for one in places[count:]):
        fields.remarks.append(f"control_image has {sent} pictures for {count} controls; the first {count} were used.")
    for index, one in enumerate(places[:count]):
        if one is not None:
            continue
        if init is None:
            raise InvalidInput(
                f"control_image has no picture in place {index + 1}; send one there, or an init_image to use in its "
                "place",
                field="control_image",
            )
        fields.remarks.append(f"control_image has no picture in place {index + 1}; init_image was used there.")
    return [init if one is None else one for one in places[:count]]


async def read(roles: Roles, pictures: Reader) -> Roles:
    """Load the pictures of the roles; a picture with several roles is read once.

    Raises:
        InvalidInput: one is not a picture or not available; names its field.
    """
    known: dict[str, bytes] = {}

    async def content(value: Any, name: str) -> bytes | None:
        if value is None:
            return None
        if isinstance(value, str) and value in known:
            return known[value]
        found = await pictures.read(value, name)
        if isinstance(value, str):
            known[value] = found
        return found

    return Roles(
        steering=roles.steering,
        hints=tuple([await content(value, roles.steering) for value in roles.hints]),
        start=await content(roles.start, "init_image"),
        mask=await content(roles.mask, "mask_image"),
    )
