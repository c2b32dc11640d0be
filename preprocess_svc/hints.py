"""Pictures -> hints: one control's map at the size of the picture to come."""

from collections.abc import Mapping

import numpy as np

from mesh.errors import InvalidInput
from mesh.pictures import Pixels, decode, resize
from preprocess_svc.controls import CONTROLS, ControlType


def find_control(kind: str, field: str = "kind") -> ControlType:
    """The control type named `kind`. Raises InvalidInput on `field`, naming those that exist."""
    control = CONTROLS.get(kind)
    if control is None:
        raise InvalidInput(f"control {kind!r} is unknown; known: {', '.join(CONTROLS)}", field=field)
    return control


def make_hint(
    kind: str,
    content: bytes,
    auto_hint: bool,
    parameters: Mapping[str, float],
    size: tuple[int, int],
    at: str = "control",
) -> Pixels:
    """One hint. Heavy: call it off the event loop.

    Args:
        kind: control kind.
        content: PNG, JPEG or WebP file: the picture to extract from, or the ready hint.
        auto_hint: whether to extract.
        parameters: the extractor's, as given; meaningless without it.
        size: (width, height) of the hint in pixels.
        at: where the control stands in the request, for errors.

    Returns:
        UINT8 [height, width, 3].

    Raises:
        InvalidInput: unknown kind or parameter, broken picture, or a kind that can't be extracted here.
    """
    control = find_control(kind, f"{at}.kind")
    settled = control.settle(parameters, f"{at}.parameters")
    if auto_hint and control.extract is None:
        raise InvalidInput(f"{kind} can't be extracted from a picture: {control.how_to_get}", field=f"{at}.auto_hint")
    picture = resize(decode(content, field=f"{at}.image"), *size)
    if not auto_hint or control.extract is None:
        return np.ascontiguousarray(picture)
    return control.extract(picture, settled)
