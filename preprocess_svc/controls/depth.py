"""depth: nearness of the scene."""

from preprocess_svc.controls.control import ControlType
from preprocess_svc.controls.ready import Ready

DEPTH = ControlType(
    kind="depth",
    description="Grey map, white near and black far, three equal channels.",
    ready=Ready(grey=True),
    controlnets={
        "sd15": ("lllyasviel/control_v11f1p_sd15_depth", "lllyasviel/sd-controlnet-depth"),
        "sdxl": ("diffusers/controlnet-depth-sdxl-1.0", "xinsir/controlnet-depth-sdxl-1.0"),
        "flux": ("InstantX/FLUX.1-dev-Controlnet-Union",),
    },
)
