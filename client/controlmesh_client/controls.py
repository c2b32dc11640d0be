"""Controls of a request: pictures that steer a generation."""

from collections.abc import Mapping
from typing import Any, Unpack

from controlmesh_client.options import ControlOptions
from controlmesh_client.pictures import AnyPicture


class Control:
    """One picture that steers the generation: `Control("canny", "room.png", weight=0.8, end=0.6)`.

    Args:
        kind: such as canny; `controls()` of a client lists them.
        image: what the hint is made of, or with `auto_hint=False` the hint itself; None for the request's `image`.
        mask: white marks what to repaint; only for kinds that read one.
        options: `weight`, `start`, `end`, `parameters` and whatever else the API's reference names. The mesh checks
            them.
    """

    def __init__(
        self,
        kind: str,
        image: AnyPicture | None = None,
        *,
        mask: AnyPicture | None = None,
        **options: Unpack[ControlOptions],
    ) -> None:
        self.kind = kind
        self.image = image
        self.mask = mask
        self.options = options

    def body(self) -> dict[str, Any]:
        """As it stands in a request, pictures still in the form they were given in."""
        return {"kind": self.kind, "image": self.image, "mask": self.mask, **self.options}

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Control({self.kind!r}{', ...' if self.image is not None else ''}{options})"


AnyControl = Control | Mapping[str, Any]
"""A control, or its JSON, in which pictures may have any form."""


def body_of(control: AnyControl) -> dict[str, Any]:
    """As it stands in a request, pictures still in the form they were given in."""
    return control.body() if isinstance(control, Control) else dict(control)
