"""VaeService.Encode: the picture that reaches the graph, and what is made of its answer."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from controlmesh.v1 import types_pb2, vae_pb2
from families.facts import Concat
from mesh.admission import Admission
from mesh.errors import InvalidInput, NotFound
from mesh.pictures import decode, encode
from mesh.tensors import to_array, to_message
from tests.rigs.model_cards import card
from vae_svc.servicer import VaeServicer

CARD, REPAINTS = card(), card(name="repaints", concat=Concat())
PICTURE = np.random.default_rng(0).integers(0, 256, (150, 210, 3), dtype=np.uint8)


class Recording:
    """Stands where the model server's client would: keeps what it is asked, answers ones and twos."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, np.ndarray]]] = []

    async def infer(self, model: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str]) -> dict[str, Any]:
        self.asked.append((model, dict(inputs)))
        rows, height, width, _ = inputs["image"].shape
        shape = (rows, 4, height // 8, width // 8)
        return {name: np.full(shape, value, np.float32) for name, value in zip(outputs, (1, 2), strict=True)}


async def ask(
    width: int, height: int, content: bytes, model: str = "small", mask: types_pb2.Tensor | None = None
) -> tuple[Recording, Any]:
    triton: Any = Recording()
    servicer = VaeServicer([CARD, REPAINTS], triton, Admission(1, 1, "pictures"))
    image = types_pb2.Image(content=content)
    request = vae_pb2.EncodeRequest(model=model, image=image, width=width, height=height, mask=mask)
    return triton, await servicer.Encode(request, None)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (208, 144), (216, 152), (512, 128), (1024, 1024), (64, 768)])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
async def test_a_picture_is_fitted_as_diffusers_fits_it(width: int, height: int, format: Any) -> None:
    content = encode(PICTURE, format)
    triton, _ = await ask(width, height, content)
    [(graph, inputs)] = triton.asked
    theirs = VaeImageProcessor().resize(Image.fromarray(decode(content)), height, width)
    assert graph == "small_vae_encoder"
    assert set(inputs) == {"image"}
    np.testing.assert_array_equal(inputs["image"], np.asarray(theirs)[None])


async def test_the_answer_is_the_posterior_in_the_model_s_space() -> None:
    _, answer = await ask(96, 64, encode(PICTURE))
    assert answer.posterior.model == "small"
    for tensor, value in ((answer.posterior.mean, 1), (answer.posterior.deviation, 2)):
        np.testing.assert_array_equal(
            to_array(tensor, field="posterior", ndim=4), np.full((1, 4, 8, 12), value, np.float32)
        )


@pytest.mark.parametrize(("width", "height", "field"), [(65, 64, "width"), (64, 0, "height"), (1032, 64, "width")])
async def test_a_size_that_no_latent_has_is_refused(width: int, height: int, field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        await ask(width, height, encode(PICTURE))


async def test_what_is_no_picture_or_no_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="image"):
        await ask(64, 64, b"nothing")
    with pytest.raises(NotFound, match="small"):
        await ask(64, 64, encode(PICTURE), model="other")


async def test_a_model_that_repaints_sees_the_picture_without_what_the_mask_marks() -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 40:] = 255
    triton, answer = await ask(96, 64, encode(PICTURE), "repaints", to_message(mask))
    [(_, inputs)] = triton.asked
    np.testing.assert_array_equal(inputs["mask"], mask[None])
    assert answer.posterior.model == "repaints"
    whole, _ = await ask(96, 64, encode(PICTURE), "repaints")
    [(_, without)] = whole.asked
    np.testing.assert_array_equal(without["mask"], np.zeros((1, 64, 96), np.uint8))
    np.testing.assert_array_equal(without["image"], inputs["image"])


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        ("small", (64, 96), "mask is not read by model 'small': remove it"),
        ("repaints", (8, 12), r"mask must be \[64, 96\], not \[8, 12\]"),
    ],
)
async def test_a_mask_that_can_t_be_used_is_refused(model: str, shape: tuple[int, int], words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        await ask(96, 64, encode(PICTURE), model, to_message(np.zeros(shape, np.uint8)))
    assert caught.value.field == "mask"
