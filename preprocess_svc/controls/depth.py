"""depth: nearness of the scene."""

from collections.abc import Mapping

import numpy as np

from mesh.pictures import Pixels
from preprocess_svc.annotators import Seen
from preprocess_svc.extraction.channels import tripled
from preprocess_svc.extraction.control import DETECT_RESOLUTION, ControlType, Learned
from preprocess_svc.extraction.maps import Plane, drawn, grey_levels, numbers, resized
from preprocess_svc.extraction.ready import Ready

HOW_TO_GET = "python -m export annotator depth depth-anything/Depth-Anything-V2-Small-hf"


def nearness(seen: Seen) -> tuple[Plane, float]:
    """Scale the depth map to 0, farthest, to 1, nearest; also returns its original range. A flat map becomes all 0.

    Raises InternalError for values that are not finite numbers.
    """
    depth = numbers(seen, "depth")
    shares = depth.astype(np.float64) - float(depth.min())
    spread = float(shares.max())
    if spread > 0:
        shares /= spread
    return shares.astype(np.float32), spread


def draw(seen: Seen, size: tuple[int, int], parameters: Mapping[str, float]) -> Pixels:
    """Draw nearness from the farthest point, 0, to the nearest, 255, whatever the annotator's scale.

    The rule of controlnet_aux's MidasDetector. Returns UINT8 [height, width, 3], three equal channels. Taken by
    lllyasviel/sd-controlnet-depth and lllyasviel/control_v11f1p_sd15_depth.
    """
    return tripled(resized(grey_levels(nearness(seen)[0]), size))


DEPTH = ControlType(
    kind="depth",
    description="Grey map, white near and black far, three equal channels.",
    extractors=(
        Learned(
            name="model",
            description="Nearness by the annotator, its whole range stretched from black to white.",
            source="Ranftl et al. 2021 (DPT), Yang et al. 2024 (Depth Anything V2); controlnet_aux's MidasDetector",
            parameters=(DETECT_RESOLUTION,),
            heads=("depth",),
            annotate=drawn("depth", draw),
            how_to_get=HOW_TO_GET,
        ),
    ),
    ready=Ready(grey=True, on_black=True),
    controlnets={
        "sd15": ("lllyasviel/control_v11f1p_sd15_depth", "lllyasviel/sd-controlnet-depth"),
        "sdxl": ("diffusers/controlnet-depth-sdxl-1.0", "xinsir/controlnet-depth-sdxl-1.0"),
        "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",),
    },
)
