"""low_quality: a degraded copy of the picture."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels, resize
from preprocess_svc.controls.tile import shrunk
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Blur the picture, shrink it, store it as JPEG, and bring it back to its size.

    The classical degradation that restoration models are trained to undo (Wang et al., Real-ESRGAN, 2021, section 3.1),
    once and without noise, so that the same picture gives the same hint. A picture that is already of low quality is a
    ready hint: send it with auto_hint off.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: sigma of the blur, pixels, 0 (none) to 8; factor by which the sides are divided, 1 to 16; quality
            of the JPEG, a whole number, 1 to 100.

    Returns:
        UINT8 [h, w, 3] in colour. Taken by InstantX/FLUX.1-dev-Controlnet-Union (mode 6).
    """
    height, width = picture.shape[:2]
    sigma = parameters["sigma"]
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.uint8, copy=False) if sigma else picture
    small = shrunk(blurred, parameters["factor"])
    # OpenCV expects BGR; in the wrong order the codec would treat red as blue and keep more of it.
    _, stored = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, int(parameters["quality"])]
    )
    return resize(np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB), np.uint8), width, height)


LOW_QUALITY = ControlType(
    kind="low_quality",
    description="The picture blurred, shrunk, stored as a low-quality JPEG and brought back to its size.",
    extractors=(
        Algorithm(
            name="degraded",
            description="Blur, shrinking and a low-quality JPEG.",
            source="Wang et al., Real-ESRGAN, 2021, section 3.1",
            parameters=(
                Parameter("sigma", "Standard deviation of the blur, pixels; 0 for none.", 0, 8, 1),
                Parameter("factor", "The sides are divided by this and then restored.", 1, 16, 4),
                Parameter("quality", "Quality of the JPEG, a whole number.", 1, 100, 30, whole=True),
            ),
            extract=extract,
        ),
    ),
    controlnets={"flux": ("InstantX/FLUX.1-dev-Controlnet-Union",)},
)
