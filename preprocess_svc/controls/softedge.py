"""softedge: soft edges of the picture, without its texture."""

import math
from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter
from preprocess_svc.extraction.edges import BY_HED, BY_PIDINET
from preprocess_svc.extraction.ready import Ready

# What a 3 x 3 Sobel returns for a slope of one level per pixel: the sum of its positive weights over two pixels.
_SOBEL = 8


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Draw the gradient of the blurred picture, in its steepest channel; any edge counts, even texture and shading.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: sigma of the blur, pixels, 0.5 to 16; gain, 0.1 to 16: a step from black to white becomes 255
            times the gain, clipped at 255.

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
    # A blurred step of s levels has a slope of s / (sigma * sqrt(tau)) at its middle.
    steepest *= parameters["gain"] * sigma * math.sqrt(math.tau) / _SOBEL
    return tripled(steepest.clip(0, 255, out=steepest).astype(np.uint8))


SOFTEDGE = ControlType(
    kind="softedge",
    description="White soft edges on black, the brighter the more certain.",
    extractors=(
        BY_PIDINET,
        BY_HED,
        Algorithm(
            name="gradient",
            description="Gradient of the blurred picture, which treats texture and shading as edges.",
            source="Sobel",
            parameters=(
                Parameter("sigma", "Standard deviation of the blur, pixels.", 0.5, 16, 2),
                Parameter("gain", "Brightness of edges; at 1 a step from black to white is just white.", 0.1, 16, 2),
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
