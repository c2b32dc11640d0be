"""The Scenario dialect's generation routes: required pictures, and types of their jobs and assets."""

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "/v1"


@dataclass(frozen=True)
class Route:
    """A route under `/v1/generate/`.

    Attributes:
        name: last part of its path.
        controlled, starts, masked: whether it takes modalities, an initial picture, a mask.
        submitted_type: jobType in the answer to the request; polls have the engine's.
        asset_type, source: type and source of its assets.
    """

    name: str
    controlled: bool
    starts: bool
    masked: bool
    submitted_type: str
    asset_type: str
    source: str


ROUTES: Mapping[str, Route] = {
    route.name: route
    for route in (
        Route("controlnet", True, False, False, "controlnet", "inference-controlnet", "inference-control-net"),
        Route(
            "controlnet-img2img", True, True, False,
            "controlnet-img2img", "inference-controlnet-img2img", "inference-control-net-img",
        ),
        Route(
            "controlnet-inpaint", True, True, True,
            "controlnet-inpaint", "inference-controlnet-inpaint", "inference-control-net-inpainting",
        ),
        Route("txt2img", False, False, False, "inference", "inference-txt2img", "inference-txt"),
        Route("img2img", False, True, False, "inference", "inference-img2img", "inference-img"),
        Route("inpaint", False, True, True, "inference", "inference-inpaint", "inference-in-paint"),
    )
}  # fmt: skip
DETECT = "detect"
DETECTION = "detection"
"""jobType of detected maps, and type and source of their assets."""
CUSTOM = "custom"
"""Second to last part of the newer route's path, and jobType of its jobs."""

NOT_ENABLED: tuple[str, ...] = (
    "controlnet-ip-adapter",
    "controlnet-inpaint-ip-adapter",
    "controlnet-texture",
    "txt2img-ip-adapter",
    "img2img-ip-adapter",
    "inpaint-ip-adapter",
    "txt2img-texture",
    "img2img-texture",
    "upscale",
    "remove-background",
    "vectorize",
    "pixelate",
    "restyle",
    "reframe",
    "segment",
    "texture",
    "generative-fill",
    "skybox-base-360",
    "skybox-upscale-360",
    "prompt-editing",
    "caption",
    "describe-style",
    "prompt",
    "translate",
    "embed",
    "patch",
)
"""Last parts of the paths of documented tools that are not available; answered with an error in the documented form."""


def of_parts(controlled: bool, starts: bool, masked: bool) -> Route:
    """The older route that corresponds to a request of the newer route."""
    parts = (controlled, starts, masked and starts)
    return next(route for route in ROUTES.values() if (route.controlled, route.starts, route.masked) == parts)
