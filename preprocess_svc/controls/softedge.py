"""softedge: the picture's edges, soft, without its texture."""

import math
from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter
from preprocess_svc.extraction.edges import BY_HED, BY_PIDINET
from preprocess_svc.extraction.ready import Ready

# Sum of the positive weights of a 3 x 3 Sobel over two pixels: what it makes of a slope of one level a pixel.
_SOBEL = 8


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """How steep the blurred picture is, in its steepest channel; any edge counts, texture and shading too.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: sigma of the blur, pixels, 0.5 to 16; gain, 0.1 to 16, with which a step from black to white is 255
            times that, cut off at 255.

    Returns:
        UINT8 [h, w, 3], white edges of 0 to 255 on black, three equal channels.
    """
    sigma = parameters["sigma"]
    steepest = np.zeros(picture.shape[:2], np.float32)
    for channel in cv2.split(picture):
        plane = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), sigma)
        across = cv2.Sobel(plane, cv2.CV_32F, 1, 0)
        down = cv2.Sobel(plane, cv2.CV_32F, 0, 1, dst=plane)
        cv2.max(steepest, cv2.magnitude(across, down, across), steepest)
    # A step of s levels, blurred, is s / (sigma * sqrt(tau)) steep at its middle.
    steepest *= parameters["gain"] * sigma * math.sqrt(math.tau) / _SOBEL
    return tripled(steepest.clip(0, 255, out=steepest).astype(np.uint8))


SOFTEDGE = ControlType(
    kind="softedge",
    description="White soft edges on black, the brighter the surer.",
    extractors=(
        BY_PIDINET,
        BY_HED,
        Algorithm(
            name="gradient",
            description="Gradient of the blurred picture, which takes texture and shading for edges.",
            source="Sobel",
            parameters=(
                Parameter("sigma", "Standard deviation of the blur, pixels.", 0.5, 16, 2),
                Parameter("gain", "Brightness of edges; 1 makes a step from black to white just white.", 0.1, 16, 2),
            ),
            extract=extract,
            stand_in=True,
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15_softedge", "lllyasviel/sd-controlnet-hed"),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
    },
)
