"""scribble: a user's drawing or a picture's strokes, white on black."""

import asyncio
from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators
from preprocess_svc.extraction.channels import darkest, tripled
from preprocess_svc.extraction.control import DETECT_RESOLUTION, Algorithm, ControlType, Learned, Parameter
from preprocess_svc.extraction.edges import BY_HED, BY_PIDINET
from preprocess_svc.extraction.ready import Looks, Ready, looks
from preprocess_svc.extraction.strokes import darkness

_DARK = 127
_INNER, _OUTER = 0.5, 5.0
_XDOG_THRESHOLD = Parameter(
    "xdog_threshold",
    "0 for the extractor's own rule; else twice the least darkness of a stroke, grey levels: 32 is usual for photos.",
    0,
    64,
    0,
)


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


def _by(edges: Learned) -> Learned:
    """Strokes along the soft edges of a photo that `edges` finds; a drawing keeps its own strokes.

    With soft edges a drawn line would become two, so dark strokes on light paper are taken by `extract`. Everything
    else is drawn as sd-webui-controlnet's "scribble_pidinet" and "scribble_hed" do: edges, thinned and thickened.
    Returns UINT8 [h, w, 3], 255 or 0, three equal channels.
    """

    async def annotate(picture: Pixels, parameters: Mapping[str, float], annotators: Annotators) -> Pixels:
        if parameters[_XDOG_THRESHOLD.name] or await asyncio.to_thread(_is_drawing, picture):
            return await asyncio.to_thread(extract, picture, parameters)
        wanted = {DETECT_RESOLUTION.name: parameters[DETECT_RESOLUTION.name], "safe": 0, "scribble": 1}
        return await edges.annotate(picture, wanted, annotators)

    return Learned(
        name=edges.name,
        description="Strokes along the soft edges of a photo; of a drawing, its own dark strokes.",
        source=f'{edges.source}; sd-webui-controlnet\'s "scribble_{edges.name}"',
        parameters=(DETECT_RESOLUTION, _XDOG_THRESHOLD),
        heads=edges.heads,
        annotate=annotate,
        how_to_get=edges.how_to_get,
    )


def _is_drawing(picture: Pixels) -> bool:
    return looks(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)) is Looks.INVERTED


SCRIBBLE = ControlType(
    kind="scribble",
    description="Thick white strokes on black; made from a photo's soft edges, or from a drawing of dark strokes on a "
    "light background.",
    extractors=(
        _by(BY_PIDINET),
        _by(BY_HED),
        Algorithm(
            name="drawing",
            description="Dark strokes of a drawing, or of a photo with xdog_threshold.",
            source="ControlNet's gradio_scribble2image.py; Winnemöller 2012",
            parameters=(_XDOG_THRESHOLD,),
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
