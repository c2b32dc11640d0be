"""Pictures -> hints: one control's map at the size of the picture to come."""

from collections.abc import Mapping

import numpy as np

from mesh.errors import InvalidInput
from mesh.pictures import Pixels, decode, resize
from preprocess_svc.controls import CONTROLS, ControlType
from preprocess_svc.masks import fit_mask, mark


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
    *,
    mask: bytes | None = None,
    shared_mask: Pixels | None = None,
) -> Pixels:
    """One hint. Heavy: call it off the event loop.

    Args:
        kind: control kind.
        content: PNG, JPEG or WebP file: the picture to extract from, or the ready hint.
        auto_hint: whether to extract.
        parameters: the extractor's, as given; meaningless without it.
        size: (width, height) of the hint in pixels.
        at: where the control stands in the request, for errors.
        mask: the control's own, a PNG, JPEG or WebP file; None where it has none.
        shared_mask: the request's, UINT8 [height, width], for kinds that read a mask and have no own.

    Returns:
        UINT8 [height, width, 3]; with a fourth channel, the mask, for kinds that read one.

    Raises:
        InvalidInput: unknown kind or parameter, broken picture, a kind that can't be extracted here, a mask that is
            missing or that the kind doesn't read.
    """
    control = find_control(kind, f"{at}.kind")
    settled = control.settle(parameters, f"{at}.parameters")
    if auto_hint and control.extract is None:
        raise InvalidInput(f"{kind} can't be extracted from a picture: {control.how_to_get}", field=f"{at}.auto_hint")
    marked = _settled_mask(control, mask, shared_mask, size, at)
    picture = resize(decode(content, field=f"{at}.image"), *size)
    hint = control.extract(picture, settled) if auto_hint and control.extract else np.ascontiguousarray(picture)
    return hint if marked is None else mark(hint, marked)


def _settled_mask(
    control: ControlType, own: bytes | None, shared: Pixels | None, size: tuple[int, int], at: str
) -> Pixels | None:
    field = f"{at}.mask"
    if not control.reads_mask:
        if own is not None:
            readers = ", ".join(other.kind for other in CONTROLS.values() if other.reads_mask)
            raise InvalidInput(f"control {control.kind!r} reads no mask: leave it out; read by: {readers}", field=field)
        return None
    if own is not None:
        return fit_mask(own, size, field)
    if shared is None:
        raise InvalidInput(f"{control.kind} needs a mask whose white marks what to repaint: send one", field=field)
    return shared
