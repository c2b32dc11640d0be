"""mlsd: the straight lines of the picture."""

import math
from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.controls.channels import tripled
from preprocess_svc.controls.control import Algorithm, ControlType, Parameter
from preprocess_svc.controls.ready import Ready

_SCALE, _SIGMA_SCALE = 0.8, 0.6
_ANGLE_TOLERANCE = 22.5


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Line segments by LSD (von Gioi et al., IPOL 2012; OpenCV's createLineSegmentDetector) on the picture's luma.

    Not M-LSD (Gu et al., 2022), the network that the ControlNet's own hints were drawn with. LSD follows edges, so a
    thin stroke gets a line on either side, and it knows nothing of what matters: give longer minimum lengths where
    texture gets in the way. Lines are drawn as M-LSD's are in ControlNet's annotator.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: minimum_length of a line as a share of the shorter side, 0 to 1; minimum_gradient across it, grey
            levels a pixel, 0.1 to 255 (the paper's is 5.2).

    Returns:
        UINT8 [h, w, 3], 255 on lines one pixel wide and 0 elsewhere, three equal channels. Taken by
        lllyasviel/sd-controlnet-mlsd and lllyasviel/control_v11p_sd15_mlsd.
    """
    # LSD wants the error of a gradient instead, and divides it by this sine.
    error = parameters["minimum_gradient"] * math.sin(math.radians(_ANGLE_TOLERANCE))
    detector = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD, _SCALE, _SIGMA_SCALE, error, _ANGLE_TOLERANCE)
    found = detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[0]
    lines = np.zeros(picture.shape[:2], np.uint8)
    if found is not None:
        ends = found.reshape(-1, 2, 2)
        lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
        kept = ends[lengths >= parameters["minimum_length"] * min(lines.shape)]
        cv2.polylines(lines, list(kept.astype(np.int32)), isClosed=False, color=255, thickness=1)
    return tripled(lines)


MLSD = ControlType(
    kind="mlsd",
    description="White straight lines, one pixel wide, on black; found by the line segment detector LSD, not by the "
    "learned M-LSD.",
    extractors=(
        Algorithm(
            name="lsd",
            description="Line segments by the detector LSD; an algorithm.",
            source="von Gioi et al., IPOL 2012; OpenCV",
            parameters=(
                Parameter("minimum_length", "Shortest line kept, share of the picture's shorter side.", 0, 1, 0.05),
                Parameter("minimum_gradient", "Least gradient across a line, grey levels a pixel.", 0.1, 255, 5.2),
            ),
            extract=extract,
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": (
            "lllyasviel/control_v11p_sd15_mlsd",
            "lllyasviel/sd-controlnet-mlsd",
        )
    },
)
