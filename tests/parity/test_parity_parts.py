"""The rooms' own answers against diffusers' parts: text embeddings and the VAE both ways."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2, vae_pb2, vae_pb2_grpc
from local.demo import source_picture
from local.supervision import LocalMesh
from mesh.channels import call, open_channel
from mesh.errors import InvalidInput
from mesh.pictures import decode
from mesh.tensors import to_array, to_message
from tests.parity.reference import Reference
from tests.rigs.mesh import DEMO_WEIGHTS

LONG = "a red star, " * 40 + "on a green background"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return Reference(DEMO_WEIGHTS).plain()


async def prepare(mesh: LocalMesh, **request: Any) -> preprocess_pb2.PrepareResponse:
    async with open_channel(mesh.settings.preprocess_address) as channel:
        stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
        answer: preprocess_pb2.PrepareResponse = await call(
            stub.Prepare(preprocess_pb2.PrepareRequest(model="demo", **request), timeout=30)
        )
    return answer


SHORT = ("a red star on a green background", "", "Ünïcode, 漢字 & émojis 🙂!")


@pytest.mark.parametrize(
    ("prompt", "weighting"), [*itertools.product(SHORT, (True, False)), (LONG, False), ("a (red:1.5) [star]", False)]
)
async def test_text_is_diffusers_text(mesh: LocalMesh, pipeline: Any, prompt: str, weighting: bool) -> None:
    """Without weights to read, or told not to read them."""
    request = {"negative_prompt": "a blue ring", "guidance": True, "prompt_weighting": weighting}
    answer = await prepare(mesh, prompt=prompt, **request)
    ours = to_array(answer.conditioning.text, field="text", ndim=3)
    positive, negative = pipeline.encode_prompt(prompt, "cpu", 1, True, "a blue ring")
    np.testing.assert_allclose(ours, torch.cat([negative, positive]).detach().numpy(), atol=1e-4)


async def test_skipped_layers_are_hidden_states_after_the_final_norm(mesh: LocalMesh, pipeline: Any) -> None:
    """diffusers' clip_skip: the hidden state before the last k layers, through the final layer norm."""
    answer = await prepare(mesh, prompt="a red star", clip_skip=1)
    ids = pipeline.tokenizer("a red star", padding="max_length", max_length=77, return_tensors="pt").input_ids
    encoder = pipeline.text_encoder
    states = encoder(ids, output_hidden_states=True).hidden_states
    expected = encoder.final_layer_norm(states[-2]).detach().numpy()
    np.testing.assert_allclose(to_array(answer.conditioning.text, field="text", ndim=3), expected, atol=1e-4)
    with pytest.raises(InvalidInput, match="clip_skip must be 0 to 1"):
        await prepare(mesh, prompt="a red star", clip_skip=5)


async def test_a_prompt_that_is_too_long_is_told(mesh: LocalMesh) -> None:
    answer = await prepare(mesh, prompt=LONG, prompt_weighting=False)
    (note,) = answer.notes
    assert "prompt has" in note
    assert "dropped" in note
    assert not (await prepare(mesh, prompt="a red star", prompt_weighting=False)).notes


async def test_encode_is_the_vae_s_posterior_and_decode_takes_its_mode_back(mesh: LocalMesh, pipeline: Any) -> None:
    async with open_channel(mesh.settings.vae_address) as channel:
        stub: Any = vae_pb2_grpc.VaeServiceStub(channel)
        image = types_pb2.Image(content=source_picture())
        request = vae_pb2.EncodeRequest(model="demo", image=image, width=136, height=96)
        posterior = (await call(stub.Encode(request, timeout=30))).posterior
        latents = types_pb2.Latents(model=posterior.model, samples=posterior.mean)
        again = (await call(stub.Decode(vae_pb2.DecodeRequest(latents=latents), timeout=30))).images[0]
    pixels = pipeline.image_processor.preprocess(_pil(source_picture()), height=96, width=136)
    vae, scale = pipeline.vae, pipeline.vae.config.scaling_factor
    with torch.no_grad():
        theirs = vae.encode(pixels).latent_dist
        back = pipeline.image_processor.postprocess(vae.decode(theirs.mode()).sample, "pil")[0]
    mean = to_array(posterior.mean, field="mean", ndim=4)
    deviation = to_array(posterior.deviation, field="deviation", ndim=4)
    np.testing.assert_allclose(mean, theirs.mode().numpy() * scale, atol=2e-4)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1)).numpy()
    drawn = theirs.sample(torch.Generator().manual_seed(1)).numpy() * scale
    np.testing.assert_allclose(mean + deviation * noise, drawn, atol=2e-4)
    assert np.abs(drawn - mean).max() > 1e-2, "a draw must be told from the mode"
    assert np.abs(decode(again.content).astype(int) - np.asarray(back)).max() <= 1


async def test_latents_that_are_not_finite_are_never_a_picture(mesh: LocalMesh) -> None:
    broken = np.full((1, 4, 16, 16), np.nan, np.float32)
    async with open_channel(mesh.settings.vae_address) as channel:
        stub: Any = vae_pb2_grpc.VaeServiceStub(channel)
        latents = types_pb2.Latents(model="demo", samples=to_message(broken))
        with pytest.raises(Exception, match="not finite"):
            await call(stub.Decode(vae_pb2.DecodeRequest(latents=latents), timeout=30))


def _pil(content: bytes) -> Any:
    return Image.fromarray(decode(content))
