"""hed: soft edges of the picture, as HED finds them."""

from preprocess_svc.extraction.control import ControlType
from preprocess_svc.extraction.edges import BY_HED, BY_PIDINET
from preprocess_svc.extraction.ready import Ready

HED = ControlType(
    kind="hed",
    description="White soft edges on black, the brighter the more certain; by HED, or by another annotator if HED is "
    "not loaded.",
    extractors=(BY_HED, BY_PIDINET),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": ("lllyasviel/sd-controlnet-hed", "lllyasviel/control_v11p_sd15_softedge"),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
    },
)
