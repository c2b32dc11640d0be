"""FLUX's pictures by diffusers' own pipelines, and what the mesh's are compared in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import diffusers

from tests.parity.matrix import edges, nearness, picture, repainted
from tests.parity.reference import Asked, Reference, Steered
from tests.rigs.tiny_flux import WORDS

WIDTH, HEIGHT = 144, 112
MODES: Mapping[str, int] = {
    kind: mode for mode, kind in enumerate(("canny", "tile", "depth", "blur", "openpose", "gray", "low_quality"))
}
"""Kind -> its mode in the unions of InstantX and Shakker Labs."""


class FluxReference(Reference):
    """diffusers over a FLUX-shaped model with the ControlNet `union`."""

    prefix = "Flux"
    unused: ClassVar[dict[str, Any]] = {}

    @cache  # noqa: B019 - lives as long as the session
    def _union(self) -> Any:
        return diffusers.FluxControlNetModel.from_pretrained(self._weights, subfolder="controlnet-union")

    def _parts(self, asked: Asked) -> dict[str, Any]:
        parts = super()._parts(asked)
        for name in ("image_encoder", "feature_extractor"):
            parts.pop(name, None)
        return parts

    def _scheduler(self, asked: Asked, config: Any) -> Any:
        kind = getattr(diffusers, asked.scheduler)
        flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": config.get("shift", 1.0)}
        return kind.from_config(config, **({} if asked.scheduler.startswith("FlowMatch") else flow))

    def _arguments(self, asked: Asked) -> dict[str, Any]:
        arguments = super()._arguments(asked)
        for name in ("clip_skip", "negative_prompt", "guess_mode"):
            arguments.pop(name, None)
        arguments |= {"width": asked.width, "height": asked.height, "max_sequence_length": WORDS}
        if asked.true_guidance_scale is not None:
            arguments |= {"true_cfg_scale": asked.true_guidance_scale, "negative_prompt": asked.negative_prompt}
        return arguments

    def _steered(self, asked: Asked, parts: dict[str, Any], arguments: dict[str, Any]) -> str:
        modes, several = [MODES[control.kind] for control in asked.controls], len(asked.controls) > 1
        parts["controlnet"] = self._union()
        if several:
            parts["controlnet"] = diffusers.FluxMultiControlNetModel([self._union()])
        if asked.image is None:
            arguments["control_image"] = arguments.pop("image")
        arguments["control_mode"] = modes if several else modes[0]
        return "ControlNet"


class ControlReference(FluxReference):
    """diffusers over a FLUX Control model, whose transformer reads the hint itself."""

    def _steered(self, asked: Asked, parts: dict[str, Any], arguments: dict[str, Any]) -> str:
        for name in ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end"):
            arguments.pop(name)
        if asked.image is None:
            arguments["control_image"] = arguments.pop("image")
        return "Control"


class FillReference(FluxReference):
    """diffusers over a FLUX Fill model, whose transformer reads the mask and the masked picture."""

    def _pipeline(self, asked: Asked, steered: str) -> str:
        return "FluxFillPipeline"


def _plain(scheduler: str = "FlowMatchEulerDiscreteScheduler") -> Asked:
    return Asked(scheduler, width=WIDTH, height=HEIGHT, steps=4, guidance_scale=3.5)


def _kind(kind: str) -> Callable[[Asked], Asked]:
    return lambda asked: replace(asked, controls=(Steered(kind, edges(asked.width, asked.height), weight=0.7),))


def _hint(asked: Asked) -> Asked:
    return replace(asked, controls=(Steered("canny", edges(asked.width, asked.height)),))


def _two(asked: Asked) -> Asked:
    size = asked.width, asked.height
    # Depth first: draws follow the caller's order, whatever the graphs' is.
    depth = Steered("depth", nearness(*size), weight=0.4)
    return replace(asked, controls=(depth, Steered("canny", edges(*size), weight=0.7, end=0.8)))


def _image(asked: Asked) -> Asked:
    return replace(asked, image=picture(asked.width, asked.height), strength=0.6)


def _mask(asked: Asked) -> Asked:
    size = asked.width, asked.height
    return replace(asked, image=picture(*size), mask=repainted(*size), strength=0.6)


CONTROL_CASES: dict[str, Asked] = {
    "control": _hint(_plain()),
    "control, guidance 9": replace(_hint(_plain()), guidance_scale=9.0),
    "control, img2img": _image(_hint(_plain())),
    "control, inpaint": _mask(_hint(_plain())),
    "control, UniPC": _hint(replace(_plain("UniPCMultistepScheduler"), steps=6)),
}
"""What is compared on a FLUX Control model."""
FILL_CASES: dict[str, Asked] = {
    "fill": replace(_mask(_plain()), strength=1.0),
    "fill, strength 0.6": _mask(_plain()),
    "fill, strength left out": replace(_mask(_plain()), strength=None),
    "fill 112x144": _mask(replace(_plain(), width=HEIGHT, height=WIDTH)),
}
"""What is compared on a FLUX Fill model."""
CASES: dict[str, Asked] = {
    "free": _plain(),
    **{f"union: {kind}": _kind(kind)(_plain()) for kind in MODES},
    "depth + canny": _two(_plain()),
    "canny window": replace(_plain(), steps=6, controls=(Steered("canny", edges(WIDTH, HEIGHT), start=0.2, end=0.6),)),
    "canny, weight 0": replace(_plain(), controls=(Steered("canny", edges(WIDTH, HEIGHT), weight=0.0),)),
    "guidance 9": replace(_kind("canny")(_plain()), guidance_scale=9.0),
    "true guidance 3": replace(_plain(), true_guidance_scale=3.0),
    "true guidance 3, canny": replace(_kind("canny")(_plain()), true_guidance_scale=3.0),
    "true guidance 3, no negative prompt": replace(_plain(), true_guidance_scale=3.0, negative_prompt=""),
    "img2img": _image(_plain()),
    "img2img canny": _image(_kind("canny")(_plain())),
    "img2img, strength 1": replace(_image(_plain()), strength=1.0),
    "inpaint": _mask(_plain()),
    "inpaint canny": _mask(_kind("canny")(_plain())),
    "inpaint, strength 1": replace(_mask(_plain()), strength=1.0),
    "UniPC": _kind("canny")(replace(_plain("UniPCMultistepScheduler"), steps=6)),
    "112x144": _kind("canny")(replace(_plain(), width=HEIGHT, height=WIDTH)),
}
"""What is compared."""
