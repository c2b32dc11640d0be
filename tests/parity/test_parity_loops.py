"""The loops' latents against diffusers' own pipelines in one process, without the mesh: the order of random draws.

Both sides call the same random network, so only the loop differs: what it draws, adds, scales and keeps. The other
parity tests compare whole pictures; one that fails there and not here is not the loop's fault.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from families.facts import skips
from tests.rigs.tiny_sd15 import make
from tests.rigs.unet_tasks import latents_of, make_facts
from unet_svc.denoiser import residual_scale
from unet_svc.loops.common import CommonLoop
from unet_svc.schedulers import SCHEDULERS
from unet_svc.task import Hint, Posterior, Task

SIDE, SEED, STEPS, GUIDANCE = 64, 7, 5, 4.0
KINDS = ("canny", "shuffle")
RESIDUALS = skips(((32, 1),) * 13)
COMPARED = [name for name, kind in SCHEDULERS.items() if kind.loop is CommonLoop]


class Side:
    """diffusers over random weights, and the same weights as the loops call them."""

    def __init__(self, folder: Path) -> None:
        self.pipeline: Any = diffusers.StableDiffusionPipeline.from_pretrained(folder)
        self.nets = {kind: diffusers.ControlNetModel.from_pretrained(folder / f"controlnet-{kind}") for kind in KINDS}
        with torch.no_grad():
            positive, negative = self.pipeline.encode_prompt("a red star", "cpu", 1, True, "a blue ring")
        self.text = torch.cat([negative, positive])
        random = np.random.default_rng(0)
        self.picture = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        self.hint = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        self.mask = np.zeros((SIDE, SIDE), np.uint8)
        self.mask[19:50, 11:] = 255
        self.facts = make_facts(
            dict(self.pipeline.scheduler.config),
            text_width=32,
            residuals=RESIDUALS,
            controls=KINDS,
            pooled=("shuffle",),
        )

    def posterior(self) -> Posterior:
        with torch.no_grad():
            pixels = self.pipeline.image_processor.preprocess(Image.fromarray(self.picture))
            found = self.pipeline.vae.encode(pixels).latent_dist
        scale = self.pipeline.vae.config.scaling_factor
        return Posterior((found.mean * scale).numpy(), (found.std * scale).numpy())

    def task(self, scheduler: str, kinds: tuple[str, ...] = (), **more: Any) -> Task:
        hints = tuple(Hint(kind, self.hint.transpose(2, 0, 1), 0.8, 0.0, 0.7) for kind in kinds)
        cells = (SIDE // 8, SIDE // 8)
        return Task(self.facts, self.text.numpy(), hints, *cells, scheduler, STEPS, GUIDANCE, SEED, **more)

    def predict(self, task: Task) -> Callable[..., Any]:
        @torch.no_grad()
        def guided(sample: NDArray[Any], timestep: float, step: int, steps: int) -> NDArray[Any]:
            rows = torch.from_numpy(sample).repeat(2, 1, 1, 1)
            t = torch.tensor(timestep)
            added: dict[str, Any] = {}
            sums: list[torch.Tensor] = []
            for hint in task.hints:
                if not hint.acts(step, steps):
                    continue
                pixels = torch.from_numpy(np.array(hint.pixels)).float()[None].repeat(2, 1, 1, 1) / 255
                down, mid = self.nets[hint.kind](
                    rows, t, encoder_hidden_states=self.text, controlnet_cond=pixels, return_dict=False
                )
                scale = torch.from_numpy(residual_scale(hint, task.facts, 2, task.guess_mode)[0])
                scaled = [r * scale[:, i, None, None, None] for i, r in enumerate((*down, mid))]
                sums = [a + b for a, b in zip(sums, scaled, strict=True)] if sums else scaled
            if sums:
                added = {"down_block_additional_residuals": sums[:-1], "mid_block_additional_residual": sums[-1]}
            negative, positive = self.pipeline.unet(rows, t, encoder_hidden_states=self.text, **added).sample.chunk(2)
            return (negative + GUIDANCE * (positive - negative)).numpy()

        async def predict(*arguments: Any) -> NDArray[Any]:
            return guided(*arguments)

        return predict

    async def ours(self, scheduler: str, kinds: tuple[str, ...] = (), **more: Any) -> NDArray[Any]:
        task = self.task(scheduler, kinds, **more)
        return await latents_of(task, self.predict(task))

    def theirs(
        self, purpose: str, scheduler: str, kinds: tuple[str, ...] = (), options: Any = None, **more: Any
    ) -> NDArray[Any]:
        parts = dict(self.pipeline.components)
        parts["scheduler"] = getattr(diffusers, scheduler).from_config(parts["scheduler"].config, **(options or {}))
        hint: Any = Image.fromarray(self.hint)
        if kinds:
            nets = [self.nets[kind] for kind in kinds]
            parts["controlnet"] = nets if len(nets) > 1 else nets[0]
            weight: Any = [0.8] * len(nets) if len(nets) > 1 else 0.8
            hint = [hint] * len(nets) if len(nets) > 1 else hint
            more |= {"controlnet_conditioning_scale": weight, "control_guidance_end": 0.7}
            more["control_image" if purpose else "image"] = hint
        if purpose:
            more["image"] = Image.fromarray(self.picture)
        if purpose == "Inpaint":
            more |= {"mask_image": Image.fromarray(self.mask), "width": SIDE, "height": SIDE}
        elif not purpose and not kinds:
            more |= {"width": SIDE, "height": SIDE}
        made = getattr(diffusers, f"StableDiffusion{'ControlNet' if kinds else ''}{purpose}Pipeline")
        pipeline = made(**parts, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
        latents = pipeline(
            prompt_embeds=self.text[1:],
            negative_prompt_embeds=self.text[:1],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(SEED),
            output_type="latent",
            **more,
        ).images
        return latents.numpy()


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Side(make(tmp_path_factory.mktemp("loops"), KINDS, pooled=("shuffle",)))
    torch.set_num_threads(threads)


def assert_same(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    spread = float(np.abs(theirs).max())
    assert np.isfinite(spread)
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * max(spread, 1))


@pytest.mark.parametrize("name", COMPARED)
async def test_image_to_image(side: Side, name: str) -> None:
    ours = await side.ours(name, initial=side.posterior(), strength=0.6)
    assert_same(ours, side.theirs("Img2Img", name, strength=0.6))


async def test_image_to_image_in_full_still_starts_from_the_picture(side: Side) -> None:
    ours = await side.ours("DDPMScheduler", initial=side.posterior(), strength=1.0)
    assert_same(ours, side.theirs("Img2Img", "DDPMScheduler", strength=1.0))


@pytest.mark.parametrize("name", COMPARED)
async def test_inpainting(side: Side, name: str) -> None:
    ours = await side.ours(name, initial=side.posterior(), mask=side.mask, strength=0.6)
    assert_same(ours, side.theirs("Inpaint", name, strength=0.6))


CONTROLLED = ["EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler"]


@pytest.mark.parametrize(
    ("kinds", "guess_mode"),
    [
        (("canny",), False),
        (("canny",), True),
        (("canny", "canny"), False),
        (("canny", "canny"), True),
        # A pooled control is in guess mode anyway. Among several, diffusers lets the first decide for all; we don't.
        (("shuffle",), False),
        (("canny", "shuffle"), True),
    ],
)
@pytest.mark.parametrize("name", CONTROLLED)
async def test_controls_over_the_shortened_steps(
    side: Side, name: str, kinds: tuple[str, ...], guess_mode: bool
) -> None:
    ours = await side.ours(name, kinds, initial=side.posterior(), strength=0.8, guess_mode=guess_mode)
    assert_same(ours, side.theirs("Img2Img", name, kinds, strength=0.8, guess_mode=guess_mode))


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("name", CONTROLLED)
async def test_inpainting_under_control(side: Side, name: str, strength: float) -> None:
    ours = await side.ours(name, ("canny",), initial=side.posterior(), mask=side.mask, strength=strength)
    assert_same(ours, side.theirs("Inpaint", name, ("canny",), strength=strength))


async def test_guess_mode_from_noise(side: Side) -> None:
    ours = await side.ours("UniPCMultistepScheduler", ("canny",), guess_mode=True)
    assert_same(ours, side.theirs("", "UniPCMultistepScheduler", ("canny",), guess_mode=True))


@pytest.mark.parametrize("variant", ["sde-dpmsolver++", "sde-dpmsolver"])
async def test_a_stochastic_variant_goes_on_drawing_after_the_mask_s(side: Side, variant: str) -> None:
    name = "DPMSolverMultistepScheduler"
    options = {"algorithm_type": variant, "use_karras_sigmas": True}
    ours = await side.ours(name, initial=side.posterior(), mask=side.mask, strength=0.6, **options)
    last = {} if variant.endswith("++") else {"final_sigmas_type": "sigma_min"}
    assert_same(ours, side.theirs("Inpaint", name, strength=0.6, options=options | last))


async def test_given_noise_is_where_diffusers_takes_latents(side: Side) -> None:
    noise = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    ours = await side.ours("EulerAncestralDiscreteScheduler", noise=noise)
    assert_same(ours, side.theirs("", "EulerAncestralDiscreteScheduler", latents=torch.tensor(noise)))


async def test_an_inversion_is_the_plain_loop_over_the_picture(side: Side) -> None:
    picture = side.posterior()
    ours = await side.ours("DDIMInverseScheduler", initial=picture)
    assert_same(ours, side.theirs("", "DDIMInverseScheduler", latents=torch.tensor(picture.mean)))
