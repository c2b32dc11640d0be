"""blur: the picture out of focus."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Gaussian blur, like sd-webui-controlnet's "blur_gaussian"; the picture is mirrored at its borders.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: sigma, standard deviation in pixels, 0.1 to 32.

    Returns:
        UINT8 [h, w, 3] in colour. Taken by stabilityai/stable-diffusion-3.5-large-controlnet-blur,
        InstantX/FLUX.1-dev-Controlnet-Union (mode 3) and, in place of a tile map, lllyasviel/control_v11f1e_sd15_tile.
    """
    return cv2.GaussianBlur(picture, (0, 0), parameters["sigma"]).astype(np.uint8, copy=False)


BLUR = ControlType(
    kind="blur",
    description="The picture out of focus, in colour.",
    extractors=(
        Algorithm(
            name="gaussian",
            description="Gaussian blur, the picture mirrored at its borders.",
            source='sd-webui-controlnet\'s "blur_gaussian"',
            parameters=(Parameter("sigma", "Standard deviation of the Gaussian, pixels.", 0.1, 32, 9),),
            extract=extract,
        ),
    ),
    controlnets={
        "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",),
        "sd3": ("stabilityai/stable-diffusion-3.5-large-controlnet-blur",),
    },
)
