"""Controls of a request, which steer a generation."""

from collections.abc import Mapping
from typing import Any, Unpack

from controlmesh_client.options import ControlOptions
from controlmesh_client.pictures import AnyPicture


class Control:
    """A control, which steers the generation: `Control("canny", "room.png", weight=0.8, end=0.6)`.

    Args:
        kind: control kind, such as canny; a client's `controls()` lists them.
        image: picture to extract the hint from, or with `auto_hint=False` the hint itself; None: the request's `image`.
        mask: white marks what to repaint; only for kinds that read a mask.
        options: `weight`, `start`, `end`, `parameters` and other fields of the API's reference; the mesh checks them.
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
        """Its JSON for a request, with pictures still in the form in which they were given."""
        return {"kind": self.kind, "image": self.image, "mask": self.mask, **self.options}

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Control({self.kind!r}{', ...' if self.image is not None else ''}{options})"


AnyControl = Control | Mapping[str, Any]
"""A Control, or its JSON with pictures in any form."""


def body_of(control: AnyControl) -> dict[str, Any]:
    """Its JSON for a request, with pictures still in the form in which they were given."""
    return control.body() if isinstance(control, Control) else dict(control)
