"""lineart: soft strokes and creases of the picture."""

from collections.abc import Mapping

import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import DETECT_RESOLUTION, Algorithm, ControlType, Learned, Parameter
from preprocess_svc.extraction.maps import drawn
from preprocess_svc.extraction.paper import drawing
from preprocess_svc.extraction.ready import Ready
from preprocess_svc.extraction.strokes import darkness

# As in controlnet_aux: the level of the median stroke, and the faintest median that is raised to it.
_MEDIAN_STROKE, _FAINTEST = 127, 16


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Draw how much darker each pixel is than its surroundings, scaled so that the median stroke is 127.

    The rule of controlnet_aux's LineartStandardDetector (sd-webui-controlnet's "lineart_standard"), without its
    resizing. This algorithm is used if no annotator is loaded or a request names it. It finds dark lines and the dark
    side of edges; light lines on a dark background stay black.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: sigma of the surroundings, pixels, 0.5 to 20; threshold, the least darkness that counts as a
            stroke for the median, grey levels, 0 to 255.

    Returns:
        UINT8 [h, w, 3], white strokes of 0 to 255 on black, three equal channels. Taken by
        lllyasviel/control_v11p_sd15_lineart.
    """
    strokes = darkness(picture, parameters["sigma"])
    strokes.clip(0, 255, out=strokes)
    counted = strokes[strokes > parameters["threshold"]]
    median = float(np.median(counted, overwrite_input=True)) if counted.size else 0.0
    strokes /= max(_FAINTEST, median)
    strokes *= _MEDIAN_STROKE
    return tripled(strokes.clip(0, 255, out=strokes).astype(np.uint8))


LINEART = ControlType(
    kind="lineart",
    description="White soft strokes on black; by a trained annotator if one is loaded, else by an algorithm that "
    "finds what is darker than its surroundings.",
    extractors=(
        # The library's `coarse` is the same network with other weights, sk_model2.pth: export those to use it.
        Learned(
            name="realistic",
            description="Strokes by the annotator, inverted to white on black.",
            source="Chan et al. 2022 (informative drawings); controlnet_aux's LineartDetector",
            parameters=(DETECT_RESOLUTION,),
            heads=("lineart",),
            annotate=drawn("lineart", drawing("lineart")),
            how_to_get="python -m export annotator lineart lllyasviel/Annotators:sk_model.pth",
        ),
        Algorithm(
            name="standard",
            description="Darkness relative to the surroundings, scaled to the median stroke; an algorithm.",
            source="controlnet_aux's LineartStandardDetector",
            parameters=(
                Parameter("sigma", "Standard deviation of the surroundings, pixels.", 0.5, 20, 6),
                Parameter("threshold", "Least darkness that counts as a stroke, grey levels.", 0, 255, 8),
            ),
            extract=extract,
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15_lineart",),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
    },
)
