"""diffusers' own ControlNet pipeline with the demo weights: the other side of the mesh benchmark."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from benchmarks import asking
from mesh.pictures import Pixels


class Diffusers:
    """StableDiffusionControlNetPipeline in fp32 with one thread.

    Args:
        weights: diffusers folder with `controlnet-canny` in it.
    """

    def __init__(self, weights: Path) -> None:
        torch.set_num_threads(1)
        controlnet = diffusers.ControlNetModel.from_pretrained(weights, subfolder="controlnet-canny")
        self._pipeline: Any = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
            weights, controlnet=controlnet, dtype=torch.float32, safety_checker=None
        )
        scheduler = getattr(diffusers, asking.SCHEDULER)
        self._pipeline.scheduler = scheduler.from_config(self._pipeline.scheduler.config)
        self._pipeline.set_progress_bar_config(disable=True)

    def picture(self, hint: Pixels, seed: int) -> Pixels:
        """Generate UINT8 [SIZE, SIZE, 3] with `hint`, like the requests of `asking.pictures`."""
        made = self._pipeline(
            asking.PROMPT,
            image=Image.fromarray(hint),
            negative_prompt="",
            width=asking.SIZE,
            height=asking.SIZE,
            num_inference_steps=asking.STEPS,
            guidance_scale=asking.GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(seed),
        )
        return np.asarray(made.images[0])
