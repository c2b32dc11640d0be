"""VaeService.Decode: what is shown of the latents, and of the picture that a mask keeps."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from controlmesh.v1 import types_pb2, vae_pb2
from mesh.admission import Admission
from mesh.errors import InvalidInput
from mesh.pictures import decode, encode
from mesh.tensors import to_message
from tests.rigs.model_cards import card
from vae_svc.servicer import VaeServicer

RANDOM = np.random.default_rng(0)
ORIGINAL = RANDOM.integers(0, 256, (150, 210, 3), dtype=np.uint8)
DECODED = RANDOM.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
LATENTS = types_pb2.Latents(model="small", samples=to_message(np.zeros((2, 4, 8, 12), np.float32)))
MASK = np.where(RANDOM.random((64, 96)) < 0.5, 0, 255).astype(np.uint8)


class Decoder:
    """Stands where the model server's client would: decodes everything to the same pictures."""

    async def infer(self, model: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str]) -> dict[str, Any]:
        return {"image": DECODED}


async def shown(**sent: Any) -> list[np.ndarray]:
    triton: Any = Decoder()
    servicer = VaeServicer([card()], triton, Admission(1, 1, "pictures"))
    answer = await servicer.Decode(vae_pb2.DecodeRequest(latents=LATENTS, **sent), None)
    return [decode(image.content) for image in answer.images]


async def test_without_an_original_the_latents_are_shown_alone() -> None:
    np.testing.assert_array_equal(await shown(), DECODED)


async def test_what_the_mask_keeps_is_the_original_s_to_the_pixel() -> None:
    content = encode(ORIGINAL)
    pictures = await shown(original=types_pb2.Image(content=content), mask=to_message(MASK))
    processor = VaeImageProcessor()
    fitted = processor.resize(Image.fromarray(ORIGINAL), 64, 96)
    for picture, decoded in zip(pictures, DECODED, strict=True):
        theirs = processor.apply_overlay(Image.fromarray(MASK), fitted, Image.fromarray(decoded))
        np.testing.assert_array_equal(picture, np.asarray(theirs))
        np.testing.assert_array_equal(picture[MASK == 0], np.asarray(fitted)[MASK == 0])
        np.testing.assert_array_equal(picture[MASK == 255], decoded[MASK == 255])


@pytest.mark.parametrize(
    "sent",
    [
        {"original": types_pb2.Image(content=encode(ORIGINAL))},
        {"mask": to_message(MASK)},
        {"original": types_pb2.Image(content=encode(ORIGINAL)), "mask": to_message(MASK[:-1])},
        {"original": types_pb2.Image(content=encode(ORIGINAL)), "mask": to_message(MASK.astype(np.float32))},
    ],
)
async def test_half_of_it_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        await shown(**sent)
    assert caught.value.field == "mask"
