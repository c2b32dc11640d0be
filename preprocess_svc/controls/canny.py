"""canny: thin edges of the picture."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter
from preprocess_svc.extraction.ready import Ready


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Canny (1986) edges by OpenCV on the RGB picture, which uses the strongest channel at each pixel.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: low_threshold and high_threshold of the gradient, 0 to 255; the order doesn't matter.

    Returns:
        UINT8 [h, w, 3], white (255) edges on black, three equal channels; the map of controlnet_aux's CannyDetector.
        Taken by lllyasviel/sd-controlnet-canny and lllyasviel/control_v11p_sd15_canny.
    """
    edges = cv2.Canny(picture, parameters["low_threshold"], parameters["high_threshold"])
    return tripled(edges.astype(np.uint8, copy=False))


CANNY = ControlType(
    kind="canny",
    description="White edges, one pixel wide, on black.",
    extractors=(
        Algorithm(
            name="canny",
            description="Edges by hysteresis on the RGB picture.",
            source="Canny 1986, OpenCV; controlnet_aux's CannyDetector",
            parameters=(
                Parameter(
                    "low_threshold",
                    "Gradient above which an edge continues once it has begun, grey levels.",
                    0,
                    255,
                    100,
                ),
                Parameter("high_threshold", "Gradient at which an edge begins, grey levels.", 0, 255, 200),
            ),
            extract=extract,
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": (
            "lllyasviel/control_v11p_sd15_canny",
            "lllyasviel/sd-controlnet-canny",
        ),
        "sdxl": (
            "diffusers/controlnet-canny-sdxl-1.0",
            "xinsir/controlnet-canny-sdxl-1.0",
        ),
        "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",),
    },
)
