"""tile: the picture itself, with as much detail removed as wanted."""

from collections.abc import Mapping

import cv2
import numpy as np

from mesh.pictures import Pixels, resize
from preprocess_svc.extraction.control import Algorithm, ControlType, Parameter


def extract(picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """Shrink the picture and bring it back to its size, as if the small one had been sent.

    Like sd-webui-controlnet's "tile_resample", whose default of 1 leaves the picture as it is.

    Args:
        picture: UINT8 [h, w, 3].
        parameters: factor by which the sides are divided, 1 to 8.

    Returns:
        UINT8 [h, w, 3] in colour. Taken by lllyasviel/control_v11f1e_sd15_tile and
        InstantX/FLUX.1-dev-Controlnet-Union (mode 1).
    """
    height, width = picture.shape[:2]
    return resize(shrunk(picture, parameters["factor"]), width, height)


def shrunk(picture: Pixels, factor: float) -> Pixels:
    """Shrink `picture` UINT8 [h, w, 3]: sides divided by `factor` and rounded down; each pixel the mean of its area."""
    height, width = picture.shape[:2]
    size = (max(1, int(width / factor)), max(1, int(height / factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


TILE = ControlType(
    kind="tile",
    description="The picture itself; with a factor, without its fine detail.",
    extractors=(
        Algorithm(
            name="resample",
            description="The picture shrunk and brought back to its size.",
            source='sd-webui-controlnet\'s "tile_resample"',
            parameters=(
                Parameter("factor", "The sides are divided by this and then restored; 1 changes nothing.", 1, 8, 1),
            ),
            extract=extract,
            as_ready=True,
        ),
    ),
    controlnets={
        "sd15": ("lllyasviel/control_v11f1e_sd15_tile",),
        "sdxl": ("xinsir/controlnet-tile-sdxl-1.0",),
        "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",),
    },
)
