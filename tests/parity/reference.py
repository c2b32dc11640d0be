"""Pictures made by diffusers' own pipelines: what the mesh's pictures are compared with."""

import base64
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mesh.pictures import encode

Pixels = NDArray[np.uint8]

#: How far a picture may be from diffusers', in 255ths: on any pixel, and on average. What differs is the order of sums.
MOST, MEAN = 2, 0.1
#: A picture must not depend on what is computed beside it: at most one 255th, on no more than a thousandth.
APART, SHARE = 1, 0.001

torch.set_num_threads(1)


@dataclass(frozen=True)
class Steered:
    """One control: its kind, its ready hint and, for inpaint, the mask (white: repaint), UINT8 [h, w, 3]."""

    kind: str
    hint: Pixels
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mask: Pixels | None = None


@dataclass(frozen=True)
class Asked:
    """A picture to be made by both sides. Pictures are UINT8 [h, w, 3] of exactly the size that is asked for."""

    scheduler: str
    prompt: str = "a red star on a green background"
    negative_prompt: str = "a blue ring"
    seed: int = 11
    width: int = 128
    height: int = 128
    steps: int = 8
    guidance_scale: float = 3.0
    controls: tuple[Steered, ...] = ()
    image: Pixels | None = None
    mask: Pixels | None = None
    strength: float | None = None
    guess_mode: bool = False
    clip_skip: int = 0
    true_guidance_scale: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Of the scheduler: use_karras_sigmas, algorithm_type."""

    def request(self, model: str) -> dict[str, Any]:
        """The native request for it."""
        plain = ("scheduler", "prompt", "negative_prompt", "seed", "width", "height", "steps", "guidance_scale")
        plain = (*plain, "clip_skip")
        body: dict[str, Any] = {name: getattr(self, name) for name in plain} | {"model": model} | self.options
        body["controls"] = [_control(control) for control in self.controls]
        for name in ("image", "mask"):
            if getattr(self, name) is not None:
                body[name] = _base64(getattr(self, name))
        for name in ("strength", "true_guidance_scale"):
            if getattr(self, name) is not None:
                body[name] = getattr(self, name)
        return body | {"guess_mode": self.guess_mode, "prompt_weighting": False}


class Reference:
    """diffusers over one model's weights in fp32.

    Args:
        weights: diffusers folder with `controlnet-<kind>` subfolders.
    """

    prefix = "StableDiffusion"
    unused: ClassVar[dict[str, Any]] = {"requires_safety_checker": False}

    def __init__(self, weights: Path) -> None:
        self._weights = weights

    @cache  # noqa: B019 - lives as long as the session
    def _controlnet(self, kind: str) -> Any:
        return diffusers.ControlNetModel.from_pretrained(self._weights, subfolder=f"controlnet-{kind}")

    @cache  # noqa: B019
    def plain(self) -> Any:
        """The family's plain pipeline over the weights."""
        cls = getattr(diffusers, f"{self.prefix}Pipeline")
        return cls.from_pretrained(self._weights, dtype=torch.float32)

    def picture(self, asked: Asked, embeddings: tuple[torch.Tensor, torch.Tensor] | None = None) -> Pixels:
        """UINT8 [height, width, 3] of the diffusers pipeline that makes what is asked.

        embeddings: of the prompt and the negative prompt, in place of its words.
        """
        parts = self._parts(asked)
        arguments = self._arguments(asked)
        steered = self._steered(asked, parts, arguments) if asked.controls else ""
        pipeline = getattr(diffusers, self._pipeline(asked, steered))(**parts, **self.unused)
        pipeline.set_progress_bar_config(disable=True)
        if embeddings is not None:
            arguments |= {"prompt": None, "negative_prompt": None}
            arguments |= dict(zip(("prompt_embeds", "negative_prompt_embeds"), embeddings, strict=True))
        if asked.scheduler == "DDIMInverseScheduler":
            arguments |= {"latents": self.mean(asked.image)}
        return np.asarray(pipeline(**arguments).images[0])

    def _pipeline(self, asked: Asked, steered: str) -> str:
        """Name of the pipeline's class; `steered` is what ControlNets put into it."""
        return f"{self.prefix}{steered}{_purpose(asked)}Pipeline"

    def _parts(self, asked: Asked) -> dict[str, Any]:
        """Of a pipeline, with the scheduler that is asked for."""
        parts = dict(self.plain().components)
        parts["scheduler"] = self._scheduler(asked, parts["scheduler"].config)
        return parts

    def _scheduler(self, asked: Asked, config: Any) -> Any:
        return getattr(diffusers, asked.scheduler).from_config(config, **_scheduler_options(asked.options))

    def _arguments(self, asked: Asked) -> dict[str, Any]:
        return _arguments(asked)

    def _steered(self, asked: Asked, parts: dict[str, Any], arguments: dict[str, Any]) -> str:
        """Add ControlNets to a pipeline's parts and arguments; what such a pipeline has in its name."""
        nets = [self._controlnet(control.kind) for control in asked.controls]
        parts["controlnet"] = nets if len(nets) > 1 else nets[0]
        return "ControlNet"

    def mean(self, image: Any) -> torch.Tensor:
        """Scaled mean of the VAE's posterior of a picture UINT8 [h, w, 3]."""
        pipeline = self.plain()
        with torch.no_grad():
            posterior = pipeline.vae.encode(pipeline.image_processor.preprocess(Image.fromarray(image))).latent_dist
        return torch.as_tensor(posterior.mode() * pipeline.vae.config.scaling_factor)


def difference(ours: Pixels, theirs: Pixels) -> tuple[int, float]:
    """Greatest and mean absolute difference, in 255ths."""
    assert ours.shape == theirs.shape
    apart = np.abs(ours.astype(int) - theirs.astype(int))
    return int(apart.max()), float(apart.mean())


def assert_same(ours: Pixels, again: Pixels) -> None:
    """But for the order of sums, which may follow the size of the batch."""
    apart = np.abs(ours.astype(int) - again.astype(int)).max(axis=-1)
    assert apart.max() <= APART
    assert (apart > 0).mean() <= SHARE


def _purpose(asked: Asked) -> str:
    if asked.mask is not None:
        return "Inpaint"
    # An inverting scheduler starts from the picture's own latents, which the plain pipeline takes.
    return "Img2Img" if asked.image is not None and asked.scheduler != "DDIMInverseScheduler" else ""


def _scheduler_options(options: dict[str, Any]) -> dict[str, Any]:
    # DPM-Solver without ++ divides by the last sigma, which must not be zero.
    plain = options.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver")
    return options | ({"final_sigmas_type": "sigma_min"} if plain else {})


def _arguments(asked: Asked) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative_prompt,
        "num_inference_steps": asked.steps,
        "guidance_scale": asked.guidance_scale,
        "clip_skip": asked.clip_skip or None,
        "generator": torch.Generator("cpu").manual_seed(asked.seed),
    }
    purpose = _purpose(asked)
    # The image-to-image pipelines take the size of their picture.
    if purpose != "Img2Img":
        arguments |= {"width": asked.width, "height": asked.height}
    if purpose:
        arguments["image"] = Image.fromarray(asked.image)  # type: ignore[arg-type]
    if purpose and asked.strength is not None:
        arguments["strength"] = asked.strength
    if purpose == "Inpaint":
        arguments["mask_image"] = Image.fromarray(asked.mask)  # type: ignore[arg-type]
    if asked.controls:
        several = len(asked.controls) > 1
        hints = [_conditioning(control) for control in asked.controls]
        arguments["control_image" if purpose else "image"] = hints if several else hints[0]
        for name, values in (
            ("controlnet_conditioning_scale", [control.weight for control in asked.controls]),
            ("control_guidance_start", [control.start for control in asked.controls]),
            ("control_guidance_end", [control.end for control in asked.controls]),
        ):
            arguments[name] = values if several else values[0]
        arguments["guess_mode"] = asked.guess_mode
    return arguments


def _conditioning(control: Steered) -> Any:
    """As a pipeline wants it; the inpaint ControlNet is fed -1 wherever the picture is to be repainted."""
    if control.mask is None:
        return Image.fromarray(control.hint)
    pixels = control.hint.astype(np.float32) / 255
    pixels[control.mask[..., 0] >= 128] = -1
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None])


def _control(control: Steered) -> dict[str, Any]:
    body = {"kind": control.kind, "image": _base64(control.hint), "auto_hint": False}
    body |= {"weight": control.weight, "start": control.start, "end": control.end}
    return body if control.mask is None else body | {"mask": _base64(control.mask)}


def _base64(pixels: Pixels) -> str:
    return base64.b64encode(encode(pixels)).decode()
