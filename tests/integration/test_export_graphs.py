"""The exported graphs of a random SD1.5-shaped model against diffusers' own pipeline methods and classes, and what the
exporter's own comparison must notice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from tokenizers import Tokenizer

from export import chain, hollow, trace, verify
from export.errors import Mismatch
from export.families.table import FAMILIES
from export.graphs import residuals
from export.parts import Source
from export.stored import in_memory
from families import graphs
from families.manifest import Manifest, read_manifest, tokenizer_paths

NAME = "t"


@pytest.fixture(scope="module")
def pipeline(sd15_folder: Path) -> Any:
    return StableDiffusionPipeline.from_pretrained(sd15_folder, torch_dtype=torch.float32)


@pytest.fixture(scope="module")
def sessions(exported: Path) -> dict[str, Any]:
    """Every graph, open."""
    return {name: verify.session(exported / name / "1" / "model.onnx") for name in read_manifest(exported, NAME).graphs}


def run(repository: Path, graph: str, **inputs: torch.Tensor) -> list[torch.Tensor]:
    return verify.run(verify.session(repository / graph / "1" / "model.onnx"), inputs)


@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_text_is_what_the_pipeline_encodes(exported: Path, pipeline: Any, skipped: int) -> None:
    prompts = ["a red circle", "", "two squares " * 60]
    (path,) = tokenizer_paths(exported, read_manifest(exported, NAME))
    tokenizer = Tokenizer.from_file(str(path))
    ids = torch.tensor([encoded.ids for encoded in tokenizer.encode_batch(prompts)])
    # diffusers' clip_skip still asks for the `text_model` that CLIPTextModel was wrapped in before transformers 5.
    pipeline.text_encoder.__dict__["text_model"] = pipeline.text_encoder
    theirs, _ = pipeline.encode_prompt(prompts, "cpu", 1, False, clip_skip=skipped or None)
    [ours] = run(exported, f"{NAME}_text_encoder", input_ids=ids, layers_skipped=torch.full((len(prompts), 1), skipped))
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def test_layers_skipped_belong_to_each_row(exported: Path) -> None:
    ids = torch.arange(77).repeat(3, 1)
    together = run(exported, f"{NAME}_text_encoder", input_ids=ids, layers_skipped=torch.tensor([[0], [1], [2]]))[0]
    for row in range(3):
        alone = run(exported, f"{NAME}_text_encoder", input_ids=ids[:1], layers_skipped=torch.tensor([[row]]))[0]
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_a_picture_is_what_the_pipeline_decodes(exported: Path, pipeline: Any) -> None:
    latents = torch.randn(2, 4, 9, 14, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    theirs = np.stack([np.asarray(picture) for picture in pipeline.image_processor.postprocess(decoded)])
    [ours] = run(exported, f"{NAME}_vae_decoder", latents=latents)
    difference = np.abs(ours.numpy().astype(int) - theirs.astype(int))
    assert theirs.std() > 20, "the picture must show something"
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_a_draw_of_the_posterior_is_what_the_pipeline_encodes(exported: Path, pipeline: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (72, 112, 3), dtype=np.uint8)
    noise = torch.randn(1, 4, 9, 14, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        posterior = pipeline.vae.encode(pipeline.image_processor.preprocess(Image.fromarray(pixels))).latent_dist
    sampled = posterior.sample(torch.Generator().manual_seed(3)) * pipeline.vae.config.scaling_factor
    mode = posterior.mode() * pipeline.vae.config.scaling_factor
    mean, deviation = run(exported, f"{NAME}_vae_encoder", image=torch.from_numpy(pixels)[None])
    torch.testing.assert_close(mean, mode, atol=2e-5, rtol=0)
    torch.testing.assert_close(mean + deviation * noise, sampled, atol=2e-5, rtol=0)
    assert (sampled - mode).abs().max() > 0.1, "a draw must be told from the mode"


@pytest.mark.parametrize("first_repainted", [0, 1, 127, 128, 255])
def test_an_inpaint_hint_is_diffusers_inpaint_condition(
    exported: Path, sd15_source: Source, first_repainted: int
) -> None:
    """`make_inpaint_condition` as diffusers documents it, over pictures as Pillow has them, into ControlNetModel."""
    card = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.controlnet(NAME, "inpaint"))
    inputs = verify.example(part.inputs, card, verify.Size(batch=1, rows=2, height=9, width=13))
    hint = inputs["hint"][0].numpy()
    hint[3] = np.where(hint[3] < first_repainted, 0, hint[3])
    picture, mask = Image.fromarray(hint[:3].transpose(1, 2, 0)), Image.fromarray(hint[3])
    image = np.array(picture.convert("RGB")).astype(np.float32) / 255.0
    image[np.array(mask.convert("L")).astype(np.float32) / 255.0 > 0.5] = -1.0
    condition = torch.from_numpy(np.expand_dims(image, 0).transpose(0, 3, 1, 2))
    net = FAMILIES[sd15_source.family].load(sd15_source).controlnets["inpaint"]
    with torch.no_grad(), hollow.filled(net):
        down, middle = net(
            inputs["sample"].repeat(2, 1, 1, 1),
            inputs["timestep"][0],
            encoder_hidden_states=inputs["text"][0],
            controlnet_cond=condition.repeat(2, 1, 1, 1),
            return_dict=False,
        )
    ours = run(exported, part.graph, **{**inputs, "scale": torch.ones_like(inputs["scale"])})
    for found, theirs in zip(ours, (*down, middle), strict=True):
        torch.testing.assert_close(found[0], theirs, atol=2e-5, rtol=1e-5)


def test_what_lies_under_the_mask_does_not_reach_the_control(exported: Path) -> None:
    card = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.controlnet(NAME, "inpaint"))
    inputs = verify.example(part.inputs, card, verify.Size(batch=1, rows=1, height=8, width=8))
    inputs["hint"][:, 3] = 0
    inputs["hint"][:, 3, 16:48, 16:48] = 255
    other, shown = inputs["hint"].clone(), inputs["hint"].clone()
    other[:, :3, 16:48, 16:48] = 255 - other[:, :3, 16:48, 16:48]
    shown[:, 3] = 0
    [masked, same, differs] = [
        run(exported, part.graph, **{**inputs, "hint": h}) for h in (inputs["hint"], other, shown)
    ]
    assert all(torch.equal(a, b) for a, b in zip(masked, same, strict=True))
    assert max(float((a - b).abs().max()) for a, b in zip(masked, differs, strict=True)) > 0.02


def test_a_graph_that_takes_one_length_of_text_is_noticed(exported: Path, tmp_path: Path) -> None:
    card = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.no_control(NAME))
    assert {size.chunks for size in verify.sizes(part)} == {1, 2}
    fixed = tuple(replace(t, dims=("rows", 77, t.dims[2])) if t.name == "text" else t for t in part.inputs)
    module = residuals.NoControl(card.residuals)
    path = tmp_path / "model.onnx"
    trace.trace(module, replace(part, inputs=fixed), verify.example(part.inputs, card, trace.TRACED), path)
    with pytest.raises(Mismatch, match="chunks 2: ONNX Runtime cannot run it"):
        verify.check(verify.session(path), part, card, module)


@pytest.mark.parametrize(
    "kinds", [(), ("canny",), ("canny", "canny"), ("canny", "inpaint"), ("inpaint", "shuffle"), ("canny",) * 3]
)
def test_a_step_is_what_diffusers_multi_controlnet_makes(
    exported: Path, sd15_source: Source, sessions: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    card = read_manifest(exported, NAME)
    family = FAMILIES[sd15_source.family]
    modules = family.load(sd15_source)
    assert chain.check(family, card, modules, sessions, kinds) < 1e-4
    if kinds:
        # The check can fail: other weights in one ControlNet are another step.
        weight = modules.controlnets[kinds[0]].controlnet_mid_block.weight
        weight.stored = in_memory(torch.randn(weight.shape))
        with pytest.raises(Mismatch):
            chain.check(family, card, modules, sessions, kinds)


def test_rows_of_a_batch_do_not_touch_each_other(exported: Path) -> None:
    card: Manifest = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.controlnet(NAME, "canny"))
    inputs = verify.example(part.inputs, card, verify.Size(batch=3, rows=2, height=9, width=13))
    together = run(exported, part.graph, **inputs)
    for row in range(3):
        alone = run(exported, part.graph, **{key: value[row : row + 1] for key, value in inputs.items()})
        for whole, single in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[row], single[0], atol=2e-5, rtol=1e-5)
