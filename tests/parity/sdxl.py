"""SDXL's pictures by diffusers' own pipelines, and what the mesh's are compared in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import diffusers
from PIL import Image

from tests.parity.matrix import COMPARED, edges, nearness, picture, repainted
from tests.parity.reference import Asked, Pixels, Reference, Steered

WIDTH, HEIGHT = 144, 120
MODES: Mapping[str, int] = {
    "openpose": 0,
    "hed": 2,
    "softedge": 2,
    "lineart": 3,
    "mlsd": 3,
    "normal": 4,
    "segmentation": 5,
    "tile": 6,
    "inpaint": 7,
}
"""Kind -> its mode in xinsir's ProMax, but for those that have a ControlNet of their own in the tiny model."""


class SdxlReference(Reference):
    """diffusers over an SDXL-shaped model; kinds without a ControlNet of their own go to its union."""

    prefix = "StableDiffusionXL"
    unused: ClassVar[dict[str, Any]] = {"add_watermarker": False}

    @cache  # noqa: B019 - lives as long as the session
    def _union(self) -> Any:
        return diffusers.ControlNetUnionModel.from_pretrained(self._weights, subfolder="controlnet-union")

    def picture(self, asked: Asked, embeddings: Any = None) -> Pixels:
        """As Reference's. The family reads an empty negative prompt as none."""
        return super().picture(replace(asked, negative_prompt=asked.negative_prompt or None), embeddings)  # type: ignore[arg-type]

    def _steered(self, asked: Asked, parts: dict[str, Any], arguments: dict[str, Any]) -> str:
        modes = [MODES[control.kind] for control in asked.controls if control.kind in MODES]
        if not modes:
            return super()._steered(asked, parts, arguments)
        assert len(asked.controls) == 1, "diffusers sees several hints of a union in one pass"
        parts["controlnet"] = self._union()
        hint = arguments.pop("control_image" if "control_image" in arguments else "image")
        if asked.controls[0].mask is not None:
            black = asked.controls[0].hint.copy()
            black[asked.controls[0].mask[..., 0] >= 128] = 0
            hint = Image.fromarray(black)
        if asked.image is not None:
            arguments["image"] = Image.fromarray(asked.image)
        arguments |= {"control_image": [hint], "control_mode": modes}
        return "ControlNetUnion"


def _plain(scheduler: str = "EulerDiscreteScheduler") -> Asked:
    return Asked(scheduler, width=WIDTH, height=HEIGHT, steps=4, guidance_scale=5.0)


def _kind(kind: str) -> Callable[[Asked], Asked]:
    return lambda asked: replace(asked, controls=(Steered(kind, edges(asked.width, asked.height)),))


def _two(asked: Asked) -> Asked:
    size = asked.width, asked.height
    canny = Steered("canny", edges(*size), weight=0.8, end=0.7)
    return replace(asked, controls=(canny, Steered("depth", nearness(*size), weight=0.6, start=0.2)))


def _image(asked: Asked) -> Asked:
    return replace(asked, image=picture(asked.width, asked.height), strength=0.6)


def _mask(asked: Asked) -> Asked:
    size = asked.width, asked.height
    return replace(asked, image=picture(*size), mask=repainted(*size), strength=1.0)


def _inpaint_hint(asked: Asked) -> Asked:
    size = asked.width, asked.height
    return replace(asked, controls=(Steered("inpaint", picture(*size), mask=repainted(*size)),))


def _window(asked: Asked) -> Asked:
    return replace(asked, controls=(Steered("canny", edges(asked.width, asked.height), start=0.2, end=0.6),))


MASKED_CASES: dict[str, Asked] = {
    "mask": _mask(_plain()),
    "mask, strength 0.6": replace(_mask(_plain()), strength=0.6),
    "mask, no negative prompt": replace(_mask(_plain()), negative_prompt=""),
    "mask + canny": _mask(_kind("canny")(_plain())),
    "mask + canny, strength 0.6": replace(_mask(_kind("canny")(_plain())), strength=0.6),
    "mask + canny, Euler ancestral": _mask(_kind("canny")(replace(_plain("EulerAncestralDiscreteScheduler"), steps=6))),
}
"""What is compared on a model of 9 channels."""
CASES: dict[str, Asked] = {
    "free": _plain(),
    "no negative prompt": replace(_plain(), negative_prompt=""),
    "canny": _kind("canny")(_plain()),
    "canny, no negative prompt": replace(_kind("canny")(_plain()), negative_prompt=""),
    "canny + depth": _two(_plain()),
    "canny window": _window(replace(_plain(), steps=6)),
    "canny, weight 0": replace(_plain(), controls=(Steered("canny", edges(WIDTH, HEIGHT), weight=0.0),)),
    "scribble, no attention": _kind("scribble")(_plain()),
    **{f"union: {kind}": _kind(kind)(_plain()) for kind in MODES if kind != "inpaint"},
    "union: inpaint": _inpaint_hint(_plain()),
    "union: inpaint + mask": _mask(_inpaint_hint(_plain())),
    "guess mode": replace(_kind("canny")(_plain()), guess_mode=True, prompt="", negative_prompt=""),
    "guidance 1": replace(_kind("canny")(_plain()), guidance_scale=1.0),
    "clip_skip 1": replace(_kind("canny")(_plain()), clip_skip=1),
    "clip_skip 1, no negative prompt": replace(_plain(), clip_skip=1, negative_prompt=""),
    "img2img": _image(_plain()),
    "img2img canny": _image(_kind("canny")(_plain())),
    "inpaint": _mask(_plain()),
    "inpaint, strength 0.7": replace(_mask(_plain()), strength=0.7),
    "inpaint canny": _mask(_kind("canny")(_plain())),
    "120x144": replace(_kind("canny")(replace(_plain(), width=HEIGHT, height=WIDTH))),
    "128x128": _kind("canny")(replace(_plain(), width=128, height=128)),
    **{f"canny, {name.removesuffix('Scheduler')}": _kind("canny")(replace(_plain(name), steps=6)) for name in COMPARED},
}
"""What is compared, on a model of epsilon prediction and leading timesteps."""
