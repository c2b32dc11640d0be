"""Pictures made by diffusers' own pipelines: what the mesh's pictures are compared with."""

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

torch.set_num_threads(1)


class Reference:
    """diffusers over one model's weights in fp32.

    Args:
        weights: diffusers folder with `controlnet-<kind>` subfolders.
    """

    def __init__(self, weights: Path) -> None:
        self._weights = weights

    @cache  # noqa: B019 - lives as long as the session
    def _controlnet(self, kind: str) -> Any:
        return diffusers.ControlNetModel.from_pretrained(self._weights, subfolder=f"controlnet-{kind}")

    @cache  # noqa: B019
    def plain(self) -> Any:
        """StableDiffusionPipeline over the weights."""
        return diffusers.StableDiffusionPipeline.from_pretrained(self._weights, dtype=torch.float32)

    def picture(self, prompt: str, hints: dict[str, Pixels], **settings: Any) -> Pixels:
        """As `picture_of_many`, with one hint of a kind; controlnet_conditioning_scale may be among the settings."""
        return self._run(prompt, list(hints.items()), settings)

    def picture_of_many(self, prompt: str, hints: list[tuple[str, Pixels, float]], **settings: Any) -> Pixels:
        """UINT8 [height, width, 3] of StableDiffusionControlNetPipeline under (kind, hint, weight) controls."""
        settings["controlnet_conditioning_scale"] = [weight for _, _, weight in hints]
        return self._run(prompt, [(kind, hint) for kind, hint, _ in hints], settings)

    def _run(self, prompt: str, hints: list[tuple[str, Pixels]], settings: dict[str, Any]) -> Pixels:
        parts = dict(self.plain().components)
        parts["scheduler"] = getattr(diffusers, settings.pop("scheduler")).from_config(parts["scheduler"].config)
        generator = torch.Generator("cpu").manual_seed(settings.pop("seed"))
        pipeline: Any
        if hints:
            nets = [self._controlnet(kind) for kind, _ in hints]
            pictures = [Image.fromarray(hint) for _, hint in hints]
            parts["controlnet"] = nets if len(nets) > 1 else nets[0]
            settings["image"] = pictures if len(nets) > 1 else pictures[0]
            pipeline = diffusers.StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)
        else:
            pipeline = diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
        settings["num_inference_steps"] = settings.pop("steps")
        return np.asarray(pipeline(prompt, generator=generator, **settings).images[0])


def difference(ours: Pixels, theirs: Pixels) -> tuple[int, float]:
    """Greatest and mean absolute difference, in 255ths."""
    assert ours.shape == theirs.shape
    apart = np.abs(ours.astype(int) - theirs.astype(int))
    return int(apart.max()), float(apart.mean())
