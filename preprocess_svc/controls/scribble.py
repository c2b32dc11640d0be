"""scribble: a user's drawing or a picture's strokes, white on black."""

from collections.abc import Mapping

import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import darkest, tripled
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter
from preprocess_svc.extraction.ready import Ready
from preprocess_svc.extraction.strokes import darkness

_DARK = 127
_INNER, _OUTER = 0.5, 5.0


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Draw dark strokes as white on black, by one of two rules.

    Without xdog_threshold, pixels whose darkest channel is below 127 become white: the rule of ControlNet's own demos
    for users' drawings (gradio_scribble2image.py). Meant for drawings: photos turn into blots. A drawing that is
    already white on black is a ready hint: send it with auto_hint off.

    With it, pixels darker than their surroundings by more than half of it become white: difference of Gaussians of 5
    and 0.5 pixels (after Winnemöller's XDoG, 2012), sd-webui-controlnet's "scribble_xdog". Meant for photos. The
    original doubles the difference in 8 bits, which leaves holes in strokes that are 128 levels darker than their
    surroundings; here they are whole.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: xdog_threshold, grey levels, 0 (not used) to 64; 32 is sd-webui-controlnet's.

    Returns:
        UINT8 [h, w, 3], 255 or 0, three equal channels. Taken by lllyasviel/sd-controlnet-scribble and
        lllyasviel/control_v11p_sd15_scribble.
    """
    threshold = parameters["xdog_threshold"]
    strokes = 2 * darkness(picture, _OUTER, _INNER) > threshold if threshold else darkest(picture) < _DARK
    return tripled(np.multiply(strokes, 255, dtype=np.uint8))


SCRIBBLE = ControlType(
    kind="scribble",
    description="Thick white strokes on black; made from a drawing of dark strokes on a light background, or from a "
    "photo with xdog_threshold.",
    extractors=(
        Algorithm(
            name="drawing",
            description="Dark strokes of a drawing, or of a photo with xdog_threshold.",
            source="ControlNet's gradio_scribble2image.py; Winnemöller 2012",
            parameters=(
                Parameter(
                    "xdog_threshold",
                    "0 for drawings; for photos, twice the least darkness of a stroke, grey levels; 32 is usual.",
                    0,
                    64,
                    0,
                ),
            ),
            extract=extract,
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": (
            "lllyasviel/control_v11p_sd15_scribble",
            "lllyasviel/sd-controlnet-scribble",
        ),
        "sdxl": ("xinsir/controlnet-scribble-sdxl-1.0",),
    },
)
