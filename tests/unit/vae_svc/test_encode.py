"""VaeService.Encode: the picture that reaches the graph, and what is made of its answer."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from controlmesh.v1 import types_pb2, vae_pb2
from mesh.admission import Admission
from mesh.errors import InvalidInput, NotFound
from mesh.pictures import decode, encode
from mesh.tensors import to_array
from tests.rigs.model_cards import card
from vae_svc.servicer import VaeServicer

CARD = card()
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


async def ask(width: int, height: int, content: bytes, model: str = "small") -> tuple[Recording, Any]:
    triton: Any = Recording()
    servicer = VaeServicer([CARD], triton, Admission(1, 1, "pictures"))
    request = vae_pb2.EncodeRequest(model=model, image=types_pb2.Image(content=content), width=width, height=height)
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
