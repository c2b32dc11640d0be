"""gray: the picture in grey."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import Algorithm, ControlType
from preprocess_svc.extraction.ready import Ready


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: none.

    Returns:
        UINT8 [h, w, 3], 0 black to 255 white, three equal channels. Taken by latentcat/control_v1p_sd15_brightness and
        InstantX/FLUX.1-dev-Controlnet-Union (mode 5).
    """
    return tripled(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))


GRAY = ControlType(
    kind="gray",
    description="The picture in grey, black 0 to white 255, three equal channels.",
    extractors=(
        Algorithm(
            name="luma",
            description="Luma of ITU-R BT.601.",
            source="ITU-R BT.601",
            extract=extract,
        ),
    ),
    ready=Ready(grey=True),
    controlnets={"sd15": ("latentcat/control_v1p_sd15_brightness",), "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",)},
)
