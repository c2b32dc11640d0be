"""scribble: a user's drawing, turned into white strokes on black."""

from collections.abc import Mapping

import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.controls.control import ControlType

_DARK = 127


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Dark strokes on a light ground -> white on black: pixels whose darkest channel is below 127 become white.

    The rule of ControlNet's own demos for users' drawings (gradio_scribble2image.py). Meant for drawings: of a photo it
    leaves blots. A drawing that is white on black already is a ready map, to be sent with auto_hint off.

    Returns:
        UINT8 [h, w, 3], 255 or 0, three equal channels.
    """
    strokes = np.where(picture.min(axis=2) < _DARK, 255, 0).astype(np.uint8)
    return np.repeat(strokes[..., None], 3, axis=2)


SCRIBBLE = ControlType(
    kind="scribble",
    description="Thick white strokes on black; made from a drawing of dark strokes on a light ground.",
    extract=extract,
)
