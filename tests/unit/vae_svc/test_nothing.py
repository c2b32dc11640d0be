"""Pictures of nothing: one flat colour behind a VAE that makes NaN is no success, and one that is meant is."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from controlmesh.v1 import types_pb2, vae_pb2
from families.soundness import is_flat, is_smooth, rough_latents
from mesh.admission import Admission
from mesh.errors import InternalError
from mesh.pictures import decode, encode
from mesh.tensors import to_message
from tests.rigs.model_cards import card
from vae_svc.servicer import VaeServicer

RANDOM = np.random.default_rng(0)
SHOWN = RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)
BLACK = np.zeros((64, 64, 3), np.uint8)
WHITE = np.full((64, 64, 3), 255, np.uint8)
ORANGE = np.full((64, 64, 3), (255, 127, 0), np.uint8)
ROUGH = RANDOM.standard_normal((4, 8, 8)).astype(np.float32)
# As a VAE encodes one colour: even inside, with a border and a little noise.
EVEN = np.pad(np.full((4, 4, 4), 1.3), ((0, 0), (2, 2), (2, 2)), constant_values=2.4).astype(np.float32) + ROUGH * 0.05


class Decoder:
    """Stands where the model server's client would: answers with the next of its pictures, and in the end with the last
    one; `probe` is what it makes of a single 8x8 latent that is none of the test's."""

    def __init__(self, *pictures: np.ndarray, probe: np.ndarray = SHOWN) -> None:
        self.pictures = list(pictures)
        self.probe = probe
        self.asked: list[int] = []

    async def infer(self, model: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str]) -> dict[str, Any]:
        latents = inputs["latents"]
        if np.array_equal(latents, rough_latents(4, 8)):
            return {"image": self.probe[None]}
        self.asked.append(len(latents))
        taken, self.pictures = self.pictures[: len(latents)], self.pictures[len(latents) :]
        return {"image": np.stack(taken)}


async def shown(decoder: Decoder, *latents: np.ndarray, **sent: Any) -> list[np.ndarray]:
    triton: Any = decoder
    servicer = VaeServicer([card()], triton, Admission(1, 1, "pictures"))
    request = vae_pb2.DecodeRequest(
        latents=types_pb2.Latents(model="small", samples=to_message(np.stack(latents))), **sent
    )
    return [decode(image.content) for image in (await servicer.Decode(request, None)).images]


async def test_a_picture_is_decoded_once() -> None:
    decoder = Decoder(SHOWN)
    np.testing.assert_array_equal(await shown(decoder, ROUGH), [SHOWN])
    assert decoder.asked == [1]


async def test_one_that_shows_nothing_is_decoded_once_more() -> None:
    decoder = Decoder(SHOWN, BLACK, SHOWN[::-1])
    np.testing.assert_array_equal(await shown(decoder, ROUGH, ROUGH), [SHOWN, SHOWN[::-1]])
    assert decoder.asked == [2, 1], "only the one that showed nothing"


@pytest.mark.parametrize("nothing", [BLACK, WHITE, ORANGE])
async def test_one_that_shows_nothing_twice_is_an_error(nothing: np.ndarray) -> None:
    decoder = Decoder(nothing, nothing)
    with pytest.raises(InternalError, match="a picture of nothing"):
        await shown(decoder, ROUGH)
    assert decoder.asked == [1, 1]


@pytest.mark.parametrize("colour", [BLACK, WHITE, ORANGE])
async def test_one_colour_of_the_latents_of_one_colour_is_right(colour: np.ndarray) -> None:
    np.testing.assert_array_equal(await shown(Decoder(colour, colour), EVEN), [colour])


async def test_but_not_behind_a_vae_that_shows_nothing_at_all() -> None:
    with pytest.raises(InternalError, match="a picture of nothing"):
        await shown(Decoder(BLACK, BLACK, probe=BLACK), EVEN)


PURE = (SHOWN * np.array([1, 0, 0])).astype(np.uint8)


async def test_a_picture_of_one_colour_and_its_shades_is_right_if_the_vae_knows_the_others() -> None:
    decoder = Decoder(SHOWN, PURE)
    np.testing.assert_array_equal(await shown(decoder, ROUGH, ROUGH), [SHOWN, PURE])
    assert decoder.asked == [2]
    with pytest.raises(InternalError, match="lack a colour"):
        await shown(Decoder(SHOWN, PURE, probe=PURE), ROUGH, ROUGH)
    with pytest.raises(InternalError, match="lack a colour"):
        await shown(Decoder(BLACK, PURE, SHOWN, probe=PURE), ROUGH, ROUGH)


async def test_a_mask_does_not_hide_that_nothing_was_painted() -> None:
    original = types_pb2.Image(content=encode(SHOWN))
    half = to_message(np.where(np.arange(64)[:, None] < 32, 0, 255).astype(np.uint8) + np.zeros((64, 64), np.uint8))
    with pytest.raises(InternalError, match="a picture of nothing"):
        await shown(Decoder(BLACK, BLACK), ROUGH, original=original, mask=half)


async def test_the_probe_sees_it() -> None:
    pale = (126 + SHOWN % 2).astype(np.uint8)
    for probe, words in ((SHOWN, ""), (BLACK, "a picture of nothing"), (PURE, "lack a colour"), (pale, "contrast")):
        triton: Any = Decoder(probe=probe)
        servicer = VaeServicer([card()], triton, Admission(1, 1, "pictures"))
        if not words:
            await servicer.probe()
            continue
        with pytest.raises(InternalError, match=words):
            await servicer.probe()


class Encoder:
    """Answers with a posterior of the value that is next."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    async def infer(self, model: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str]) -> dict[str, Any]:
        value = self.values.pop(0)
        return {"mean": np.zeros((1, 4, 8, 8), np.float32), "deviation": np.full((1, 4, 8, 8), value, np.float32)}


@pytest.mark.parametrize(("values", "good"), [((1.0,), True), ((np.nan, 1.0), True), ((np.inf, np.nan), False)])
async def test_the_latents_of_an_initial_picture_are_numbers(values: tuple[float, ...], good: bool) -> None:
    triton: Any = Encoder(*values)
    servicer = VaeServicer([card()], triton, Admission(1, 1, "pictures"))
    request = vae_pb2.EncodeRequest(model="small", image=types_pb2.Image(content=encode(SHOWN)), width=64, height=64)
    if good:
        await servicer.Encode(request, None)
        return
    with pytest.raises(InternalError, match="initial picture are not finite"):
        await servicer.Encode(request, None)


def test_what_is_flat_and_what_is_smooth() -> None:
    assert is_flat(ORANGE) and not is_flat(SHOWN)
    nearly = BLACK.copy()
    nearly[63, 62, 1] = 1
    assert not is_flat(nearly)
    assert is_smooth(EVEN) and not is_smooth(ROUGH) and not is_smooth(rough_latents(4, 8)[0])
    assert is_smooth(np.zeros((4, 8, 96), np.float32)) and not is_smooth(np.tile(ROUGH, (1, 1, 12)))
